//! Whether one configuration is slower, hits less or moves more than another, by replays of both.
//!
//! Pure: runs come in as the summaries of replays, and nothing here runs one. The verb `compare` does.
//!
//! * [`order`]: which configuration runs when. * [`metrics`]: what is compared, and where a summary has it.
//! * [`resample`]: intervals for many metrics at once, from few runs of unknown distribution.
//! * [`comparison`]: two sets of runs, metric by metric: the change, its interval, the noise floor.
//! * [`gate`]: limits, and the verdict. [`baseline`]: runs that were kept for later.

pub mod baseline;
pub mod comparison;
pub mod gate;
pub mod metrics;
pub mod order;
pub mod resample;

pub use baseline::{Baseline, TraceIdentity};
pub use comparison::{Change, Mean, Pairing, Row, Scale, Spread, compare, least_runs};
pub use gate::{Check, CheckResult, Gate, Judged, Judgement, Refusal, Verdict};
pub use metrics::{Direction, Metric, RunMetrics, Unit, catalogue};
pub use order::{Side, interleaved};

//! How long things took, and how much was moved: what a replay measures beside its calls.
//!
//! * [`series`]: a distribution of times that is put together from parts.
//! * [`prefetches`]: how long prefetches took, by the tier that answered, and where that time went.
//! * [`l2_meter`]: stores and loads of each adapter: times, bytes, how long it was busy.
//! * [`bytes`]: what calls reserved, wrote and hit in bytes, and hit rates with their numerators and denominators.
//! * [`recorded`]: what the trace says of the same calls, where it does.
//! * `account`: all of it for one worker, fed between calls; [`AccountSummary`] is what workers together found.

pub(super) mod account;
pub mod bytes;
pub mod l2_meter;
pub mod prefetches;
pub mod recorded;
pub mod series;

pub use account::AccountSummary;
pub use bytes::{BytesSummary, HitRate};
pub use l2_meter::{AdapterFlow, FlowSummary, L2Meter};
pub use prefetches::{AnswerRecorder, AnswerSummary, L2Parts};
pub use recorded::{HitDifferences, RecordedOp, RecordedOutcomes, RecordedSummary};
pub use series::{Series, Spread};

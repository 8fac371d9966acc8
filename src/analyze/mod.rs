//! What a trace tells without being replayed.
//!
//! [`summarize`] walks a file once, on all cores, and fills a [`TraceSummary`]: the numbers of LMCache's
//! `trace info` and those that it leaves out. [`scan`] cuts the file into segments; each thread
//! adds what it reads to a [`tally`]; [`distinct`] counts distinct keys in bounded memory, [`names`] whatever
//! has a name, [`scopes`] models, ranks and salts, [`timeline`] calls over time, and [`events`] what an
//! `events`-level file holds. [`recorded_config`] reads what a header says of the manager.
//!
//! A native file that was closed knows most of that already: [`summarize_native`] takes it from the index.

mod distinct;
mod events;
mod names;
mod native;
mod recorded_config;
mod scan;
mod scopes;
mod summary;
mod tally;
mod timeline;

pub use distinct::{DistinctKeys, MAX_EXACT_KEYS};
pub use events::{BatchKind, EventsSummary};
pub use names::MAX_NAME_BYTES;
pub use native::{NativeSummary, summarize_native};
pub use recorded_config::{RecordedConfig, RecordedL1};
pub use scan::{MAX_SCAN_THREADS, summarize};
pub use scopes::ScopeSummary;
pub use summary::{CallBytes, InterArrival, TraceSummary};
pub use timeline::{MAX_BINS, Timeline};

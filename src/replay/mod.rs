//! Replays a recorded trace against a storage manager, at any pace.
//!
//! Several threads share the work, so that nothing but the calls themselves stands on the schedule:
//!
//! ```text
//!  decoder                       workers                          caller
//!  records -> plan -> batches ---------> wait, call, count ------> ReplayObserver
//!             <-- spent batches --                 outcomes
//! ```
//!
//! * [`source`] and `native_source`: where records come from, as [`timed`] ones. [`extent`]: how many there are.
//!   [`nodes`]: those of several traces as one. [`selection`]: which of them. [`copies`]: how often, and for how many tenants.
//! * [`plan`]: who makes a call, and what it waits for: its time alone, or in causal order all calls before it.
//! * `feed`: the decoder thread; runs ahead by a bounded amount of memory. `inline`: a worker that needs none, since nothing is waited
//!   for and its trace is read in place.
//! * [`schedule`]: from a file's seconds to nanoseconds one can wait for, whatever the file says. [`pace`]: how fast they pass.
//! * [`driver`]: the dispatcher, which runs everybody. `worker`: one of those that make the calls. It waits for `origin + due`, an
//!   absolute deadline, so an overshoot never adds up; between a deadline and its call it allocates nothing, takes no lock, makes no
//!   system call. `progress`: how workers wait for each other.
//! * [`target`]: what a call is dispatched to. [`manager_target`]: the storage manager as one. `owners`: which of several
//!   L1s holds what is open. `trace_time`: the time of a manager that works on the trace's own.
//! * [`stats`]: how long calls took. [`lag`]: how late they began. [`totals`]: what the manager answered.
//! * [`latency`]: how long prefetches and stores took, and what was moved. [`misses`]: why something was missed.
//! * [`observe`]: one outcome per record for whoever prints or writes them, off the schedule. [`live_totals`]: what the
//!   manager holds meanwhile. [`timeline`]: both over time, in as many buckets for an hour as for a second.
//! * [`session`]: one replay, put together of all this. [`traces`]: what it is given. [`summary`]: how it went, as JSON.
//! * [`telemetry`]: what monitoring systems are told.
//!
//! As in LMCache's replay a record that cannot be decoded, or names a call nobody knows, is skipped; a call
//! that raises is failed; both leave the replay running. A read that gets nothing is neither: it is counted
//! and named.

pub mod copies;
pub mod driver;
pub mod extent;
mod feed;
mod inline;
pub mod lag;
pub mod latency;
pub mod live_totals;
pub mod manager_target;
pub mod misses;
mod native_source;
pub mod nodes;
pub mod observe;
mod owners;
pub mod pace;
pub mod plan;
mod prefetching;
mod progress;
pub mod schedule;
pub mod selection;
pub mod session;
pub mod source;
pub mod stats;
pub mod stop;
pub mod summary;
pub mod target;
pub mod telemetry;
pub mod timed;
pub mod timeline;
pub mod totals;
mod trace_time;
pub mod traces;
mod worker;

pub use driver::{MAX_WORKERS, ReplayOptions, ReplayRun, replay};
pub use extent::{NativeExtent, TraceExtent};
pub use lag::{LagSummary, LateStretch};
pub use latency::{AccountSummary, AnswerSummary, RecordedOutcomes};
pub use live_totals::{LiveSample, LiveView};
pub use misses::{MissReason, MissSummary};
pub use observe::{Outcome, RecordName, ReplayObserver, Status};
pub use pace::Pace;
pub use plan::{Order, ReadSlot};
pub use source::{RecordSource, SourceRecords, Step, TraceSource};
pub use stats::OpSummary;
pub use stop::StopFlag;
pub use target::{Made, ReplayTarget};
pub use timed::{RecordBody, TimedRecord};
pub use timeline::Timeline;
pub use totals::{FailedEviction, L2Totals, ManagerTotals, PinnedL1, StorageTotals};
pub use worker::{MAX_NOTES, RecordNote};

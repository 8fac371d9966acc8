//! The result of a scan.

use std::collections::BTreeMap;

use super::{DistinctKeys, EventsSummary, ScopeSummary, Timeline};
use crate::format::lct::{Ending, Header};

/// What a trace holds.
#[derive(Clone, Debug)]
pub struct TraceSummary {
    /// The file's header.
    pub header: Header,
    /// The length of the file.
    pub size_bytes: u64,
    /// How the file ends.
    pub ending: Ending,
    /// The latest recorded time: LMCache's "duration".
    pub duration_s: f64,
    /// Records of each qualified name, sorted by name.
    pub ops: BTreeMap<String, u64>,
    /// Records in all.
    pub total_records: u64,
    /// Frames that are no records.
    pub skipped_frames: u64,
    /// Records in whose arguments something is no key where a key must be.
    pub records_with_undecodable_keys: u64,
    /// Keys in all calls, each as often as it is named.
    pub keys: u64,
    /// Distinct keys.
    pub distinct_keys: DistinctKeys,
    /// Bytes of the objects that the calls name.
    pub call_bytes: CallBytes,
    /// Models, salts, ranks, groups.
    pub scopes: ScopeSummary,
    /// Calls over time.
    pub timeline: Timeline,
    /// Time from one record to the next.
    pub inter_arrival: InterArrival,
    /// The totals of an `events`-level file.
    pub events: EventsSummary,
}

impl TraceSummary {
    /// Whether something is known to be missing: the file is cut short, or holds frames that are no records.
    /// What LMCache's recorder dropped cannot be known: its files do not say.
    pub fn is_incomplete(&self) -> bool {
        self.ending.is_truncated() || self.skipped_frames > 0
    }
}

/// Bytes of the objects that calls name, where the call says how large its objects are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallBytes {
    /// Objects of `reserve_write` calls.
    pub reserve_write: u64,
    /// Cells of `submit_prefetch_task` calls.
    pub submit_prefetch_task: u64,
    /// Objects of store events.
    pub store_events: u64,
}

impl CallBytes {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.reserve_write.saturating_add(self.submit_prefetch_task).saturating_add(self.store_events)
    }
}

/// Percentiles of the time from one record to the next, in the order of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct InterArrival {
    /// How many gaps there are between usable times.
    pub gaps: u64,
    /// The median, in microseconds.
    pub p50_us: f64,
    /// The 90th percentile.
    pub p90_us: f64,
    /// The 99th percentile.
    pub p99_us: f64,
    /// The longest gap.
    pub max_us: f64,
    /// Records that are earlier than the one before them; their gaps count as zero.
    pub backward: u64,
}

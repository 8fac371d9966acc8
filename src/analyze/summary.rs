//! The result of a scan.

use std::collections::BTreeMap;

use super::{DistinctKeys, EventsSummary, ScopeSummary, Timeline};
use crate::format::lct::walk::KeyTotals;
use crate::format::lct::{Ending, Header};
use crate::format::model::Op;

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
    /// `reserve_write` calls of which the file does not say how large their objects are.
    pub unsized_reserve_writes: u64,
    /// `submit_prefetch_task` calls of which it does not, as those of releases 0.5.3 to 0.5.5.
    pub unsized_submit_prefetches: u64,
}

impl CallBytes {
    pub(super) fn add(&mut self, op: Op, call: KeyTotals) {
        let (counted, unsized_calls) = match op {
            Op::ReserveWrite => (&mut self.reserve_write, &mut self.unsized_reserve_writes),
            Op::SubmitPrefetch => (&mut self.submit_prefetch_task, &mut self.unsized_submit_prefetches),
            _ => return,
        };
        *counted = counted.saturating_add(call.object_bytes);
        *unsized_calls += u64::from(call.keys > 0 && call.object_bytes == 0);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.reserve_write = self.reserve_write.saturating_add(other.reserve_write);
        self.submit_prefetch_task = self.submit_prefetch_task.saturating_add(other.submit_prefetch_task);
        self.store_events = self.store_events.saturating_add(other.store_events);
        self.unsized_reserve_writes += other.unsized_reserve_writes;
        self.unsized_submit_prefetches += other.unsized_submit_prefetches;
    }

    /// All of them, as far as they are known.
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

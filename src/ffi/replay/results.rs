//! What a replay found.

use std::ffi::CString;

use serde_json::{Map, Value, json};

use crate::ffi::border::args::Growing;
use crate::replay::session::Replayed;
use crate::replay::{ManagerTotals, ReplayRun, TraceExtent, summary};

/// What a replay found. It begins with its size. A key that is asked for twice counts twice.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_replay_results {
    /// `sizeof(lmcache_replay_results)`.
    pub struct_size: u32,
    /// 1 if it was cancelled before all was done.
    pub is_cancelled: u32,
    /// Calls that were made and succeeded.
    pub records_replayed: u64,
    /// Calls that were made and failed.
    pub records_failed: u64,
    /// Records that hold no call that can be made.
    pub records_skipped: u64,
    /// Records that the options left out.
    pub records_left_out: u64,
    /// From the start of the schedule to the end of the last call.
    pub duration_ns: u64,
    /// How late calls began: half of them so late at most,
    pub lag_p50_ns: u64,
    /// 99 of 100,
    pub lag_p99_ns: u64,
    /// 999 of 1000,
    pub lag_p999_ns: u64,
    /// all of them.
    pub lag_max_ns: u64,
    /// Calls that were more than 1 ms late.
    pub late_calls: u64,
    /// Chunks of the prompts of all prefetches.
    pub requested_chunks: u64,
    /// Of those, the chunks that all rows together can serve.
    pub served_chunks: u64,
    /// Cells of all prefetches: rows times columns.
    pub requested_keys: u64,
    /// Of those, the hits,
    pub hit_keys: u64,
    /// those that were in L1 already, and
    pub l1_hit_keys: u64,
    /// those that came from L2.
    pub l2_hit_keys: u64,
    /// Prefetches whose result was not there when the replay ended.
    pub unresolved_prefetches: u64,
    /// Objects that eviction removed from L1.
    pub evicted_keys: u64,
    /// Objects in L1 that were locked for reading when the replay ended, which cannot be evicted.
    pub locked_at_end: u64,
    /// Reads that got nothing: at least one key could not be read.
    pub reads_found_nothing: u64,
    /// Keys of writes that were reserved,
    pub keys_reserved: u64,
    /// that were there already or are being written, and
    pub keys_not_writable: u64,
    /// for which there was no memory.
    pub keys_out_of_memory: u64,
    /// Objects that could not be stored to L2, or found a full queue.
    pub l2_lost_keys: u64,
    /// In causal order: how often L2 was not done in time, so that the replay cannot be repeated exactly.
    pub unsettled_calls: u64,
    /// What is known to be missing in the traces: calls that their recorders lost, and calls in damaged chunks.
    pub missing_calls: u64,
    /// 1 if every byte of the traces was a record, and no call is known to be missing.
    pub is_trace_complete: u32,
    /// Nothing; 0.
    pub reserved: u32,
}

// SAFETY: numbers; the first field is the size.
unsafe impl Growing for lmcache_replay_results {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

/// Results in both forms.
#[derive(Debug)]
pub(super) struct Results {
    pub(super) seen: lmcache_replay_results,
    pub(super) json: CString,
}

impl Results {
    pub(super) fn new(
        replayed: &Replayed<'_>,
        run: &ReplayRun,
        totals: &ManagerTotals,
        left_out: u64,
        notes: Map<String, Value>,
    ) -> Self {
        let json = json(replayed, run, totals, left_out, notes);
        // JSON writes a NUL as an escape.
        let json = CString::new(json).unwrap_or_default();
        Self { seen: seen(&replayed.extent, run, totals, left_out), json }
    }
}

fn seen(
    extent: &TraceExtent,
    run: &ReplayRun,
    totals: &ManagerTotals,
    left_out: u64,
) -> lmcache_replay_results {
    let (lag, storage) = (&run.lag, &totals.storage);
    lmcache_replay_results {
        struct_size: size_of::<lmcache_replay_results>() as u32,
        is_cancelled: u32::from(run.interrupted),
        records_replayed: run.records_replayed,
        records_failed: run.records_failed,
        records_skipped: run.records_skipped,
        records_left_out: left_out,
        duration_ns: run.duration_ns,
        lag_p50_ns: lag.p50_ns,
        lag_p99_ns: lag.p99_ns,
        lag_p999_ns: lag.p999_ns,
        lag_max_ns: lag.max_ns,
        late_calls: lag.late_calls,
        requested_chunks: storage.requested_chunks,
        served_chunks: storage.served_chunks,
        requested_keys: storage.requested_keys,
        hit_keys: storage.hit_keys,
        l1_hit_keys: storage.l1_hit_keys,
        l2_hit_keys: storage.l2_hit_keys,
        unresolved_prefetches: storage.unresolved_prefetches,
        evicted_keys: storage.evicted_keys,
        locked_at_end: storage.locked_at_end,
        reads_found_nothing: storage.reads_found_nothing,
        keys_reserved: storage.keys_reserved,
        keys_not_writable: storage.keys_not_writable,
        keys_out_of_memory: storage.keys_out_of_memory,
        l2_lost_keys: totals.l2.lost_keys + totals.l2.dropped_keys,
        unsettled_calls: totals.unsettled_calls,
        missing_calls: extent.native.map_or(0, |native| native.lost_calls + native.damaged_calls),
        is_trace_complete: u32::from(extent.is_complete()),
        reserved: 0,
    }
}

/// The summary that both faces give, and what else is known of a replay. The names are those of `lmcache-trace replay --format json`.
fn json(
    replayed: &Replayed<'_>,
    run: &ReplayRun,
    totals: &ManagerTotals,
    left_out: u64,
    notes: Map<String, Value>,
) -> String {
    let storage = &totals.storage;
    let rate = |hits: u64, requested: u64| {
        let rate = (requested > 0).then(|| hits as f64 / requested as f64);
        json!({ "hits": hits, "requested": requested, "rate": rate })
    };
    let more = json!({
        "level": replayed.nodes.level(),
        "prefetches": summary::prefetches(&totals.answers),
        "hit_rates": {
            "per_chunk": rate(storage.served_chunks, storage.requested_chunks),
            "per_key": rate(storage.hit_keys, storage.requested_keys),
        },
        "evictions": summary::evictions(&totals.failed_evictions),
        "pinning": summary::pinning(&totals.pinned_l1s),
        "unsettled_calls": totals.unsettled_calls,
        "replay": { "left_out_records": left_out },
        "l2": {
            "lost_keys": totals.l2.lost_keys,
            "dropped_keys": totals.l2.dropped_keys,
            "retried_keys": totals.l2.retried_keys,
            "adapters": totals.l2.adapters,
            "namespace": notes,
        },
    });
    let mut fields = summary::summary(run, storage, &replayed.extent);
    if let Value::Object(more) = more {
        fields.extend(more);
    }
    summary::sorted(Value::Object(fields)).to_string()
}

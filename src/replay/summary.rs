//! How a replay went as JSON: the part of the summary that both faces give, with the names of LMCache's where it has them.

use serde_json::{Map, Value, json};

use crate::clock::NS_PER_S;
use crate::replay::latency::Spread;
use crate::replay::{
    AnswerSummary, FailedEviction, LateStretch, OpSummary, PinnedL1, RecordName, RecordNote, ReplayRun,
    StorageTotals, TraceExtent,
};

/// Nanoseconds as seconds.
pub fn seconds(ns: u64) -> f64 {
    ns as f64 / NS_PER_S as f64
}

/// Nanoseconds as microseconds.
pub fn microseconds(ns: u64) -> f64 {
    ns as f64 / 1e3
}

/// What the calls did, how long they took and how late they were; what the manager answered; how much there was to replay.
pub fn summary(run: &ReplayRun, totals: &StorageTotals, extent: &TraceExtent) -> Map<String, Value> {
    let ops: Map<String, Value> = run.ops.iter().map(|row| (row.op.qualname(), operation(row))).collect();
    let parts = [
        ("duration_s", json!(seconds(run.duration_ns))),
        ("ops", Value::Object(ops)),
        ("interrupted", json!(run.interrupted)),
        ("truncated", json!(extent.ending.is_truncated())),
        ("totals", self::totals(run, totals)),
        ("lag_us", lag_us(run)),
        ("schedule", schedule(run)),
        ("reads", reads(totals)),
        ("writes", writes(totals)),
        ("trace", trace(extent)),
        ("failures", run.failures.iter().map(note).collect()),
        ("skips", run.skips.iter().map(note).collect()),
    ];
    parts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn operation(row: &OpSummary) -> Value {
    let milliseconds = |ns: u64| ns as f64 / 1e6;
    json!({
        "count": row.count,
        "errors": row.errors,
        "mean_ms": row.mean_ns / 1e6,
        "p50_ms": milliseconds(row.p50_ns),
        "p90_ms": milliseconds(row.p90_ns),
        "p99_ms": milliseconds(row.p99_ns),
        "min_ms": milliseconds(row.min_ns),
        "max_ms": milliseconds(row.max_ns),
        "exact_percentiles": row.is_exact,
        "response_us": spread_us(&row.response),
    })
}

fn totals(run: &ReplayRun, totals: &StorageTotals) -> Value {
    json!({
        "records_replayed": run.records_replayed,
        "records_skipped": run.records_skipped,
        "records_failed": run.records_failed,
        "requested_chunks": totals.requested_chunks,
        "served_chunks": totals.served_chunks,
        "requested_keys": totals.requested_keys,
        "hit_keys": totals.hit_keys,
        "l1_hit_keys": totals.l1_hit_keys,
        "l2_hit_keys": totals.l2_hit_keys,
        "evicted_keys": totals.evicted_keys,
        "locked_at_end": totals.locked_at_end,
        "unresolved_prefetches": totals.unresolved_prefetches,
    })
}

/// How late calls were; null where none was ever due.
fn lag_us(run: &ReplayRun) -> Value {
    let lag = &run.lag;
    if lag.calls == 0 {
        return json!({ "p50": null, "p99": null, "p999": null, "max": null });
    }
    json!({
        "p50": microseconds(lag.p50_ns),
        "p99": microseconds(lag.p99_ns),
        "p999": microseconds(lag.p999_ns),
        "max": microseconds(lag.max_ns),
    })
}

/// Null where no call was late.
fn longest_late(stretch: LateStretch) -> Value {
    if stretch.calls == 0 {
        return Value::Null;
    }
    json!({
        "from_s": seconds(stretch.from_ns),
        "to_s": seconds(stretch.to_ns),
        "calls": stretch.calls,
        "max_us": microseconds(stretch.max_ns),
    })
}

fn schedule(run: &ReplayRun) -> Value {
    json!({
        "calls": run.lag.calls,
        "late_calls": run.lag.late_calls,
        "longest_late": longest_late(run.lag.longest_late),
        "decode_waits": run.decode_waits,
        "impossible_times": run.impossible_times,
        "disordered_times": run.disordered_times,
        "unobserved_records": run.unobserved_records,
    })
}

fn reads(totals: &StorageTotals) -> Value {
    json!({
        "found_nothing": totals.reads_found_nothing,
        "keys_not_found": totals.keys_not_found,
        "keys_not_readable": totals.keys_not_readable,
        "unmatched_exits": totals.unmatched_exits,
        "closed_leftovers": totals.closed_leftovers,
    })
}

fn writes(totals: &StorageTotals) -> Value {
    json!({
        "keys_reserved": totals.keys_reserved,
        "keys_not_writable": totals.keys_not_writable,
        "keys_out_of_memory": totals.keys_out_of_memory,
    })
}

/// How much there was to replay. Of a native file also what is missing in it.
pub fn trace(extent: &TraceExtent) -> Value {
    let mut trace = json!({
        "records": extent.records,
        "undecodable_frames": extent.undecodable_frames,
        "cut_offset": extent.ending.cut_offset(),
    });
    if let (Some(native), Some(fields)) = (extent.native, trace.as_object_mut()) {
        for (name, value) in [
            ("lost_calls", json!(native.lost_calls)),
            ("damaged_chunks", json!(native.damaged_chunks)),
            ("damaged_calls", json!(native.damaged_calls)),
            ("gap_bytes", json!(native.gap_bytes)),
            ("closed", json!(native.is_closed)),
            ("cut_import", json!(native.is_cut_import)),
        ] {
            fields.insert(name.to_owned(), value);
        }
    }
    trace
}

fn note(note: &RecordNote) -> Value {
    let qualname = match &note.name {
        RecordName::Op(op) => op.qualname(),
        RecordName::Other(name) => name.to_string(),
    };
    json!({ "seq": note.seq, "qualname": qualname, "reason": note.reason })
}

/// A distribution of times in microseconds; null where nothing was measured.
pub fn spread_us(spread: &Spread) -> Value {
    if spread.count == 0 {
        let nothing = ["mean", "p50", "p90", "p99", "min", "max"].map(|name| (name.to_owned(), Value::Null));
        return std::iter::once(("count".to_owned(), json!(0))).chain(nothing).collect::<Map<_, _>>().into();
    }
    json!({
        "count": spread.count,
        "mean": spread.mean_ns / 1e3,
        "p50": microseconds(spread.p50_ns),
        "p90": microseconds(spread.p90_ns),
        "p99": microseconds(spread.p99_ns),
        "min": microseconds(spread.min_ns),
        "max": microseconds(spread.max_ns),
    })
}

/// The L1s whose policy could not choose, and why.
pub fn evictions(failed: &[FailedEviction]) -> Value {
    let failures = failed.iter().map(|failed| {
        json!({
            "l1": failed.l1_tag,
            "policy": failed.policy,
            "failed_passes": failed.failed_passes,
            "reason": failed.reason,
        })
    });
    let failed_passes: u64 = failed.iter().map(|failed| failed.failed_passes).sum();
    json!({ "failed_passes": failed_passes, "failures": failures.collect::<Vec<_>>() })
}

/// The L1s that are pinned, or were to be.
pub fn pinning(pinned: &[PinnedL1]) -> Value {
    let pinned = pinned.iter().map(|pinned| {
        json!({
            "l1": pinned.l1_tag,
            "registration": pinned.registration,
            "registered_bytes": pinned.registered_bytes,
            "total_bytes": pinned.total_bytes,
            "failure": pinned.failure,
        })
    });
    pinned.collect()
}

/// How long prefetches took, and where that time went.
pub fn prefetches(answers: &AnswerSummary) -> Value {
    json!({
        "answered": answers.answered,
        "answered_after_call": answers.answered_after_call,
        "timed_out": answers.timed_out,
        "early_queries": answers.early_queries,
        "never_answered": answers.never_answered,
        "submit_to_result_us": spread_us(&answers.total),
        "l1_alone_us": spread_us(&answers.by_l1),
        "with_l2_us": {
            "total": spread_us(&answers.with_l2.total),
            "queue": spread_us(&answers.with_l2.queue),
            "lookup": spread_us(&answers.with_l2.lookup),
            "load": spread_us(&answers.with_l2.load),
        },
    })
}

/// The same value with the keys of every object in order, as `json.dump(sort_keys=True)` has them.
pub fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<(String, Value)> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
            Value::Object(pairs.into_iter().collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        scalar => scalar,
    }
}

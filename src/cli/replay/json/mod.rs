//! The summary as JSON: LMCache's `duration_s` and `ops`, and everything else that a replay knows.

mod measured;

use serde_json::{Map, Value, json};

use crate::replay::{LagSummary, OpSummary, Pace, RecordName, RecordNote, TraceExtent};

use super::pacing::{order_name, pace_name};
use super::recording::RecordingReport;
use super::report::{Delivered, ReplayReport};
use super::telemetry;
use super::traces::NodeReport;

/// The object, indented by two, its keys sorted, with a newline at the end.
pub(super) fn render(report: &ReplayReport) -> String {
    let object = sorted(summary(report));
    let mut text = serde_json::to_string_pretty(&object).expect("values made here have string keys only");
    text.push('\n');
    text
}

/// How the trace was replayed.
fn delivered(delivered: &Delivered) -> Value {
    let (options, part) = (&delivered.pacing.options, &delivered.part);
    let (speed, rate) = match options.pace {
        Pace::Speed(factor) => (Some(factor), None),
        Pace::Rate(per_s) => (None, Some(per_s)),
        Pace::Recorded | Pace::Asap => (None, None),
    };
    json!({
        "pace": pace_name(options.pace),
        "speed": speed,
        "rate_per_s": rate,
        "order": order_name(options.order),
        "workers": delivered.pacing.workers,
        "spin_guard_us": microseconds(options.waiter.guard_ns()),
        "loops": part.loops,
        "tenants": part.tenants,
        "left_out_records": delivered.left_out_records,
        "left_out_keys": delivered.left_out_keys,
    })
}

fn summary(report: &ReplayReport) -> Value {
    let run = &report.run;
    let ops: Map<String, Value> = run.ops.iter().map(|row| (row.op.qualname(), operation(row))).collect();
    json!({
        "duration_s": seconds(run.duration_ns),
        "ops": ops,
        "level": report.level,
        "interrupted": run.interrupted,
        "truncated": report.extent.ending.is_truncated(),
        "totals": totals(report),
        "definitions": definitions(),
        "lag_us": lag(&run.lag),
        "schedule": {
            "calls": run.lag.calls,
            "late_calls": run.lag.late_calls,
            "longest_late": {
                "from_s": seconds(run.lag.longest_late.from_ns),
                "to_s": seconds(run.lag.longest_late.to_ns),
                "calls": run.lag.longest_late.calls,
                "max_us": microseconds(run.lag.longest_late.max_ns),
            },
            "decode_waits": run.decode_waits,
            "impossible_times": run.impossible_times,
            "disordered_times": run.disordered_times,
            "unobserved_records": run.unobserved_records,
        },
        "reads": {
            "found_nothing": report.totals.reads_found_nothing,
            "keys_not_found": report.totals.keys_not_found,
            "keys_not_readable": report.totals.keys_not_readable,
            "unmatched_exits": report.totals.unmatched_exits,
            "closed_leftovers": report.totals.closed_leftovers,
        },
        "writes": {
            "keys_reserved": report.totals.keys_reserved,
            "keys_not_writable": report.totals.keys_not_writable,
            "keys_out_of_memory": report.totals.keys_out_of_memory,
        },
        "prefetches": measured::prefetches(&report.answers),
        "hit_rates": measured::hit_rates(report),
        "misses": measured::misses(report),
        "bytes": measured::moved(report),
        "recorded": report.account.recorded.as_ref().map(|recorded| measured::recorded(report, recorded)),
        "evictions": evictions(report),
        "replay": report.delivered.as_ref().map(delivered),
        "unsettled_calls": report.unsettled_calls,
        "l2": l2(report),
        "trace": trace(&report.extent),
        "traces": report.nodes.iter().map(node).collect::<Vec<_>>(),
        "config": config(report),
        "recording": report.recording.as_ref().map(recording),
        "observability": telemetry::to_json(&report.telemetry),
        "failures": run.failures.iter().map(note).collect::<Vec<_>>(),
        "skips": run.skips.iter().map(note).collect::<Vec<_>>(),
    })
}

/// How late calls were; null where none was ever due.
fn lag(lag: &LagSummary) -> Value {
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

/// The L1s whose policy could not choose, and why.
fn evictions(report: &ReplayReport) -> Value {
    let failures = report.failed_evictions.iter().map(|failed| {
        json!({
            "l1": failed.l1_tag,
            "policy": failed.policy,
            "failed_passes": failed.failed_passes,
            "reason": failed.reason,
        })
    });
    json!({ "failed_passes": report.failed_eviction_passes(), "failures": failures.collect::<Vec<_>>() })
}

/// Adapters as in `report_status()`.
fn l2(report: &ReplayReport) -> Value {
    json!({
        "lost_keys": report.l2.lost_keys,
        "dropped_keys": report.l2.dropped_keys,
        "retried_keys": report.l2.retried_keys,
        "adapters": report.l2.adapters,
        "namespace": {
            "mode": report.l2_namespace.mode.name(),
            "kept_in": report.l2_namespace.kept_in,
            "failure": report.l2_namespace.failure,
        },
        "flows": measured::flows(report),
    })
}

/// One of several traces.
fn node(node: &NodeReport) -> Value {
    let mut object = trace(&node.extent);
    if let Some(fields) = object.as_object_mut() {
        fields.insert("path".to_owned(), json!(node.path.display().to_string()));
        fields.insert("begins_s".to_owned(), json!(node.begins_s));
    }
    object
}

/// How much there was to replay. Of a native file also what is missing in it.
fn trace(extent: &TraceExtent) -> Value {
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
        "response_us": measured::spread_us(&row.response),
    })
}

fn totals(report: &ReplayReport) -> Value {
    json!({
        "records_replayed": report.run.records_replayed,
        "records_skipped": report.run.records_skipped,
        "records_failed": report.run.records_failed,
        "requested_chunks": report.totals.requested_chunks,
        "served_chunks": report.totals.served_chunks,
        "requested_keys": report.totals.requested_keys,
        "hit_keys": report.totals.hit_keys,
        "l1_hit_keys": report.totals.l1_hit_keys,
        "l2_hit_keys": report.totals.l2_hit_keys,
        "evicted_keys": report.totals.evicted_keys,
        "locked_at_end": report.totals.locked_at_end,
        "unresolved_prefetches": report.totals.unresolved_prefetches,
    })
}

/// What those totals mean that can be taken for something else.
fn definitions() -> Value {
    json!({
        "requested_chunks": "columns of all prefetches: the length of the longest row of each",
        "served_chunks": "chunks that all rows together can serve: for policy prefix the length of the prefix that \
                          hit, for policy full the columns that every row has",
        "requested_keys": "cells of all prefetches: rows x columns",
        "hit_keys": "cells that were hits; of a row with a sliding window only its last chunks are kept, so fewer \
                     cells than chunks are hits",
        "hit_rates.per_chunk": "served_chunks / requested_chunks",
        "hit_rates.per_key": "hit_keys / requested_keys",
        "hit_rates.per_byte": "bytes of hit cells / bytes of requested cells, by the layouts in the trace; bytes stand for \
                               tokens, of which each takes the same in every chunk of a row",
        "hit_rates.per_token": "served_chunks x chunk_size / requested_chunks x chunk_size; null if the recorded \
                                configuration names no chunk_size",
        "reads.found_nothing": "reads that got nothing, because at least one of their keys was missing",
    })
}

fn config(report: &ReplayReport) -> Value {
    let differences: Vec<Value> = report
        .differences
        .iter()
        .map(|difference| {
            json!({
                "path": difference.path,
                "recorded": difference.recorded,
                "replay": difference.replay,
            })
        })
        .collect();
    json!({
        "recorded_digest": report.recorded_digest,
        "replay_digest": report.replay_digest,
        "match": report.is_same_config(),
        "differences": differences,
    })
}

/// The trace that the replay left of itself.
fn recording(recording: &RecordingReport) -> Value {
    let stats = &recording.stats;
    json!({
        "file": recording.path.display().to_string(),
        "complete": recording.is_complete(),
        "failure": recording.failure,
        "calls": stats.calls,
        "lost_calls": stats.lost,
        "late_records": stats.late,
        "completions": stats.completions,
        "lost_completions": stats.lost_completions,
        "size_bytes": recording.size_bytes,
    })
}

fn note(note: &RecordNote) -> Value {
    let qualname = match &note.name {
        RecordName::Op(op) => op.qualname(),
        RecordName::Other(name) => name.to_string(),
    };
    json!({ "seq": note.seq, "qualname": qualname, "reason": note.reason })
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn microseconds(ns: u64) -> f64 {
    ns as f64 / 1e3
}

/// The same value with the keys of every object in order, as `json.dump(sort_keys=True)` has them.
fn sorted(value: Value) -> Value {
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

//! The summary as JSON: LMCache's `duration_s` and `ops`, and everything else that a replay knows.

mod measured;

use serde_json::{Value, json};

use crate::replay::Pace;
use crate::replay::summary::{self, microseconds, sorted};
use crate::replay::traces::NodeReport;

use super::pacing::{order_name, pace_name};
use super::recording::RecordingReport;
use super::report::{Delivered, ReplayReport};
use super::telemetry;

/// The object, indented by two, its keys sorted, with a newline at the end.
pub(super) fn render(report: &ReplayReport) -> String {
    let object = sorted(whole(report));
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

fn whole(report: &ReplayReport) -> Value {
    let run = &report.run;
    let mut fields = summary::summary(run, &report.totals, &report.extent);
    let more = json!({
        "level": report.level,
        "definitions": definitions(),
        "prefetches": summary::prefetches(&report.answers),
        "hit_rates": measured::hit_rates(report),
        "misses": measured::misses(report),
        "bytes": measured::moved(report),
        "recorded": report.account.recorded.as_ref().map(|recorded| measured::recorded(report, recorded)),
        "evictions": summary::evictions(&report.failed_evictions),
        "pinning": summary::pinning(&report.pinned_l1s),
        "replay": report.delivered.as_ref().map(delivered),
        "unsettled_calls": report.unsettled_calls,
        "l2": l2(report),
        "traces": report.nodes.iter().map(node).collect::<Vec<_>>(),
        "config": config(report),
        "recording": report.recording.as_ref().map(recording),
        "observability": telemetry::to_json(&report.telemetry),
    });
    if let Value::Object(more) = more {
        fields.extend(more);
    }
    Value::Object(fields)
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
    let mut object = summary::trace(&node.extent);
    if let Some(fields) = object.as_object_mut() {
        fields.insert("path".to_owned(), json!(node.path.display().to_string()));
        fields.insert("begins_s".to_owned(), json!(node.begins_s));
    }
    object
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

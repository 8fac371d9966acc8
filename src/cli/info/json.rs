//! The summary as one JSON object on one line.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::analyze::{EventsSummary, RecordedConfig, RecordedL1, TraceSummary};
use crate::format::lct::Level;
use crate::format::lct::json::escape_controls;

/// Renders the object and a line end.
pub(super) fn render(file: &Path, summary: &TraceSummary) -> String {
    let mut object = file_fields(file, summary);
    object.extend(key_fields(summary));
    object.extend(time_fields(summary));
    if summary.header.level == Level::Events {
        object.insert("events".to_owned(), events(&summary.events));
    }
    escape_controls(&Value::Object(object).to_string()).into_owned() + "\n"
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// What the trace was recorded from; null if it does not say.
pub(super) fn recorded_config(sm_config_json: &str) -> Value {
    let Some(config) = RecordedConfig::parse(sm_config_json) else { return Value::Null };
    let l1 = |l1: RecordedL1| {
        json!({
            "tag": l1.tag,
            "size_bytes": l1.size_bytes,
            "eviction_policy": l1.eviction_policy,
            "trigger_watermark": l1.trigger_watermark,
            "eviction_ratio": l1.eviction_ratio,
        })
    };
    json!({ "l1": config.l1s.into_iter().map(l1).collect::<Vec<_>>(), "l2_adapters": config.l2_adapters })
}

fn file_fields(file: &Path, summary: &TraceSummary) -> Map<String, Value> {
    let header = &summary.header;
    let meta: Map<_, _> = header.level_meta.iter().cloned().collect();
    object(json!({
        "file": file.display().to_string(),
        "kind": "lmcache",
        "level": header.level.name(),
        "format_version": header.format_version,
        "trace_schema_version": header.trace_schema_version,
        "duration_s": summary.duration_s,
        "sm_config_digest": header.sm_config_digest,
        "recorded_config": recorded_config(&header.sm_config_json),
        "level_meta": meta,
        "t_mono_start": header.t_mono_start_s,
        "t_wall_start": header.t_wall_start_s,
        "size_bytes": summary.size_bytes,
        "total_records": summary.total_records,
        "skipped_records": summary.skipped_frames,
        "truncated": summary.ending.is_truncated(),
        "truncated_at_offset": summary.ending.cut_offset(),
        "dropped_by_recorder": null,
        "ops": summary.ops,
    }))
}

fn key_fields(summary: &TraceSummary) -> Map<String, Value> {
    let (distinct, scopes, bytes) = (summary.distinct_keys, &summary.scopes, &summary.call_bytes);
    object(json!({
        "keys": summary.keys,
        "distinct_keys": distinct.count,
        "distinct_keys_relative_error": distinct.relative_error,
        "records_with_undecodable_keys": summary.records_with_undecodable_keys,
        "bytes": {
            "total": bytes.total(),
            "reserve_write": bytes.reserve_write,
            "submit_prefetch_task": bytes.submit_prefetch_task,
            "store_events": bytes.store_events,
            "unsized_reserve_writes": bytes.unsized_reserve_writes,
            "unsized_submit_prefetches": bytes.unsized_submit_prefetches,
        },
        "models": scopes.models,
        "salts": scopes.salts,
        "keys_without_salt": scopes.keys_without_salt,
        "kv_ranks": scopes.kv_ranks,
        "object_groups": scopes.object_group_ids,
        "scopes_incomplete": scopes.incomplete,
    }))
}

fn time_fields(summary: &TraceSummary) -> Map<String, Value> {
    let (timeline, gaps) = (&summary.timeline, &summary.inter_arrival);
    object(json!({
        "calls_over_time": { "bin_s": timeline.width_s(), "counts": timeline.counts() },
        "records_without_time": timeline.unusable(),
        "inter_arrival_us": {
            "p50": gaps.p50_us, "p90": gaps.p90_us, "p99": gaps.p99_us, "max": gaps.max_us,
        },
        "records_out_of_order": gaps.backward,
    }))
}

fn events(events: &EventsSummary) -> Value {
    let batches = events.batches.iter().map(|(kind, count)| {
        json!({
            "event_type": kind.event_type, "tier": kind.tier, "backend": kind.backend, "shared": kind.shared,
            "batches": count,
        })
    });
    json!({
        "instances": events.instances,
        "batches": batches.collect::<Vec<_>>(),
        "other_batches": events.other_batches,
        "entries": events.entries,
        "store_bytes": events.store_bytes,
        "entries_with_tokens": events.entries_with_tokens,
        "lifecycle": events.lifecycle,
        "undecodable": events.undecodable,
        "undecodable_entries": events.undecodable_entries,
        "incomplete": events.incomplete,
    })
}

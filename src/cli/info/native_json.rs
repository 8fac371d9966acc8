//! The summary of a native file as one JSON object on one line. Fields that LMCache files have too have the same names.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::json::recorded_config;
use super::native::level_meta;
use crate::analyze::NativeSummary;
use crate::format::lct::json::escape_controls;
use crate::format::native::pod::FORMAT_VERSION;

/// Renders the object and a line end.
pub(super) fn render(file: &Path, summary: &NativeSummary) -> String {
    let mut object = Map::new();
    let parts =
        [file_fields(file, summary), state_fields(summary), key_fields(summary), origin_fields(summary)];
    for part in parts {
        if let Value::Object(fields) = part {
            object.extend(fields);
        }
    }
    escape_controls(&Value::Object(object).to_string()).into_owned() + "\n"
}

fn file_fields(file: &Path, summary: &NativeSummary) -> Value {
    let (header, index) = (&summary.header, &summary.index);
    let threads = index.threads.iter().map(|thread| {
        json!({
            "number": thread.number, "os_thread_id": thread.facts.os_thread_id, "name": thread.facts.name,
            "calls": thread.calls, "lost_calls": thread.lost,
        })
    });
    json!({
        "file": file.display().to_string(),
        "kind": "native",
        "level": header.facts().level,
        "format_version": FORMAT_VERSION,
        "duration_s": summary.duration_s(),
        "sm_config_digest": header.facts().sm_config_digest,
        "recorded_config": recorded_config(&header.facts().sm_config_json),
        "level_meta": level_meta(summary).into_iter().collect::<Map<_, _>>(),
        "t_mono_start": header.t_mono_start_s(),
        "t_wall_start": header.t_wall_start_s(),
        "size_bytes": summary.size_bytes,
        "total_records": index.calls,
        "ops": summary.ops(),
        "lost_calls": index.lost,
        "threads": threads.collect::<Vec<_>>(),
    })
}

fn state_fields(summary: &NativeSummary) -> Value {
    let damaged = summary.damaged.iter().map(|chunk| {
        json!({
            "number": chunk.number, "offset": chunk.offset, "calls": chunk.calls, "reason": chunk.reason,
        })
    });
    let gaps = summary.gaps.iter().map(|gap| json!({ "offset": gap.offset, "bytes": gap.bytes }));
    json!({
        "closed": summary.is_closed,
        "checked": summary.is_checked,
        "unvouched_bytes": summary.unvouched_bytes,
        "compact": summary.header.is_compact(),
        "chunks": summary.index.chunks.len(),
        "damaged_chunks": damaged.collect::<Vec<_>>(),
        "gaps": gaps.collect::<Vec<_>>(),
        "unknown_chunks": summary.unknown_chunks,
        "unknown_records": summary.unknown_records,
        "all_records": summary.index.records,
        "completions": summary.index.completions,
        "late_records": summary.index.late,
    })
}

fn key_fields(summary: &NativeSummary) -> Value {
    let scopes = summary.index.scopes.iter().map(|indexed| {
        let scope = &indexed.scope;
        json!({
            "model_name": scope.model_name, "kv_rank": scope.kv_rank,
            "object_group_id": scope.object_group_id, "cache_salt": scope.cache_salt, "keys": indexed.keys,
        })
    });
    json!({
        "keys": summary.index.keys,
        "distinct_keys": summary.index.distinct_keys,
        "scopes": scopes.collect::<Vec<_>>(),
    })
}

fn origin_fields(summary: &NativeSummary) -> Value {
    let (facts, fixed, index) = (summary.header.facts(), summary.header.fixed(), &summary.index);
    let last_ns = (index.calls > 0).then(|| summary.header.wall_ns_of(index.last_ns));
    let metadata = facts.metadata.iter().map(|(name, value)| json!([name, value]));
    json!({
        "recorded_from_unix_ns": fixed.wall_start_ns,
        "last_call_unix_ns": last_ns,
        "recording_id": format!("{:016x}", fixed.recording_id),
        "file_number": fixed.file_number,
        "host": facts.host,
        "process": facts.process,
        "pid": facts.pid,
        "node": facts.node,
        "written_by": facts.writer,
        "metadata": metadata.collect::<Vec<_>>(),
    })
}

//! What a replay measured beside its calls: times, bytes, hit rates, reasons of misses, recorded against replayed.

use serde_json::{Map, Value, json};

use super::super::report::{ReplayReport, adapter_name};
use crate::replay::latency::l2_meter::bytes_per_s;
use crate::replay::latency::{AdapterFlow, FlowSummary, HitRate, RecordedOp, RecordedSummary};
use crate::replay::misses::MissCounts;
use crate::replay::summary::{microseconds, seconds, spread_us};

/// Each hit rate with its numerator and denominator.
pub(super) fn hit_rates(report: &ReplayReport) -> Value {
    let totals = &report.totals;
    let rate = |HitRate { hits, requested }: HitRate| {
        json!({
            "hits": hits,
            "requested": requested,
            "rate": HitRate { hits, requested }.rate(),
        })
    };
    json!({
        "per_chunk": rate(HitRate { hits: totals.served_chunks, requested: totals.requested_chunks }),
        "per_key": rate(HitRate { hits: totals.hit_keys, requested: totals.requested_keys }),
        "per_byte": rate(report.account.bytes.hit_rate()),
        "chunk_size_tokens": report.chunk_tokens,
        "per_token": report.token_hit_rate().map(rate),
    })
}

/// Bytes of L1, and of hits.
pub(super) fn moved(report: &ReplayReport) -> Value {
    let (moved, duration_ns) = (&report.account.bytes, report.run.duration_ns);
    let rate = |bytes| json!({ "bytes": bytes, "bytes_per_s": bytes_per_s(bytes, duration_ns) });
    json!({
        "l1_reserved": rate(moved.reserved_bytes),
        "l1_written": rate(moved.written_bytes),
        "l1_written_keys_of_unknown_size": moved.written_keys_of_unknown_size,
        "l1_hits": rate(moved.l1_hit_bytes),
        "l2_hits": rate(moved.l2_hit_bytes),
    })
}

/// Stores and loads of each adapter.
pub(super) fn flows(report: &ReplayReport) -> Value {
    let one = |flow: &FlowSummary| {
        json!({
            "objects": flow.objects,
            "failed_objects": flow.failed_objects,
            "bytes": flow.bytes,
            "bytes_per_s": bytes_per_s(flow.bytes, report.run.duration_ns),
            "busy_s": seconds(flow.busy_ns),
            "bytes_per_busy_s": flow.busy_bytes_per_s(),
            "task_us": spread_us(&flow.task),
        })
    };
    let of_adapter = |adapter: &AdapterFlow| {
        let position = adapter.adapter_index as usize;
        json!({
            "adapter": adapter.adapter_index,
            "name": report.l2.adapters.get(position).map(|status| adapter_name(position, status)),
            "type": adapter.l2_name,
            "stores": one(&adapter.stores),
            "loads": one(&adapter.loads),
            "written_to_stored_us": spread_us(&adapter.written_to_stored),
        })
    };
    report.account.adapters.iter().map(of_adapter).collect()
}

/// Why prefetches and reads missed what they missed.
pub(super) fn misses(report: &ReplayReport) -> Value {
    let reasons = |counts: &MissCounts| {
        let found = counts.found().map(|(reason, count)| (reason.name().to_owned(), json!(count)));
        json!({ "total": counts.total(), "reasons": found.collect::<Map<_, _>>() })
    };
    let misses = &report.account.misses;
    json!({
        "prefetch_keys": reasons(&misses.prefetches),
        "read_keys": reasons(&misses.reads),
        "forgotten_keys": misses.forgotten_keys,
    })
}

/// What the trace says of its calls, beside what was measured here.
pub(super) fn recorded(report: &ReplayReport, recorded: &RecordedSummary) -> Value {
    let of_op = |of_op: &RecordedOp| {
        let replayed = report.run.ops.iter().find(|row| row.op == of_op.op);
        let replayed = replayed.map(|row| {
            json!({
                "count": row.count,
                "mean": row.mean_ns / 1e3,
                "p50": microseconds(row.p50_ns),
                "p90": microseconds(row.p90_ns),
                "p99": microseconds(row.p99_ns),
            })
        });
        let value = json!({
            "recorded_us": spread_us(&of_op.duration),
            "replayed_us": replayed,
            "recorded_raised": of_op.raised,
            "recorded_requested_keys": of_op.requested_keys,
            "recorded_hit_keys": of_op.hit_keys,
        });
        (of_op.op.qualname(), value)
    };
    let hits = &recorded.hits;
    json!({
        "ops": recorded.ops.iter().map(of_op).collect::<Map<_, _>>(),
        "data_ready": {
            "recorded_us": spread_us(&recorded.data_ready),
            "replayed_us": spread_us(&report.answers.total),
        },
        "prefetch_hits": {
            "replayed": hits.replayed,
            "compared": hits.compared,
            "equal": hits.equal,
            "more": hits.more,
            "fewer": hits.fewer,
            "recorded_hit_keys": hits.recorded_hits,
            "replayed_hit_keys": hits.replayed_hits,
        },
    })
}

//! The tiers: how long prefetches and stores took, what was moved.

use super::super::report::{ReplayReport, adapter_name};
use super::table::{Table, count_and_times, two_decimals};
use crate::cli::text::bytes;
use crate::replay::latency::l2_meter::bytes_per_s;
use crate::replay::latency::{AdapterFlow, FlowSummary, L2Parts};
use crate::replay::{AnswerSummary, L2Totals};

/// How long prefetches took; nothing if the trace has none.
pub(super) fn answers(table: &mut Table, answers: &AnswerSummary) {
    if answers.answered + answers.never_answered == 0 {
        return;
    }
    let microseconds = |ns: u64| two_decimals(ns as f64 / 1e3);
    table.heading("Prefetch Time (us): from submission to result");
    table.row("Prefetch p50", microseconds(answers.p50_ns));
    table.row("Prefetch p99", microseconds(answers.p99_ns));
    table.row("Prefetch max", microseconds(answers.max_ns));
    table.row("Prefetches with a result", answers.answered);
    table.row("  that came after their call had returned", answers.answered_after_call);
    table.row_if_any("  that were given up by --prefetch-timeout-ms", answers.timed_out);
    table.row("Queries that came before the result", answers.early_queries);
    table.row("Prefetches without a result", answers.never_answered);
    table.heading("Prefetch Parts (us): count, p50, p99, max");
    table.row("L1 alone", count_and_times(&answers.by_l1));
    let L2Parts { total, queue, lookup, load } = &answers.with_l2;
    if total.count > 0 {
        table.row("With L2", count_and_times(total));
        table.row("  waiting for a place", count_and_times(queue));
        table.row("  lookup", count_and_times(lookup));
        table.row("  load", count_and_times(load));
    }
}

/// Bytes, and bytes per second over the whole replay.
pub(super) fn moved(table: &mut Table, report: &ReplayReport) {
    let (moved, duration_ns) = (&report.account.bytes, report.run.duration_ns);
    let rate = |count| format!("{} {:>14}", bytes(count), per_second(bytes_per_s(count, duration_ns)));
    table.heading("Bytes, and per Second of the Replay");
    table.row("Reserved in L1 for writing", rate(moved.reserved_bytes));
    table.row("Written to L1", rate(moved.written_bytes));
    table.row_if_any("  without keys of unknown size", moved.written_keys_of_unknown_size);
    table.row("Hits of prefetches in L1", rate(moved.l1_hit_bytes));
    table.row("Hits of prefetches from L2", rate(moved.l2_hit_bytes));
}

fn per_second(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{}/s", bytes(rate as u64)))
}

/// Stores and loads of each adapter.
pub(super) fn flows(table: &mut Table, report: &ReplayReport) {
    if report.account.adapters.is_empty() {
        return;
    }
    table.heading("L2 Times (us): count, p50, p99, max");
    for AdapterFlow { adapter_index, l2_name, stores, loads, written_to_stored } in &report.account.adapters {
        let position = *adapter_index as usize;
        let name = match report.l2.adapters.get(position) {
            Some(adapter) => adapter_name(position, adapter),
            None => format!("#{} ({l2_name})", position + 1),
        };
        table.line(&name);
        table.row("  from written to stored", count_and_times(written_to_stored));
        table.row("  store tasks", count_and_times(&stores.task));
        table.row("  load tasks", count_and_times(&loads.task));
        flow(table, "stored", stores, report.run.duration_ns);
        flow(table, "loaded", loads, report.run.duration_ns);
    }
}

/// What went one way, per second of the replay and of the time in which the adapter had a task.
fn flow(table: &mut Table, verb: &str, flow: &FlowSummary, duration_ns: u64) {
    table.row(&format!("  objects {verb}"), flow.objects);
    table.row_if_any("    that failed, once a try", flow.failed_objects);
    table.row(&format!("  bytes {verb}"), bytes(flow.bytes));
    table.row("    per second of the replay", per_second(bytes_per_s(flow.bytes, duration_ns)));
    table.row("    per second while busy", per_second(flow.busy_bytes_per_s()));
}

/// The sum of all adapters, and each.
pub(super) fn l2(table: &mut Table, l2: &L2Totals) {
    if l2.adapters.is_empty() {
        return;
    }
    table.heading("L2");
    table.row("Keys that could not be stored", l2.lost_keys);
    table.row("Keys dropped by a full queue", l2.dropped_keys);
    table.row("Keys tried again", l2.retried_keys);
    for (position, adapter) in l2.adapters.iter().enumerate() {
        let name = adapter_name(position, adapter);
        table.row(&format!("{name}: failed operations"), adapter.failed_operations());
        let used = adapter.fields.get("current_size_bytes").and_then(serde_json::Value::as_u64);
        if let Some(used) = used {
            table.row(&format!("{name}: bytes"), used);
        }
    }
}

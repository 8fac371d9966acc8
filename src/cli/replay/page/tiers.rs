//! The tiers: how long prefetches and stores took, and what was moved.

use serde_json::Value;

use super::table::{Card, NOTHING, Table, count_and_times};
use crate::cli::replay::report::{ReplayReport, adapter_name};
use crate::cli::text::bytes;
use crate::replay::latency::l2_meter::bytes_per_s;
use crate::replay::latency::{AdapterFlow, FlowSummary, L2Parts};

/// How long prefetches took, from submission to result; nothing if the trace has none.
pub(super) fn prefetches(report: &ReplayReport) -> Card {
    let answers = &report.answers;
    if answers.answered + answers.never_answered == 0 {
        return Card::new("");
    }
    let mut parts = Table::of_numbers(&["", "count", "p50", "p99", "max"]);
    parts.row("All", count_and_times(&answers.total));
    parts.row_in(1, "L1 alone", count_and_times(&answers.by_l1));
    let L2Parts { total, queue, lookup, load } = &answers.with_l2;
    if total.count > 0 {
        parts.row_in(1, "with L2", count_and_times(total));
        parts.row_in(2, "waiting for a place", count_and_times(queue));
        parts.row_in(2, "lookup", count_and_times(lookup));
        parts.row_in(2, "load", count_and_times(load));
    }
    if let Some(recorded) = report.account.recorded.as_ref().filter(|recorded| recorded.data_ready.count > 0)
    {
        parts.row("As recorded", count_and_times(&recorded.data_ready));
    }
    let mut counts = Table::of_numbers(&[]);
    counts.row("Prefetches with a result", [answers.answered.to_string()]);
    counts.row_in(1, "that came after their call had returned", [answers.answered_after_call.to_string()]);
    counts.row_if_any(1, "that were given up by --prefetch-timeout-ms", answers.timed_out);
    counts.row("Prefetches without a result", [answers.never_answered.to_string()]);
    counts.row("Queries that came before the result", [answers.early_queries.to_string()]);
    Card::of("Prefetches: from submission to result", &parts).with(&counts)
}

/// Bytes, and bytes per second over the whole replay.
pub(super) fn moved(report: &ReplayReport) -> Card {
    let (moved, duration_ns) = (&report.account.bytes, report.run.duration_ns);
    let mut table = Table::of_numbers(&["", "bytes", "per second"]);
    let mut row = |label: &str, count: u64| {
        table.row(label, [bytes(count), per_second(bytes_per_s(count, duration_ns))])
    };
    row("Reserved in L1 for writing", moved.reserved_bytes);
    row("Written to L1", moved.written_bytes);
    row("Hits of prefetches in L1", moved.l1_hit_bytes);
    row("Hits of prefetches from L2", moved.l2_hit_bytes);
    let card = Card::of("Bytes, and per second of the replay", &table);
    match moved.written_keys_of_unknown_size {
        0 => card,
        keys => card.note(&format!("Written to L1: without {keys} keys of unknown size.")),
    }
}

fn per_second(rate: Option<f64>) -> String {
    rate.map_or_else(|| NOTHING.to_owned(), |rate| format!("{}/s", bytes(rate as u64)))
}

/// What became of keys on the way to L2; nothing without adapters.
pub(super) fn l2(report: &ReplayReport) -> Card {
    let mut table = Table::of_numbers(&[]);
    if !report.l2.adapters.is_empty() {
        table.row("Keys that could not be stored", [report.l2.lost_keys.to_string()]);
        table.row("Keys dropped by a full queue", [report.l2.dropped_keys.to_string()]);
        table.row("Keys tried again", [report.l2.retried_keys.to_string()]);
        table.row_if_any(0, "Calls before which it was not done", report.unsettled_calls);
    }
    let card = Card::of("L2", &table);
    let places = report.l2_namespace.kept_in.iter();
    places.fold(card, |card, place| card.note(&format!("What was stored is kept in {place}.")))
}

/// Stores and loads of each adapter.
pub(super) fn adapters(report: &ReplayReport) -> String {
    report
        .l2
        .adapters
        .iter()
        .enumerate()
        .map(|(position, status)| {
            let mut state = Table::of_numbers(&[]);
            state.row("Failed operations", [status.failed_operations().to_string()]);
            if let Some(used) = status.fields.get("current_size_bytes").and_then(Value::as_u64) {
                state.row("In use at the end", [bytes(used)]);
            }
            let card = Card::new(&format!("L2 adapter {}", adapter_name(position, status)));
            let flow = report.account.adapters.iter().find(|flow| flow.adapter_index as usize == position);
            match flow {
                Some(flow) => flows(report.run.duration_ns, flow, card),
                None => card,
            }
            .with(&state)
            .render()
        })
        .collect()
}

/// How long an adapter's tasks took, and what they moved.
fn flows(duration_ns: u64, flow: &AdapterFlow, card: Card) -> Card {
    let mut tasks = Table::of_numbers(&["", "count", "p50", "p99", "max"]);
    tasks.row("From written to stored", count_and_times(&flow.written_to_stored));
    tasks.row("Store tasks", count_and_times(&flow.stores.task));
    tasks.row("Load tasks", count_and_times(&flow.loads.task));
    let mut moved = Table::of_numbers(&["", "objects", "failed", "bytes", "per second", "while busy"]);
    let mut row = |label: &str, flow: &FlowSummary| {
        let rates = [bytes_per_s(flow.bytes, duration_ns), flow.busy_bytes_per_s()].map(per_second);
        let [in_all, while_busy] = rates;
        let counts = [flow.objects, flow.failed_objects].map(|count| count.to_string());
        let [objects, failed] = counts;
        moved.row(label, [objects, failed, bytes(flow.bytes), in_all, while_busy]);
    };
    row("Stored", &flow.stores);
    row("Loaded", &flow.loads);
    card.with(&tasks).with(&moved)
}

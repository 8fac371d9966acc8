//! The calls: how many, how long they took, how late they were.

use super::super::pacing::{order_name, pace_name};
use super::super::report::{Delivered, ReplayReport};
use super::table::{Table, columns_us, two_decimals};
use crate::cli::text::printable;
use crate::replay::{OpSummary, Order, Pace};

pub(super) fn overall(table: &mut Table, report: &ReplayReport) {
    let run = &report.run;
    table.heading("Overall");
    table.row("Trace level", &report.level);
    if !report.nodes.is_empty() {
        table.row("Traces", report.nodes.len());
    }
    table.row("Records replayed", run.records_replayed);
    table.row("Records skipped", run.records_skipped);
    table.row("Records failed", run.records_failed);
    table.row("Replay duration (s)", two_decimals(run.duration_ns as f64 / 1e9));
    let (recorded, replay) = (short_digest(&report.recorded_digest), short_digest(&report.replay_digest));
    match report.is_same_config() {
        Some(true) => table.row("Config digest", format!("match ({recorded})")),
        Some(false) => table.row("Config digest", format!("MISMATCH (rec={recorded}, run={replay})")),
        None => {}
    }
}

pub(super) fn latencies(table: &mut Table, ops: &[OpSummary]) {
    if ops.is_empty() {
        return;
    }
    table.heading("Per-Op Latency (ms)");
    for row in ops {
        let name = row.op.short_name();
        // A histogram's percentiles are marked: they are good to three digits only.
        let mark = if row.is_exact { "" } else { "~" };
        let milliseconds = |ns: f64| two_decimals(ns / 1e6);
        table.row(&format!("{name} count"), row.count);
        table.row(&format!("{name} mean"), milliseconds(row.mean_ns));
        table.row(&format!("{name} p50"), format!("{mark}{}", milliseconds(row.p50_ns as f64)));
        table.row(&format!("{name} p99"), format!("{mark}{}", milliseconds(row.p99_ns as f64)));
    }
}

/// The same in microseconds: most calls take less than LMCache's two decimals of a millisecond show.
pub(super) fn fine_latencies(table: &mut Table, ops: &[OpSummary]) {
    if ops.is_empty() {
        return;
    }
    table.heading("Latency (us): mean, p50, p99, max");
    for row in ops {
        let times = [row.mean_ns, row.p50_ns as f64, row.p99_ns as f64, row.max_ns as f64];
        table.row(row.op.short_name(), columns_us(times));
    }
}

/// The same from the time at which calls were due: a call that takes long makes those after it late, which shows only here.
pub(super) fn responses(table: &mut Table, ops: &[OpSummary]) {
    if ops.iter().all(|row| row.response.count == 0) {
        return;
    }
    table.heading("Response from Due Time (us): mean, p50, p99, max");
    for row in ops.iter().filter(|row| row.response.count > 0) {
        let response = &row.response;
        let times =
            [response.mean_ns, response.p50_ns as f64, response.p99_ns as f64, response.max_ns as f64];
        table.row(row.op.short_name(), columns_us(times));
    }
}

/// How it was replayed, where that is not as LMCache would.
pub(super) fn delivered(table: &mut Table, report: &ReplayReport) {
    let Some(Delivered { pacing, part, left_out_records, left_out_keys }) = &report.delivered else { return };
    let is_usual = pacing.options.pace == Pace::Recorded
        && pacing.options.order == Order::Recorded
        && pacing.workers == 1
        && part.copies() == 1
        && part.selection.is_everything();
    if is_usual {
        return;
    }
    table.heading("Pace");
    table.row("Pace", pace_name(pacing.options.pace));
    table.row("Order", order_name(pacing.options.order));
    table.row("Workers", pacing.workers);
    let calls = report.run.records_replayed + report.run.records_failed;
    table.row("Calls per second", calls.saturating_mul(1_000_000_000) / report.run.duration_ns.max(1));
    if part.copies() > 1 {
        table.row("Loops, tenants", format!("{}, {}", part.loops, part.tenants));
    }
    if !part.selection.is_everything() {
        table.row("Records left out", left_out_records);
        table.row("Keys left out of other records", left_out_keys);
    }
}

pub(super) fn schedule(table: &mut Table, report: &ReplayReport) {
    let lag = &report.run.lag;
    if lag.calls == 0 {
        return;
    }
    let microseconds = |ns: u64| two_decimals(ns as f64 / 1e3);
    table.heading("Schedule Lag (us): actual minus intended start");
    table.row("Lag p50", microseconds(lag.p50_ns));
    table.row("Lag p99", microseconds(lag.p99_ns));
    table.row("Lag p99.9", microseconds(lag.p999_ns));
    table.row("Lag max", microseconds(lag.max_ns));
    table.row("Calls more than 1 ms late", lag.late_calls);
}

/// The first eight characters: how LMCache shows digests.
fn short_digest(digest: &str) -> String {
    printable(&digest.chars().take(8).collect::<String>()).into_owned()
}

//! The calls: how many, how long they took, how late they were.

use super::super::report::ReplayReport;
use super::table::{Table, columns_us, two_decimals};
use crate::cli::text::printable;
use crate::replay::OpSummary;

pub(super) fn overall(table: &mut Table, report: &ReplayReport) {
    let run = &report.run;
    table.heading("Overall", '-');
    table.row("Trace level", &report.level);
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
    table.heading("Per-Op Latency (ms)", '-');
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
    table.heading("Latency (us): mean, p50, p99, max", '-');
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
    table.heading("Response from Due Time (us): mean, p50, p99, max", '-');
    for row in ops.iter().filter(|row| row.response.count > 0) {
        let response = &row.response;
        let times =
            [response.mean_ns, response.p50_ns as f64, response.p99_ns as f64, response.max_ns as f64];
        table.row(row.op.short_name(), columns_us(times));
    }
}

pub(super) fn schedule(table: &mut Table, report: &ReplayReport) {
    let lag = &report.run.lag;
    let microseconds = |ns: u64| two_decimals(ns as f64 / 1e3);
    table.heading("Schedule Lag (us): actual minus recorded start", '-');
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

//! The report as a table of 64 columns: LMCache's two sections, then ours in the same style.
//!
//! `table`: lines and columns. `calls`, `tiers`, `hits`, `trace`: the sections.

mod calls;
mod hits;
mod table;
mod tiers;
mod trace;

use super::report::ReplayReport;
use table::{Table, WIDTH};

/// The table, with a newline at its end.
pub(super) fn render(report: &ReplayReport) -> String {
    let (run, ops) = (&report.run, &report.run.ops);
    let mut table = Table(String::new());
    table.heading("Trace Replay Result", '=');
    calls::overall(&mut table, report);
    calls::latencies(&mut table, ops);
    calls::fine_latencies(&mut table, ops);
    calls::responses(&mut table, ops);
    calls::delivered(&mut table, report);
    calls::schedule(&mut table, report);
    hits::prefetches(&mut table, report);
    hits::misses(&mut table, report);
    tiers::answers(&mut table, &report.answers);
    hits::reads_and_writes(&mut table, report);
    tiers::moved(&mut table, report);
    tiers::l2(&mut table, &report.l2);
    tiers::flows(&mut table, report);
    trace::recorded(&mut table, report);
    trace::recording(&mut table, report);
    trace::trace(&mut table, report);
    trace::notes(&mut table, "Failed Records", &run.failures, run.records_failed);
    trace::notes(&mut table, "Skipped Records", &run.skips, run.records_skipped);
    trace::differences(&mut table, &report.differences);
    table.line(&"=".repeat(WIDTH));
    table.0
}

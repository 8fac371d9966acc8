//! The report as a table of 64 columns: LMCache's two sections, then ours in the same style.
//!
//! `table`: lines and columns. `calls`, `tiers`, `hits`, `trace`: the sections.

mod calls;
mod hits;
mod table;
mod tiers;
mod trace;

use super::report::ReplayReport;
pub(super) use table::Line;
use table::{Table, WIDTH};

/// The table, with a newline at its end.
pub(super) fn render(report: &ReplayReport) -> String {
    let rule = "=".repeat(WIDTH);
    let title = format!("{:=^WIDTH$}", " Trace Replay Result ");
    let lines = lines(report);
    let lines = lines.iter().map(Line::to_string);
    std::iter::once(title).chain(lines).chain([rule]).map(|line| line + "\n").collect()
}

/// What the table says, line by line, for whoever gives it another form.
pub(super) fn lines(report: &ReplayReport) -> Vec<Line> {
    let (run, ops) = (&report.run, &report.run.ops);
    let mut table = Table(Vec::new());
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
    trace::nodes(&mut table, &report.nodes);
    trace::recorded(&mut table, report);
    trace::recording(&mut table, report);
    trace::observability(&mut table, &report.telemetry);
    trace::trace(&mut table, report);
    trace::notes(&mut table, "Failed Records", &run.failures, run.records_failed);
    trace::notes(&mut table, "Skipped Records", &run.skips, run.records_skipped);
    trace::differences(&mut table, &report.differences);
    table.0
}

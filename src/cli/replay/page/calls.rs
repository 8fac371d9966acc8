//! The calls: how long they took, and how late they were.

use super::axis::duration;
use super::table::{Card, NOTHING, Table, times};
use crate::cli::replay::report::ReplayReport;
use crate::replay::OpSummary;
use crate::replay::latency::{RecordedOp, Spread};

/// One row per operation, with what belongs to it below; nothing if nothing was called.
pub(super) fn latencies(report: &ReplayReport) -> String {
    let mut table = Table::of_numbers(&["call", "count", "failed", "mean", "p50", "p90", "p99", "max"]);
    for row in &report.run.ops {
        operation(&mut table, row);
        if row.response.count > 0 {
            table.row_in(1, "from its due time", spread(&row.response, String::new()));
        }
        let recorded = report.account.recorded.iter().flat_map(|recorded| &recorded.ops);
        if let Some(RecordedOp { duration, raised, .. }) =
            recorded.into_iter().find(|of_op| of_op.op == row.op)
        {
            table.row_in(1, "as recorded", spread(duration, raised.to_string()));
        }
    }
    let is_exact = report.run.ops.iter().all(|row| row.is_exact);
    let marks = if is_exact { "" } else { "Values with a ~ are good to three digits. " };
    let note = "A call's latency is from its start to its return, a prefetch's to its submission. From the time at which it was due \
                to its end: lag and latency, so a call that takes long shows in those after it.";
    let html = Card::of("From start to return", &table).note(&format!("{marks}{note}")).render();
    if html.is_empty() {
        html
    } else {
        format!("<h2>Latency of calls</h2>\n<div class=\"whole\">\n{html}</div>\n")
    }
}

fn operation(table: &mut Table, row: &OpSummary) {
    // A histogram's percentiles are good to three digits only.
    let mark = if row.is_exact { "" } else { "~" };
    let [p50, p90, p99] =
        [row.p50_ns, row.p90_ns, row.p99_ns].map(|ns| format!("{mark}{}", duration(ns as f64)));
    let (count, errors) = (row.count.to_string(), row.errors.to_string());
    let (mean, max) = (duration(row.mean_ns), duration(row.max_ns as f64));
    table.row(row.op.short_name(), [count, errors, mean, p50, p90, p99, max]);
}

fn spread(spread: &Spread, failed: String) -> [String; 7] {
    let measured = [
        spread.mean_ns,
        spread.p50_ns as f64,
        spread.p90_ns as f64,
        spread.p99_ns as f64,
        spread.max_ns as f64,
    ];
    let [mean, p50, p90, p99, max] =
        if spread.count > 0 { times(measured) } else { measured.map(|_| NOTHING.to_owned()) };
    [spread.count.to_string(), failed, mean, p50, p90, p99, max]
}

/// How late calls began; nothing if none was ever due.
pub(super) fn lag(report: &ReplayReport) -> Card {
    let lag = &report.run.lag;
    let mut table = Table::of_numbers(&["", "p50", "p99", "p99.9", "max"]);
    let mut late = Table::of_numbers(&[]);
    if lag.calls > 0 {
        let percentiles = [lag.p50_ns, lag.p99_ns, lag.p999_ns, lag.max_ns].map(|ns| ns as f64);
        table.row("Lag", times(percentiles));
        late.row("Calls more than 1 ms late", [format!("{} of {}", lag.late_calls, lag.calls)]);
        let stretch = &lag.longest_late;
        if stretch.calls > 0 {
            late.row_in(1, "one after the other, at most", [stretch.calls.to_string()]);
            let [from, to] = [stretch.from_ns, stretch.to_ns].map(|ns| duration(ns as f64));
            late.row_in(1, "due from, to", [format!("{from}, {to}")]);
        }
    }
    Card::of("Lag: from due to start", &table).with(&late)
}

//! `trace_replay_ops.csv`: LMCache's columns, then ours, six decimals, a row per operation. What is not known is empty.

use ::csv::{Terminator, WriterBuilder};

use crate::error::{Error, Result};
use crate::replay::latency::Spread;

use super::report::ReplayReport;

const COLUMNS: [&str; 21] = [
    "qualname",
    "count",
    "errors",
    "mean_ms",
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "min_ms",
    "max_ms",
    "response_count",
    "response_mean_ms",
    "response_p50_ms",
    "response_p90_ms",
    "response_p99_ms",
    "response_max_ms",
    "recorded_count",
    "recorded_mean_ms",
    "recorded_p50_ms",
    "recorded_p90_ms",
    "recorded_p99_ms",
    "recorded_max_ms",
];

/// The file's bytes. Rows are sorted by name and end in CR LF, as Python's `csv` writes them.
pub(super) fn render(report: &ReplayReport) -> Result<Vec<u8>> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    let in_memory = |error| Error::invalid("cannot render CSV").with_source(error);
    writer.write_record(COLUMNS).map_err(in_memory)?;
    for row in &report.run.ops {
        let [p50, p90, p99, min, max] =
            [row.p50_ns, row.p90_ns, row.p99_ns, row.min_ns, row.max_ns].map(|ns| six_decimals(ns as f64));
        let fields =
            [row.op.qualname(), row.count.to_string(), row.errors.to_string(), six_decimals(row.mean_ns)];
        let recorded = report.account.recorded.as_ref();
        let recorded = recorded.and_then(|recorded| recorded.ops.iter().find(|of_op| of_op.op == row.op));
        let recorded = recorded.map(|of_op| of_op.duration).unwrap_or_default();
        let fields = fields.into_iter().chain([p50, p90, p99, min, max]);
        let fields = fields.chain(spread(&row.response)).chain(spread(&recorded));
        writer.write_record(fields.collect::<Vec<_>>()).map_err(in_memory)?;
    }
    writer.into_inner().map_err(|error| Error::io("cannot render CSV", error.into_error()))
}

/// Count, mean, p50, p90, p99 and maximum.
fn spread(spread: &Spread) -> [String; 6] {
    if spread.count == 0 {
        return Default::default();
    }
    let [p50, p90, p99, max] =
        [spread.p50_ns, spread.p90_ns, spread.p99_ns, spread.max_ns].map(|ns| six_decimals(ns as f64));
    [spread.count.to_string(), six_decimals(spread.mean_ns), p50, p90, p99, max]
}

fn six_decimals(ns: f64) -> String {
    format!("{:.6}", ns / 1e6)
}

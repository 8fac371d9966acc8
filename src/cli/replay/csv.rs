//! `trace_replay_ops.csv`: LMCache's columns, six decimals, a row per operation.

use ::csv::{Terminator, WriterBuilder};

use crate::error::{Error, Result};

use super::report::ReplayReport;

const COLUMNS: [&str; 9] =
    ["qualname", "count", "errors", "mean_ms", "p50_ms", "p90_ms", "p99_ms", "min_ms", "max_ms"];

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
        writer.write_record(fields.iter().chain(&[p50, p90, p99, min, max])).map_err(in_memory)?;
    }
    writer.into_inner().map_err(|error| Error::io("cannot render CSV", error.into_error()))
}

fn six_decimals(ns: f64) -> String {
    format!("{:.6}", ns / 1e6)
}

//! `--verbose`: LMCache's line per record.

use std::io::{BufWriter, Write};

use crate::replay::{Outcome, Status};

use crate::cli::text::printable;

/// Where the lines go.
pub(super) struct Lines {
    total: u64,
    printed: u64,
    /// Nothing once the reader of the pipe has gone.
    out: Option<BufWriter<Box<dyn Write>>>,
}

impl Lines {
    pub(super) fn new(total: u64, out: Box<dyn Write>) -> Self {
        Self { total, printed: 0, out: Some(BufWriter::new(out)) }
    }

    pub(super) fn print(&mut self, outcome: &Outcome, qualname: &str) {
        self.printed += 1;
        let status = match outcome.status {
            Status::Replayed => "OK",
            Status::Failed => "FAIL",
            Status::Skipped => "SKIP",
        };
        let (number, total) = (self.printed, self.total);
        let latency_ms = outcome.latency_ns as f64 / 1e6;
        let Some(out) = &mut self.out else { return };
        let name = printable(qualname);
        if writeln!(out, "  [{number}/{total}]  {status:<4}  {latency_ms:8.3}ms  {name}").is_err() {
            self.out = None;
        }
    }

    pub(super) fn flush(&mut self) {
        if self.out.as_mut().is_some_and(|out| out.flush().is_err()) {
            self.out = None;
        }
    }
}

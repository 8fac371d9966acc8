//! `--jsonl-out`: one object per record, with LMCache's three fields and two of ours.

use std::path::Path;

use serde::Serialize;

use super::stream::StreamFile;
use crate::error::Result;
use crate::replay::{Outcome, Status};

/// The file.
pub(super) struct JsonLines(StreamFile);

#[derive(Serialize)]
struct Line<'a> {
    qualname: &'a str,
    latency_ms: f64,
    failed: bool,
    seq: u64,
    lag_us: Option<f64>,
    response_us: Option<f64>,
}

impl JsonLines {
    pub(super) fn create(path: &Path) -> Result<Self> {
        StreamFile::create(path, "records").map(Self)
    }

    pub(super) fn write(&mut self, outcome: &Outcome, qualname: &str) {
        let line = Line {
            qualname,
            latency_ms: outcome.latency_ns as f64 / 1e6,
            // LMCache reports a skipped record as failed here.
            failed: outcome.status != Status::Replayed,
            seq: outcome.seq,
            lag_us: outcome.lag_ns.map(|lag_ns| lag_ns as f64 / 1e3),
            response_us: outcome.response_ns().map(|response_ns| response_ns as f64 / 1e3),
        };
        self.0.write(|out| {
            serde_json::to_writer(&mut *out, &line).map_err(std::io::Error::from)?;
            out.write_all(b"\n")
        });
    }

    pub(super) fn flush_if_due(&mut self, now_ns: u64) {
        self.0.flush_if_due(now_ns);
    }

    pub(super) fn close(self) -> Result<()> {
        self.0.close("the file with one object per record is not whole")
    }
}

//! What is shown and written while a replay runs: lines per record, the JSONL file, the progress bar.
//!
//! All of it happens on the observer's thread. A file that cannot be written any more (a full disk) does not
//! end the replay: it is said at once, the replay goes on, and the command fails at its end.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::format::model::Op;
use crate::replay::{Outcome, RecordName, ReplayObserver, Status, TraceExtent};

use crate::cli::exit::print_warning;
use crate::cli::text::printable;

/// How often the bar is drawn, at most.
const DRAWS_PER_S: u8 = 10;

/// Everything live; each part may be absent.
pub(super) struct LiveOutput {
    names: QualifiedNames,
    lines: Option<Lines>,
    jsonl: Option<JsonLines>,
    progress: Option<Progress>,
}

impl LiveOutput {
    /// Opens the JSONL file and starts the bar, where wanted. A bar needs a terminal, and one that nothing
    /// else is printed to.
    pub(super) fn open(
        jsonl_path: Option<&Path>,
        verbose: bool,
        quiet: bool,
        extent: &TraceExtent,
    ) -> Result<Self> {
        Ok(Self {
            names: QualifiedNames::default(),
            lines: verbose.then(|| Lines::new(extent.records)),
            jsonl: jsonl_path.map(JsonLines::create).transpose()?,
            progress: (!quiet && !verbose && std::io::stderr().is_terminal())
                .then(|| Progress::start(extent.duration_s)),
        })
    }

    /// Finishes what is open.
    ///
    /// # Errors
    /// If the JSONL file is not whole.
    pub(super) fn close(mut self) -> Result<()> {
        if let Some(progress) = self.progress.take() {
            progress.bar.finish_and_clear();
        }
        if let Some(mut lines) = self.lines.take() {
            lines.flush();
        }
        self.jsonl.take().map_or(Ok(()), JsonLines::close)
    }
}

impl ReplayObserver for LiveOutput {
    fn record(&mut self, outcome: &Outcome) {
        let qualname = self.names.of(&outcome.name);
        if let Some(lines) = &mut self.lines {
            lines.print(outcome, qualname);
        }
        if let Some(jsonl) = &mut self.jsonl {
            jsonl.write(outcome, qualname);
        }
        if let Some(progress) = &mut self.progress {
            progress.latest_ms = outcome.due_ns.map_or(progress.latest_ms, |due_ns| due_ns / 1_000_000);
        }
    }

    fn tick(&mut self) {
        if let Some(progress) = &self.progress {
            progress.draw();
        }
        if let Some(lines) = &mut self.lines {
            lines.flush();
        }
    }
}

/// The six qualified names, made once.
struct QualifiedNames([String; Op::COUNT]);

impl Default for QualifiedNames {
    fn default() -> Self {
        Self(Op::ALL.map(Op::qualname))
    }
}

impl QualifiedNames {
    fn of<'a>(&'a self, name: &'a RecordName) -> &'a str {
        match name {
            RecordName::Op(op) => &self.0[*op as usize],
            RecordName::Other(name) => name,
        }
    }
}

/// `--verbose`: LMCache's line per record.
struct Lines {
    total: u64,
    printed: u64,
    /// Nothing once the reader of the pipe has gone.
    out: Option<BufWriter<std::io::Stdout>>,
}

impl Lines {
    fn new(total: u64) -> Self {
        Self { total, printed: 0, out: Some(BufWriter::new(std::io::stdout())) }
    }

    fn print(&mut self, outcome: &Outcome, qualname: &str) {
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

    fn flush(&mut self) {
        if self.out.as_mut().is_some_and(|out| out.flush().is_err()) {
            self.out = None;
        }
    }
}

/// `--jsonl-out`: LMCache's three fields, and two of ours.
struct JsonLines {
    path: PathBuf,
    out: BufWriter<File>,
    failure: Option<std::io::Error>,
}

#[derive(Serialize)]
struct Line<'a> {
    qualname: &'a str,
    latency_ms: f64,
    failed: bool,
    seq: u64,
    lag_us: Option<f64>,
}

impl JsonLines {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path)
            .map_err(|error| Error::io("cannot create file", error).with_context("path", path.display()))?;
        Ok(Self { path: path.to_owned(), out: BufWriter::new(file), failure: None })
    }

    fn write(&mut self, outcome: &Outcome, qualname: &str) {
        if self.failure.is_some() {
            return;
        }
        let line = Line {
            qualname,
            latency_ms: outcome.latency_ns as f64 / 1e6,
            // LMCache reports a skipped record as failed here.
            failed: outcome.status != Status::Replayed,
            seq: outcome.seq,
            lag_us: outcome.lag_ns.map(|lag_ns| lag_ns as f64 / 1e3),
        };
        let written = serde_json::to_writer(&mut self.out, &line)
            .map_err(std::io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"));
        if let Err(error) = written {
            print_warning(&format!("no more records go to {}: {error}", self.path.display()));
            self.failure = Some(error);
        }
    }

    fn close(mut self) -> Result<()> {
        let written = self.failure.map_or_else(|| self.out.flush(), Err);
        written.map_err(|error| {
            Error::io("the file with one object per record is not whole", error)
                .with_context("path", self.path.display())
        })
    }
}

/// The bar. At the recorded pace the time left is known.
struct Progress {
    bar: ProgressBar,
    duration_ms: u64,
    latest_ms: u64,
}

impl Progress {
    fn start(duration_s: f64) -> Self {
        let duration_ms = (duration_s * 1e3) as u64;
        let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_S);
        let bar = ProgressBar::with_draw_target(Some(duration_ms.max(1)), target);
        let style = ProgressStyle::with_template("replaying {wide_bar} {percent:>3} %, {msg} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, duration_ms, latest_ms: 0 }
    }

    fn draw(&self) {
        let left_s = self.duration_ms.saturating_sub(self.latest_ms).div_ceil(1000);
        self.bar.set_message(match left_s {
            0..60 => format!("{left_s} s"),
            _ => format!("{} min {} s", left_s / 60, left_s % 60),
        });
        self.bar.set_position(self.latest_ms.min(self.duration_ms));
    }
}

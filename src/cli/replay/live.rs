//! What is shown and written while a replay runs: lines per record, the JSONL file, the progress bar.
//!
//! All of it happens on the observer's thread. Whoever kills the process loses what was written in the last moments
//! alone. A file that cannot be written any more (a full disk) does not
//! end the replay: it is said at once, the replay goes on, and the command fails at its end.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::clock::monotonic_ns;
use crate::error::{Error, Result};
use crate::format::model::Op;
use crate::replay::{Outcome, RecordName, ReplayObserver, Status, TraceExtent};

use crate::cli::exit::print_warning;
use crate::cli::text::printable;

/// How often the bar is drawn, at most.
const DRAWS_PER_S: u8 = 10;

/// Nanoseconds of a millisecond.
const NS_PER_MS: u64 = 1_000_000;

/// How long a record waits in memory at most before it goes to the JSONL file.
const FLUSH_EVERY_NS: u64 = 200 * NS_PER_MS;

/// What people are shown while a replay runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing.
    Nothing,
    /// A bar on standard error, if that is a terminal.
    Progress,
    /// A line per record on standard output.
    LinesOnStdout,
    /// A line per record on standard error.
    LinesOnStderr,
}

/// Everything live; each part may be absent.
pub(super) struct LiveOutput {
    names: QualifiedNames,
    lines: Option<Lines>,
    jsonl: Option<JsonLines>,
    progress: Option<Progress>,
}

impl LiveOutput {
    /// Opens the JSONL file and starts the bar, where wanted.
    pub(super) fn open(jsonl_path: Option<&Path>, shown: Shown, extent: &TraceExtent) -> Result<Self> {
        let lines_to: Option<Box<dyn Write>> = match shown {
            Shown::LinesOnStdout => Some(Box::new(std::io::stdout())),
            Shown::LinesOnStderr => Some(Box::new(std::io::stderr())),
            Shown::Nothing | Shown::Progress => None,
        };
        let has_bar = shown == Shown::Progress && std::io::stderr().is_terminal();
        Ok(Self {
            names: QualifiedNames::default(),
            lines: lines_to.map(|out| Lines::new(extent.records, out)),
            jsonl: jsonl_path.map(JsonLines::create).transpose()?,
            progress: has_bar.then(|| Progress::start(extent.duration_s)),
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
    }

    fn tick(&mut self) {
        if let Some(progress) = &self.progress {
            progress.draw();
        }
        if let Some(lines) = &mut self.lines {
            lines.flush();
        }
        if let Some(jsonl) = &mut self.jsonl {
            jsonl.flush_if_due(monotonic_ns());
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
    out: Option<BufWriter<Box<dyn Write>>>,
}

impl Lines {
    fn new(total: u64, out: Box<dyn Write>) -> Self {
        Self { total, printed: 0, out: Some(BufWriter::new(out)) }
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

/// `--jsonl-out`: LMCache's three fields, and three of ours.
struct JsonLines {
    path: PathBuf,
    out: BufWriter<File>,
    /// When it is to be flushed; nothing if nothing waits.
    due_ns: Option<u64>,
    failure: Option<std::io::Error>,
}

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
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path)
            .map_err(|error| Error::io("cannot create file", error).with_context("path", path.display()))?;
        Ok(Self { path: path.to_owned(), out: BufWriter::new(file), due_ns: None, failure: None })
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
            response_us: outcome.response_ns().map(|response_ns| response_ns as f64 / 1e3),
        };
        let written = serde_json::to_writer(&mut self.out, &line)
            .map_err(std::io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"));
        self.due_ns.get_or_insert_with(|| monotonic_ns() + FLUSH_EVERY_NS);
        self.note(written);
    }

    fn flush_if_due(&mut self, now_ns: u64) {
        if self.failure.is_none() && self.due_ns.take_if(|due_ns| *due_ns <= now_ns).is_some() {
            let written = self.out.flush();
            self.note(written);
        }
    }

    fn note(&mut self, written: std::io::Result<()>) {
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

/// The bar. A replay lasts as long as its recording, so the clock knows how far it is, also while the trace is
/// silent.
struct Progress {
    bar: ProgressBar,
    start_ns: u64,
    duration_ms: u64,
}

impl Progress {
    fn start(duration_s: f64) -> Self {
        let duration_ms = (duration_s * 1e3) as u64;
        let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_S);
        let bar = ProgressBar::with_draw_target(Some(duration_ms.max(1)), target);
        let style = ProgressStyle::with_template("replaying {wide_bar} {percent:>3} %, {msg} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, start_ns: monotonic_ns(), duration_ms }
    }

    fn draw(&self) {
        let elapsed_ms = monotonic_ns().saturating_sub(self.start_ns) / NS_PER_MS;
        let (position_ms, left) = position(elapsed_ms, self.duration_ms);
        self.bar.set_message(left);
        self.bar.set_position(position_ms);
    }
}

/// Where the bar stands, and the time left in words.
fn position(elapsed_ms: u64, duration_ms: u64) -> (u64, String) {
    let left_s = duration_ms.saturating_sub(elapsed_ms).div_ceil(1000);
    let left = match left_s {
        0..60 => format!("{left_s} s"),
        _ => format!("{} min {} s", left_s / 60, left_s % 60),
    };
    (elapsed_ms.min(duration_ms), left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_moves_with_the_clock_and_stops_at_the_end() {
        assert_eq!(position(0, 61_500), (0, "1 min 2 s".to_owned()));
        assert_eq!(position(30_000, 61_500), (30_000, "32 s".to_owned()));
        assert_eq!(position(70_000, 61_500), (61_500, "0 s".to_owned()));
        assert_eq!(position(5, 0), (0, "0 s".to_owned()));
    }
}

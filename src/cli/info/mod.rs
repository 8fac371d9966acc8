//! `info`: what is in a trace, on one screen or as JSON.
//!
//! * [`terminal`] and [`json`]: LMCache's files; [`native`] and [`native_json`]: native ones; [`screen`]: their lines.
//! * [`follow`]: a native file while it is recorded; [`live`] counts it, [`live_screen`] shows the counts.

mod follow;
mod json;
mod live;
mod live_screen;
mod native;
mod native_json;
mod screen;
mod terminal;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::exit::{Finding, print_error};
use super::files::{check_apart, write_whole};
use super::following;
use super::options::{ReadArgs, ReportArgs};
use super::output::print;
use crate::analyze::{NativeSummary, TraceSummary, summarize, summarize_native};
use crate::error::{Error, Result};
use crate::trace::Trace;

/// Files from this size on show how far the reading is.
const PROGRESS_FROM_BYTES: usize = 1 << 28;

const EXAMPLES: &str = "\
Examples:
  lmcache-trace info server.lct
  lmcache-trace info node-*.lct --format json \\
      | jq '{file, total_records, truncated}'
  # exit code 1 if the trace is not whole, to the last byte
  lmcache-trace info server.lct --strict -q
  lmcache-trace info live.lct --follow --format json \\
      | jq '{calls_per_s, lost_calls}'
  zstd -dc server.lct.zst | lmcache-trace info -";

/// Arguments of `info`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InfoArgs {
    /// The trace files; - is the standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// One screen a file, or one JSON object a file and line
    #[arg(long, value_enum, default_value_t = InfoFormat::Terminal)]
    format: InfoFormat,
    /// Show about once a second what is in a native file that is being recorded, until its recorder closes it or
    /// Ctrl-C; then its summary. On a terminal a screen, else a line or an object a second
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum InfoFormat {
    /// LMCache's summary and more, for people
    Terminal,
    /// One object per file, for programs
    Json,
}

impl InfoArgs {
    pub(super) fn run(self) -> Result<Finding> {
        let inputs: Vec<_> = self.files.iter().map(PathBuf::as_path).collect();
        check_apart(&self.report.files(), &inputs)?;
        if !self.follow {
            return self.summarize_files();
        }
        match self.watch()? {
            Some(follow::Ended::Abandoned) => Ok(Finding::None),
            Some(follow::Ended::Interrupted) => self.summarize_files().map(|_| Finding::Interrupted),
            Some(follow::Ended::Closed) | None => self.summarize_files(),
        }
    }

    /// Follows the file, unless it does not grow any more.
    fn watch(&self) -> Result<Option<follow::Ended>> {
        let [file] = &self.files[..] else {
            return Err(
                Error::invalid("one file at a time can be followed").with_context("files", self.files.len())
            );
        };
        let format = (!self.report.quiet).then_some(self.format);
        following::open(file)?.map(|follower| follow::watch(file, follower, format)).transpose()
    }

    fn summarize_files(&self) -> Result<Finding> {
        let (mut reports, mut is_failed, mut is_incomplete) = (String::new(), false, false);
        for file in &self.files {
            match summarize_file(file, self.read) {
                Ok(summary) => {
                    is_incomplete |= summary.is_incomplete();
                    let report = self.format.render(file, &summary, reports.is_empty());
                    if !self.report.quiet {
                        print(&report)?;
                    }
                    reports.push_str(&report);
                }
                // The other files are still worth reading.
                Err(error) => {
                    print_error(&error);
                    is_failed = true;
                }
            }
        }
        self.report.output.as_deref().map_or(Ok(()), |path| write_whole(path, reports.as_bytes()))?;
        Ok(match is_failed {
            true => Finding::Failed,
            false if self.read.strict && is_incomplete => Finding::Found,
            false => Finding::None,
        })
    }
}

impl InfoFormat {
    fn render(self, file: &Path, summary: &Summary, is_first: bool) -> String {
        let report = match (self, summary) {
            (Self::Json, Summary::Lct(summary)) => return json::render(file, summary),
            (Self::Json, Summary::Native(summary)) => return native_json::render(file, summary),
            (Self::Terminal, Summary::Lct(summary)) => terminal::render(file, summary),
            (Self::Terminal, Summary::Native(summary)) => native::render(file, summary),
        };
        if is_first { report } else { format!("\n{report}") }
    }
}

/// What there is to say about a file of either kind.
enum Summary {
    Lct(Box<TraceSummary>),
    Native(Box<NativeSummary>),
}

impl Summary {
    fn is_incomplete(&self) -> bool {
        match self {
            Self::Lct(summary) => summary.is_incomplete(),
            Self::Native(summary) => summary.is_incomplete(),
        }
    }
}

fn summarize_file(file: &Path, read: ReadArgs) -> Result<Summary> {
    let threads = available_parallelism().map_or(1, usize::from);
    Ok(match Trace::open(file, read.mode())? {
        Trace::Lct(reader) => {
            let bar = progress_bar(reader.bytes().len());
            let summary = summarize(&reader, threads, |done_bytes| bar.set_position(done_bytes));
            bar.finish_and_clear();
            Summary::Lct(Box::new(summary))
        }
        Trace::Native(trace) => {
            // Whoever wants to know whether the trace is whole does not want the word of its index for it.
            let bar = progress_bar(trace.bytes().len());
            let progress = |done_bytes| bar.set_position(done_bytes);
            let summary = summarize_native(&trace, read.strict, threads, progress);
            bar.finish_and_clear();
            Summary::Native(Box::new(summary))
        }
    })
}

/// A bar on standard error if that is a terminal and the file takes a while.
fn progress_bar(size_bytes: usize) -> ProgressBar {
    if size_bytes < PROGRESS_FROM_BYTES || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(size_bytes as u64).with_style(style)
}

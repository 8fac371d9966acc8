//! `lmcache-trace replay`: play a recorded trace against our storage manager and say how it went.
//!
//! * This file: the flags, and the order of things. Everything that can be wrong (flags, directories, the
//!   trace) is found before the first call is made.
//! * [`play`](mod@play): one replay, on top of [`session`](crate::replay::session). [`live`]: what is shown and written while it runs. [`warnings`]: what makes results worth less.
//! * [`namespace`]: what becomes of the places in L2. [`pacing`]: how fast, by whom, which part, how often.
//! * [`recording`]: the trace that a replay leaves of itself. [`telemetry`]: what monitoring systems were told.
//! * [`report`]: all results in one value; [`terminal`], [`json`], [`csv`] and [`page`] render it.

mod csv;
mod json;
mod live;
mod namespace;
mod pacing;
mod page;
mod play;
mod recording;
mod report;
mod telemetry;
mod terminal;
mod warnings;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum, ValueHint};

use super::exit::{Finding, print_note, print_warning};
use super::files::{check_apart, check_writable, create_directory, write_whole};
use super::options::{ReadArgs, ReportArgs};
use super::output;
use super::signals::stop_on_interrupt;
use super::storage_flags::{NamespaceFlags, StorageFlags};
use crate::error::{Error, Result};
use crate::replay::session::Replayed;
use crate::replay::traces::OpenTraces;
use crate::replay::{StopFlag, Timeline};
use crate::storage::config::StorageManagerConfig;
use crate::storage::config::l2::known::EXAMPLES as EXAMPLES_OF_ADAPTERS;

use live::{LinesTo, Progress};
pub(super) use pacing::{PaceFlags, Pacing, PartFlags, differences};
use page::Page;
use play::{Lookers, Played, play};
use report::ReplayReport;
pub(super) use warnings::extent;

const EXAMPLES: &str = "\
Examples:
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU
  lmcache-trace replay server.lct --l1-size-gb 1 --eviction-policy LRU \\
      --json --output-dir results
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU \\
      --format json | jq .lag_us
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU \\
      --record replayed.lct
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU \\
      --html replay.html --perfetto replay.json
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU \\
      -q --progress json 2>&1 | jq -R 'fromjson? | .hit_rate'
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU \\
      --asap
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU \\
      --speed 10 --from 60 --to 120
  lmcache-trace replay server.lct --l1-size-gb 16 --eviction-policy LRU \\
      --tenants 4 --rate 5000
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU \\
      --prometheus-port 9090
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU \\
      --l2-adapter '{\"type\":\"fs\",\"base_path\":\"/data/kv\"}' \\
      --l2-prefetch-policy retain
  lmcache-trace replay server.lct --eviction-policy ARC \\
      --l1-manager '{\"type\":\"DRAM\",\"tag\":\"hot\",\"size_gb\":4}' \\
      --l1-manager '{\"type\":\"DRAM\",\"tag\":\"cold\",\"size_gb\":16}'
  lmcache-trace replay server.lct --l1-size-gb 4 \\
      --eviction-policy SIEVE --eviction-by bytes --compat native

L2 adapters, one of each type:
";

/// Characters of a line of an adapter: with its indentation and quotes it stands on a terminal and in a man page.
const ADAPTER_COLUMNS: usize = 68;

/// The examples, with those of the L2 adapters.
fn examples() -> String {
    let adapters = EXAMPLES_OF_ADAPTERS.map(|example| format!("  '{}'", broken(example)));
    format!("{EXAMPLES}{}", adapters.join("\n"))
}

/// The same JSON, in lines that end behind a comma.
fn broken(json: &str) -> String {
    match json.get(..ADAPTER_COLUMNS).and_then(|line| line.rfind(',')) {
        Some(comma) if json.len() > ADAPTER_COLUMNS => {
            format!("{}\n    {}", &json[..=comma], broken(&json[comma + 1..]))
        }
        _ => json.to_owned(),
    }
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
#[command(after_help = examples(), args_override_self = true)]
pub(crate) struct ReplayArgs {
    /// A trace of level "storage"; - is the standard input. Several are replayed at once, one of each node, on one clock
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Print one line per record; beside --format json they go to standard error
    #[arg(long)]
    verbose: bool,
    /// Write one JSON object per record to PATH: qualname, latency_ms, failed, seq, lag_us,
    /// response_us (from the time at which it was due to its end)
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    jsonl_out: Option<PathBuf>,
    /// Write one page with plots and tables to FILE, for any browser; it needs no network
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    html: Option<PathBuf>,
    /// Write a timeline to FILE while the replay runs: open it with ui.perfetto.dev or chrome://tracing. A call
    /// takes about 330 bytes
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    perfetto: Option<PathBuf>,
    /// How progress is shown on standard error [default: bar on a terminal, none elsewhere and beside --verbose or
    /// --quiet]
    #[arg(long, value_enum, value_name = "FORM")]
    progress: Option<ProgressForm>,
    /// Record the replay itself: the calls that it makes and what became of each go into the native trace OUT, which
    /// is overwritten. Nothing is lost: if the disk is slow the replay waits. Recording a call is part of its
    /// latency: some tenths of a microsecond, more for the first one and for long lists of keys
    #[arg(long, value_name = "OUT", value_hint = ValueHint::FilePath)]
    record: Option<PathBuf>,
    /// Where trace_replay_ops.csv and trace_replay_summary.json go; created if need be
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    output_dir: PathBuf,
    /// Do not write trace_replay_ops.csv
    #[arg(long)]
    no_csv: bool,
    /// Write trace_replay_summary.json
    #[arg(long)]
    json: bool,
    /// What the report looks like
    #[arg(long, value_enum, default_value_t = ReplayFormat::Terminal)]
    format: ReplayFormat,
    #[command(flatten)]
    pace: PaceFlags,
    #[command(flatten)]
    part: PartFlags,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    storage: StorageFlags,
    #[command(flatten)]
    namespace: NamespaceFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReplayFormat {
    /// LMCache's table and more, for people
    Terminal,
    /// One object, for programs: the same as trace_replay_summary.json
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProgressForm {
    /// Nothing
    None,
    /// Three lines at the foot of a terminal: how far it is, rate and lag, hits and how full L1 and L2 are
    Bar,
    /// One object a second, for programs
    Json,
}

impl ReplayArgs {
    /// The file with the numbers of each operation, unless it is not wanted.
    fn csv_path(&self) -> Option<PathBuf> {
        (!self.no_csv).then(|| self.output_dir.join("trace_replay_ops.csv"))
    }

    /// The file with everything, if it is wanted.
    fn json_path(&self) -> Option<PathBuf> {
        self.json.then(|| self.output_dir.join("trace_replay_summary.json"))
    }

    /// Where a line per record goes.
    fn lines(&self) -> LinesTo {
        match (self.verbose && !self.report.quiet, self.format) {
            (false, _) => LinesTo::Nowhere,
            (true, ReplayFormat::Terminal) => LinesTo::Stdout,
            // Standard output is one JSON object.
            (true, ReplayFormat::Json) => LinesTo::Stderr,
        }
    }

    /// How progress is shown.
    ///
    /// # Errors
    /// If a bar is asked for where there is no terminal.
    fn progress(&self) -> Result<Progress> {
        let is_terminal = std::io::stderr().is_terminal();
        match self.progress {
            Some(ProgressForm::None) => Ok(Progress::Nothing),
            Some(ProgressForm::Json) => Ok(Progress::Json),
            Some(ProgressForm::Bar) if !is_terminal => {
                Err(Error::invalid("--progress bar draws on a terminal, and standard error is none")
                    .with_hint("--progress json writes one object a second to a pipe or a file"))
            }
            Some(ProgressForm::Bar) => Ok(Progress::Bar),
            None if is_terminal && !self.verbose && !self.report.quiet => Ok(Progress::Bar),
            None => Ok(Progress::Nothing),
        }
    }

    /// Every file that the replay writes.
    fn output_files(&self) -> Vec<PathBuf> {
        let reports = [self.report.output.clone(), self.csv_path(), self.json_path()];
        let pages = [self.html.clone(), self.perfetto.clone()];
        let streams = [self.jsonl_out.clone(), self.record.clone()];
        reports.into_iter().chain(pages).chain(streams).flatten().collect()
    }

    /// Names the files: some are written without being asked for.
    fn tell_what_was_written(&self) {
        let files: Vec<String> = self.output_files().iter().map(|path| path.display().to_string()).collect();
        if !self.report.quiet && !files.is_empty() {
            print_note(&format!("written: {}", files.join(", ")));
        }
    }

    /// Replays the trace.
    ///
    /// # Errors
    /// If the flags contradict each other, a file cannot be read or written, or the trace cannot be replayed.
    pub(super) fn run(self) -> Result<Finding> {
        let config = self.storage.to_config()?;
        let progress = self.progress()?;
        self.namespace.l2_namespace.check(&config)?;
        let pacing = self.pace.pacing(config.l1_managers.len())?;
        let part = self.part.part()?;
        if !self.report.quiet {
            config.warnings().iter().for_each(|warning| print_warning(warning));
        }
        let opened = OpenTraces::open(&self.files, self.read.mode())?;
        prepare_outputs(&self)?;
        let telemetry = self.storage.telemetry().prepare()?;
        let keys = opened.key_tables()?;
        let is_quiet = self.report.quiet;
        let nodes = opened.nodes(&keys, part.alignment, |trace, keys| extent(trace, keys, is_quiet));
        let stop = StopFlag::default();
        stop_on_interrupt(&stop)?;
        let replayed = Replayed { extent: nodes.extent(), nodes, part };
        let lookers = Lookers { progress, telemetry };
        let played = play(&self, &replayed, pacing, &config, lookers, &stop)?;
        let Played { report, files, timeline } = played;
        warnings::about_the_part(&report);
        if self.jsonl_out.is_some() {
            warnings::about_the_lines(&report);
        }
        warnings::about_the_recording(&report);
        warnings::about_evictions(&report);
        warnings::about_pinning(&report);
        warnings::about_l2(&report);
        warnings::about_the_pace(&report);
        telemetry::warn(&report.telemetry);
        report.l2_namespace.tell(self.report.quiet);
        // Each result is worth having without the others; the first that could not be had is the error.
        let delivered = deliver(&self, &report);
        let page = deliver_page(&self, &replayed, &config, &report, timeline.as_ref());
        files.and(delivered).and(page)?;
        self.tell_what_was_written();
        Ok(finding(&self, &report))
    }
}

/// Creates directories as LMCache does, and makes sure that files can be written into them: a replay can
/// run for an hour, and its results should not be lost at the end of it.
fn prepare_outputs(args: &ReplayArgs) -> Result<()> {
    let files = args.output_files();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let inputs: Vec<&Path> = args.files.iter().map(PathBuf::as_path).collect();
    check_apart(&files, &inputs)?;
    args.record.as_deref().map_or(Ok(()), recording::check_path)?;
    create_directory(&args.output_dir)?;
    if let Some(parent) = args.jsonl_out.as_deref().and_then(Path::parent)
        && !parent.as_os_str().is_empty()
    {
        create_directory(parent)?;
    }
    files.iter().try_for_each(|path| check_writable(path))
}

/// Writes the files and the report. All of them are tried.
fn deliver(args: &ReplayArgs, report: &ReplayReport) -> Result<()> {
    let csv = args.csv_path().map_or(Ok(()), |path| write_whole(&path, &csv::render(report)?));
    let json = args.json_path().map_or(Ok(()), |path| write_whole(&path, json::render(report).as_bytes()));
    let text = match args.format {
        ReplayFormat::Terminal => terminal::render(report),
        ReplayFormat::Json => json::render(report),
    };
    csv.and(json).and(output::deliver(&args.report, &text))
}

/// Writes the page, if one is wanted.
fn deliver_page(
    args: &ReplayArgs,
    replayed: &Replayed<'_>,
    config: &StorageManagerConfig,
    report: &ReplayReport,
    timeline: Option<&Timeline>,
) -> Result<()> {
    let (Some(path), Some(timeline)) = (&args.html, timeline) else { return Ok(()) };
    let trace = replayed.nodes.name();
    write_whole(path, Page { report, timeline, config, trace: &trace }.render().as_bytes())
}

fn finding(args: &ReplayArgs, report: &ReplayReport) -> Finding {
    let is_stream_wanted = args.jsonl_out.is_some() || args.perfetto.is_some();
    let is_stream_incomplete = is_stream_wanted && report.run.unobserved_records > 0;
    let is_trace_incomplete = args.read.strict && !report.extent.is_complete();
    let is_recording_incomplete = report.recording.as_ref().is_some_and(|recording| !recording.is_complete());
    let is_file_incomplete = is_stream_incomplete || is_recording_incomplete;
    let is_l2_down = report.has_dead_adapter() || (args.read.strict && report.has_failures_in_l2());
    match report.run.records_failed > 0 || is_trace_incomplete || is_file_incomplete || is_l2_down {
        _ if report.run.interrupted => Finding::Interrupted,
        true => Finding::Found,
        false => Finding::None,
    }
}

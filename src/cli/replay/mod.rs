//! `lmcache-trace replay`: play a recorded trace against our storage manager and say how it went.
//!
//! * This file: the flags, and the order of things. Everything that can be wrong (flags, directories, the
//!   trace) is found before the first call is made.
//! * [`live`]: what is shown and written while the replay runs. [`signals`]: Ctrl-C.
//! * [`report`]: all results in one value; [`terminal`], [`json`] and [`csv`] render it; [`files`] writes it.

mod csv;
mod files;
mod json;
mod live;
mod report;
mod signals;
mod terminal;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use lmcache::error::{Error, Result};
use lmcache::format::lct::Level;
use lmcache::replay::manager_target::ManagerTarget;
use lmcache::replay::{ReplayOptions, StopFlag, TraceExtent, TraceSource, replay};
use lmcache::storage::config::StorageManagerConfig;
use lmcache::trace::TraceReader;

use crate::cli::storage_flags::StorageFlags;
use files::{check_writable, create_directory, write_whole};
use live::LiveOutput;
use report::ReplayReport;

/// Exit status of a replay in which a record failed, or something else deserves a look.
const EXIT_FINDING: u8 = 1;
/// Exit status of a replay that Ctrl-C ended.
const EXIT_INTERRUPTED: u8 = 130;

/// The flags of `replay`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReplayArgs {
    /// A .lct trace file of level "storage"
    #[arg(value_name = "FILE")]
    trace: PathBuf,
    /// Print one line per record
    #[arg(long)]
    verbose: bool,
    /// Write one JSON object per record to PATH: qualname, latency_ms, failed, seq, lag_us
    #[arg(long, value_name = "PATH")]
    jsonl_out: Option<PathBuf>,
    /// Where trace_replay_ops.csv and trace_replay_summary.json go; created if need be
    #[arg(long, value_name = "DIR", default_value = ".")]
    output_dir: PathBuf,
    /// Do not write trace_replay_ops.csv
    #[arg(long)]
    no_csv: bool,
    /// Write trace_replay_summary.json
    #[arg(long)]
    json: bool,
    /// How the report on the standard output looks
    #[arg(long, value_enum, default_value_t = Format::Terminal)]
    format: Format,
    /// Write the report to PATH as well
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Print nothing; the exit status tells
    #[arg(short, long)]
    quiet: bool,
    /// Read the file into memory instead of mapping it: for a file that somebody may shorten meanwhile
    #[arg(long)]
    no_mmap: bool,
    /// Exit with status 1 if the trace is cut short or has frames that are no records
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    storage: StorageFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Terminal,
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
}

/// Replays a trace as `args` say.
///
/// # Errors
/// If the flags contradict each other, a file cannot be read or written, or the trace cannot be replayed.
pub(crate) fn run(args: &ReplayArgs) -> Result<ExitCode> {
    let config = args.storage.clone().into_config()?;
    prepare_outputs(args)?;
    let reader = crate::cli::open_trace(&args.trace, args.no_mmap)?;
    check_level(&reader, &args.trace)?;
    let extent = TraceExtent::of(&reader);
    if !args.quiet {
        warn_about_the_environment();
    }
    let stop = StopFlag::default();
    signals::stop_on_interrupt(&stop)?;
    let mut live = LiveOutput::open(args.jsonl_out.as_deref(), args.verbose, args.quiet, &extent)?;
    let report = play(&reader, &extent, &config, &stop, &mut live)?;
    live.close()?;
    deliver(args, &report)?;
    Ok(exit_code(args, &report))
}

/// Creates directories as LMCache does, and makes sure that files can be written into them: a replay can
/// run for an hour, and its results should not be lost at the end of it.
fn prepare_outputs(args: &ReplayArgs) -> Result<()> {
    create_directory(&args.output_dir)?;
    let parent = args.jsonl_out.as_deref().and_then(Path::parent);
    parent.filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), create_directory)?;
    let files = [args.csv_path(), args.json_path(), args.output.clone()];
    files.iter().flatten().try_for_each(|path| check_writable(path))
}

fn check_level(reader: &TraceReader, path: &Path) -> Result<()> {
    let level = &reader.header().level;
    if *level == Level::Storage {
        return Ok(());
    }
    Err(Error::unsupported("only traces of level 'storage' hold calls that can be replayed")
        .with_context("path", path.display())
        .with_context("level", format!("{:?}", level.name()))
        .with_hint("an 'events' trace holds the cache-event stream for a coordinator; `info` shows it"))
}

/// What LMCache's replay warns about.
fn warn_about_the_environment() {
    let bold = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Yellow.into()));
    anstream::eprintln!(
        "{bold}warning: a replay can miss what the recorded server found{bold:#}\n\
         \x20 * It runs under this command's storage configuration, which may differ from the recorded one.\n\
         \x20 * It runs on this machine, which may be slower or faster than the recording one.\n\
         \x20 * Reads and writes are asynchronous: a load that had finished when the trace was recorded may\n\
         \x20   not have finished here, and the matching read then finds nothing.\n\
         \x20 Take counts of misses as a sign of this environment, not as a defect of the trace."
    );
}

fn play(
    reader: &TraceReader,
    extent: &TraceExtent,
    config: &StorageManagerConfig,
    stop: &StopFlag,
    live: &mut LiveOutput,
) -> Result<ReplayReport> {
    let mut target = ManagerTarget::new(config.clone())?;
    let run = replay(TraceSource::new(reader), &mut target, &ReplayOptions::default(), stop, live)?;
    let totals = target.close();
    Ok(ReplayReport::new(reader.header(), extent, config, run, totals))
}

/// Prints the report and writes the files.
fn deliver(args: &ReplayArgs, report: &ReplayReport) -> Result<()> {
    if let Some(path) = args.csv_path() {
        write_whole(&path, &csv::render(report)?)?;
    }
    if let Some(path) = args.json_path() {
        write_whole(&path, json::render(report).as_bytes())?;
    }
    let text = match args.format {
        Format::Terminal => terminal::render(report),
        Format::Json => json::render(report),
    };
    if let Some(path) = &args.output {
        write_whole(path, text.as_bytes())?;
    }
    if args.quiet {
        return Ok(());
    }
    print_all(&text)
}

/// Prints `text`. Whoever closed the pipe has seen enough: that is no error.
fn print_all(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io("cannot write to the standard output", error))
        }
        _ => Ok(()),
    }
}

fn exit_code(args: &ReplayArgs, report: &ReplayReport) -> ExitCode {
    if report.run.interrupted {
        return ExitCode::from(EXIT_INTERRUPTED);
    }
    let is_jsonl_incomplete = args.jsonl_out.is_some() && report.run.unobserved_records > 0;
    let is_trace_incomplete = args.strict && !report.extent.is_complete();
    if report.run.records_failed > 0 || is_trace_incomplete || is_jsonl_incomplete {
        return ExitCode::from(EXIT_FINDING);
    }
    ExitCode::SUCCESS
}

/// Whether somebody watches the standard error.
fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

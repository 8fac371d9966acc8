//! `lmcache-trace replay`: play a recorded trace against our storage manager and say how it went.
//!
//! * This file: the flags, and the order of things. Everything that can be wrong (flags, directories, the
//!   trace) is found before the first call is made.
//! * [`live`]: what is shown and written while the replay runs.
//! * [`namespace`]: what becomes of the places in L2. [`pacing`]: how fast, by whom, which part, how often.
//! * [`recording`]: the trace that a replay leaves of itself. [`telemetry`]: what monitoring systems were told.
//! * [`report`]: all results in one value; [`terminal`], [`json`], [`csv`] and [`page`] render it.

mod csv;
mod json;
mod live;
mod namespace;
mod pacing;
mod page;
mod recording;
mod report;
mod telemetry;
mod terminal;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::exit::{Finding, print_warning};
use super::files::{check_apart, check_writable, create_directory, write_whole};
use super::options::{ReadArgs, ReportArgs};
use super::output;
use super::signals::stop_on_interrupt;
use super::storage_flags::{NamespaceFlags, StorageFlags};
use crate::clock::NS_PER_S;
use crate::error::{Error, Result};
use crate::format::lct::Level;
use crate::format::native::KeyTable;
use crate::os::affinity::ReservedCpu;
use crate::replay::copies::{Looped, Tenants};
use crate::replay::manager_target::ManagerTarget;
use crate::replay::selection::{LeftOut, Selected};
use crate::replay::telemetry::Prepared;
use crate::replay::{
    FailedEviction, LiveView, Pace, RecordedOutcomes, ReplayOptions, StopFlag, TimedRecord, Timeline,
    TraceExtent, TraceSource, replay,
};
use crate::storage::config::StorageManagerConfig;
use crate::storage::config::l2::known::EXAMPLES as EXAMPLES_OF_ADAPTERS;
use crate::storage::l2::namespace::Namespace;
use crate::sync::Arc;
use crate::trace::Trace;

use live::{LinesTo, LiveOptions, LiveOutput, Progress};
use namespace::NamespaceReport;
pub(super) use pacing::{PaceFlags, PartFlags};
use pacing::{Pacing, Part};
use page::Page;
use recording::Recording;
use report::{Delivered, ReplayReport, adapter_name};

/// A replay that is later than this somewhere is said to be behind its schedule.
const BEHIND_NS: u64 = NS_PER_S / 10;

const EXAMPLES: &str = "\
Examples:
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU
  lmcache-trace replay server.lct --l1-size-gb 0.5 --eviction-policy LRU --json --output-dir results
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU --format json | jq .lag_us
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU --record replayed.lct
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU --html replay.html
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU --perfetto replay.json
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU --progress json 2>&1 >/dev/null | jq .hit_rate
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU --asap
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU --speed 10 --from 60 --to 120
  lmcache-trace replay server.lct --l1-size-gb 16 --eviction-policy LRU --tenants 4 --rate 5000
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU --prometheus-port 9090
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU \\
      --l2-adapter '{\"type\":\"fs\",\"base_path\":\"/data/kv\"}' --l2-prefetch-policy retain
  lmcache-trace replay server.lct --eviction-policy ARC \\
      --l1-manager '{\"type\":\"DRAM\",\"tag\":\"hot\",\"size_gb\":4}' \\
      --l1-manager '{\"type\":\"DRAM\",\"tag\":\"cold\",\"size_gb\":16}'
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy SIEVE --eviction-by bytes --compat native

L2 adapters, one of each type:
";

/// The examples, with those of the L2 adapters.
fn examples() -> String {
    let adapters = EXAMPLES_OF_ADAPTERS.map(|example| format!("  '{example}'"));
    format!("{EXAMPLES}{}", adapters.join("\n"))
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
#[command(after_help = examples(), args_override_self = true)]
pub(crate) struct ReplayArgs {
    /// A trace of level "storage"; - is the standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print one line per record; beside --format json they go to standard error
    #[arg(long)]
    verbose: bool,
    /// Write one JSON object per record to PATH: qualname, latency_ms, failed, seq, lag_us,
    /// response_us (from the time at which it was due to its end)
    #[arg(long, value_name = "PATH")]
    jsonl_out: Option<PathBuf>,
    /// Write one page with plots and tables to FILE, for any browser; it needs no network
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a timeline to FILE while the replay runs: open it with ui.perfetto.dev or chrome://tracing. A call
    /// takes about 330 bytes
    #[arg(long, value_name = "FILE")]
    perfetto: Option<PathBuf>,
    /// How progress is shown on standard error [default: bar on a terminal, none elsewhere and beside --verbose or
    /// --quiet]
    #[arg(long, value_enum, value_name = "FORM")]
    progress: Option<ProgressForm>,
    /// Record the replay itself: the calls that it makes and what became of each go into the native trace OUT, which
    /// is overwritten. Nothing is lost: if the disk is slow the replay waits. Recording a call is part of its
    /// latency: some tenths of a microsecond, more for the first one and for long lists of keys
    #[arg(long, value_name = "OUT")]
    record: Option<PathBuf>,
    /// Where trace_replay_ops.csv and trace_replay_summary.json go; created if need be
    #[arg(long, value_name = "DIR", default_value = ".")]
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
        let trace = Trace::open(&self.file, self.read.mode())?;
        check_level(&trace)?;
        prepare_outputs(&self)?;
        let telemetry = self.storage.telemetry().prepare()?;
        let keys = trace.key_table()?;
        let extent = extent(&trace, keys.as_ref(), self.report.quiet);
        let stop = StopFlag::default();
        stop_on_interrupt(&stop)?;
        let replayed = Replayed { trace: &trace, keys: keys.as_ref(), extent, part };
        let lookers = Lookers { progress, telemetry };
        let played = play(&self, &replayed, pacing, &config, lookers, &stop)?;
        let Played { report, files, timeline } = played;
        warn_about_the_recording(&report);
        warn_about_evictions(&report);
        warn_about_l2(&report);
        warn_about_the_pace(&report);
        telemetry::warn(&report.telemetry);
        report.l2_namespace.tell(self.report.quiet);
        // Each result is worth having without the others; the first that could not be had is the error.
        let delivered = deliver(&self, &report);
        let page = deliver_page(&self, &report, timeline.as_ref());
        files.and(delivered).and(page).map(|()| finding(&self, &report))
    }
}

/// Creates directories as LMCache does, and makes sure that files can be written into them: a replay can
/// run for an hour, and its results should not be lost at the end of it.
fn prepare_outputs(args: &ReplayArgs) -> Result<()> {
    let files = args.output_files();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    check_apart(&files, &[&args.file])?;
    args.record.as_deref().map_or(Ok(()), recording::check_path)?;
    create_directory(&args.output_dir)?;
    for file in [&args.jsonl_out, &args.html, &args.perfetto].into_iter().flatten() {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.map_or(Ok(()), create_directory)?;
    }
    files.iter().try_for_each(|path| check_writable(path))
}

pub(super) fn check_level(trace: &Trace) -> Result<()> {
    let level = trace.level();
    if level == Level::Storage.name() {
        return Ok(());
    }
    Err(Error::unsupported("only traces of level 'storage' hold calls that can be replayed")
        .with_context("path", trace.path().display())
        .with_context("level", format!("{level:?}"))
        .with_hint("an 'events' trace holds the cache-event stream for a coordinator; `info` shows it"))
}

/// How much there is to replay. What a native file is known to lack is said, for the replay is of what is there.
pub(super) fn extent(trace: &Trace, keys: Option<&KeyTable<'_>>, is_quiet: bool) -> TraceExtent {
    let warn = |sentence: &str| {
        if !is_quiet {
            print_warning(sentence);
        }
    };
    let trace = match trace {
        Trace::Lct(reader) => return TraceExtent::of(reader),
        Trace::Native(trace) => trace,
    };
    let extent = TraceExtent::of_native(trace, keys, |damaged| warn(&damaged.to_string()));
    let Some(native) = extent.native else { return extent };
    if native.lost_calls > 0 {
        let lost = native.lost_calls;
        warn(&format!("the recorder lost {lost} calls; the replay is of what is in the file"));
    }
    if native.gap_bytes > 0 {
        let bytes = native.gap_bytes;
        warn(&format!("{bytes} bytes of the file hold no chunk; the replay is of what is in the others"));
    }
    if !native.is_closed {
        warn("the trace was not closed; the replay is of what checksums vouch for");
    }
    extent
}

/// What LMCache's replay warns about. Printed when nothing can be refused any more: an error is not to stand below it.
fn warn_about_the_environment() {
    let bold = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Yellow.into()));
    // If standard error is gone there is nobody left to tell.
    let _ = writeln!(
        anstream::stderr(),
        "{bold}warning: a replay can miss what the recorded server found{bold:#}\n\
         \x20 * It runs under this command's storage configuration, which may differ from the recorded one.\n\
         \x20 * It runs on this machine, which may be slower or faster than the recording one.\n\
         \x20 * Reads and writes are asynchronous: a load that had finished when the trace was recorded may\n\
         \x20   not have finished here, and the matching read then gets nothing.\n\
         \x20 Take counts of misses as a sign of this environment, not as a defect of the trace."
    );
}

/// A trace, and what of it is replayed.
struct Replayed<'a> {
    trace: &'a Trace,
    keys: Option<&'a KeyTable<'a>>,
    extent: TraceExtent,
    part: Part,
}

impl Replayed<'_> {
    /// Its records, as they are replayed.
    fn source(
        &self,
        left_out: &Arc<LeftOut>,
        recorded: &Arc<RecordedOutcomes>,
    ) -> impl Iterator<Item = TimedRecord> + Send {
        let open = move || {
            let source = TraceSource::of(self.trace, self.keys).with_completions(Arc::clone(recorded));
            Selected::new(source, self.part.selection.clone(), Arc::clone(left_out))
        };
        Tenants::new(Looped::new(open, self.part.loops), self.part.tenants)
    }

    /// How long the replay is to take, and how many records it has at most.
    fn expected(&self, pace: Pace) -> TraceExtent {
        let records = self.extent.records.saturating_mul(self.part.copies());
        let part_s = self.part.selection.duration_s(self.extent.duration_s) * f64::from(self.part.loops);
        let duration_s = match pace {
            Pace::Recorded => part_s,
            Pace::Speed(factor) => part_s / factor,
            Pace::Rate(per_s) => records as f64 / per_s,
            Pace::Asap => 0.0,
        };
        TraceExtent { records, duration_s, ..self.extent }
    }
}

/// Who looks on while a replay runs, ready to.
struct Lookers {
    progress: Progress,
    telemetry: Prepared,
}

/// What is there after a replay.
struct Played {
    report: ReplayReport,
    /// Whether what was to be written while the replay ran could be.
    files: Result<()>,
    /// For the page, if one is wanted.
    timeline: Option<Timeline>,
}

/// What is shown and written while the replay runs.
fn open_live(
    args: &ReplayArgs,
    replayed: &Replayed<'_>,
    pace: Pace,
    progress: Progress,
    view: LiveView,
) -> Result<LiveOutput> {
    let expected = replayed.expected(pace);
    let trace_name = replayed.trace.path().display().to_string();
    let options = LiveOptions {
        jsonl: args.jsonl_out.as_deref(),
        perfetto: args.perfetto.as_deref(),
        timeline: args.html.is_some(),
        lines: args.lines(),
        progress,
        paced_s: (pace != Pace::Asap).then_some(expected.duration_s),
        trace_name: &trace_name,
    };
    LiveOutput::open(&options, &expected, view)
}

/// Replays.
fn play(
    args: &ReplayArgs,
    replayed: &Replayed<'_>,
    pacing: Pacing,
    config: &StorageManagerConfig,
    lookers: Lookers,
    stop: &StopFlag,
) -> Result<Played> {
    let Pacing { options, workers } = pacing;
    let Lookers { progress, telemetry } = lookers;
    // Before the manager starts its thread, which inherits what this one keeps off.
    let reserved = if workers == 1 { ReservedCpu::take() } else { None };
    let dispatcher_cpu = reserved.as_ref().map(ReservedCpu::cpu);
    let namespace = Namespace::open(args.namespace.l2_namespace, config)?;
    let mut targets = ManagerTarget::of_all(namespace.config().clone(), options.order, workers)?;
    warn_about_what_is_given_up(&targets[0]);
    let mut live = open_live(args, replayed, options.pace, progress, targets[0].live_view())?;
    let record = |path: &PathBuf| Recording::start(path, targets[0].manager(), config);
    let recording = args.record.as_ref().map(record).transpose()?;
    let is_any_port = telemetry.is_any_port();
    let mut telemetry = telemetry.start(targets[0].manager())?;
    telemetry::announce(&telemetry, args.report.quiet, is_any_port);
    if !args.report.quiet {
        warn_about_the_environment();
    }
    let left_out = Arc::new(LeftOut::default());
    let options = ReplayOptions { dispatcher_cpu, ..options };
    // Copies are numbered as they come: which record of the trace one is a copy of is not known.
    let recorded = Arc::new(RecordedOutcomes::new(replayed.part.copies() == 1));
    targets.iter_mut().for_each(|target| target.compare_with(Arc::clone(&recorded)));
    let mut observer = (&mut live, telemetry.spans());
    let run = replay(replayed.source(&left_out, &recorded), &mut targets, &options, stop, &mut observer)?;
    drop(observer);
    let results = live.close(&run);
    telemetry.keep_gauges();
    let totals = ManagerTarget::close_all(targets)?;
    let (recording, telemetry) = (recording.map(Recording::close), telemetry.close());
    let l2_namespace = NamespaceReport::close(namespace);
    let report = ReplayReport::new(replayed.trace, &replayed.extent, config, run, totals);
    let delivered = Delivered {
        pacing,
        part: replayed.part.clone(),
        left_out_records: left_out.records(),
        left_out_keys: left_out.keys(),
    };
    let report = ReplayReport { recording, telemetry, delivered: Some(delivered), l2_namespace, ..report };
    Ok(Played { report, files: results.files, timeline: results.timeline })
}

/// A replay that was not as fast as it was to be measures this machine, and not the storage manager.
fn warn_about_the_pace(report: &ReplayReport) {
    let seconds = |ns: u64| ns as f64 / NS_PER_S as f64;
    let stretch = report.run.lag.longest_late;
    if stretch.max_ns >= BEHIND_NS {
        print_warning(&format!(
            "the replay was behind its schedule from {:.3} s to {:.3} s, by up to {:.3} s, for {} calls; what was measured then is \
             a machine that cannot keep up: lower the pace, or add --workers",
            seconds(stretch.from_ns),
            seconds(stretch.to_ns),
            seconds(stretch.max_ns),
            stretch.calls
        ));
    }
    if report.unsettled_calls > 0 {
        print_warning(&format!(
            "L2 was not done in time before {} calls, which may have found it at work: this replay cannot be repeated exactly",
            report.unsettled_calls
        ));
    }
}

/// What a recording that is not whole is not told by its file alone.
fn warn_about_the_recording(report: &ReplayReport) {
    let Some(recording) = report.recording.as_ref().filter(|recording| !recording.is_complete()) else {
        return;
    };
    let path = recording.path.display();
    print_warning(&match &recording.failure {
        Some(failure) => format!("the recording of the replay is not whole (path {path}): {failure}"),
        None => format!("calls or completions are missing in the recording of the replay (path {path})"),
    });
}

/// Adapters that start empty though they hold something, which is overwritten from now on.
fn warn_about_what_is_given_up(target: &ManagerTarget) {
    for (position, adapter) in target.manager().report_status().l2_adapters.iter().enumerate() {
        if let Some(reason) = adapter.refused_recovery() {
            let name = adapter_name(position, adapter);
            print_warning(&format!("L2 adapter {name} cannot use what it held, and overwrites it: {reason}"));
        }
    }
}

/// L1s that could not evict: what found no memory there is missing in the hits of the report.
fn warn_about_evictions(report: &ReplayReport) {
    for FailedEviction { l1_tag, policy, failed_passes, reason } in &report.failed_evictions {
        let reason = reason.as_deref().unwrap_or("the last pass worked again");
        print_warning(&format!(
            "L1 {l1_tag} could not evict {failed_passes} times, and stayed full ({policy}: {reason}); choose another \
             --eviction-policy, or --compat native"
        ));
    }
}

/// What did not reach L2, or did not come from it: the hits of the report are without it.
fn warn_about_l2(report: &ReplayReport) {
    let l2 = &report.l2;
    if l2.lost_keys + l2.dropped_keys > 0 {
        let (lost, dropped) = (l2.lost_keys, l2.dropped_keys);
        print_warning(&format!(
            "{} objects are not in L2: {lost} could not be stored, {dropped} found a full queue",
            lost + dropped
        ));
    }
    for (position, adapter) in l2.adapters.iter().enumerate() {
        let failed = adapter.failed_operations();
        if failed > 0 {
            let name = adapter_name(position, adapter);
            let error = adapter.last_error().unwrap_or("none is known");
            print_warning(&format!("L2 adapter {name} failed {failed} times; its last error: {error}"));
        }
    }
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
fn deliver_page(args: &ReplayArgs, report: &ReplayReport, timeline: Option<&Timeline>) -> Result<()> {
    let (Some(path), Some(timeline)) = (&args.html, timeline) else { return Ok(()) };
    let trace = args.file.display().to_string();
    write_whole(path, Page { report, timeline, trace: &trace }.render().as_bytes())
}

fn finding(args: &ReplayArgs, report: &ReplayReport) -> Finding {
    let is_stream_wanted = args.jsonl_out.is_some() || args.perfetto.is_some();
    let is_stream_incomplete = is_stream_wanted && report.run.unobserved_records > 0;
    let is_trace_incomplete = args.read.strict && !report.extent.is_complete();
    let is_recording_incomplete = report.recording.as_ref().is_some_and(|recording| !recording.is_complete());
    let is_file_incomplete = is_stream_incomplete || is_recording_incomplete;
    match report.run.records_failed > 0 || is_trace_incomplete || is_file_incomplete {
        _ if report.run.interrupted => Finding::Interrupted,
        true => Finding::Found,
        false => Finding::None,
    }
}

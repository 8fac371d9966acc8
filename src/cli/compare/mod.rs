//! `lmcache-trace compare`: replay a trace under two configurations in turn, and say what differs and how sure that is.
//!
//! * This file: the flags, and the order of things. Everything that can be wrong (flags, gate, baseline, trace, outputs)
//!   is found before the first run.
//! * [`configuration`]: `--a` and `--b`; [`parts`]: whether both have something to play, and the same.
//! * [`series`]: all runs; [`child`]: one of them.
//! * [`report`]: the results in one value; [`terminal`] and [`json`] render it. [`numbers`] and [`table`]: the forms of both.

mod child;
mod configuration;
mod json;
mod numbers;
mod parts;
mod report;
mod series;
mod table;
mod terminal;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};

use super::exit::{Finding, print_error, print_note, print_warning};
use super::files::{check_apart, check_writable, write_whole};
use super::options::ReportArgs;
use super::output;
use super::replay::extent;
use super::signals::stop_on_interrupt;
use crate::compare::baseline::MAX_RUNS;
use crate::compare::{
    Baseline, CheckResult, Gate, Judgement, Metric, TraceIdentity, Verdict, catalogue, least_runs,
};
use crate::error::{Error, Result};
use crate::os::host;
use crate::replay::traces::check_level;
use crate::replay::{StopFlag, TraceExtent};
use crate::trace::{ReadMode, Trace};

use configuration::Configuration;
use report::CompareReport;
use series::Series;
use table::Paint;

const EXAMPLES: &str = "\
Examples:
  lmcache-trace compare server.lct \\
      --a '--l1-size-gb 4 --eviction-policy LRU' \\
      --b '--l1-size-gb 4 --eviction-policy ARC'
  lmcache-trace compare server.lct --aa \\
      --a '--l1-size-gb 4 --eviction-policy LRU'
  lmcache-trace compare server.lct --save-baseline main.json \\
      --a '--l1-size-gb 4 --eviction-policy LRU --asap'
  lmcache-trace compare server.lct --gate gate.json \\
      --a '--l1-size-gb 4 --eviction-policy LRU --asap'

A gate is a file such as
  {\"metrics\": {\"submit_prefetch_task.p99\": {\"max_increase_percent\": 10},
               \"chunk_hit_rate\": {\"max_decrease\": 0.005}},
   \"baseline\": \"main.json\"}
Without a baseline its limits are for B against A.
docs/compare.md has all of it.

All of it takes (2 x runs + warmup) x the trace at its pace.

Exit codes:
  0    fine
  1    a limit of the gate is broken, or --aa found a difference
  2    wrong usage, a run that failed, or no verdict
  130  interrupted";

/// Runs of each configuration, unless it is said: two more than are needed at the least, so that one pair that says
/// the opposite does not decide.
const DEFAULT_RUNS: u64 = 10;

/// Arguments of `compare`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompareArgs {
    /// A trace of level "storage"
    #[arg(value_name = "TRACE")]
    trace: PathBuf,
    /// The configuration that is compared against: flags of `replay`, in one argument
    #[arg(long, value_name = "FLAGS", allow_hyphen_values = true)]
    a: String,
    /// The configuration that is compared with it
    #[arg(long, value_name = "FLAGS", allow_hyphen_values = true, conflicts_with = "aa")]
    b: Option<String>,
    /// Compare A with itself: the noise of this machine
    #[arg(long)]
    aa: bool,
    /// How often each configuration is run. A confidence of 0.99 takes 8 at the least; noise that is twice as large takes
    /// four times as many
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RUNS,
          value_parser = RangedU64ValueParser::<u64>::new().range(1..=MAX_RUNS as u64))]
    runs: u64,
    /// Runs of A before those that count: they fill the page cache
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = RangedU64ValueParser::<u64>::new().range(0..=100))]
    warmup: u64,
    /// How sure it is to be that nothing is found where nothing is, over all metrics together
    #[arg(long, value_name = "SHARE", default_value_t = 0.99, value_parser = parse_confidence)]
    confidence: f64,
    /// Judge by the limits in FILE; exit with 1 if one is broken
    #[arg(long, value_name = "FILE")]
    gate: Option<PathBuf>,
    /// Keep the runs of B, or of A where there is no B, in FILE, for a gate to compare with
    #[arg(long, value_name = "FILE")]
    save_baseline: Option<PathBuf>,
    /// What the report looks like
    #[arg(long, value_enum, default_value_t = CompareFormat::Terminal)]
    format: CompareFormat,
    /// Read the trace into memory instead of mapping it; see `replay --help`
    #[arg(long)]
    no_mmap: bool,
    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CompareFormat {
    /// A table, for people
    Terminal,
    /// One object, for programs
    Json,
}

/// Everything that is known before the first run.
struct Plan {
    catalogue: Vec<Metric>,
    a: Configuration,
    b: Option<Configuration>,
    gate: Option<Gate>,
    baseline: Option<Baseline>,
    identity: TraceIdentity,
    extent: TraceExtent,
}

impl Plan {
    /// What a baseline is compared with, and made of: B, or A where there is no B.
    fn candidate(&self) -> &Configuration {
        self.b.as_ref().unwrap_or(&self.a)
    }
}

impl CompareArgs {
    /// Runs and compares.
    ///
    /// # Errors
    /// If the flags contradict each other, a file cannot be read or written, or a run fails.
    pub(super) fn run(self) -> Result<Finding> {
        let plan = self.plan()?;
        let stop = StopFlag::default();
        stop_on_interrupt(&stop)?;
        let series = Series {
            trace: &self.trace,
            is_buffered: self.no_mmap,
            a: &plan.a,
            b: plan.b.as_ref(),
            runs: self.runs as usize,
            warmup: self.warmup as usize,
            is_quiet: self.report.quiet,
        };
        if !self.report.quiet {
            let of_b = plan.b.as_ref().map(|b| (b, self.runs));
            let sides: Vec<_> = of_b.into_iter().chain([(&plan.a, self.runs + self.warmup)]).collect();
            parts::announce(&sides, &plan.extent);
        }
        let measured = series.run(&plan.catalogue, &stop)?;
        if !self.report.quiet {
            measured.warn();
        }
        let report = CompareReport::new(&self, &plan, measured);
        if !self.report.quiet {
            report.warnings().iter().for_each(|sentence| print_warning(sentence));
        }
        let saved = self.save_baseline(&plan, &report);
        saved.and(self.deliver(&report)).map(|()| self.finding(&report))
    }

    fn plan(&self) -> Result<Plan> {
        let is_quiet = self.report.quiet;
        let catalogue = catalogue();
        let a = Configuration::read("--a", &self.a, is_quiet)?;
        let b = self.b.as_ref().map(|flags| Configuration::read("--b", flags, is_quiet)).transpose()?;
        let b = if self.aa { Some(a.clone()) } else { b };
        let gate = self.gate.as_deref().map(|path| read_gate(path, &catalogue)).transpose()?;
        let baseline = match (&self.gate, gate.as_ref().and_then(|gate| gate.baseline.as_ref())) {
            (Some(gate_path), Some(name)) => Some(read_baseline(gate_path, name)?),
            _ => None,
        };
        self.check_runs(b.is_some(), gate.is_some(), baseline.as_ref())?;
        let outputs: Vec<&Path> =
            self.report.files().into_iter().chain(self.save_baseline.as_deref()).collect();
        let gates: Vec<&Path> = std::iter::once(self.trace.as_path()).chain(self.gate.as_deref()).collect();
        check_apart(&outputs, &gates)?;
        outputs.iter().try_for_each(|path| check_writable(path))?;
        let (identity, extent) = self.check_trace(&a, b.as_ref())?;
        if let Some(b) = &b {
            parts::check_alike(&a, b, gate.is_some(), is_quiet)?;
        }
        let plan = Plan { catalogue, a, b, gate, baseline, identity, extent };
        if let Some(baseline) = &plan.baseline {
            baseline.check_trace(&plan.identity)?;
            parts::check_baseline(baseline, plan.candidate())?;
        }
        Ok(plan)
    }

    /// Refuses comparisons with nothing, and those that could not find anything.
    fn check_runs(&self, has_b: bool, has_gate: bool, baseline: Option<&Baseline>) -> Result<()> {
        if !has_b && baseline.is_none() {
            if has_gate {
                return Err(Error::invalid("the gate has nothing to compare A with")
                    .with_hint("give --b FLAGS, or name a \"baseline\" in the gate"));
            }
            if self.save_baseline.is_none() {
                return Err(Error::invalid("there is nothing to compare A with").with_hint(
                    "give --b FLAGS, or --aa for the noise of this machine, or --gate FILE with a baseline",
                ));
            }
        }
        let least = least_runs(self.confidence);
        if (self.runs as usize) < least {
            return Err(Error::invalid(format!("so few runs get no verdict: {least} of each are needed"))
                .with_context("runs", self.runs)
                .with_context("confidence", self.confidence)
                .with_hint("give more --runs, or a lower --confidence"));
        }
        match baseline.map(Baseline::runs).filter(|runs| *runs < least) {
            None => Ok(()),
            Some(runs) => Err(Error::invalid("the baseline has too few runs")
                .with_context("runs", runs)
                .with_context("least", least)
                .with_context("confidence", self.confidence)
                .with_hint("save a new one with more --runs, or give a lower --confidence")),
        }
    }

    /// Opens the trace, looks at all of it, and makes sure that both configurations have something to play.
    fn check_trace(
        &self,
        a: &Configuration,
        b: Option<&Configuration>,
    ) -> Result<(TraceIdentity, TraceExtent)> {
        if self.trace == Path::new("-") {
            return Err(Error::invalid("a trace that is replayed more than once has to be a file")
                .with_hint("save what comes through the pipe to a file first"));
        }
        let trace = Trace::open(&self.trace, ReadMode::buffered())?;
        check_level(&trace)?;
        let keys = trace.key_table()?;
        let extent = extent(&trace, keys.as_ref(), self.report.quiet);
        parts::check_calls('A', a, &trace, keys.as_ref())?;
        b.map_or(Ok(()), |b| parts::check_calls('B', b, &trace, keys.as_ref()))?;
        let identity = TraceIdentity {
            records: extent.records,
            recorded_digest: trace.sm_config_digest().to_owned(),
            duration_s: Some(extent.duration_s),
        };
        Ok((identity, extent))
    }

    /// Keeps the runs of B, or of A where there is no B.
    fn save_baseline(&self, plan: &Plan, report: &CompareReport<'_>) -> Result<()> {
        let Some(path) = &self.save_baseline else { return Ok(()) };
        if report.is_interrupted {
            print_warning("no baseline is saved: the comparison was interrupted");
            return Ok(());
        }
        // It may be the one that was judged by: what is worse would be the measure from now on.
        if report.judgement.as_ref().is_some_and(|judgement| judgement.verdict != Verdict::Passed) {
            print_warning("no baseline is saved: the gate did not pass");
            return Ok(());
        }
        let runs = if plan.b.is_some() { &report.b } else { &report.a };
        let (host, flags) = (host::host_name(), &plan.candidate().flags);
        let baseline = Baseline::new(&plan.catalogue, runs, &plan.identity, flags, host);
        write_whole(path, baseline.to_json().as_bytes())?;
        if !self.report.quiet {
            print_note(&format!("{} runs are kept in {}", baseline.runs(), path.display()));
        }
        Ok(())
    }

    /// Writes the report: to a file without colours, to a terminal with them.
    fn deliver(&self, report: &CompareReport<'_>) -> Result<()> {
        if self.format == CompareFormat::Json {
            return output::deliver(&self.report, &json::render(report));
        }
        let to_file = self.report.output.as_deref().map_or(Ok(()), |path| {
            write_whole(path, terminal::render(report, Paint::Plain, output::PIPED_WIDTH).as_bytes())
        });
        let paint = match std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
            true => Paint::Colours,
            false => Paint::Plain,
        };
        let to_stdout = match self.report.quiet {
            true => Ok(()),
            false => output::print(&terminal::render(report, paint, output::width())),
        };
        to_file.and(to_stdout)
    }

    /// How it ended. What the table does not show is said on standard error.
    fn finding(&self, report: &CompareReport<'_>) -> Finding {
        if report.is_interrupted {
            return Finding::Interrupted;
        }
        match (&report.judgement, report.is_aa) {
            (Some(judgement), _) => {
                let is_shown = self.format == CompareFormat::Terminal && !self.report.quiet;
                match judged(report, judgement, is_shown) {
                    Finding::None if report.is_aa && report.counts().all() > 0 => Finding::Found,
                    finding => finding,
                }
            }
            (None, true) if report.counts().all() > 0 => Finding::Found,
            (None, _) => Finding::None,
        }
    }
}

fn parse_confidence(text: &str) -> Result<f64, String> {
    let confidence: Option<f64> = text.parse().ok().filter(|share| (0.8..=0.999).contains(share));
    confidence.ok_or_else(|| "must be a share from 0.8 to 0.999".to_owned())
}

fn read_gate(path: &Path, catalogue: &[Metric]) -> Result<Gate> {
    let named = |error: Error| error.with_context("path", path.display());
    let text =
        std::fs::read_to_string(path).map_err(|error| named(Error::io("cannot read the gate", error)))?;
    Gate::from_json(&text, catalogue).map_err(named)
}

/// The baseline that a gate names, from the gate's own folder.
fn read_baseline(gate: &Path, name: &str) -> Result<Baseline> {
    let path = gate.parent().unwrap_or(Path::new("")).join(name);
    let named = |error: Error| error.with_context("path", path.display());
    let text = std::fs::read_to_string(&path).map_err(|error| {
        named(Error::io("cannot read the baseline of the gate", error)).with_hint(
            "make it by `lmcache-trace compare TRACE --a 'FLAGS' --save-baseline FILE`, on the machine that will compare",
        )
    })?;
    Baseline::from_json(&text).map_err(named)
}

fn judged(report: &CompareReport<'_>, judgement: &Judgement, is_shown: bool) -> Finding {
    match judgement.verdict {
        Verdict::Passed => Finding::None,
        Verdict::Refused => {
            for refusal in &judgement.refusals {
                let error = Error::invalid(format!("there is no verdict: {}", refusal.reason));
                print_error(&match refusal.hint {
                    Some(hint) => error.with_hint(hint),
                    None => error,
                });
            }
            Finding::Failed
        }
        Verdict::Failed => {
            let broken = judgement.checks.iter().filter(|check| check.result == CheckResult::Broken);
            for check in broken.filter(|_| !is_shown) {
                let (limit, change) = terminal::told(report.catalogue, check);
                print_error(&Error::invalid(format!(
                    "the gate is broken: {} {change}, {limit}",
                    check.metric
                )));
            }
            Finding::Found
        }
    }
}

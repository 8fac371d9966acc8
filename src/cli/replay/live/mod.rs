//! What is shown and written while a replay runs.
//!
//! * [`lines`]: a line per record. [`jsonl`]: an object per record. [`perfetto`]: a timeline. The last two are
//!   [`stream`]s, which fail without ending the replay.
//! * [`pulse`]: how it is going; [`bar`] shows that to people, [`progress_json`] to programs.
//!
//! All of it happens on the observer's thread. Whoever kills the process loses what was written in the last moments
//! alone. A file that cannot be written any more (a full disk) does not end the replay: it is said at once, the replay
//! goes on, and the command fails at its end.

mod bar;
mod jsonl;
mod lines;
mod perfetto;
mod progress_json;
mod pulse;
mod stream;

use std::io::Write;
use std::path::Path;

use crate::clock::{NS_PER_S, monotonic_ns};
use crate::error::Result;
use crate::format::model::Op;
use crate::replay::selection::LeftOut;
use crate::replay::{LiveView, Outcome, RecordName, ReplayObserver, ReplayRun, Timeline, TraceExtent};
use crate::sync::Arc;

use bar::{Bar, DRAWS_PER_S};
use jsonl::JsonLines;
use lines::Lines;
use perfetto::PerfettoFile;
use pulse::Pulse;

/// Nanoseconds of a millisecond.
const NS_PER_MS: u64 = 1_000_000;

/// How often the storage manager is looked at where that makes a picture.
const SAMPLE_EVERY_NS: u64 = NS_PER_MS;

/// While records come without a pause, the clock is looked at after as many of them.
const LOOK_EVERY_RECORDS: u32 = 16;

/// Where a line per record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinesTo {
    /// Nowhere.
    Nowhere,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How people or programs are told how far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not at all.
    Nothing,
    /// The live view of a terminal.
    Bar,
    /// An object a second.
    Json,
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct LiveOptions<'a> {
    /// The file with an object per record.
    pub(super) jsonl: Option<&'a Path>,
    /// The file with the timeline for Perfetto.
    pub(super) perfetto: Option<&'a Path>,
    /// Whether a [`Timeline`] is wanted.
    pub(super) timeline: bool,
    pub(super) lines: LinesTo,
    pub(super) progress: Progress,
    /// How long the replay takes, in seconds; nothing if it goes as fast as it can, or nobody knows.
    pub(super) paced_s: Option<f64>,
    /// What turns out not to be replayed.
    pub(super) left_out: &'a Arc<LeftOut>,
    /// What the trace is called.
    pub(super) trace_name: &'a str,
}

/// What is left when the replay has ended.
pub(super) struct LiveResults {
    /// Whether each file is whole; the error of the first that is not.
    pub(super) files: Result<()>,
    /// The timeline, if it was wanted.
    pub(super) timeline: Option<Timeline>,
}

/// Everything live; each part may be absent.
pub(super) struct LiveOutput {
    names: QualifiedNames,
    lines: Option<Lines>,
    jsonl: Option<JsonLines>,
    perfetto: Option<PerfettoFile>,
    timeline: Option<Box<Timeline>>,
    teller: Option<Teller>,
    sampler: Option<Sampler>,
    /// Records since the clock was looked at.
    unlooked_records: u32,
}

/// Looks at the storage manager now and then.
struct Sampler {
    view: LiveView,
    every_ns: u64,
    due_ns: u64,
}

/// Tells how the replay is going, now and then.
struct Teller {
    pulse: Pulse,
    form: TellerForm,
    due_ns: u64,
}

enum TellerForm {
    Bar(Bar),
    Json,
}

impl LiveOutput {
    /// Opens the files and starts the live view, where wanted.
    pub(super) fn open(options: &LiveOptions<'_>, extent: &TraceExtent, view: LiveView) -> Result<Self> {
        let lines_to: Option<Box<dyn Write>> = match options.lines {
            LinesTo::Nowhere => None,
            LinesTo::Stdout => Some(Box::new(std::io::stdout())),
            LinesTo::Stderr => Some(Box::new(std::io::stderr())),
        };
        let jsonl = options.jsonl.map(JsonLines::create).transpose()?;
        let perfetto = |path| PerfettoFile::create(path, options.trace_name, view.totals());
        let perfetto = options.perfetto.map(perfetto).transpose()?;
        let timeline = options.timeline.then(Box::<Timeline>::default);
        let teller = Teller::start(options, extent);
        let every_ns = match (timeline.is_some() || perfetto.is_some(), teller.is_some()) {
            (true, _) => Some(SAMPLE_EVERY_NS),
            (false, true) => Some(NS_PER_S / u64::from(DRAWS_PER_S)),
            (false, false) => None,
        };
        Ok(Self {
            names: QualifiedNames::default(),
            lines: lines_to.map(|out| Lines::new(extent.records, out)),
            jsonl,
            perfetto,
            timeline,
            teller,
            sampler: every_ns.map(|every_ns| Sampler { view, every_ns, due_ns: 0 }),
            // At the first record, too: a short replay has few.
            unlooked_records: LOOK_EVERY_RECORDS,
        })
    }

    /// Finishes what is open, after `run`.
    pub(super) fn close(mut self, run: &ReplayRun) -> LiveResults {
        let now_ns = monotonic_ns();
        self.sample(now_ns);
        if let Some(teller) = self.teller.take() {
            teller.end(now_ns, run.interrupted);
        }
        if let Some(mut lines) = self.lines.take() {
            lines.flush();
        }
        let jsonl = self.jsonl.take().map_or(Ok(()), JsonLines::close);
        let view = self.sampler.take().map(|sampler| sampler.view);
        let perfetto = match (self.perfetto.take(), view) {
            (Some(perfetto), Some(view)) => {
                perfetto.close(run.unobserved_records, view.totals().unwatched_prefetches())
            }
            _ => Ok(()),
        };
        let mut timeline = self.timeline.map(|timeline| *timeline);
        if let Some(timeline) = &mut timeline {
            timeline.end_at(run.duration_ns);
        }
        LiveResults { files: jsonl.and(perfetto), timeline }
    }

    /// Does what is due.
    fn look(&mut self, now_ns: u64) {
        self.unlooked_records = 0;
        if self.sampler.as_ref().is_some_and(|sampler| sampler.due_ns <= now_ns) {
            self.sample(now_ns);
        }
        if let Some(teller) = &mut self.teller {
            teller.tell_if_due(now_ns);
        }
    }

    fn sample(&mut self, now_ns: u64) {
        let Some(sampler) = &mut self.sampler else { return };
        sampler.due_ns = now_ns + sampler.every_ns;
        let sample = sampler.view.sample();
        if let Some(timeline) = &mut self.timeline {
            timeline.sample(now_ns, &sample);
        }
        if let Some(perfetto) = &mut self.perfetto {
            perfetto.sample(now_ns, &sample);
        }
        if let Some(teller) = &mut self.teller {
            teller.pulse.sample = sample;
        }
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
        if let Some(perfetto) = &mut self.perfetto {
            perfetto.record(outcome);
        }
        if let Some(timeline) = &mut self.timeline {
            timeline.record(outcome);
        }
        if let Some(teller) = &mut self.teller {
            teller.pulse.record(outcome);
        }
        self.unlooked_records += 1;
        if self.unlooked_records >= LOOK_EVERY_RECORDS {
            self.look(monotonic_ns());
        }
    }

    fn wants_records(&self) -> bool {
        let is_written = self.lines.is_some() || self.jsonl.is_some() || self.perfetto.is_some();
        is_written || self.timeline.is_some() || self.teller.is_some()
    }

    fn tick(&mut self) {
        let now_ns = monotonic_ns();
        self.look(now_ns);
        if let Some(lines) = &mut self.lines {
            lines.flush();
        }
        if let Some(jsonl) = &mut self.jsonl {
            jsonl.flush_if_due(now_ns);
        }
        if let Some(perfetto) = &mut self.perfetto {
            perfetto.flush_if_due(now_ns);
        }
    }
}

impl Teller {
    fn start(options: &LiveOptions<'_>, extent: &TraceExtent) -> Option<Self> {
        let form = match options.progress {
            Progress::Nothing => return None,
            Progress::Bar => TellerForm::Bar(Bar::start()),
            Progress::Json => TellerForm::Json,
        };
        let now_ns = monotonic_ns();
        // Programs get their first line after a second, people theirs at once.
        let due_ns = if matches!(form, TellerForm::Json) { now_ns + NS_PER_S } else { now_ns };
        let pulse = Pulse::new(now_ns, extent, options.paced_s, Arc::clone(options.left_out));
        Some(Self { pulse, form, due_ns })
    }

    fn tell_if_due(&mut self, now_ns: u64) {
        if now_ns < self.due_ns {
            return;
        }
        let beat = self.pulse.beat(now_ns);
        match &self.form {
            TellerForm::Bar(bar) => {
                bar.draw(&beat, &self.pulse);
                self.due_ns = now_ns + NS_PER_S / u64::from(DRAWS_PER_S);
            }
            TellerForm::Json => {
                progress_json::print(&beat, &self.pulse, false);
                // From the moment at which it was due: the lines keep the seconds.
                self.due_ns += NS_PER_S * ((now_ns - self.due_ns) / NS_PER_S + 1);
            }
        }
    }

    fn end(mut self, now_ns: u64, is_interrupted: bool) {
        let beat = self.pulse.last_beat(now_ns, is_interrupted);
        match self.form {
            TellerForm::Bar(bar) => bar.clear(),
            TellerForm::Json => progress_json::print(&beat, &self.pulse, true),
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

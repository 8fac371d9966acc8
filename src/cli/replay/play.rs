//! One replay, from its first thread to its report: who is started before whom, and who looks on.

use std::path::PathBuf;

use super::live::{LiveOptions, LiveOutput, Progress};
use super::namespace::NamespaceReport;
use super::pacing::{Pacing, Part};
use super::recording::Recording;
use super::report::{Delivered, ReplayReport};
use super::{ReplayArgs, telemetry, warnings};
use crate::error::Result;
use crate::format::native::KeyTable;
use crate::os::affinity::ReservedCpu;
use crate::replay::copies::{Looped, Tenants};
use crate::replay::manager_target::ManagerTarget;
use crate::replay::selection::{LeftOut, Selected};
use crate::replay::telemetry::Prepared;
use crate::replay::{
    LiveView, Pace, RecordedOutcomes, ReplayOptions, StopFlag, TimedRecord, Timeline, TraceExtent,
    TraceSource, replay,
};
use crate::storage::config::StorageManagerConfig;
use crate::storage::l2::namespace::Namespace;
use crate::sync::Arc;
use crate::trace::Trace;

/// A trace, and what of it is replayed.
pub(super) struct Replayed<'a> {
    pub(super) trace: &'a Trace,
    pub(super) keys: Option<&'a KeyTable<'a>>,
    pub(super) extent: TraceExtent,
    pub(super) part: Part,
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
}

/// Who looks on while a replay runs, ready to.
pub(super) struct Lookers {
    pub(super) progress: Progress,
    pub(super) telemetry: Prepared,
}

/// What is there after a replay.
pub(super) struct Played {
    pub(super) report: ReplayReport,
    /// Whether what was to be written while the replay ran could be.
    pub(super) files: Result<()>,
    /// For the page, if one is wanted.
    pub(super) timeline: Option<Timeline>,
}

/// What is shown and written while the replay runs.
fn open_live(
    args: &ReplayArgs,
    replayed: &Replayed<'_>,
    pace: Pace,
    progress: Progress,
    view: LiveView,
) -> Result<LiveOutput> {
    let expected = replayed.part.expected(&replayed.extent, pace);
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
pub(super) fn play(
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
    warnings::about_what_is_given_up(&targets[0]);
    let mut live = open_live(args, replayed, options.pace, progress, targets[0].live_view())?;
    let record = |path: &PathBuf| Recording::start(path, targets[0].manager(), config);
    let recording = args.record.as_ref().map(record).transpose()?;
    let is_any_port = telemetry.is_any_port();
    let mut telemetry = telemetry.start(targets[0].manager())?;
    telemetry::announce(&telemetry, args.report.quiet, is_any_port);
    if !args.report.quiet {
        warnings::about_the_environment();
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

//! One replay, from its first thread to its report: who is started before whom, and who looks on.

use std::path::PathBuf;

use super::live::{LiveOptions, LiveOutput, Progress};
use super::namespace::NamespaceReport;
use super::pacing::{Pacing, Part};
use super::recording::Recording;
use super::report::{Delivered, ReplayReport};
use super::traces::Nodes;
use super::{ReplayArgs, telemetry, warnings};
use crate::error::Result;
use crate::os::affinity::ReservedCpu;
use crate::replay::copies::{Looped, Tenants};
use crate::replay::manager_target::ManagerTarget;
use crate::replay::nodes::Merged;
use crate::replay::selection::{LeftOut, Selected};
use crate::replay::telemetry::Prepared;
use crate::replay::{
    LiveView, Pace, RecordSource, RecordedOutcomes, ReplayOptions, StopFlag, Timeline, TraceExtent,
    TraceSource, replay,
};
use crate::storage::config::StorageManagerConfig;
use crate::storage::l2::namespace::Namespace;
use crate::sync::Arc;

/// The traces, and what of them is replayed.
pub(super) struct Replayed<'a> {
    pub(super) nodes: Nodes<'a>,
    /// How much there is in all of them.
    pub(super) extent: TraceExtent,
    pub(super) part: Part,
}

impl Replayed<'_> {
    /// Whether a record that is replayed is known to be one of a trace: copies, and records of several nodes, are numbered as
    /// they come.
    fn is_numbered_as_recorded(&self) -> bool {
        self.part.copies() == 1 && self.nodes.0.len() == 1
    }

    /// Their records, as they are replayed.
    fn source(&self, left_out: &Arc<LeftOut>, recorded: &Arc<RecordedOutcomes>) -> impl RecordSource + Send {
        let open = move || {
            let sources = self.nodes.0.iter().map(|node| {
                let source = TraceSource::of(node.trace, node.keys);
                // Calls of several nodes can have the same number in the same thread.
                let source = match self.nodes.0.len() {
                    1 => source.with_completions(Arc::clone(recorded)),
                    _ => source,
                };
                (source, node.begins_s)
            });
            let source = Merged::new(sources);
            let (selection, left_out) = (self.part.selection.clone(), Arc::clone(left_out));
            Selected::new(source, selection, left_out, self.extent.records)
        };
        Tenants::new(Looped::new(open, self.part.loops), self.part.tenants)
    }

    /// Whether the replay takes as long as expected: at a rate only if it is known how many records there will be.
    fn is_duration_known(&self, pace: Pace) -> bool {
        pace.follows_the_trace() || (pace != Pace::Asap && self.part.selection.is_everything())
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
    left_out: &Arc<LeftOut>,
    view: LiveView,
) -> Result<LiveOutput> {
    let expected = replayed.part.expected(&replayed.extent, pace);
    let trace_name = replayed.nodes.name();
    let options = LiveOptions {
        jsonl: args.jsonl_out.as_deref(),
        perfetto: args.perfetto.as_deref(),
        timeline: args.html.is_some(),
        lines: args.lines(),
        progress,
        paced_s: replayed.is_duration_known(pace).then_some(expected.duration_s),
        left_out,
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
    let left_out = Arc::new(LeftOut::of_copies(replayed.part.tenants));
    let mut live = open_live(args, replayed, options.pace, progress, &left_out, targets[0].live_view())?;
    let record = |path: &PathBuf| Recording::start(path, targets[0].manager(), config);
    let recording = args.record.as_ref().map(record).transpose()?;
    let is_any_port = telemetry.is_any_port();
    let mut telemetry = telemetry.start(targets[0].manager())?;
    telemetry::announce(&telemetry, args.report.quiet, is_any_port);
    if !args.report.quiet {
        warnings::about_the_environment(options.order);
        if options.pace.follows_the_trace() {
            replayed.nodes.warn_of_gaps();
        }
    }
    let options = ReplayOptions { dispatcher_cpu, ..options };
    let recorded = Arc::new(RecordedOutcomes::new(replayed.is_numbered_as_recorded()));
    targets.iter_mut().for_each(|target| target.compare_with(Arc::clone(&recorded)));
    let mut observer = (&mut live, telemetry.spans());
    let run = replay(replayed.source(&left_out, &recorded), &mut targets, &options, stop, &mut observer)?;
    drop(observer);
    let results = live.close(&run);
    telemetry.keep_gauges();
    let totals = ManagerTarget::close_all(targets)?;
    let (recording, telemetry) = (recording.map(Recording::close), telemetry.close());
    let l2_namespace = NamespaceReport::close(namespace);
    let report = ReplayReport::new(&replayed.nodes, replayed.extent, config, run, totals);
    let delivered = Delivered {
        pacing,
        part: replayed.part.clone(),
        left_out_records: left_out.records(),
        left_out_keys: left_out.keys(),
    };
    let report = ReplayReport { recording, telemetry, delivered: Some(delivered), l2_namespace, ..report };
    Ok(Played { report, files: results.files, timeline: results.timeline })
}

//! One replay, from its first thread to its report: who is started before whom, and who looks on.

use std::path::PathBuf;

use super::live::{LiveOptions, LiveOutput, Progress};
use super::namespace::NamespaceReport;
use super::pacing::Pacing;
use super::recording::Recording;
use super::report::{Delivered, ReplayReport};
use super::{ReplayArgs, telemetry, warnings};
use crate::error::Result;
use crate::replay::selection::LeftOut;
use crate::replay::session::{Replayed, Session};
use crate::replay::telemetry::Prepared;
use crate::replay::{LiveView, Pace, StopFlag, Timeline};
use crate::storage::config::StorageManagerConfig;
use crate::sync::Arc;

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
    let mode = args.namespace.l2_namespace;
    let mut session = Session::start(replayed, options, workers, config, mode)?;
    warnings::about_what_is_given_up(session.manager());
    let left_out = Arc::clone(session.left_out());
    let mut live = open_live(args, replayed, options.pace, progress, &left_out, session.live_view())?;
    let record = |path: &PathBuf| Recording::start(path, session.manager(), config);
    let recording = args.record.as_ref().map(record).transpose()?;
    let is_any_port = telemetry.is_any_port();
    let mut telemetry = telemetry.start(session.manager())?;
    telemetry::announce(&telemetry, args.report.quiet, is_any_port);
    if !args.report.quiet {
        warnings::about_the_environment(options.order);
        if options.pace.follows_the_trace() {
            warnings::about_gaps(&replayed.nodes);
        }
    }
    let mut observer = (&mut live, telemetry.spans());
    let run = session.run(replayed, stop, &mut observer)?;
    drop(observer);
    let results = live.close(&run);
    telemetry.keep_gauges();
    let (totals, namespace) = session.close()?;
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

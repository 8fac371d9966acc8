//! Everything that a replay has to say, before anybody renders it.

use super::namespace::NamespaceReport;
use super::pacing::Pacing;
use super::recording::RecordingReport;
use crate::replay::latency::HitRate;
use crate::replay::session::Part;
use crate::replay::telemetry::TelemetryReport;
use crate::replay::traces::{NodeReport, Nodes};
use crate::replay::{
    AccountSummary, AnswerSummary, FailedEviction, L2Totals, ManagerTotals, PinnedL1, ReplayRun,
    StorageTotals, TraceExtent,
};
use crate::storage::config::{ConfigDifference, StorageManagerConfig, differences};
use crate::storage::l2::AdapterStatus;

/// The results of one replay.
#[derive(Clone, Debug)]
pub(super) struct ReplayReport {
    /// The level of the trace.
    pub(super) level: String,
    /// How much there was to replay.
    pub(super) extent: TraceExtent,
    /// The traces one by one, if there are several.
    pub(super) nodes: Vec<NodeReport>,
    /// What the dispatcher did.
    pub(super) run: ReplayRun,
    /// What the storage manager answered.
    pub(super) totals: StorageTotals,
    /// When it answered prefetches.
    pub(super) answers: AnswerSummary,
    /// The L1s that could not evict.
    pub(super) failed_evictions: Vec<FailedEviction>,
    /// The L1s that are pinned, or were to be.
    pub(super) pinned_l1s: Vec<PinnedL1>,
    /// What became of the objects in L2.
    pub(super) l2: L2Totals,
    /// Bytes, times of L2, why something was missed, what the trace says of its calls.
    pub(super) account: AccountSummary,
    /// How many tokens a chunk has, if the recorded configuration says so.
    pub(super) chunk_tokens: Option<u64>,
    /// The digest in the trace; empty if the recorder was given no configuration.
    pub(super) recorded_digest: String,
    /// The digest of this replay's configuration.
    pub(super) replay_digest: String,
    /// Why the two differ.
    pub(super) differences: Vec<ConfigDifference>,
    /// How the recording of the replay went, if there is one.
    pub(super) recording: Option<RecordingReport>,
    /// What monitoring systems were told.
    pub(super) telemetry: TelemetryReport,
    /// The adapters' places in L2.
    pub(super) l2_namespace: NamespaceReport,
    /// How it was replayed.
    pub(super) delivered: Option<Delivered>,
    /// In causal order: how often L2 was not done in time.
    pub(super) unsettled_calls: u64,
}

/// How a trace was replayed, and what of it was not.
#[derive(Clone, Debug)]
pub(super) struct Delivered {
    pub(super) pacing: Pacing,
    pub(super) part: Part,
    /// Records that the flags left out, in all loops.
    pub(super) left_out_records: u64,
    /// Keys that they left out of records that were replayed.
    pub(super) left_out_keys: u64,
}

impl ReplayReport {
    pub(super) fn new(
        nodes: &Nodes<'_>,
        extent: TraceExtent,
        config: &StorageManagerConfig,
        run: ReplayRun,
        totals: ManagerTotals,
    ) -> Self {
        let (recorded_digest, recorded_json) = nodes.recorded_config();
        let mut report = Self {
            level: nodes.level().to_owned(),
            extent,
            nodes: nodes.reports(),
            run,
            totals: totals.storage,
            answers: totals.answers,
            failed_evictions: totals.failed_evictions,
            pinned_l1s: totals.pinned_l1s,
            l2: totals.l2,
            account: totals.account,
            chunk_tokens: nodes.chunk_tokens(),
            recorded_digest: recorded_digest.to_owned(),
            replay_digest: config.digest(),
            differences: Vec::new(),
            recording: None,
            l2_namespace: NamespaceReport::default(),
            delivered: None,
            unsettled_calls: totals.unsettled_calls,
            telemetry: TelemetryReport::default(),
        };
        if report.is_same_config() == Some(false) {
            report.differences = differences(recorded_json, config);
        }
        report
    }

    /// Tokens that prefetches served, of those that they asked for; nothing if nobody knows how many a chunk has.
    pub(super) fn token_hit_rate(&self) -> Option<HitRate> {
        let chunks = HitRate { hits: self.totals.served_chunks, requested: self.totals.requested_chunks };
        self.chunk_tokens.map(|tokens| chunks.times(tokens))
    }

    /// The eviction passes that failed, of all L1s.
    pub(super) fn failed_eviction_passes(&self) -> u64 {
        self.failed_evictions.iter().map(|failed| failed.failed_passes).sum()
    }

    /// Whether there is an adapter that failed and did nothing else: what was measured is a replay without it.
    pub(super) fn has_dead_adapter(&self) -> bool {
        let is_dead = |(position, adapter): (usize, &AdapterStatus)| {
            let flows = self.account.adapters.iter().filter(|flow| flow.adapter_index as usize == position);
            adapter.failed_operations() > 0
                && flows.map(|flow| flow.stores.objects + flow.loads.objects).sum::<u64>() == 0
        };
        self.l2.adapters.iter().enumerate().any(is_dead)
    }

    /// Whether something failed in L2, or did not get there.
    pub(super) fn has_failures_in_l2(&self) -> bool {
        let failed = self.l2.adapters.iter().any(|adapter| adapter.failed_operations() > 0);
        failed || self.l2.lost_keys + self.l2.dropped_keys > 0
    }

    /// Whether the trace was recorded under our configuration; nothing if the trace does not say.
    pub(super) fn is_same_config(&self) -> Option<bool> {
        (!self.recorded_digest.is_empty()).then(|| self.recorded_digest == self.replay_digest)
    }
}

/// How an adapter is called: by the place of its flag, counted from 1 as in errors and warnings about the flags.
pub(super) fn adapter_name(position: usize, adapter: &AdapterStatus) -> String {
    format!("#{} ({})", position + 1, adapter.class_name)
}

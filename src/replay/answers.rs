//! When prefetches were answered.
//!
//! A prefetch that asks L2 is answered after its call has returned. On a machine that is busier or slower than the recorded
//! one it is answered later than it was there: a read that comes before the answer gets nothing, and what is
//! written meanwhile can make a hit of what was a miss. How late answers were says how far hits can be trusted.

use hdrhistogram::Histogram;

use crate::replay::lag::fixed_histogram;
use crate::storage::PrefetchHandle;

/// Collects how long prefetches took.
#[derive(Debug)]
pub(super) struct AnswerRecorder {
    histogram: Histogram<u64>,
    summary: AnswerSummary,
}

impl Default for AnswerRecorder {
    fn default() -> Self {
        Self { histogram: fixed_histogram(), summary: AnswerSummary::default() }
    }
}

impl AnswerRecorder {
    /// The result of a prefetch was asked for and not there.
    pub(super) fn asked_too_early(&mut self) {
        self.summary.early_queries += 1;
    }

    /// The result of a prefetch was there, after so many queries that came too early.
    pub(super) fn answered(&mut self, handle: &PrefetchHandle, early_queries: u64) {
        let ready_ns = handle.ready_time_ns().unwrap_or(handle.submit_time_ns);
        let taken_ns = ready_ns.saturating_sub(handle.submit_time_ns);
        self.histogram.saturating_record(taken_ns);
        self.summary.answered += 1;
        self.summary.answered_after_call += u64::from(early_queries > 0);
        self.summary.max_ns = self.summary.max_ns.max(taken_ns);
    }

    /// A prefetch was under way when the replay ended.
    pub(super) fn never_answered(&mut self) {
        self.summary.never_answered += 1;
    }

    /// Adds what another worker collected.
    pub(super) fn merge(&mut self, other: &Self) {
        self.histogram += &other.histogram;
        let (own, other) = (&mut self.summary, &other.summary);
        own.answered += other.answered;
        own.answered_after_call += other.answered_after_call;
        own.early_queries += other.early_queries;
        own.never_answered += other.never_answered;
        own.max_ns = own.max_ns.max(other.max_ns);
    }

    /// What was collected.
    pub(super) fn summary(&self) -> AnswerSummary {
        let quantile_ns = |quantile| self.histogram.value_at_quantile(quantile).min(self.summary.max_ns);
        AnswerSummary { p50_ns: quantile_ns(0.5), p99_ns: quantile_ns(0.99), ..self.summary }
    }
}

/// How long prefetches took from their submission to their result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerSummary {
    /// Prefetches whose result came.
    pub answered: u64,
    /// Of those, the ones whose result was not there yet when their call had returned.
    pub answered_after_call: u64,
    /// Times that the replay asked for a result that was not there: after the call of a prefetch, and after each call
    /// that follows, for the oldest that is under way.
    pub early_queries: u64,
    /// Prefetches whose result was not there when the replay ended. Their hits are in no count.
    pub never_answered: u64,
    /// Prefetches that the manager gave up because they took too long; they are answered, with what L1 had.
    pub timed_out: u64,
    /// Median time from submission to result, nanoseconds, to three digits.
    pub p50_ns: u64,
    /// 99th percentile, nanoseconds, to three digits.
    pub p99_ns: u64,
    /// Maximum, nanoseconds, exact.
    pub max_ns: u64,
}

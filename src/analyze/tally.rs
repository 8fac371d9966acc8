//! What one thread of a scan has counted.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::distinct::{ExactKeys, KeyCounter, Sketch, fingerprint};
use super::events::EventsTally;
use super::names::{SmallestNames, Total};
use super::scopes::{ScopeNames, ScopeTally};
use super::{CallBytes, InterArrival, Timeline};
use crate::format::lct::layout::LayoutMemo;
use crate::format::lct::walk::{KeyTotals, walk_keys};
use crate::format::lct::{Level, Value};
use crate::format::model::Op;
use crate::trace::Record;

/// The longest gap that the histogram tells from longer ones: one day.
const MAX_GAP_NS: u64 = 24 * 3600 * 1_000_000_000;

/// Everything that is counted record by record.
pub(super) struct Tally<'a> {
    level: Level,
    exact_keys: &'a ExactKeys,
    counter: KeyCounter,
    scopes: ScopeTally<'a>,
    layouts: LayoutMemo<'a>,
    totals: Totals,
}

/// The part of a tally that is added up at the end.
pub(super) struct Totals {
    pub(super) ops: [u64; Op::COUNT],
    /// Records of qualified names beside the six.
    pub(super) other_ops: SmallestNames<String, u64>,
    pub(super) records: u64,
    pub(super) skipped_frames: u64,
    pub(super) undecodable_keys: u64,
    pub(super) duration_s: f64,
    pub(super) keys: u64,
    pub(super) call_bytes: CallBytes,
    pub(super) timeline: Timeline,
    pub(super) gaps: Gaps,
    pub(super) events: EventsTally,
    pub(super) scopes: ScopeNames,
    pub(super) overflow: Option<Sketch>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(level: Level, exact_keys: &'a ExactKeys) -> Self {
        let (counter, scopes) = (KeyCounter::new(), ScopeTally::default());
        Self { level, exact_keys, counter, scopes, layouts: LayoutMemo::default(), totals: Totals::default() }
    }

    pub(super) fn skip_frame(&mut self) {
        self.totals.skipped_frames += 1;
    }

    #[inline]
    pub(super) fn add(&mut self, record: &Record<'a>) {
        let totals = &mut self.totals;
        let op = Op::from_qualname(record.qualname);
        totals.records += 1;
        match op {
            Some(op) => totals.ops[op as usize] += 1,
            None => totals.other_ops.add_text(record.qualname, 1),
        }
        if record.t_mono_s > totals.duration_s {
            totals.duration_s = record.t_mono_s;
        }
        totals.timeline.add(record.t_mono_s);
        let walked = self.add_keys(&record.args);
        match op {
            Some(op) => self.totals.call_bytes.add(op, walked),
            None if self.level == Level::Events => self.totals.events.add(record),
            None => {}
        }
    }

    /// Counts the keys of a record, up to the first value that is none. Only a record without such a value
    /// has totals.
    fn add_keys(&mut self, args: &Value<'a>) -> KeyTotals {
        let Self { exact_keys, counter, scopes, layouts, totals, .. } = self;
        let walked = walk_keys(args, layouts, |key| {
            let scope_hash = scopes.add(&key);
            counter.add(fingerprint(&key, scope_hash), exact_keys);
            totals.keys += 1;
        });
        totals.undecodable_keys += u64::from(walked.is_err());
        walked.unwrap_or_default()
    }

    pub(super) fn gaps(&mut self) -> &mut Gaps {
        &mut self.totals.gaps
    }

    pub(super) fn into_totals(self) -> Totals {
        Totals { scopes: self.scopes.into_names(), overflow: self.counter.into_overflow(), ..self.totals }
    }
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            ops: [0; Op::COUNT],
            other_ops: SmallestNames::default(),
            records: 0,
            skipped_frames: 0,
            undecodable_keys: 0,
            duration_s: 0.0,
            keys: 0,
            call_bytes: CallBytes::default(),
            timeline: Timeline::default(),
            gaps: Gaps::default(),
            events: EventsTally::default(),
            scopes: ScopeNames::default(),
            overflow: None,
        }
    }
}

impl Totals {
    /// Adds the totals of another thread.
    pub(super) fn merge(&mut self, other: Self) {
        self.ops.iter_mut().zip(other.ops).for_each(|(mine, theirs)| *mine += theirs);
        Total::add(&mut self.other_ops, other.other_ops);
        self.records += other.records;
        self.skipped_frames += other.skipped_frames;
        self.undecodable_keys += other.undecodable_keys;
        self.duration_s = self.duration_s.max(other.duration_s);
        self.keys += other.keys;
        self.call_bytes.merge(&other.call_bytes);
        self.timeline.merge(other.timeline);
        self.gaps.merge(other.gaps);
        self.events.merge(other.events);
        self.scopes.merge(other.scopes);
        match (&mut self.overflow, other.overflow) {
            (Some(mine), Some(theirs)) => mine.merge(&theirs),
            (mine, theirs) => *mine = mine.take().or(theirs),
        }
    }

    /// Takes the counts by qualified name; the six only where there are any.
    pub(super) fn take_ops(&mut self) -> BTreeMap<String, u64> {
        let known = Op::ALL.into_iter().map(|op| (op.qualname(), self.ops[op as usize]));
        let mut ops = std::mem::take(&mut self.other_ops).into_counts();
        ops.extend(known.filter(|(_, count)| *count > 0));
        ops
    }
}

/// Gaps between consecutive records.
pub(super) struct Gaps {
    histogram: Histogram<u64>,
    backward: u64,
}

impl Default for Gaps {
    fn default() -> Self {
        let histogram =
            Histogram::new_with_bounds(1, MAX_GAP_NS, 3).expect("1 ns to a day at 3 digits is a histogram");
        Self { histogram, backward: 0 }
    }
}

impl Gaps {
    /// Adds the gap between two records that follow each other.
    #[inline]
    pub(super) fn add(&mut self, earlier_s: f64, later_s: f64) {
        let gap_ns = (later_s - earlier_s) * 1e9;
        if gap_ns.is_nan() {
            return;
        }
        self.backward += u64::from(gap_ns < 0.0);
        // A cast of a double saturates: negative gaps are zero, and what is past the bound counts as the bound.
        self.histogram.saturating_record(gap_ns as u64);
    }

    fn merge(&mut self, other: Self) {
        self.histogram += other.histogram;
        self.backward += other.backward;
    }

    pub(super) fn percentiles(&self) -> InterArrival {
        let at_us = |quantile: f64| self.histogram.value_at_quantile(quantile) as f64 / 1e3;
        InterArrival {
            gaps: self.histogram.len(),
            p50_us: at_us(0.5),
            p90_us: at_us(0.9),
            p99_us: at_us(0.99),
            max_us: self.histogram.max() as f64 / 1e3,
            backward: self.backward,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_of_any_double_are_counted() {
        let mut gaps = Gaps::default();
        for (earlier_s, later_s) in
            [(0.0, 1e-6), (1.0, 0.5), (0.0, f64::INFINITY), (f64::NAN, 0.0), (0.0, 1e300)]
        {
            gaps.add(earlier_s, later_s);
        }
        let found = gaps.percentiles();
        assert_eq!((found.gaps, found.backward), (4, 1));
    }
}

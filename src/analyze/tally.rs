//! What one thread of a scan has counted.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::distinct::{ExactKeys, KeyCounter, Sketch, fingerprint};
use super::scopes::ScopeTally;
use super::{CallBytes, EventsSummary, InterArrival, ScopeSummary, Timeline};
use crate::format::lct::layout::layout_size_bytes;
use crate::format::lct::{Level, Value, WireError, for_each_key};
use crate::format::model::Op;
use crate::trace::Record;

/// Qualified names beside the six that are kept; a hostile file could have one per record.
const MAX_OTHER_QUALNAMES: usize = 1024;

/// Under which names past [`MAX_OTHER_QUALNAMES`] are counted.
const OTHER_QUALNAMES: &str = "(other names)";

/// Longer names are counted there too.
const MAX_QUALNAME_BYTES: usize = 4096;

/// The longest gap that the histogram tells from longer ones: one day.
const MAX_GAP_NS: u64 = 24 * 3600 * 1_000_000_000;

/// Everything that is counted record by record.
pub(super) struct Tally<'a> {
    level: Level,
    exact_keys: &'a ExactKeys,
    counter: KeyCounter,
    scopes: ScopeTally<'a>,
    totals: Totals,
}

/// The part of a tally that is added up at the end.
pub(super) struct Totals {
    pub(super) ops: [u64; Op::COUNT],
    pub(super) other_ops: BTreeMap<String, u64>,
    pub(super) records: u64,
    pub(super) skipped_frames: u64,
    pub(super) undecodable_keys: u64,
    pub(super) duration_s: f64,
    pub(super) keys: u64,
    pub(super) call_bytes: CallBytes,
    pub(super) timeline: Timeline,
    pub(super) gaps: Gaps,
    pub(super) events: EventsSummary,
    pub(super) scopes: ScopeSummary,
    pub(super) overflow: Option<Sketch>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(level: Level, exact_keys: &'a ExactKeys) -> Self {
        let (counter, scopes) = (KeyCounter::new(), ScopeTally::default());
        Self { level, exact_keys, counter, scopes, totals: Totals::default() }
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
            None => totals.add_other(record.qualname),
        }
        if record.t_mono_s > totals.duration_s {
            totals.duration_s = record.t_mono_s;
        }
        totals.timeline.add(record.t_mono_s);
        self.add_keys(&record.args);
        match op {
            Some(op) => self.totals.add_bytes(op, &record.args),
            None if self.level == Level::Events => self.totals.events.add(record),
            None => {}
        }
    }

    fn add_keys(&mut self, args: &Value<'a>) {
        let Self { exact_keys, counter, scopes, totals, .. } = self;
        let visited = for_each_key(args, |key| {
            let scope_hash = scopes.add(&key);
            counter.add(fingerprint(&key, scope_hash), exact_keys);
        });
        match visited {
            Ok(keys) => totals.keys += keys as u64,
            Err(_) => totals.undecodable_keys += 1,
        }
    }

    pub(super) fn gaps(&mut self) -> &mut Gaps {
        &mut self.totals.gaps
    }

    pub(super) fn into_totals(self) -> Totals {
        Totals { scopes: self.scopes.into_summary(), overflow: self.counter.into_overflow(), ..self.totals }
    }
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            ops: [0; Op::COUNT],
            other_ops: BTreeMap::new(),
            records: 0,
            skipped_frames: 0,
            undecodable_keys: 0,
            duration_s: 0.0,
            keys: 0,
            call_bytes: CallBytes::default(),
            timeline: Timeline::default(),
            gaps: Gaps::default(),
            events: EventsSummary::default(),
            scopes: ScopeSummary::default(),
            overflow: None,
        }
    }
}

impl Totals {
    fn add_other(&mut self, qualname: &str) {
        if let Some(count) = self.other_ops.get_mut(qualname) {
            *count += 1;
            return;
        }
        let is_kept = self.other_ops.len() < MAX_OTHER_QUALNAMES && qualname.len() <= MAX_QUALNAME_BYTES;
        let name = if is_kept { qualname } else { OTHER_QUALNAMES };
        *self.other_ops.entry(name.to_owned()).or_default() += 1;
    }

    /// Adds the bytes that a call covers. A call whose layout cannot be read covers none that we know of.
    fn add_bytes(&mut self, op: Op, args: &Value<'_>) {
        let (counted, bytes) = match op {
            Op::ReserveWrite => (&mut self.call_bytes.reserve_write, reserved_bytes(args)),
            Op::SubmitPrefetch => (&mut self.call_bytes.submit_prefetch_task, requested_bytes(args)),
            _ => return,
        };
        *counted = counted.saturating_add(bytes.unwrap_or(0));
    }

    /// Adds the totals of another thread.
    pub(super) fn merge(&mut self, other: Self) {
        self.ops.iter_mut().zip(other.ops).for_each(|(mine, theirs)| *mine += theirs);
        for (qualname, count) in other.other_ops {
            *self.other_ops.entry(qualname).or_default() += count;
        }
        self.records += other.records;
        self.skipped_frames += other.skipped_frames;
        self.undecodable_keys += other.undecodable_keys;
        self.duration_s = self.duration_s.max(other.duration_s);
        self.keys += other.keys;
        self.call_bytes.reserve_write =
            self.call_bytes.reserve_write.saturating_add(other.call_bytes.reserve_write);
        self.call_bytes.submit_prefetch_task =
            self.call_bytes.submit_prefetch_task.saturating_add(other.call_bytes.submit_prefetch_task);
        self.timeline.merge(other.timeline);
        self.gaps.merge(other.gaps);
        self.events.merge(other.events);
        self.scopes.merge(other.scopes);
        match (&mut self.overflow, other.overflow) {
            (Some(mine), Some(theirs)) => mine.merge(&theirs),
            (mine, theirs) => *mine = mine.take().or(theirs),
        }
    }

    /// Counts by qualified name; the six only where there are any.
    pub(super) fn ops_by_qualname(&self) -> BTreeMap<String, u64> {
        let known = Op::ALL.into_iter().map(|op| (op.qualname(), self.ops[op as usize]));
        let mut ops = self.other_ops.clone();
        ops.extend(known.filter(|(_, count)| *count > 0));
        ops
    }
}

fn reserved_bytes(args: &Value<'_>) -> Result<u64, WireError> {
    let keys = args.require("keys")?.elements()?.remaining() as u64;
    Ok(keys.saturating_mul(layout_size_bytes(&args.require("layout_desc")?)?))
}

/// Bytes of a prefetch's rows. Releases before 0.5.6 have one layout for all keys of a call, or one per object
/// group in a form whose flat key list would have to be taken apart: such calls are not counted.
fn requested_bytes(args: &Value<'_>) -> Result<u64, WireError> {
    let Some(spec) = args.get(b"spec")? else { return reserved_bytes(args) };
    let mut total_bytes = 0_u64;
    for row in spec.payload_of("PrefetchTaskSpec")?.require("key_groups")?.elements()? {
        total_bytes = total_bytes.saturating_add(reserved_bytes(&row?.payload_of("GroupedObjectKeys")?)?);
    }
    Ok(total_bytes)
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
    fn qualified_names_are_kept_to_the_limit() {
        let mut totals = Totals::default();
        (0..MAX_OTHER_QUALNAMES).for_each(|number| totals.add_other(&number.to_string()));
        assert!(!totals.other_ops.contains_key(OTHER_QUALNAMES));
        totals.add_other("one past it");
        totals.add_other("0");
        assert_eq!((totals.other_ops[OTHER_QUALNAMES], totals.other_ops["0"]), (1, 2));
        totals.add_other(&"x".repeat(MAX_QUALNAME_BYTES + 1));
        assert_eq!(totals.other_ops[OTHER_QUALNAMES], 2);
    }

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

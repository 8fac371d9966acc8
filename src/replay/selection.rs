//! Which part of a trace is replayed: a stretch of time, some operations, some models, some tenants.

use crate::format::model::{KeyInterner, ObjectKey, Op, StorageCall};
use crate::replay::schedule::MAX_OFFSET_S;
use crate::replay::source::{RecordSource, Step};
use crate::replay::timed::{RecordBody, TimedRecord};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What is replayed; the default is everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Seconds from the start of the recording at which the part begins; the replay starts there.
    pub from_s: Option<f64>,
    /// Seconds from the start of the recording at which the part is over; what was made then is not in it.
    pub to_s: Option<f64>,
    /// The operations; empty for all. Records that are no calls are of none.
    pub ops: Vec<Op>,
    /// The models by their names; empty for all.
    pub models: Vec<String>,
    /// The tenants by their salts; empty for all. A trace of LMCache has no salts, which is the salt "".
    pub salts: Vec<String>,
}

/// What a selection left out, counted while records are decoded.
#[derive(Debug)]
pub struct LeftOut {
    records: AtomicU64,
    keys: AtomicU64,
    /// How often each record would have been replayed.
    copies: u64,
}

impl Default for LeftOut {
    fn default() -> Self {
        Self::of_copies(1)
    }
}

impl LeftOut {
    /// For a replay that makes so many copies of each record once it is selected.
    pub fn of_copies(copies: u32) -> Self {
        Self { records: AtomicU64::new(0), keys: AtomicU64::new(0), copies: copies.into() }
    }

    /// Records of which nothing was replayed.
    pub fn records(&self) -> u64 {
        // Relaxed, here and below: counters that order nothing.
        self.records.load(Ordering::Relaxed).saturating_mul(self.copies)
    }

    /// Keys that were left out of records of which others were replayed.
    pub fn keys(&self) -> u64 {
        self.keys.load(Ordering::Relaxed).saturating_mul(self.copies)
    }
}

impl Selection {
    /// How long the part is, of a recording of `whole_s` seconds.
    pub fn duration_s(&self, whole_s: f64) -> f64 {
        let to_s = self.to_s.map_or(whole_s, |to_s| to_s.min(whole_s));
        (to_s - self.from_s.unwrap_or(0.0)).max(0.0)
    }

    /// Whether it leaves nothing out.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Makes of a record what is selected of it, with the part's own time. False if nothing is.
    #[inline]
    pub fn select(&self, record: &mut TimedRecord, left_out: &LeftOut) -> bool {
        let is_selected = self.select_in_time(record) && self.select_body(&mut record.body, left_out);
        if !is_selected {
            left_out.records.fetch_add(1, Ordering::Relaxed);
        }
        is_selected
    }

    #[inline]
    fn select_in_time(&self, record: &mut TimedRecord) -> bool {
        let is_in = self.from_s.is_none_or(|from_s| record.t_mono_s >= from_s)
            && self.to_s.is_none_or(|to_s| record.t_mono_s < to_s);
        record.t_mono_s -= self.from_s.unwrap_or(0.0);
        is_in
    }

    #[inline]
    fn select_body(&self, body: &mut RecordBody, left_out: &LeftOut) -> bool {
        let RecordBody::Call(call) = body else {
            return self.ops.is_empty() && self.models.is_empty() && self.salts.is_empty();
        };
        let is_op = self.ops.is_empty() || self.ops.contains(&call.op());
        is_op && self.select_keys(call, left_out)
    }

    /// Takes out the keys of others. False if no key is left.
    fn select_keys(&self, call: &mut StorageCall, left_out: &LeftOut) -> bool {
        if self.models.is_empty() && self.salts.is_empty() {
            return true;
        }
        let count = |call: &StorageCall| call.key_lists().map(<[ObjectKey]>::len).sum::<usize>();
        let before = count(call);
        call.key_lists_mut().for_each(|keys| keys.retain(|key| self.is_of_ours(key)));
        if let StorageCall::SubmitPrefetch { spec, .. } = call {
            spec.key_groups.retain(|row| !row.keys.is_empty());
        }
        let after = count(call);
        if after > 0 {
            left_out.keys.fetch_add((before - after) as u64, Ordering::Relaxed);
        }
        after > 0
    }

    fn is_of_ours(&self, key: &ObjectKey) -> bool {
        let is_in = |list: &[String], name: &str| list.is_empty() || list.iter().any(|one| one == name);
        is_in(&self.models, key.scope().model_name()) && is_in(&self.salts, key.scope().cache_salt())
    }
}

/// How much later than the end of the selected part a record lies, in seconds, when nothing of the part is taken to come after it.
/// Recorders write calls in the order in which their queues are emptied.
pub const DISORDER_S: f64 = 10.0;

/// The selected records of a source.
#[derive(Debug)]
pub struct Selected<S> {
    source: S,
    selection: Selection,
    left_out: Arc<LeftOut>,
    /// Records of the source that were not read yet.
    records_left: u64,
    is_over: bool,
}

impl<S: RecordSource> Selected<S> {
    /// What `selection` takes of `source`, which has so many records; what it does not is counted. What comes [long](DISORDER_S)
    /// after the part is not read.
    pub fn new(source: S, selection: Selection, left_out: Arc<LeftOut>, records: u64) -> Self {
        Self { source, selection, left_out, records_left: records, is_over: false }
    }

    /// Whether nothing of the part comes after a record.
    fn is_last(&self, record: &TimedRecord) -> bool {
        let to_s = self.selection.to_s.unwrap_or(f64::INFINITY);
        record.t_mono_s >= to_s + DISORDER_S && record.t_mono_s <= MAX_OFFSET_S
    }
}

impl<S: RecordSource> RecordSource for Selected<S> {
    #[inline]
    fn step(&mut self, place: &mut TimedRecord, keys: &mut KeyInterner) -> Step {
        if self.is_over {
            return Step::End;
        }
        match self.source.step(place, keys) {
            Step::Record => {}
            other => return other,
        }
        self.records_left = self.records_left.saturating_sub(1);
        self.is_over = self.is_last(place);
        if self.is_over {
            // Relaxed: see `LeftOut::records`.
            self.left_out.records.fetch_add(self.records_left, Ordering::Relaxed);
        }
        match self.selection.select(place, &self.left_out) {
            true => Step::Record,
            false => Step::LeftOut,
        }
    }

    fn is_quick(&self) -> bool {
        self.source.is_quick()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::model::{ChunkHash, KeyScope};

    fn key(model: &str, salt: &str) -> ObjectKey {
        ObjectKey::new(ChunkHash::new(b"h"), Arc::new(KeyScope::new(model, 0, 0, salt).unwrap()))
    }

    fn record(t_mono_s: f64, keys: Vec<ObjectKey>) -> TimedRecord {
        TimedRecord { seq: 7, t_mono_s, body: RecordBody::Call(StorageCall::FinishWrite { keys }) }
    }

    fn selected(selection: &Selection, record: TimedRecord, left_out: &LeftOut) -> Option<TimedRecord> {
        let mut record = record;
        selection.select(&mut record, left_out).then_some(record)
    }

    fn keys_left(selection: &Selection, record: TimedRecord, left_out: &LeftOut) -> Option<usize> {
        let selected = selected(selection, record, left_out)?;
        let RecordBody::Call(call) = selected.body else { return Some(0) };
        Some(call.key_lists().map(<[ObjectKey]>::len).sum())
    }

    #[test]
    fn a_stretch_of_time_has_its_own_start_and_no_end() {
        let selection = Selection { from_s: Some(1.0), to_s: Some(2.0), ..Selection::default() };
        let left_out = LeftOut::default();
        let times = [0.9, 1.0, 1.5, 2.0, f64::NAN];
        let times = times.map(|t| selected(&selection, record(t, vec![]), &left_out).map(|one| one.t_mono_s));
        assert_eq!(times, [None, Some(0.0), Some(0.5), None, None]);
        assert_eq!(left_out.records(), 3);
        let everything = Selection::default();
        assert!(everything.is_everything() && !selection.is_everything());
        assert!(selected(&everything, record(f64::NAN, vec![]), &left_out).is_some());
    }

    #[test]
    fn a_source_ends_where_nothing_of_the_part_can_come_any_more() {
        let selection = Selection { to_s: Some(1.0), ..Selection::default() };
        let last_s = 1.0 + DISORDER_S;
        let times = [0.0, 5.0, last_s.next_down(), 0.5, f64::INFINITY, 0.9, last_s, 0.9, 0.9];
        let mut reads = 0;
        let source = times.iter().map(|t_mono_s| record(*t_mono_s, vec![])).inspect(|_| reads += 1);
        let left_out = Arc::new(LeftOut::default());
        let mut selected = Selected::new(source, selection, Arc::clone(&left_out), times.len() as u64);
        let (mut taken, mut keys, mut place) = (Vec::new(), KeyInterner::default(), TimedRecord::default());
        loop {
            match selected.step(&mut place, &mut keys) {
                Step::Record => taken.push(place.t_mono_s),
                Step::LeftOut => {}
                Step::End => break,
            }
        }
        assert_eq!(selected.step(&mut place, &mut keys), Step::End);
        drop(selected);
        assert_eq!((taken, reads, left_out.records()), (vec![0.0, 0.5, 0.9], 7, 6));
    }

    #[test]
    fn keys_of_other_models_and_tenants_are_taken_out() {
        let all = || vec![key("a", ""), key("a", "x"), key("b", "x")];
        let left_out = LeftOut::default();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut selection = Selection { models: names(&["a"]), ..Selection::default() };
        assert_eq!(keys_left(&selection, record(0.0, all()), &left_out), Some(2));
        selection.salts = names(&["", "y"]);
        assert_eq!(keys_left(&selection, record(0.0, all()), &left_out), Some(1));
        selection.models = names(&["c"]);
        assert_eq!(keys_left(&selection, record(0.0, all()), &left_out), None);
        assert_eq!(keys_left(&selection, record(0.0, vec![]), &left_out), None);
        assert_eq!((left_out.records(), left_out.keys()), (2, 3));
    }

    #[test]
    fn operations_are_chosen_and_what_is_none_is_left_out_then() {
        let selection = Selection { ops: vec![Op::ReadEnter], ..Selection::default() };
        let left_out = LeftOut::default();
        assert!(selected(&selection, record(0.0, vec![key("a", "")]), &left_out).is_none());
        let stranger = || TimedRecord { seq: 0, t_mono_s: 0.0, body: RecordBody::skipped("x", "why") };
        assert!(selected(&selection, stranger(), &left_out).is_none());
        assert!(selected(&Selection::default(), stranger(), &left_out).is_some());
    }
}

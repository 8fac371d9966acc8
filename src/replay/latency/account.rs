//! Everything that one worker notes of its calls between them, and what all workers share.
//!
//! The table of fates, the meter of L2 and the recorded outcomes are shared; times, bytes and misses are each worker's own,
//! and are merged at the end.

use super::bytes::{BytesSummary, RowSize};
use super::l2_meter::{AdapterFlow, L2Meter};
use super::prefetches::AnswerRecorder;
use super::recorded::{RecordedOutcomes, RecordedSummary};
use crate::error::Result;
use crate::format::model::{FetchingPolicy, GroupedObjectKeys, ObjectKey};
use crate::replay::misses::MissSummary;
use crate::replay::misses::explain::{Answered, explain_read};
use crate::replay::misses::fates::{KeyFates, Known, Print};
use crate::storage::events::{Event, EventSink};
use crate::storage::prefetch::{PrefetchJourney, PrefetchResult};
use crate::storage::{L1Error, PrefetchHandle, StorageManager};
use crate::sync::Arc;

/// Cells of prefetches under way of which a worker keeps what was known at their submission, at most: 24 MiB. What a
/// prefetch misses that came on top is not explained.
pub(super) const MOST_ASKED_CELLS: usize = 1 << 20;

/// What all workers share. The manager tells it what happens in L2.
#[derive(Debug, Default)]
struct Shared {
    fates: KeyFates,
    meter: L2Meter,
}

impl EventSink for Shared {
    fn on_event(&self, event: &Event<'_>) {
        self.meter.note(event);
        self.fates.note(event);
    }
}

/// See the module.
#[derive(Debug)]
pub(in crate::replay) struct Account {
    shared: Arc<Shared>,
    recorded: Option<Arc<RecordedOutcomes>>,
    /// How long prefetches took.
    pub(in crate::replay) answers: AnswerRecorder,
    bytes: BytesSummary,
    misses: MissSummary,
    /// Cells of all [`Asked`] that are kept.
    asked_cells: usize,
}

/// A prefetch whose result is not there yet: what it asked for, and what was known of its keys then.
#[derive(Debug)]
pub(in crate::replay) struct Asked {
    seq: u64,
    rows: Vec<RowSize>,
    /// Row after row; nothing if there were too many already.
    keys: Vec<(Print, Known)>,
}

impl Account {
    /// One that hears of what happens in the L2 of `manager`.
    ///
    /// # Errors
    /// If somebody else does.
    pub(in crate::replay) fn of(manager: &StorageManager) -> Result<Self> {
        let shared = Arc::<Shared>::default();
        manager.attach_l2_events(Arc::clone(&shared) as Arc<dyn EventSink>)?;
        Ok(Self::over(shared, None))
    }

    fn over(shared: Arc<Shared>, recorded: Option<Arc<RecordedOutcomes>>) -> Self {
        let (answers, bytes, misses) = Default::default();
        Self { shared, recorded, answers, bytes, misses, asked_cells: 0 }
    }

    /// An empty one for another worker on the same manager, to be [merged](Self::merge).
    pub(in crate::replay) fn for_another_worker(&self) -> Self {
        Self::over(Arc::clone(&self.shared), self.recorded.clone())
    }

    /// Compares hits with those that `recorded` knows.
    pub(in crate::replay) fn compare_with(&mut self, recorded: Arc<RecordedOutcomes>) {
        self.recorded = Some(recorded);
    }

    /// A write of objects of this size was reserved.
    pub(in crate::replay) fn reserved(&mut self, keys: &[ObjectKey], codes: &[L1Error], size_bytes: u64) {
        self.bytes.reserved(codes, size_bytes);
        let size = self.shared.fates.size_number(size_bytes);
        for (key, code) in keys.iter().zip(codes) {
            match code {
                L1Error::Success => self.shared.fates.reserve(Print::of(key), size),
                L1Error::OutOfMemory => self.shared.fates.refuse(Print::of(key)),
                _ => {}
            }
        }
    }

    /// A write was finished.
    pub(in crate::replay) fn finished(&mut self, keys: &[ObjectKey], codes: impl Iterator<Item = L1Error>) {
        let outcomes = keys.iter().zip(codes).map(|(key, code)| (Print::of(key), code));
        let (written_bytes, unknown) = self.shared.fates.finish(outcomes);
        self.bytes.written(written_bytes, unknown);
    }

    /// A read got nothing.
    pub(in crate::replay) fn read_nothing(&mut self, keys: &[ObjectKey], codes: &[L1Error]) {
        for (key, code) in keys.iter().zip(codes).filter(|(_, code)| **code != L1Error::Success) {
            let (print, fates) = (Print::of(key), &self.shared.fates);
            self.misses.reads.add(explain_read(*code, fates.get(print), fates.is_loading(print)));
        }
    }

    /// A prefetch was submitted, and its result is not there yet.
    pub(in crate::replay) fn asked(&mut self, seq: u64, rows: &[GroupedObjectKeys]) -> Box<Asked> {
        let cells: usize = rows.iter().map(|row| row.keys.len()).sum();
        let mut keys = Vec::new();
        if self.asked_cells + cells <= MOST_ASKED_CELLS {
            self.asked_cells += cells;
            let prints = rows.iter().flat_map(|row| &row.keys).map(Print::of);
            keys.extend(prints.map(|print| (print, self.shared.fates.begin_load(print))));
        }
        Box::new(Asked { seq, rows: RowSize::of_all(rows), keys })
    }

    /// The result of a prefetch was there when its call returned. `is_in_l1` looks where a key is now.
    pub(in crate::replay) fn answered_at_once(
        &mut self,
        seq: u64,
        rows: &[GroupedObjectKeys],
        answer: &Answer<'_>,
        is_in_l1: impl Fn(&ObjectKey) -> bool,
    ) {
        self.count_hits(seq, &RowSize::of_all(rows), answer);
        let (journey, shared) = (answer.handle.journey(), Arc::clone(&self.shared));
        let cells = rows.iter().map(|row| row.keys.len());
        let known = |row: usize, column: usize| shared.fates.get(Print::of(&rows[row].keys[column]));
        let is_in_l1 = |row: usize, column: usize| is_in_l1(&rows[row].keys[column]);
        self.explain(cells, answer, journey.as_deref(), known, is_in_l1);
    }

    /// The result of a prefetch came.
    pub(in crate::replay) fn answered_later(&mut self, asked: &Asked, answer: &Answer<'_>) {
        self.count_hits(asked.seq, &asked.rows, answer);
        let starts: Vec<usize> = asked
            .rows
            .iter()
            .scan(0, |next, row| Some(std::mem::replace(next, *next + row.cells())))
            .collect();
        let journey = answer.handle.journey();
        let cells = asked.rows.iter().map(RowSize::cells);
        let known = |row: usize, column: usize| {
            asked.keys.get(starts[row] + column).map_or(Known::Forgotten, |(_, known)| *known)
        };
        // It went to L2, so its way says what L1 had.
        self.explain(cells, answer, journey.as_deref(), known, |_, _| false);
        self.forget(asked);
    }

    /// A prefetch is under way no more, or is not waited for.
    pub(in crate::replay) fn forget(&mut self, asked: &Asked) {
        self.asked_cells -= asked.keys.len();
        asked.keys.iter().for_each(|(print, _)| self.shared.fates.end_load(*print));
    }

    fn count_hits(&mut self, seq: u64, rows: &[RowSize], answer: &Answer<'_>) {
        self.bytes.prefetched(rows, answer.result);
        if let Some(recorded) = &self.recorded {
            recorded.replayed(seq, answer.result.hit_count() as u64);
        }
    }

    /// Finds the reason for each cell that was no hit: from what was known of its key, and, where that does not say it,
    /// whether L1 has it.
    fn explain(
        &mut self,
        row_cells: impl Iterator<Item = usize>,
        answer: &Answer<'_>,
        journey: Option<&PrefetchJourney>,
        known: impl Fn(usize, usize) -> Known,
        is_in_l1: impl Fn(usize, usize) -> bool,
    ) {
        let answered = Answered {
            policy: answer.policy,
            windows: &answer.handle.sliding_windows,
            served_chunks: answer.served_chunks,
            journey,
        };
        for (row, cells) in row_cells.enumerate() {
            let hits = answer.result.hit_cells.get(row);
            for column in (0..cells).filter(|column| hits.is_none_or(|hits| !hits.test(*column))) {
                let known = known(row, column);
                let reason = answered.explain((row, column), known, || is_in_l1(row, column));
                self.misses.prefetches.add(reason);
            }
        }
    }

    /// Adds what another worker noted.
    pub(in crate::replay) fn merge(&mut self, other: &Self) {
        self.answers.merge(&other.answers);
        self.bytes.merge(&other.bytes);
        self.misses.merge(&other.misses);
    }

    /// What was noted.
    pub(in crate::replay) fn summary(&self) -> AccountSummary {
        AccountSummary {
            bytes: self.bytes,
            misses: MissSummary { forgotten_keys: self.shared.fates.forgotten_keys(), ..self.misses },
            adapters: self.shared.meter.summary(),
            recorded: self.recorded.as_ref().and_then(|recorded| recorded.summary()),
        }
    }
}

/// The result of a prefetch.
#[derive(Clone, Copy, Debug)]
pub(in crate::replay) struct Answer<'a> {
    pub(in crate::replay) handle: &'a PrefetchHandle,
    pub(in crate::replay) result: &'a PrefetchResult,
    pub(in crate::replay) policy: FetchingPolicy,
    /// How many chunks its hits serve.
    pub(in crate::replay) served_chunks: usize,
}

/// What a replay noted beside its calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountSummary {
    /// What calls moved and hit, in bytes.
    pub bytes: BytesSummary,
    /// What was missed, and why.
    pub misses: MissSummary,
    /// What the L2 adapters did.
    pub adapters: Vec<AdapterFlow>,
    /// What the trace says of the same calls; nothing if it says nothing.
    pub recorded: Option<RecordedSummary>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::model::{ChunkHash, Dtype, KeyScope, MemoryLayoutDesc};

    fn rows(cells: usize) -> Vec<GroupedObjectKeys> {
        let scope = Arc::new(KeyScope::new("m", 0, 0, "").expect("a valid scope"));
        let uint8 = Dtype::from_name("torch.uint8").expect("a type");
        vec![GroupedObjectKeys {
            keys: vec![ObjectKey::new(ChunkHash::new(b"k"), scope); cells],
            object_group_id: 0,
            layout: MemoryLayoutDesc::new(vec![(Box::new([16]), uint8)]).expect("a layout"),
            sliding_window_size: -1,
        }]
    }

    #[test]
    fn what_is_kept_of_prefetches_under_way_is_bounded() {
        let mut account = Account::over(Arc::default(), None);
        let kept = account.asked(0, &rows(MOST_ASKED_CELLS));
        let (empty, one) = (account.asked(1, &rows(0)), account.asked(2, &rows(1)));
        assert_eq!([&kept, &empty, &one].map(|asked| asked.keys.len()), [MOST_ASKED_CELLS, 0, 0]);
        assert_eq!(one.rows.len(), 1, "bytes are counted all the same");
        [&one, &kept].into_iter().for_each(|asked| account.forget(asked));
        assert_eq!(account.asked(3, &rows(1)).keys.len(), 1);
    }
}

//! Buffers in L1 for what a request loads from L2.
//!
//! LMCache reserves row by row, and a row that does not fit loses all its cells: the prefix then shrinks to what L1
//! had before. Ours takes the longest prefix that fits. It also does not load what has become resident since the
//! lookup, nor what another request is loading already.

use super::bitmap::Bitmap;
use super::board::{Board, Waiter};
use super::grid::Grid;
use super::plan;
use super::request::{Request, Tiers};
use crate::format::model::{FetchingPolicy, LockMode, ObjectKey, WriteMode};
use crate::storage::config::Compat;
use crate::storage::events::{Event, PrefetchFailure};
use crate::storage::l1::{L1Error, WriteRequest};
use crate::storage::memory::PinnedSpan;

/// The buffers of a request's cells, row by row.
#[derive(Debug)]
pub(super) struct Buffers {
    columns: usize,
    spans: Vec<Option<PinnedSpan>>,
}

impl Buffers {
    fn new(request: &Request) -> Self {
        let cells = request.rows().len() * request.columns;
        Self { columns: request.columns, spans: std::iter::repeat_with(|| None).take(cells).collect() }
    }

    fn put(&mut self, (row, column): (usize, usize), span: PinnedSpan) {
        self.spans[row * self.columns + column] = Some(span);
    }

    /// The buffer of a cell, given away.
    pub(super) fn take(&mut self, (row, column): (usize, usize)) -> Option<PinnedSpan> {
        self.spans[row * self.columns + column].take()
    }

    fn drop_all(&mut self, cells: &Grid) {
        cells.cells().for_each(|cell| drop(self.take(cell)));
    }
}

/// How often room is asked for an object that others keep loading, reading and letting go in between.
const RESERVE_TRIES: usize = 8;

/// Not all buffers of a plan fit into L1.
struct OutOfRoom;

/// What became of a reservation.
struct Attempt {
    /// The cells that have a buffer.
    reserved: Grid,
    oom: Vec<ObjectKey>,
    /// The cells of those.
    crowded: Grid,
    contended: Grid,
    contended_keys: Vec<ObjectKey>,
}

/// Which of `keys` stood there before. LMCache does not ask.
fn repeated(compat: Compat, keys: &[ObjectKey]) -> Bitmap {
    if compat == Compat::Lmcache {
        return Bitmap::default();
    }
    let mut seen = hashbrown::HashSet::<&ObjectKey, foldhash::fast::RandomState>::default();
    Bitmap::from_fn(keys.len(), |position| !seen.insert(&keys[position]))
}

impl Request {
    /// Whether what it loads leaves with its readers.
    pub(super) fn is_temporary(&self, tiers: &Tiers) -> bool {
        self.spec.lock_mode == LockMode::Lock && !tiers.retains
    }

    fn waiter(&self, cell: (usize, usize)) -> Waiter {
        Waiter { request: self.id, cell }
    }

    /// Reserves `cells` in an L1, row by row.
    fn reserve_rows(&self, tiers: &Tiers, l1: usize, cells: &Grid, buffers: &mut Buffers) -> Attempt {
        let mut attempt = Attempt {
            reserved: cells.empty(),
            oom: Vec::new(),
            crowded: cells.empty(),
            contended: cells.empty(),
            contended_keys: Vec::new(),
        };
        for (row, of_row) in cells.rows().iter().enumerate() {
            let columns: Vec<usize> = of_row.ones().collect();
            if columns.is_empty() {
                continue;
            }
            let group = &self.rows()[row];
            let keys: Vec<ObjectKey> = columns.iter().map(|column| group.keys[*column].clone()).collect();
            let request = WriteRequest {
                size_bytes: group.layout.size_bytes(),
                is_temporary: self.is_temporary(tiers),
                tag: self.tag(),
                mode: WriteMode::New,
            };
            // A layout of no bytes has no objects: its cells stay without a buffer.
            let Ok((codes, spans)) = tiers.l1s[l1].reserve_write_pinned(&keys, request) else { continue };
            let repeated = repeated(tiers.compat, &keys);
            let outcomes = codes.as_slice().iter().zip(spans);
            for (position, ((column, key), (code, span))) in
                columns.into_iter().zip(keys).zip(outcomes).enumerate()
            {
                match (code, span) {
                    // It has the buffer of the first: it waits for that load, and gets locks of its own.
                    (L1Error::Success, Some(_)) if repeated.test(position) => {
                        attempt.contended.set((row, column));
                    }
                    (L1Error::Success, Some(span)) => {
                        attempt.reserved.set((row, column));
                        buffers.put((row, column), span);
                    }
                    (L1Error::OutOfMemory, _) => {
                        attempt.crowded.set((row, column));
                        attempt.oom.push(key);
                    }
                    (L1Error::KeyNotWritable, _) => {
                        attempt.contended.set((row, column));
                        attempt.contended_keys.push(key);
                    }
                    _ => {}
                }
            }
        }
        attempt
    }

    /// Gives the buffers of `cells` back.
    fn unreserve(&self, tiers: &Tiers, l1: usize, cells: &Grid, buffers: &mut Buffers) {
        buffers.drop_all(cells);
        let keys = cells.owned_keys(self.rows());
        if !keys.is_empty() {
            tiers.l1s[l1].finish_write_and_delete(&keys, self.tag());
        }
    }

    /// The cells that each L1 is to receive: those of the legs that load to it.
    fn cells_by_l1(&self, tiers: &Tiers) -> Vec<Grid> {
        let mut cells: Vec<Grid> = tiers.l1s.iter().map(|_| self.loaded.empty()).collect();
        for leg in &self.legs {
            cells[leg.adapter.l1].add(&leg.locked);
        }
        cells
    }

    fn publish_failures(tiers: &Tiers, reason: PrefetchFailure, keys: &[ObjectKey]) {
        if !keys.is_empty() {
            tiers.events.publish_l2(|| Event::L2PrefetchFailed { reason, keys });
        }
    }

    /// As LMCache: plan, reserve, and plan again with what was reserved.
    pub(super) fn reserve_as_lmcache(&mut self, tiers: &Tiers) -> Buffers {
        self.keep_locks_of(tiers, self.question().needed(&self.found(tiers.compat)));
        let mut buffers = Buffers::new(self);
        let mut reserved: Vec<Grid> = Vec::with_capacity(tiers.l1s.len());
        let mut has_failures = false;
        for (l1, cells) in self.cells_by_l1(tiers).into_iter().enumerate() {
            let attempt = self.reserve_rows(tiers, l1, &cells, &mut buffers);
            Self::publish_failures(tiers, PrefetchFailure::L1Oom, &attempt.oom);
            Self::publish_failures(tiers, PrefetchFailure::L1Contended, &attempt.contended_keys);
            has_failures |= attempt.reserved.popcount() < cells.popcount();
            if let Some(travel) = &mut self.travel {
                travel.crowded.add(&attempt.crowded);
                travel.contended.add(&attempt.contended);
            }
            reserved.push(attempt.reserved);
        }
        if has_failures {
            self.shrink_to(tiers, &mut reserved, &mut buffers);
        }
        buffers
    }

    /// Lets go of what was not reserved, and of what is of no use without it.
    fn shrink_to(&mut self, tiers: &Tiers, reserved: &mut [Grid], buffers: &mut Buffers) {
        if self.spec.fetching_policy == FetchingPolicy::Full {
            let mut all = self.loaded.empty();
            reserved.iter().for_each(|grid| all.add(grid));
            let whole_columns = self.question().hits(&all);
            for (l1, grid) in reserved.iter_mut().enumerate() {
                let dropped = grid.without(&whole_columns);
                self.unreserve(tiers, l1, &dropped, buffers);
                *grid = grid.and(&whole_columns);
            }
        }
        for leg in &mut self.legs {
            let dropped = leg.locked.without(&reserved[leg.adapter.l1]);
            leg.unlock(&self.spec.key_groups, &dropped);
        }
        let dropped = self.keep_locks_of(tiers, self.question().needed(&self.found(tiers.compat)));
        for (position, cells) in dropped.iter().enumerate() {
            self.unreserve(tiers, self.legs[position].adapter.l1, cells, buffers);
        }
    }

    /// Reserves the longest prefix, or the most columns, for which L1 has room; waits for what others load.
    pub(super) fn reserve_longest(&mut self, tiers: &Tiers, board: &mut Board) -> Buffers {
        let candidates = self.candidates(&self.found(tiers.compat));
        let mut buffers = Buffers::new(self);
        let (mut fails, mut fits) = (0, candidates.len());
        // The most is tried first, and mostly fits; then halves of what may fit.
        let mut tried = 0;
        while fails < fits {
            match self.try_reserve(tiers, &candidates[tried], board, &mut buffers) {
                Ok(reserved) if tried == 0 => {
                    self.settle(tiers, &candidates[0], &reserved);
                    return buffers;
                }
                Ok(reserved) => {
                    self.undo(tiers, &reserved, board, &mut buffers);
                    fits = tried;
                }
                Err(OutOfRoom) => fails = tried + 1,
            }
            tried = fails + (fits - fails) / 2;
        }
        // The longest that did fit, or, if somebody else took its room, the next that does.
        for candidate in &candidates[fits..] {
            if let Ok(reserved) = self.try_reserve(tiers, candidate, board, &mut buffers) {
                self.settle(tiers, candidate, &reserved);
                self.publish_shortened(tiers, &candidates[0], candidate);
                return buffers;
            }
        }
        let nothing = self.loaded.empty();
        if let Some(most) = candidates.first() {
            self.publish_shortened(tiers, most, &nothing);
        }
        self.keep_locks_of(tiers, nothing);
        buffers
    }

    /// Says what did not fit. A shorter prefix can need other cells of a window: only what is missing counts.
    fn publish_shortened(&mut self, tiers: &Tiers, wanted: &Grid, taken: &Grid) {
        let missing = wanted.without(taken).without(&self.locked_in_l1());
        let keys = missing.owned_keys(self.rows());
        if let Some(travel) = &mut self.travel {
            travel.crowded.add(&missing);
        }
        Self::publish_failures(tiers, PrefetchFailure::L1Oom, &keys);
    }

    /// What could be served, the most first: prefixes, or numbers of common columns.
    fn candidates(&self, found: &Grid) -> Vec<Grid> {
        let question = self.question();
        match self.spec.fetching_policy {
            FetchingPolicy::Prefix => {
                let chunks = question.servable_chunks(found).into_iter();
                chunks.map(|chunks| question.needed_for(found, chunks)).collect()
            }
            FetchingPolicy::Full => {
                let common = question.hits(&question.needed(found));
                let columns: Vec<usize> =
                    common.rows().first().map(|row| row.ones().collect()).unwrap_or_default();
                let first = |count: usize| {
                    let mut some = common.empty();
                    for row in 0..self.rows().len() {
                        columns[..count].iter().for_each(|column| some.set((row, *column)));
                    }
                    some
                };
                (1..=columns.len()).rev().map(first).collect()
            }
        }
    }

    /// Reserves what `needed` has to load, in every L1, or nothing. Cells that are resident by now are locked there,
    /// cells that somebody loads are joined.
    fn try_reserve(
        &mut self,
        tiers: &Tiers,
        needed: &Grid,
        board: &mut Board,
        buffers: &mut Buffers,
    ) -> Result<Vec<Grid>, OutOfRoom> {
        let mut rest = needed.without(&self.locked_in_l1());
        let nothing = rest.empty();
        let offered = self.legs.iter().map(|leg| if leg.is_draining { &nothing } else { &leg.locked });
        let by_leg = plan::assign(&mut rest, offered);
        let mut reserved: Vec<Grid> = tiers.l1s.iter().map(|_| nothing.clone()).collect();
        for (leg, cells) in by_leg.into_iter().enumerate() {
            let l1 = self.legs[leg].adapter.l1;
            let mut cells = self.join_loads(l1, cells, board);
            for tries_left in (0..RESERVE_TRIES).rev() {
                let attempt = self.reserve_rows(tiers, l1, &cells, buffers);
                let is_temporary = self.is_temporary(tiers);
                let keys = attempt.reserved.keys(self.rows());
                keys.iter().for_each(|key| board.begin(l1, key, self.id, is_temporary));
                reserved[l1].add(&attempt.reserved);
                if !attempt.oom.is_empty() {
                    self.undo(tiers, &reserved, board, buffers);
                    return Err(OutOfRoom);
                }
                cells = self.settle_contended(tiers, l1, &attempt.contended, board, tries_left > 0);
                if cells.is_empty() {
                    break;
                }
            }
        }
        Ok(reserved)
    }

    /// Takes the cells out that somebody is loading already, and waits for them.
    fn join_loads(&mut self, l1: usize, mut cells: Grid, board: &mut Board) -> Grid {
        let needs_to_stay = self.spec.lock_mode == LockMode::NoLock;
        let all: Vec<_> = cells.cells().collect();
        for (row, column) in all {
            let key = self.rows()[row].keys[column].clone();
            if board.join(l1, &key, needs_to_stay, self.waiter((row, column))) {
                self.awaited.set((row, column));
                cells.unset((row, column));
            }
        }
        cells
    }

    /// Cells that could not be reserved: either they are resident by now, or they stand in this request twice. Returns those that
    /// are neither any more, if they may be tried again: they were resident, and left with their last reader before they could be
    /// locked.
    fn settle_contended(
        &mut self,
        tiers: &Tiers,
        l1: usize,
        contended: &Grid,
        board: &mut Board,
        is_tried_again: bool,
    ) -> Grid {
        let needs_to_stay = self.spec.lock_mode == LockMode::NoLock;
        let mut left = contended.empty();
        let cells: Vec<_> = contended.cells().collect();
        for (row, column) in cells {
            let key = self.rows()[row].keys[column].clone();
            let codes = tiers.l1s[l1].reserve_read([&key], self.readers());
            if codes.all_succeeded() {
                self.l1_locked[l1].set((row, column));
            } else if board.join(l1, &key, needs_to_stay, self.waiter((row, column))) {
                self.awaited.set((row, column));
            } else if is_tried_again {
                left.set((row, column));
            } else {
                if let Some(travel) = &mut self.travel {
                    travel.contended.set((row, column));
                }
                Self::publish_failures(tiers, PrefetchFailure::L1Contended, &[key]);
            }
        }
        left
    }

    fn undo(&mut self, tiers: &Tiers, reserved: &[Grid], board: &mut Board, buffers: &mut Buffers) {
        for (l1, cells) in reserved.iter().enumerate() {
            cells.keys(self.rows()).iter().for_each(|key| drop(board.end(l1, key, self.id)));
            self.unreserve(tiers, l1, cells, buffers);
        }
        // The board still has this request wait for others' loads. It finds that nothing is awaited, and passes on.
        self.awaited = self.awaited.empty();
    }

    /// Keeps the locks that `needed` is served with, and lets go of all others.
    fn settle(&mut self, tiers: &Tiers, needed: &Grid, reserved: &[Grid]) {
        for leg in &mut self.legs {
            let dropped = leg.locked.without(&reserved[leg.adapter.l1]);
            leg.unlock(&self.spec.key_groups, &dropped);
        }
        self.keep_locks_of(tiers, needed.clone());
    }
}

//! One request: what it asks for, and what it holds in L1 and L2 while it is under way.
//!
//! Whatever is locked or reserved for a request stands in its grids, and what is taken out of a grid is released in
//! the same step. So a request can be given up at any point: what its grids say is all there is to give back.

use super::grid::Grid;
use super::handle::{PrefetchResult, ResultSlot, Windows};
use super::journey::{JourneyEnd, Travel};
use super::plan::{self, Question};
use crate::clock::Clock;
use crate::format::model::{FetchingPolicy, GroupedObjectKeys, LockMode, ObjectKey, PrefetchTaskSpec};
use crate::storage::config::Compat;
use crate::storage::events::Events;
use crate::storage::l1::{L1Error, L1Manager, WriterTag};
use crate::storage::l2::registry::AdapterUse;
use crate::sync::Arc;

/// What all requests of a manager share.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Tiers {
    /// The L1 managers; their positions are their numbers.
    pub(in crate::storage) l1s: Arc<[Arc<L1Manager>]>,
    /// Whose behaviour counts.
    pub(in crate::storage) compat: Compat,
    /// Whether objects from L2 stay in L1 after their readers.
    pub(in crate::storage) retains: bool,
    /// The manager's clock.
    pub(in crate::storage) clock: Clock,
    /// Who is told.
    pub(in crate::storage) events: Events,
}

/// A request's dealings with one adapter.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) adapter: AdapterUse,
    /// Whether the lookup has not been answered.
    pub(super) is_looking_up: bool,
    /// Whether the adapter was about to be removed when the request was planned. `delete_l2_adapter` can begin to
    /// drain it at any time; a plan has to see one state from its first step to its last.
    pub(super) is_draining: bool,
    /// The cells that are locked in the adapter for this request.
    pub(super) locked: Grid,
    /// The load that is under way, of all locked cells.
    pub(super) load: Option<Load>,
}

/// A load task.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) task_id: u64,
    pub(super) bytes: u64,
    pub(super) begun_ns: u64,
    /// The answer, once it is there: which of the locked cells came.
    pub(super) arrived: Option<Grid>,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Adapters look for its keys, or will.
    LookingUp,
    /// What it is served with is decided.
    Loading,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) spec: PrefetchTaskSpec,
    pub(super) windows: Windows,
    pub(super) columns: usize,
    pub(super) slot: Arc<ResultSlot>,
    /// When it is given up, on the manager's clock.
    pub(super) deadline_ns: Option<u64>,
    /// The cells that are read-locked in each L1.
    pub(super) l1_locked: Vec<Grid>,
    /// The cells that adapters are asked for.
    pub(super) asked: Grid,
    pub(super) legs: Vec<Leg>,
    /// The cells that adapters found. For the full policy.
    pub(super) l2_found: Grid,
    /// The cells that came from L2 and are in L1.
    pub(super) loaded: Grid,
    /// The cells that another request is loading.
    pub(super) awaited: Grid,
    pub(super) phase: Phase,
    /// Its result is out; it stays until its adapters have answered.
    pub(super) is_given_up: bool,
    /// Where it was when, until its result is out; of a request that goes to L2.
    pub(super) travel: Option<Box<Travel>>,
    /// How it will have ended.
    pub(super) end: JourneyEnd,
}

impl Request {
    pub(super) fn new(
        id: u64,
        spec: PrefetchTaskSpec,
        slot: Arc<ResultSlot>,
        deadline_ns: Option<u64>,
    ) -> Self {
        let columns = spec.key_groups.iter().map(|row| row.keys.len()).max().unwrap_or(0);
        let empty = Grid::new(spec.key_groups.len(), columns);
        Self {
            id,
            windows: windows(&spec.key_groups),
            columns,
            slot,
            deadline_ns,
            l1_locked: Vec::new(),
            asked: empty.clone(),
            legs: Vec::new(),
            l2_found: empty.clone(),
            loaded: empty.clone(),
            awaited: empty,
            phase: Phase::LookingUp,
            is_given_up: false,
            travel: None,
            end: JourneyEnd::Done,
            spec,
        }
    }

    pub(super) fn rows(&self) -> &[GroupedObjectKeys] {
        &self.spec.key_groups
    }

    pub(super) fn readers(&self) -> i64 {
        self.spec.num_kv_readers
    }

    pub(super) fn tag(&self) -> WriterTag {
        WriterTag::Prefetch(self.id)
    }

    pub(super) fn question(&self) -> Question<'_> {
        Question { windows: &self.windows, policy: self.spec.fetching_policy }
    }

    /// Whether an adapter still looks for it.
    pub(super) fn is_looking_up(&self) -> bool {
        self.legs.iter().any(|leg| leg.is_looking_up)
    }

    /// Whether something is still on its way to L1 for it.
    pub(super) fn is_loading(&self) -> bool {
        self.legs.iter().any(|leg| leg.load.is_some()) || !self.awaited.is_empty()
    }

    /// Whether an adapter still loads for it.
    pub(super) fn has_loads_under_way(&self) -> bool {
        self.legs.iter().filter_map(|leg| leg.load.as_ref()).any(|load| load.arrived.is_none())
    }

    /// Notes which adapters drain, for the plan that is made now.
    pub(super) fn note_draining(&mut self) {
        self.legs.iter_mut().for_each(|leg| leg.is_draining = leg.adapter.is_draining());
    }

    /// Read-locks what the L1s have.
    pub(super) fn lock_l1(&mut self, tiers: &Tiers) {
        let lock = |l1: &Arc<L1Manager>| {
            let keys = self.rows().iter().flat_map(|row| &row.keys);
            let codes = l1.reserve_read(keys, self.readers());
            let mut codes = codes.as_slice().iter();
            Grid::of_keys(self.rows(), self.columns, || codes.next() == Some(&L1Error::Success))
        };
        self.l1_locked = tiers.l1s.iter().map(lock).collect();
    }

    /// What adapters are asked for: as LMCache all cells, and ours those that L1 does not have.
    pub(super) fn cells_to_look_up(&self, compat: Compat) -> Grid {
        let all = Grid::of_keys(self.rows(), self.columns, || true);
        match compat {
            Compat::Lmcache => all,
            Compat::Native => all.without(&self.locked_in_l1()),
        }
    }

    /// All cells that are locked in some L1.
    pub(super) fn locked_in_l1(&self) -> Grid {
        self.l1_locked.iter().fold(self.loaded.empty(), |mut all, grid| {
            all.add(grid);
            all
        })
    }

    /// All cells that are locked somewhere. What is locked in an adapter that drains counts as found for LMCache,
    /// though it is never loaded.
    pub(super) fn found(&self, compat: Compat) -> Grid {
        let legs = self.legs.iter().filter(|leg| compat == Compat::Lmcache || !leg.is_draining);
        legs.fold(self.locked_in_l1(), |mut all, leg| {
            all.add(&leg.locked);
            all
        })
    }

    /// Assigns `needed` to the tiers that hold it locked, and releases every lock that is not of use. Returns the
    /// cells that each leg let go of.
    pub(super) fn keep_locks_of(&mut self, tiers: &Tiers, mut needed: Grid) -> Vec<Grid> {
        let l1_planned = plan::assign(&mut needed, self.l1_locked.iter());
        for (position, planned) in l1_planned.into_iter().enumerate() {
            let dropped = self.l1_locked[position].without(&planned);
            self.release_l1(tiers, position, &dropped);
            self.l1_locked[position] = planned;
        }
        let nothing = needed.empty();
        let offered = self.legs.iter().map(|leg| if leg.is_draining { &nothing } else { &leg.locked });
        let l2_planned = plan::assign(&mut needed, offered);
        self.legs
            .iter_mut()
            .zip(l2_planned)
            .map(|(leg, planned)| {
                let dropped = leg.locked.without(&planned);
                leg.unlock(&self.spec.key_groups, &dropped);
                dropped
            })
            .collect()
    }

    /// Releases the read locks of `cells` in an L1.
    pub(super) fn release_l1(&self, tiers: &Tiers, l1: usize, cells: &Grid) {
        let keys = cells.keys(self.rows());
        if !keys.is_empty() {
            tiers.l1s[l1].finish_read(keys, self.readers());
        }
    }

    /// Which of its locked cells are hits; releases the other locks, or all where none are to be kept, and publishes
    /// the result.
    pub(super) fn finish(&mut self, tiers: &Tiers) {
        let locked = self.locked_in_l1();
        let hits = self.question().hits(&locked);
        let keeps_locks = self.spec.lock_mode == LockMode::Lock;
        let mut l1_owners = Vec::new();
        for position in 0..self.l1_locked.len() {
            let of_l1 = std::mem::replace(&mut self.l1_locked[position], self.loaded.empty());
            let hit_keys = of_l1.and(&hits);
            let released = if keeps_locks { of_l1.without(&hits) } else { of_l1 };
            self.release_l1(tiers, position, &released);
            let hit_keys = hit_keys.keys(self.rows());
            if !hit_keys.is_empty() {
                tiers.l1s[position].touch_keys(&hit_keys);
            }
            if keeps_locks && tiers.l1s.len() > 1 {
                l1_owners.extend(hit_keys.into_iter().map(|key| (key.clone(), position as u32)));
            }
        }
        let found = (self.spec.fetching_policy == FetchingPolicy::Full).then(|| {
            let mut found = locked;
            found.add(&self.l2_found);
            found.into_rows()
        });
        let l2_hits = hits.and(&self.loaded);
        let result = PrefetchResult {
            l1_hit_cells: hits.without(&l2_hits).into_rows(),
            l2_hit_cells: l2_hits.into_rows(),
            hit_cells: hits.into_rows(),
            found_cells: found,
            l1_owners,
        };
        let journey = self.travel.take().map(|travel| travel.end(self.end));
        self.slot.publish_with(result, tiers.clock.now_ns(), journey);
    }

    /// Serves the request with what L1 has locked for it by now.
    pub(super) fn serve_from_l1(&mut self, tiers: &Tiers) {
        self.keep_locks_of_l1(tiers);
        self.finish(tiers);
    }

    /// Plans on L1 alone, and releases the L1 locks that are not of use.
    pub(super) fn keep_locks_of_l1(&mut self, tiers: &Tiers) {
        let mut needed = self.question().needed(&self.locked_in_l1());
        let planned = plan::assign(&mut needed, self.l1_locked.iter());
        for (position, planned) in planned.into_iter().enumerate() {
            let dropped = self.l1_locked[position].without(&planned);
            self.release_l1(tiers, position, &dropped);
            self.l1_locked[position] = planned;
        }
    }

    /// Forgets locked cells whose objects were deleted by force meanwhile. LMCache calls them hits.
    pub(super) fn drop_vanished(&mut self, tiers: &Tiers) {
        if tiers.compat == Compat::Lmcache {
            return;
        }
        for (position, l1) in tiers.l1s.iter().enumerate() {
            let locked = self.l1_locked[position].clone();
            let keys = locked.owned_keys(&self.spec.key_groups);
            let (codes, _) = l1.unsafe_read(&keys);
            for (cell, code) in locked.cells().zip(codes.as_slice()) {
                if *code != L1Error::Success {
                    self.l1_locked[position].unset(cell);
                    self.loaded.unset(cell);
                }
            }
        }
    }

    /// Releases the locks that it has in adapters.
    pub(super) fn release_l2(&mut self) {
        for leg in &mut self.legs {
            let locked = leg.locked.clone();
            leg.unlock(&self.spec.key_groups, &locked);
        }
    }

    /// Lets go of the adapters that owe it no answer. For a request that was given up: while it waits for an adapter that
    /// hangs, `delete_l2_adapter` must not wait for it at another.
    pub(super) fn drop_answered_legs(&mut self) {
        self.legs.retain(|leg| leg.is_looking_up || leg.load.is_some());
    }

    /// Releases its locks in L1.
    pub(super) fn release_locks(&mut self, tiers: &Tiers) {
        for position in 0..self.l1_locked.len() {
            let locked = std::mem::replace(&mut self.l1_locked[position], self.loaded.empty());
            self.release_l1(tiers, position, &locked);
        }
    }

    /// Releases all that is locked in L1, and publishes a miss.
    pub(super) fn finish_with_nothing(&mut self, tiers: &Tiers) {
        self.release_locks(tiers);
        let journey = self.travel.take().map(|travel| travel.end(JourneyEnd::Abandoned));
        self.slot.publish_nothing(&self.loaded.empty(), tiers.clock.now_ns(), journey);
    }
}

impl Leg {
    pub(super) fn new(adapter: AdapterUse, empty: Grid) -> Self {
        Self { adapter, is_looking_up: true, is_draining: false, locked: empty, load: None }
    }

    /// Takes the lock off `cells`, in the adapter.
    pub(super) fn unlock(&mut self, rows: &[GroupedObjectKeys], cells: &Grid) {
        let keys = cells.owned_keys(rows);
        if !keys.is_empty() {
            self.adapter.adapter.submit_unlock(&keys);
        }
        self.locked = self.locked.without(cells);
    }

    /// The keys of the locked cells.
    pub(super) fn locked_keys(&self, rows: &[GroupedObjectKeys]) -> Vec<ObjectKey> {
        self.locked.owned_keys(rows)
    }
}

/// The window of each row.
pub(super) fn windows(rows: &[GroupedObjectKeys]) -> Windows {
    rows.iter().map(|row| row.sliding_window_size).collect()
}

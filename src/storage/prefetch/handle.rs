//! What the caller of a prefetch holds until it asks for the result, and the result.

use std::fmt;
use std::fs::File;
use std::io::ErrorKind::Interrupted;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use smallvec::SmallVec;

use super::bitmap::{Bitmap, Rows};
use super::grid::Grid;
use super::journey::PrefetchJourney;
use crate::format::model::{FetchingPolicy, GroupedObjectKeys, ObjectKey, PrefetchTaskSpec};
use crate::storage::hook::Effect;
use crate::storage::reader::{L1ManagerId, L1Owners, Reader};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Mutex, lock};

/// So many rows are kept without an allocation of their own.
const USUAL_ROWS: usize = 4;

/// The sliding window of each row of a request, in chunks; -1 is full attention.
pub type Windows = SmallVec<[i64; USUAL_ROWS]>;

/// What a prefetch found. One bitmap per row of the request, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefetchResult {
    /// The cells that are in L1 and, unless the request asked for no locks, read-locked for its readers.
    pub hit_cells: Rows,
    /// Those of them that L1 had.
    pub l1_hit_cells: Rows,
    /// Those of them that came from L2.
    pub l2_hit_cells: Rows,
    /// What was there when the request was planned, hit or not. For the full policy only.
    pub found_cells: Option<Rows>,
    /// Which L1 holds each hit and its locks, row by row; LMCache's `l1_owners`. Empty where the manager has one L1,
    /// and for a request without locks.
    pub l1_owners: Vec<(ObjectKey, L1ManagerId)>,
}

impl PrefetchResult {
    /// What a request of `rows` rows finds of which L1 has every cell.
    pub(super) fn whole(rows: usize, columns: usize, policy: FetchingPolicy) -> Self {
        let all = Rows::of(Bitmap::filled(columns), rows);
        Self {
            found_cells: (policy == FetchingPolicy::Full).then(|| all.clone()),
            l2_hit_cells: Rows::of(Bitmap::new(columns), rows),
            l1_hit_cells: all.clone(),
            hit_cells: all,
            l1_owners: Vec::new(),
        }
    }

    /// How many cells hit.
    pub fn hit_count(&self) -> usize {
        self.hit_cells.iter().map(Bitmap::popcount).sum()
    }
}

/// A submitted prefetch. Clones stand for the same one.
#[derive(Clone, Debug)]
pub struct PrefetchHandle {
    /// Requests are numbered from 0.
    pub prefetch_request_id: u64,
    /// The engine's name for the request.
    pub external_request_id: String,
    /// How many cells the request has.
    pub total_requested_keys: usize,
    /// When it was submitted, on the manager's clock.
    pub submit_time_ns: u64,
    /// The window of each row.
    pub sliding_windows: Windows,
    pub(super) result: Arc<ResultSlot>,
}

/// The result, until somebody takes it. It lives as long as a handle does: LMCache keeps results by number,
/// and those that nobody asks for stay for ever.
pub(super) struct ResultSlot {
    state: Mutex<SlotState>,
    ready: Condvar,
    unclaimed: Arc<Unclaimed>,
}

/// How many results wait to be taken. Controllers have [several](crate::storage::striped).
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Unclaimed(pub(super) AtomicU64);

#[derive(Default)]
struct SlotState {
    is_ready: bool,
    result: Option<PrefetchResult>,
    waiters: Vec<Box<dyn FnOnce() + Send>>,
    /// Threads in [`PrefetchHandle::wait_done`]. To wake nobody would be a system call all the same.
    sleepers: usize,
    /// How many cells of each row hit; stays when the result is taken.
    row_hits: SmallVec<[usize; USUAL_ROWS]>,
    ready_time_ns: u64,
    /// Of a request that L1 could not answer alone.
    journey: Option<Arc<PrefetchJourney>>,
}

impl fmt::Debug for ResultSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("ResultSlot")
            .field("is_ready", &state.is_ready)
            .field("result", &state.result)
            .finish_non_exhaustive()
    }
}

impl ResultSlot {
    pub(super) fn empty(unclaimed: &Arc<Unclaimed>) -> Self {
        Self { state: Mutex::default(), ready: Condvar::new(), unclaimed: Arc::clone(unclaimed) }
    }

    /// Publishes the result of a request that L1 answered alone, once; a second one is dropped. Wakes whoever waits,
    /// without the lock.
    pub(super) fn publish(&self, result: PrefetchResult, ready_time_ns: u64) {
        self.publish_with(result, ready_time_ns, None);
    }

    /// The same, of any request, with its way.
    pub(super) fn publish_with(
        &self,
        result: PrefetchResult,
        ready_time_ns: u64,
        journey: Option<PrefetchJourney>,
    ) {
        let mut state = lock(&self.state);
        if state.is_ready {
            return;
        }
        // Relaxed, here and in `take`: a counter that orders nothing.
        self.unclaimed.0.fetch_add(1, Ordering::Relaxed);
        state.is_ready = true;
        state.row_hits = result.hit_cells.iter().map(Bitmap::popcount).collect();
        state.result = Some(result);
        state.ready_time_ns = ready_time_ns;
        state.journey = journey.map(Arc::new);
        let waiters = std::mem::take(&mut state.waiters);
        let has_sleepers = state.sleepers > 0;
        drop(state);
        if has_sleepers {
            self.ready.notify_all();
        }
        for waiter in waiters {
            // One that panics has said so on stderr; the thread that serves all other requests lives on.
            let _ = catch_unwind(AssertUnwindSafe(waiter));
        }
    }

    /// Publishes a miss, of a request with the shape of `empty`.
    pub(super) fn publish_nothing(&self, empty: &Grid, ready_time_ns: u64, journey: Option<PrefetchJourney>) {
        let nothing = || empty.clone().into_rows();
        let result = PrefetchResult {
            hit_cells: nothing(),
            l1_hit_cells: nothing(),
            l2_hit_cells: nothing(),
            ..PrefetchResult::default()
        };
        self.publish_with(result, ready_time_ns, journey);
    }

    fn take(&self) -> Option<PrefetchResult> {
        self.take_if(|_| true)
    }

    fn take_if(&self, is_wanted: impl FnOnce(&mut PrefetchResult) -> bool) -> Option<PrefetchResult> {
        let result = lock(&self.state).result.take_if(is_wanted);
        if result.is_some() {
            self.unclaimed.0.fetch_sub(1, Ordering::Relaxed);
        }
        result
    }
}

impl Drop for ResultSlot {
    fn drop(&mut self) {
        self.take();
    }
}

impl PrefetchHandle {
    /// The result, the first time that it is asked for once it is there.
    pub(in crate::storage) fn take_result(&self) -> Option<PrefetchResult> {
        self.result.take()
    }

    /// Takes the result if it has hits and nobody took it, and releases their locks. `spec` is the request's.
    pub(in crate::storage) fn release_hits(&self, spec: &PrefetchTaskSpec, reader: &Reader) {
        let Some(result) = self.result.take_if(|result| result.hit_count() > 0) else { return };
        let owners: L1Owners = result.l1_owners.into_iter().collect();
        let cells = spec.key_groups.iter().zip(&result.hit_cells);
        let keys: Vec<ObjectKey> = cells
            .flat_map(|(row, hits)| hits.ones().filter_map(|cell| row.keys.get(cell).cloned()))
            .collect();
        let owners = (reader.l1s.len() > 1).then_some(&owners);
        // Where owners matter, every key of the hits has one.
        let _ = reader.finish_read(&keys, spec.num_kv_readers, owners);
    }

    /// What the submission did, for a hook. `None` if the request is still under way.
    pub(in crate::storage) fn effect(&self, spec: &PrefetchTaskSpec) -> Option<Effect> {
        let state = lock(&self.result.state);
        if !state.is_ready {
            return None;
        }
        let bytes = |(row, hits): (&GroupedObjectKeys, &usize)| *hits as u64 * row.layout.size_bytes();
        Some(Effect {
            requested_keys: self.total_requested_keys,
            hit_keys: state.row_hits.iter().sum(),
            bytes: spec.key_groups.iter().zip(&state.row_hits).map(bytes).sum(),
        })
    }

    /// Whether the request is done; its result may have been taken already.
    pub fn is_done(&self) -> bool {
        lock(&self.result.state).is_ready
    }

    /// When the result was there, on the manager's clock; `None` while the request is under way.
    pub fn ready_time_ns(&self) -> Option<u64> {
        let state = lock(&self.result.state);
        state.is_ready.then_some(state.ready_time_ns)
    }

    /// The way of the request; `None` while it is under way, and if L1 answered it alone.
    pub fn journey(&self) -> Option<Arc<PrefetchJourney>> {
        lock(&self.result.state).journey.clone()
    }

    /// Waits until the request is done, at most `timeout`; returns whether it is. Does not take the result.
    pub(in crate::storage) fn wait_done(&self, timeout: Duration) -> bool {
        let mut state = lock(&self.result.state);
        state.sleepers += 1;
        let is_open = |state: &mut SlotState| !state.is_ready;
        let mut state = match self.result.ready.wait_timeout_while(state, timeout, is_open) {
            Ok((state, _)) => state,
            // A waiter's callback cannot poison the lock: it runs without it.
            Err(poisoned) => poisoned.into_inner().0,
        };
        state.sleepers -= 1;
        state.is_ready
    }

    /// Calls `waiter` once when the request is done: at once, on this thread, if it is already, else on the thread
    /// that finishes it, which it must not hold up.
    pub fn on_done(&self, waiter: impl FnOnce() + Send + 'static) {
        let mut state = lock(&self.result.state);
        if !state.is_ready {
            return state.waiters.push(Box::new(waiter));
        }
        drop(state);
        waiter();
    }

    /// Adds 1 to an eventfd when the request is done, for whoever waits for many things at once in `epoll`. The
    /// descriptor is closed after that; pass a duplicate (`OwnedFd::try_clone`).
    ///
    /// It has to be `EFD_NONBLOCK`: one that is full then stays as it is, and its reader is woken already. A full one
    /// that blocks would hold up all prefetches.
    pub fn signal_on_done(&self, event: impl Into<OwnedFd>) {
        let mut event = File::from(event.into());
        self.on_done(move || {
            // What fails otherwise than by a signal is full, or no eventfd: nobody is there who could be told.
            while event.write(bytemuck::bytes_of(&1_u64)).is_err_and(|error| error.kind() == Interrupted) {}
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_published_once_taken_once_and_wakes_every_waiter_once() {
        let unclaimed: Arc<Unclaimed> = Arc::default();
        let slot = Arc::new(ResultSlot::empty(&unclaimed));
        let handle = PrefetchHandle {
            prefetch_request_id: 0,
            external_request_id: String::new(),
            total_requested_keys: 0,
            submit_time_ns: 0,
            sliding_windows: Windows::new(),
            result: Arc::clone(&slot),
        };
        let woken = Arc::new(AtomicU64::new(0));
        let waiter = || {
            let woken = Arc::clone(&woken);
            move || {
                woken.fetch_add(1, Ordering::Relaxed);
            }
        };
        handle.on_done(waiter());
        handle.on_done(|| panic!("a callback that panics harms nobody else"));
        assert!(!handle.wait_done(Duration::ZERO) && !handle.is_done());
        slot.publish(PrefetchResult::default(), 7);
        slot.publish(PrefetchResult::default(), 8);
        handle.on_done(waiter());
        assert_eq!((woken.load(Ordering::Relaxed), handle.ready_time_ns()), (2, Some(7)));
        assert_eq!(unclaimed.0.load(Ordering::Relaxed), 1);
        assert!(handle.wait_done(Duration::ZERO));
        assert!(handle.take_result().is_some() && handle.take_result().is_none() && handle.is_done());
        assert_eq!(unclaimed.0.load(Ordering::Relaxed), 0);
    }
}

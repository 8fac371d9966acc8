//! Where the caller of a transfer learns how it ended.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::error::Error;
use crate::sync::{Arc, Condvar, Mutex, lock};

/// What became of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ObjectOutcome {
    /// It was moved. A stored one can be read now.
    Moved = 0,
    /// It was not stored: it is there already, or somebody else is writing it.
    AlreadyThere = 1,
    /// It was not stored: the engine has nothing there, all its blocks are the null block.
    NullBlocks = 2,
    /// It was not stored: L1 has no room for what the call had to store.
    OutOfMemory = 3,
    /// It was not retrieved: it is not there, or nobody holds a read lock on it.
    NotReadable = 4,
    /// It was moved, but is not stored: it was deleted meanwhile, or its reservation ran out.
    Lost = 5,
    /// It was not moved, or not wholly: the call failed, and says why.
    Failed = 6,
}

impl ObjectOutcome {
    /// Whether there is nothing to put right: it is where it was to be, or there is nothing to move.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Moved | Self::AlreadyThere | Self::NullBlocks)
    }
}

/// How a transfer ended.
#[derive(Debug)]
pub struct TransferOutcome {
    /// What became of each key, in the order of the call.
    pub objects: Vec<ObjectOutcome>,
    /// Bytes that were moved; 0 if the transfer failed.
    pub bytes: u64,
    /// Why it failed, if it did. Pages that a retrieve was to fill hold anything then.
    pub error: Option<Error>,
}

impl TransferOutcome {
    /// How many keys had this outcome.
    pub fn count(&self, outcome: ObjectOutcome) -> usize {
        self.objects.iter().filter(|other| **other == outcome).count()
    }

    /// Whether every object is where it was to be.
    pub fn is_good(&self) -> bool {
        self.error.is_none() && self.objects.iter().all(|outcome| outcome.is_good())
    }
}

type Waiter = Box<dyn FnOnce(&TransferOutcome) + Send>;

/// A store or a retrieve that is under way, or over. Clones stand for the same one; dropping all of them cancels nothing.
#[derive(Clone, Debug)]
pub struct TransferTicket(Arc<Slot>);

#[derive(Debug, Default)]
pub(super) struct Slot {
    state: Mutex<State>,
    is_over: Condvar,
}

#[derive(Default)]
struct State {
    outcome: Option<Arc<TransferOutcome>>,
    waiters: Vec<Waiter>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

impl Slot {
    /// Publishes how it ended, and tells whoever waits, without the lock.
    pub(super) fn publish(&self, outcome: TransferOutcome) {
        let outcome = Arc::new(outcome);
        let mut state = lock(&self.state);
        state.outcome = Some(Arc::clone(&outcome));
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        self.is_over.notify_all();
        for waiter in waiters {
            // One that panics has said so on stderr; the thread that serves all other transfers lives on.
            let _ = catch_unwind(AssertUnwindSafe(|| waiter(&outcome)));
        }
    }
}

impl TransferTicket {
    pub(super) fn new(slot: Arc<Slot>) -> Self {
        Self(slot)
    }

    /// How it ended, if it has.
    pub fn poll(&self) -> Option<Arc<TransferOutcome>> {
        lock(&self.0.state).outcome.clone()
    }

    /// How it ended, if it has before `timeout` is over. Blocks the calling thread. A manager without threads finishes nothing
    /// meanwhile: there, ask [`StorageManager::wait_transfer`](crate::storage::StorageManager::wait_transfer).
    pub fn wait(&self, timeout: Duration) -> Option<Arc<TransferOutcome>> {
        let state = lock(&self.0.state);
        let is_open = |state: &mut State| state.outcome.is_none();
        match self.0.is_over.wait_timeout_while(state, timeout, is_open) {
            Ok((state, _)) => state.outcome.clone(),
            // A waiter cannot poison the lock: it is called without it.
            Err(_) => None,
        }
    }

    /// Calls `waiter` once when it is over: at once, on this thread, if it is already; else on a thread of the manager's, whose
    /// other transfers wait for it, or on one of the device's if the manager was closed meanwhile. So it must be short.
    pub fn on_done(&self, waiter: impl FnOnce(&TransferOutcome) + Send + 'static) {
        let mut state = lock(&self.0.state);
        let Some(outcome) = state.outcome.clone() else {
            return state.waiters.push(Box::new(waiter));
        };
        drop(state);
        waiter(&outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn who_waits_is_told_once_and_one_that_panics_harms_nobody() {
        let slot: Arc<Slot> = Arc::default();
        let ticket = TransferTicket::new(Arc::clone(&slot));
        let told: Arc<AtomicU64> = Arc::default();
        let waiter = || {
            let told = Arc::clone(&told);
            move |outcome: &TransferOutcome| {
                told.fetch_add(outcome.bytes, Ordering::Relaxed);
            }
        };
        ticket.on_done(|_| panic!("this panic is part of the test"));
        ticket.on_done(waiter());
        assert!(ticket.poll().is_none() && ticket.wait(Duration::ZERO).is_none());
        slot.publish(TransferOutcome { objects: vec![ObjectOutcome::Moved], bytes: 3, error: None });
        ticket.on_done(waiter());
        assert_eq!(told.load(Ordering::Relaxed), 6);
        assert!(ticket.poll().unwrap().is_good() && ticket.wait(Duration::ZERO).is_some());
    }
}

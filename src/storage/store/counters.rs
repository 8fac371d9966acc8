//! What a store controller counts, for its status: read without stopping it.

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Numbers of one store controller. All accesses are relaxed: nothing is ordered by them.
#[derive(Debug, Default)]
pub struct StoreCounters {
    pending_keys: AtomicUsize,
    in_flight_tasks: AtomicUsize,
    dropped_keys: AtomicU64,
    lost_keys: AtomicU64,
    retried_keys: AtomicU64,
    waiting_deletions: AtomicUsize,
}

impl StoreCounters {
    pub(super) fn set_queues(&self, pending_keys: usize, in_flight_tasks: usize, waiting_deletions: usize) {
        self.pending_keys.store(pending_keys, Ordering::Relaxed);
        self.in_flight_tasks.store(in_flight_tasks, Ordering::Relaxed);
        self.waiting_deletions.store(waiting_deletions, Ordering::Relaxed);
    }

    pub(super) fn count_dropped(&self, keys: usize) {
        self.dropped_keys.fetch_add(keys as u64, Ordering::Relaxed);
    }

    pub(super) fn count_lost(&self, keys: usize) {
        self.lost_keys.fetch_add(keys as u64, Ordering::Relaxed);
    }

    pub(super) fn count_retried(&self, keys: usize) {
        self.retried_keys.fetch_add(keys as u64, Ordering::Relaxed);
    }

    /// Keys that wait for an adapter, each once an adapter.
    pub fn pending_keys(&self) -> usize {
        self.pending_keys.load(Ordering::Relaxed)
    }

    /// Tasks under way.
    pub fn in_flight_tasks(&self) -> usize {
        self.in_flight_tasks.load(Ordering::Relaxed)
    }

    /// Keys that found a full queue and are not stored, since the start.
    pub fn dropped_keys(&self) -> u64 {
        self.dropped_keys.load(Ordering::Relaxed)
    }

    /// Keys that an adapter failed to store as often as it may, or that left L1 before they could be stored, since the
    /// start.
    pub fn lost_keys(&self) -> u64 {
        self.lost_keys.load(Ordering::Relaxed)
    }

    /// Keys that were tried again, since the start.
    pub fn retried_keys(&self) -> u64 {
        self.retried_keys.load(Ordering::Relaxed)
    }

    /// Objects that are to leave L1 and are still locked.
    pub fn waiting_deletions(&self) -> usize {
        self.waiting_deletions.load(Ordering::Relaxed)
    }
}

//! What the prefetch controller counts, for its status: read without stopping it.

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Numbers of the requests, as of the last batch of messages. All accesses are relaxed: nothing is ordered by them.
#[derive(Debug, Default)]
pub(in crate::storage) struct PrefetchCounters {
    pending: AtomicUsize,
    in_flight: AtomicUsize,
    looking_up: AtomicUsize,
    given_up: AtomicUsize,
    joined: AtomicU64,
    timeouts: AtomicU64,
    cancels: AtomicU64,
}

impl PrefetchCounters {
    pub(super) fn set_queues(&self, pending: usize, in_flight: usize, looking_up: usize) {
        self.pending.store(pending, Ordering::Relaxed);
        self.in_flight.store(in_flight, Ordering::Relaxed);
        self.looking_up.store(looking_up, Ordering::Relaxed);
    }

    pub(super) fn set_given_up(&self, given_up: usize) {
        self.given_up.store(given_up, Ordering::Relaxed);
    }

    pub(super) fn set_joined(&self, joined: u64) {
        self.joined.store(joined, Ordering::Relaxed);
    }

    pub(super) fn count_timeout(&self) {
        self.timeouts.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_cancel(&self) {
        self.cancels.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that wait for a place.
    pub(in crate::storage) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Requests under way, given up ones included.
    pub(in crate::storage) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Those of them that adapters look for.
    pub(in crate::storage) fn looking_up(&self) -> usize {
        self.looking_up.load(Ordering::Relaxed)
    }

    /// Those of them whose result is out.
    pub(in crate::storage) fn given_up(&self) -> usize {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Cells that waited for somebody else's load, since the start.
    pub(in crate::storage) fn joined(&self) -> u64 {
        self.joined.load(Ordering::Relaxed)
    }

    /// Requests that took too long, since the start.
    pub(in crate::storage) fn timeouts(&self) -> u64 {
        self.timeouts.load(Ordering::Relaxed)
    }

    /// Requests that were cancelled, since the start.
    pub(in crate::storage) fn cancels(&self) -> u64 {
        self.cancels.load(Ordering::Relaxed)
    }
}

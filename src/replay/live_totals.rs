//! What a storage manager answers and holds, for whoever looks on while a replay runs.
//!
//! The target adds to [`LiveTotals`] after its calls, outside the time that is measured; the observer takes a
//! [`LiveSample`] now and then, on its own thread. A replay that nobody looks at pays some additions for each prefetch.

use crossbeam::channel::{Receiver, Sender, bounded};

use crate::storage::StorageManager;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, OnceLock};

/// How many answered prefetches may wait for the observer.
pub const PREFETCHES_QUEUED: usize = 1 << 14;

/// A prefetch whose result is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnsweredPrefetch {
    /// When it was submitted, on `CLOCK_MONOTONIC`, in nanoseconds; of a manager on the trace's own time, when its call had
    /// returned. Nobody may rely on it without a watcher.
    pub submit_ns: u64,
    /// When its result was there, on the same clock; of a manager on the trace's own time, when the replay asked for it.
    pub ready_ns: u64,
    /// See [`StorageTotals::requested_chunks`](crate::replay::StorageTotals::requested_chunks).
    pub requested_chunks: u64,
    /// See [`StorageTotals::served_chunks`](crate::replay::StorageTotals::served_chunks).
    pub served_chunks: u64,
    /// Hits that were in L1 already.
    pub l1_hit_keys: u64,
    /// Hits that came from L2.
    pub l2_hit_keys: u64,
}

/// Sums over the prefetches that were answered. Any number of targets may add to one.
#[derive(Debug, Default)]
pub struct LiveTotals {
    answered_chunks: AtomicU64,
    served_chunks: AtomicU64,
    l1_hit_keys: AtomicU64,
    l2_hit_keys: AtomicU64,
    unwatched_prefetches: AtomicU64,
    watcher: OnceLock<Sender<AnsweredPrefetch>>,
}

impl LiveTotals {
    /// Counts one prefetch. Never waits: a watcher that is too slow misses it.
    pub fn answered(&self, prefetch: &AnsweredPrefetch) {
        // Relaxed, here and below: sums that order nothing.
        self.answered_chunks.fetch_add(prefetch.requested_chunks, Ordering::Relaxed);
        self.served_chunks.fetch_add(prefetch.served_chunks, Ordering::Relaxed);
        self.l1_hit_keys.fetch_add(prefetch.l1_hit_keys, Ordering::Relaxed);
        self.l2_hit_keys.fetch_add(prefetch.l2_hit_keys, Ordering::Relaxed);
        if self.watcher.get().is_some_and(|watcher| watcher.try_send(*prefetch).is_err()) {
            self.unwatched_prefetches.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every prefetch that is answered from now on, at most [`PREFETCHES_QUEUED`] at a time. Nothing for a second
    /// watcher.
    pub fn watch(&self) -> Option<Receiver<AnsweredPrefetch>> {
        let (sender, receiver) = bounded(PREFETCHES_QUEUED);
        self.watcher.set(sender).is_ok().then_some(receiver)
    }

    /// Whether anybody wants to know of prefetches one by one.
    pub fn is_watched(&self) -> bool {
        self.watcher.get().is_some()
    }

    /// Prefetches that the watcher was too slow for.
    pub fn unwatched_prefetches(&self) -> u64 {
        self.unwatched_prefetches.load(Ordering::Relaxed)
    }
}

/// The state of a replay's storage manager at one moment. Counts are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveSample {
    /// Chunks of the prompts of the prefetches whose result is there.
    pub answered_chunks: u64,
    /// Of those, the chunks that could be served.
    pub served_chunks: u64,
    /// Keys that prefetches found in L1.
    pub l1_hit_keys: u64,
    /// Keys that prefetches got from L2.
    pub l2_hit_keys: u64,
    /// Objects that were evicted from L1.
    pub evicted_keys: u64,
    /// Bytes of all L1s in use.
    pub l1_used_bytes: u64,
    /// Bytes that all L1s have.
    pub l1_total_bytes: u64,
    /// Bytes of all L2 adapters in use; nothing if there is no adapter.
    pub l2_used_bytes: Option<u64>,
}

impl LiveSample {
    /// Served over answered chunks; nothing before the first answer.
    pub fn hit_rate(&self) -> Option<f64> {
        (self.answered_chunks > 0).then(|| self.served_chunks as f64 / self.answered_chunks as f64)
    }

    /// The share of L1 that is in use; 0 if there is none.
    pub fn l1_share(&self) -> f64 {
        match self.l1_total_bytes {
            0 => 0.0,
            total_bytes => self.l1_used_bytes as f64 / total_bytes as f64,
        }
    }
}

/// Looks at a storage manager and at the totals of its targets, from any thread.
#[derive(Clone, Debug)]
pub struct LiveView {
    manager: Arc<StorageManager>,
    totals: Arc<LiveTotals>,
}

impl LiveView {
    /// A view of `manager`, whose prefetches are counted in `totals`.
    pub fn new(manager: Arc<StorageManager>, totals: Arc<LiveTotals>) -> Self {
        Self { manager, totals }
    }

    /// The totals, to watch prefetches one by one.
    pub fn totals(&self) -> &LiveTotals {
        &self.totals
    }

    /// What there is to see now. Takes the lock of each L1's allocator for a moment, so look a thousand times a second
    /// at most.
    pub fn sample(&self) -> LiveSample {
        let (l1_used_bytes, l1_total_bytes) = self.manager.get_l1_usage();
        // Relaxed: see `LiveTotals::answered`. The chunks that were served come first, so that no rate is above one.
        let served_chunks = self.totals.served_chunks.load(Ordering::Relaxed);
        let answered_chunks = self.totals.answered_chunks.load(Ordering::Relaxed);
        LiveSample {
            answered_chunks: answered_chunks.max(served_chunks),
            served_chunks,
            l1_hit_keys: self.totals.l1_hit_keys.load(Ordering::Relaxed),
            l2_hit_keys: self.totals.l2_hit_keys.load(Ordering::Relaxed),
            evicted_keys: self.manager.stats().evicted_keys,
            l1_used_bytes,
            l1_total_bytes,
            l2_used_bytes: self.manager.get_l2_usage(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_that_is_too_slow_misses_what_is_counted() {
        let totals = LiveTotals::default();
        let prefetches = totals.watch().expect("the first watcher");
        assert!(totals.watch().is_none());
        let one = AnsweredPrefetch { requested_chunks: 2, served_chunks: 1, ..AnsweredPrefetch::default() };
        (0..PREFETCHES_QUEUED).for_each(|_| totals.answered(&one));
        assert_eq!(totals.unwatched_prefetches(), 0);
        totals.answered(&one);
        assert_eq!(totals.unwatched_prefetches(), 1);
        assert_eq!(prefetches.try_iter().count(), PREFETCHES_QUEUED);
    }

    #[test]
    fn rates_of_nothing_are_no_numbers() {
        let nothing = LiveSample::default();
        assert_eq!((nothing.hit_rate(), nothing.l1_share()), (None, 0.0));
    }
}

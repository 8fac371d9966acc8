//! How far each worker is, so that others can wait for it without a lock.

use crossbeam::utils::{Backoff, CachePadded};

use crate::clock::{Waiter, monotonic_ns};
use crate::replay::plan::Wait;
use crate::replay::stop::StopFlag;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How long a worker sleeps when spinning did not help: the call that it waits for takes longer than that.
const PAUSE_NS: u64 = 20_000;

/// The number of records that each worker is done with.
#[derive(Debug)]
pub(super) struct Progress {
    done: Box<[CachePadded<AtomicU64>]>,
    is_broken: AtomicBool,
}

impl Progress {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            done: (0..workers).map(|_| CachePadded::default()).collect(),
            is_broken: AtomicBool::new(false),
        }
    }

    /// `worker` is done with so many records.
    #[inline]
    pub(super) fn set(&self, worker: u16, records: u64) {
        // Release, with the load in `is_done`: who has waited for a call sees all that it did.
        self.done[usize::from(worker)].store(records, Ordering::Release);
    }

    #[inline]
    fn is_done(&self, wait: Wait) -> bool {
        // Acquire: see `set`.
        self.done[usize::from(wait.worker)].load(Ordering::Acquire) >= wait.calls
    }

    /// Waits until all of `waits` are done. False if they never will be: the replay was stopped, or a worker panicked.
    #[inline]
    pub(super) fn wait_for(&self, waits: &[Wait], stop: &StopFlag) -> bool {
        waits.iter().all(|wait| self.is_done(*wait) || self.wait_for_one(*wait, stop))
    }

    fn wait_for_one(&self, wait: Wait, stop: &StopFlag) -> bool {
        let (backoff, pause) = (Backoff::new(), Waiter::new(0));
        loop {
            if self.is_done(wait) {
                return true;
            }
            // Relaxed: the flag is all that is communicated.
            if stop.is_set() || self.is_broken.load(Ordering::Relaxed) {
                return false;
            }
            if backoff.is_completed() {
                pause.wait_until_ns(monotonic_ns() + PAUSE_NS, || false);
            } else {
                backoff.snooze();
            }
        }
    }

    /// What a worker holds: if it panics, the others do not wait for it.
    pub(super) fn guard(&self) -> PanicGuard<'_> {
        PanicGuard(self)
    }
}

/// See [`Progress::guard`].
#[derive(Debug)]
pub(super) struct PanicGuard<'a>(&'a Progress);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Relaxed: see `wait_for_one`.
            self.0.is_broken.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_call_with_a_stop_or_with_a_panic() {
        let (progress, stop) = (Progress::new(2), StopFlag::default());
        progress.set(1, 3);
        assert!(progress.wait_for(&[], &stop));
        assert!(progress.wait_for(&[Wait { worker: 1, calls: 3 }, Wait { worker: 0, calls: 0 }], &stop));
        let next = [Wait { worker: 1, calls: 4 }];
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| progress.wait_for(&next, &stop));
            Waiter::default().wait_until_ns(monotonic_ns() + 5_000_000, || false);
            assert!(!waiting.is_finished());
            progress.set(1, 4);
            assert!(waiting.join().unwrap());
            let never = [Wait { worker: 0, calls: 1 }];
            let broken = scope.spawn(|| {
                let _guard = progress.guard();
                panic!("a worker that panics, as it is told to");
            });
            assert!(broken.join().is_err());
            assert!(!progress.wait_for(&never, &stop));
        });
        let (progress, stop) = (Progress::new(1), StopFlag::default());
        stop.set();
        assert!(!progress.wait_for(&[Wait { worker: 0, calls: 1 }], &stop));
    }
}

//! The trace's own time, for a storage manager without threads: what LMCache does by the clock happens between two calls, at
//! the same place of the trace however fast it is replayed.
//!
//! * Locks and reservations run out by the clock of the recording.
//! * Once a second of it, L1 and L2 evict if they are fuller than their watermarks, as LMCache's threads do. Ours evicts in
//!   addition as soon as a call has filled L1 up to the watermark, unless it is to be like LMCache.
//! * What a call set in motion is over before the next call, and before anything is evicted: prefetches, and stores, which hold
//!   their objects until then, and are missing in L2. What L2 answers is taken in at such places alone. Stores that failed are tried again when the
//!   recording has come so far, and are over then, too.

use std::time::Duration;

use crate::clock::{Clock, ManualClock, NS_PER_S, monotonic_ns};
use crate::replay::stop::StopFlag;
use crate::storage::StorageManager;
use crate::storage::config::{Compat, L1ManagerConfig, StorageManagerConfig};
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Where the manager's clock stands when the recording starts: not at 0, which some fields use for "never".
const START_NS: u64 = NS_PER_S;

/// The pause between two passes of LMCache's eviction threads.
const PASS_PERIOD_NS: u64 = NS_PER_S;

/// When the first pass is due. A trace does not say at which part of its second the thread was when the recording began; the
/// middle is never more than half a second off.
const FIRST_PASS_NS: u64 = PASS_PERIOD_NS / 2;

/// How often a wait for L2 looks whether the replay is to stop.
const STOP_LOOK: Duration = Duration::from_millis(50);

/// How often it looks before it gives up: after 30 seconds.
const MAX_LOOKS: u32 = 600;

/// How often from then on, until something is over in time again: an L2 that is gone must not cost every call as much.
const LOOKS_AFTER_GIVING_UP: u32 = 1;

/// See the module. Shared by all workers, of which one at a time has its turn.
#[derive(Debug)]
pub(super) struct TraceTime {
    hand: ManualClock,
    compat: Compat,
    /// Without L2 there is nothing to wait for.
    has_l2: bool,
    /// When the next eviction pass is due, on the recording's clock.
    next_pass_ns: AtomicU64,
    /// After so many passes in a row that evicted nothing, every lock has run out: those that follow evict nothing either.
    fruitless_passes: u64,
    /// How often a wait looks before it gives up.
    patience: AtomicU32,
    /// Whether something was not over in time at the call that has its turn.
    is_late: AtomicBool,
    /// At how many calls something was not, so that later ones may have seen it happen.
    unsettled: AtomicU64,
}

impl TraceTime {
    /// The time of a manager under `config`, and the clock for it.
    pub(super) fn new(config: &StorageManagerConfig) -> (Self, Clock) {
        let (clock, hand) = Clock::manual(START_NS);
        let longest_s = |l1: &L1ManagerConfig| l1.write_ttl_seconds.max(l1.read_ttl_seconds);
        let longest_s = config.l1_managers.iter().map(longest_s).max().unwrap_or(0);
        let time = Self {
            hand,
            compat: config.compat,
            has_l2: !config.l2_adapters.is_empty(),
            next_pass_ns: AtomicU64::new(FIRST_PASS_NS),
            fruitless_passes: u64::try_from(longest_s).unwrap_or(0).saturating_add(2),
            patience: AtomicU32::new(MAX_LOOKS),
            is_late: AtomicBool::new(false),
            unsettled: AtomicU64::new(0),
        };
        (time, clock)
    }

    /// Before a call that was made at `trace_ns`: time passes until then.
    pub(super) fn prepare(&self, manager: &StorageManager, trace_ns: u64, stop: &StopFlag) {
        self.begin_call();
        self.pass_until(manager, trace_ns, stop);
        self.hand.advance_to_ns(START_NS.saturating_add(trace_ns));
        // What was to be tried again by now.
        self.settle(manager, stop);
    }

    fn begin_call(&self) {
        // Relaxed, here and below: only the worker whose turn it is comes here, and a turn is handed over with more.
        self.is_late.store(false, Ordering::Relaxed);
    }

    /// After a call: its stores are over, and L1 is below its watermark, where it can be.
    pub(super) fn settle_call(&self, manager: &StorageManager, stop: &StopFlag) {
        self.settle(manager, stop);
        if self.compat == Compat::Native && manager.is_l1_at_watermark() {
            manager.evict_l1_at_watermark();
        }
    }

    /// After all calls: waits until `deadline_ns` on `CLOCK_MONOTONIC`.
    pub(super) fn settle_until(&self, manager: &StorageManager, deadline_ns: u64, stop: &StopFlag) {
        while self.has_l2 && !stop.is_set() {
            let left = Duration::from_nanos(deadline_ns.saturating_sub(monotonic_ns()));
            if manager.settle(left.min(STOP_LOOK)) {
                return;
            }
            if left.is_zero() {
                manager.take_in_answers();
                return self.note_late();
            }
        }
    }

    /// Waits until `is_over`, which waits itself for at most as long as it is told; or until the replay is stopped, or it
    /// takes too long, which is counted.
    pub(super) fn wait(&self, stop: &StopFlag, is_over: impl Fn(Duration) -> bool) {
        for _ in 0..self.patience.load(Ordering::Relaxed) {
            if is_over(STOP_LOOK) {
                return self.patience.store(MAX_LOOKS, Ordering::Relaxed);
            }
            if stop.is_set() {
                return;
            }
        }
        self.patience.store(LOOKS_AFTER_GIVING_UP, Ordering::Relaxed);
        self.note_late();
    }

    /// Counts the call that has its turn, once.
    fn note_late(&self) {
        if !self.is_late.swap(true, Ordering::Relaxed) {
            self.unsettled.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// At how many calls a wait was given up.
    pub(super) fn unsettled(&self) -> u64 {
        self.unsettled.load(Ordering::Relaxed)
    }

    /// Waits until L2 is done with all that was handed to it; once a call, if it is not in time.
    fn settle(&self, manager: &StorageManager, stop: &StopFlag) {
        if !self.has_l2 {
            return;
        }
        if !self.is_late.load(Ordering::Relaxed) {
            self.wait(stop, |at_most| manager.settle(at_most));
        }
        if self.is_late.load(Ordering::Relaxed) {
            // An adapter that is gone must not hold the others up.
            manager.take_in_answers();
        }
    }

    /// The eviction passes that are due until `trace_ns`. A pause in the trace costs no more passes than can do something.
    fn pass_until(&self, manager: &StorageManager, trace_ns: u64, stop: &StopFlag) {
        let mut due_ns = self.next_pass_ns.load(Ordering::Relaxed);
        let mut fruitless = 0;
        while due_ns <= trace_ns && !stop.is_set() {
            self.hand.advance_to_ns(START_NS.saturating_add(due_ns));
            self.settle(manager, stop);
            let has_evicted = evict(manager);
            fruitless = if has_evicted { 0 } else { fruitless + 1 };
            due_ns += PASS_PERIOD_NS;
            if fruitless > self.fruitless_passes || (!has_evicted && !manager.is_l1_at_watermark()) {
                due_ns += trace_ns.saturating_sub(due_ns) / PASS_PERIOD_NS * PASS_PERIOD_NS;
            }
        }
        self.next_pass_ns.store(due_ns, Ordering::Relaxed);
    }
}

/// One pass over L1 and one over L2. Whether anything went.
fn evict(manager: &StorageManager) -> bool {
    let passes = manager.evict_l1_once();
    let of_l1 = passes.iter().any(|pass| pass.victims.as_ref().is_ok_and(|victims| !victims.is_empty()));
    let of_l2 = manager.evict_l2_once();
    of_l1 || of_l2.iter().any(|(_, victims)| !victims.is_empty())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::storage::config::EvictionPolicyKind;

    /// How often a wait looked for something that is over after so many looks.
    fn looks(time: &TraceTime, stop: &StopFlag, over_after: u32) -> u32 {
        let looks = Cell::new(0);
        time.wait(stop, |_| {
            looks.set(looks.get() + 1);
            looks.get() > over_after
        });
        looks.get()
    }

    fn time() -> TraceTime {
        TraceTime::new(&StorageManagerConfig::l1_only(1 << 20, EvictionPolicyKind::Lru)).0
    }

    #[test]
    fn an_l2_that_is_gone_is_waited_for_once_and_counted_at_every_call() {
        let (time, stop) = (time(), StopFlag::default());
        assert_eq!(looks(&time, &stop, MAX_LOOKS - 1), MAX_LOOKS);
        assert_eq!(time.unsettled(), 0, "at the limit");
        assert_eq!(looks(&time, &stop, MAX_LOOKS), MAX_LOOKS);
        assert_eq!((looks(&time, &stop, u32::MAX), looks(&time, &stop, u32::MAX)), (1, 1));
        assert_eq!(time.unsettled(), 1, "three waits of one call");
        time.begin_call();
        assert_eq!((looks(&time, &stop, u32::MAX), time.unsettled()), (1, 2));
        time.begin_call();
        assert_eq!((looks(&time, &stop, 0), looks(&time, &stop, 5)), (1, 6), "it is back");
        assert_eq!(time.unsettled(), 2);
    }

    #[test]
    fn a_stop_is_no_fault_of_l2() {
        let (time, stop) = (time(), StopFlag::default());
        stop.set();
        assert_eq!((looks(&time, &stop, u32::MAX), time.unsettled()), (1, 0));
    }
}

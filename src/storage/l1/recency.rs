//! LRU without a list: every slot knows when it was used, and those that were used least recently are looked up when
//! somebody has to go.
//!
//! A list in order of use has one end, which all threads would write with every use. A stamp in the slot costs a store
//! under a mutex that is held anyway. The price is paid by evictions: now and then one looks at every slot, and queues
//! the [share](QUEUED_SHARE) of them that was used least recently. Until the queue is empty nothing older can be
//! found, since whatever is used meanwhile gets a later stamp; a queued slot whose stamp has changed was used, and
//! is passed over. So victims are those of LRU, in its order, for a look at every slot once in so many victims.
//!
//! Stamps are ticks of the machine's clock, which are later on every thread than those of an earlier call. The keys of
//! a call are stamped in reverse, one tick apart: more ticks than keys pass in a call, but on a machine whose ticks are long. Where somebody
//! turns L1's clock by hand, who goes is to be a matter of the calls alone: there stamps are counted.

use std::collections::VecDeque;

use super::shard::Place;
use crate::clock::{Clock, TickSource};
use crate::sync::atomic::{AtomicU64, Ordering};

/// From the stamps of a call to those of the next, where they are counted: more than a call has keys.
const STAMPS_PER_CALL: u64 = 1 << 24;

/// Where stamps come from.
#[derive(Debug)]
pub(super) enum Stamps {
    Ticks(TickSource),
    Counted(AtomicU64),
}

impl Stamps {
    /// Those for an L1 with this clock.
    pub(super) fn beside(clock: &Clock) -> Self {
        match clock.is_system() {
            true => Self::Ticks(TickSource::detect()),
            false => Self::Counted(AtomicU64::new(STAMPS_PER_CALL)),
        }
    }

    /// The stamp of this moment; never 0.
    #[inline]
    pub(super) fn now(&self) -> u64 {
        match self {
            Self::Ticks(source) => source.now(),
            // Relaxed: whoever makes calls one after the other orders them.
            Self::Counted(next) => next.fetch_add(STAMPS_PER_CALL, Ordering::Relaxed),
        }
    }
}

/// A look at every slot queues one in so many.
const QUEUED_SHARE: usize = 16;

/// But no fewer than this.
const QUEUED_MIN: usize = 1024;

/// A slot that may have to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) used: u64,
    pub(super) place: Place,
}

/// The slots that were used least recently, the next to go first.
#[derive(Debug, Default)]
pub(super) struct Recency {
    pub(super) queue: VecDeque<Candidate>,
}

impl Recency {
    /// The next candidate behind `after`, which is the last that the caller has seen. `keys` says how many slots there
    /// are, and `visit` shows them; both look at all shards, and are called only if the queue is empty.
    pub(super) fn next(
        &mut self,
        after: Option<Candidate>,
        keys: impl FnOnce() -> usize,
        visit: impl FnOnce(&mut dyn FnMut(Candidate)),
    ) -> Option<Candidate> {
        if self.queue.is_empty() {
            let wanted = (keys() / QUEUED_SHARE).max(QUEUED_MIN);
            self.queue = least(wanted, |offer| {
                visit(&mut |candidate| {
                    if after.is_none_or(|after| after < candidate) {
                        offer(candidate);
                    }
                });
            });
        }
        self.queue.pop_front()
    }

    /// Puts candidates back that had to stay; they are those that came first.
    pub(super) fn put_back(&mut self, kept: Vec<Candidate>) {
        kept.into_iter().rev().for_each(|candidate| self.queue.push_front(candidate));
    }
}

/// The least `wanted` of what `visit` offers, in order. Never holds more than twice as many.
fn least(wanted: usize, visit: impl FnOnce(&mut dyn FnMut(Candidate))) -> VecDeque<Candidate> {
    let mut least: Vec<Candidate> = Vec::new();
    let mut bound = None;
    visit(&mut |candidate| {
        if bound.is_some_and(|bound| candidate > bound) {
            return;
        }
        least.push(candidate);
        if least.len() >= 2 * wanted {
            let (_, last, _) = least.select_nth_unstable(wanted - 1);
            bound = Some(*last);
            least.truncate(wanted);
        }
    });
    least.sort_unstable();
    least.truncate(wanted);
    least.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_stamps_leave_room_for_the_keys_of_a_call() {
        let stamps = Stamps::beside(&Clock::manual(1).0);
        let (first, second) = (stamps.now(), stamps.now());
        assert!(first > 0 && first + (1 << 20) < second, "{first} {second}");
        assert!(matches!(Stamps::beside(&Clock::system()), Stamps::Ticks(_)));
    }

    #[test]
    fn a_queue_that_has_candidates_looks_at_no_shard() {
        let candidate = |used| Candidate { used, place: Place { shard: 0, slot: 0 } };
        let (mut recency, mut last, mut looks) = (Recency::default(), None, 0);
        for used in 0..100 {
            let count = || {
                looks += 1;
                100
            };
            last = recency.next(last, count, |offer| (0..100).for_each(|used| offer(candidate(used))));
            assert_eq!(last, Some(candidate(used)));
        }
        assert_eq!(looks, 1);
    }

    #[test]
    fn the_least_are_found_in_order_whatever_comes_first() {
        let candidate = |used| Candidate { used, place: Place { shard: 0, slot: 0 } };
        for count in [0, 1, 5, 6, 100] {
            let found = least(5, |offer| (0..count).rev().for_each(|used| offer(candidate(used * 7 % 101))));
            let mut expected: Vec<u64> = (0..count).map(|used| used * 7 % 101).collect();
            expected.sort_unstable();
            expected.truncate(5);
            assert_eq!(found.into_iter().map(|candidate| candidate.used).collect::<Vec<_>>(), expected);
        }
    }
}

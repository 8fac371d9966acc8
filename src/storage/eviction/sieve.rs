//! `SIEVE`: first come, first to go, but what was used since it was last looked at stays. Ours; LMCache has no
//! such policy.
//!
//! Zhang et al., "SIEVE is Simpler than LRU: an Efficient Turn-Key Eviction Algorithm for Web Caches", NSDI 2024.
//! A hand goes round the queue from the oldest key to the newest. It takes the mark from a key that was used
//! since it last came by, and names one that was not. Keys never move, so old ones that are used and new ones
//! that are not yet stand side by side, and the new have to prove themselves by the time the hand is back.
//!
//! With one key a call this is the paper's algorithm, miss for miss.

use super::demand::Tally;
use super::key_lists::{KeyLists, NodeId, Place};
use super::{Demand, EvictionPolicy, PolicyState};
use crate::error::Result;
use crate::format::model::ObjectKey;

const QUEUE: u32 = 0;
/// Keys that were named and are still here: the hand is past them. They are named again before others, and
/// one that is used or written after all is new again, as if it had gone and come back.
const NAMED: u32 = 1;

#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// Used since the hand last came by.
    is_visited: bool,
}

/// The queue, oldest first, and the hand.
#[derive(Clone, Debug)]
pub struct SievePolicy {
    keys: KeyLists<Mark>,
    /// Whom the hand looks at next; at the end of the queue, nobody until it starts anew from the oldest.
    hand: Option<NodeId>,
}

impl Default for SievePolicy {
    fn default() -> Self {
        Self { keys: KeyLists::new(2), hand: None }
    }
}

impl SievePolicy {
    /// Moves the hand until the demand is met. Twice round is enough: the first time takes every mark, and the
    /// second names all that may go.
    fn sweep(&mut self, tally: &mut Tally<'_>) {
        for _ in 0..2 * self.keys.len(QUEUE) {
            let next = self.hand.or_else(|| self.keys.first(QUEUE));
            let Some(node) = next.filter(|_| !tally.is_met()) else { return };
            self.hand = self.keys.next(node);
            let was_visited = std::mem::take(self.keys.mark(node)).is_visited;
            if !was_visited && tally.offer(self.keys.key(node)) {
                self.keys.move_last(node, NAMED);
            }
        }
    }
}

impl EvictionPolicy for SievePolicy {
    fn on_keys_created(&mut self, keys: &[&ObjectKey]) {
        for key in keys.iter().rev() {
            // The write that follows a reservation is no use.
            if let Place::Found(node) = self.keys.find_or_push(QUEUE, key)
                && self.keys.list_of(node) == NAMED
            {
                self.keys.move_last(node, QUEUE);
            }
        }
    }

    fn on_keys_touched(&mut self, keys: &[&ObjectKey]) {
        for key in keys.iter().rev() {
            let Some(node) = self.keys.find(key) else { continue };
            if self.keys.list_of(node) == NAMED {
                self.keys.move_last(node, QUEUE);
            } else {
                self.keys.mark(node).is_visited = true;
            }
        }
    }

    fn on_keys_removed(&mut self, keys: &[&ObjectKey]) {
        for key in keys {
            let Some(node) = self.keys.find(key) else { continue };
            if self.hand == Some(node) {
                self.hand = self.keys.next(node);
            }
            self.keys.remove(node);
        }
    }

    fn victims(
        &mut self,
        demand: Demand<'_>,
        _cache_salt: Option<&str>,
        is_evictable: &dyn Fn(&ObjectKey) -> bool,
    ) -> Result<Vec<ObjectKey>> {
        let mut tally = Tally::new(demand, self.tracked_keys(), is_evictable);
        self.keys.offer(NAMED, &mut tally);
        self.sweep(&mut tally);
        Ok(tally.into_victims())
    }

    fn tracked_keys(&self) -> usize {
        self.keys.len(QUEUE) + self.keys.len(NAMED)
    }

    fn state(&self) -> PolicyState {
        let queue = self.keys.keys_and_marks(QUEUE);
        PolicyState::Sieve {
            queue: queue.map(|(key, mark)| (key, mark.is_visited)).collect(),
            hand: self.hand.map(|node| self.keys.key(node).clone()),
            named: self.keys.keys(NAMED),
        }
    }
}

//! `S3FIFO`: three queues, which keep what is used once from displacing the rest. Ours; LMCache has no such policy.
//!
//! Yang et al., "FIFO Queues are All You Need for Cache Eviction", SOSP 2023. New keys wait in a small queue, a
//! tenth of the cache. At its end, those that were used twice meanwhile go to the main queue, and the others go,
//! remembered in a ghost queue without their bytes: a key that comes back from there goes to the main queue. At the
//! end of the main queue, a key that was used goes back to the beginning, as often as it was used, but at most
//! three times.
//!
//! What the paper leaves open is as in libCacheSim 0.3.5, so that with one key a call both miss the same: before
//! the first eviction the small queue takes no more than its tenth, and the ghost queue remembers nine
//! tenths as many keys as the cache holds. How many that is, nobody says here: as in LMCache's ARC it is the most
//! keys that were ever present at once.

use super::demand::Tally;
use super::key_lists::{KeyLists, NodeId, Place};
use super::{Demand, EvictionPolicy, PolicyState};
use crate::error::Result;
use crate::format::model::ObjectKey;

const SMALL: u32 = 0;
const MAIN: u32 = 1;
const GHOST: u32 = 2;
/// Keys that were named and are still here. They are named again before others, and one that is used or written
/// after all goes to the main queue, as if it had gone and come back.
const NAMED: u32 = 3;

/// Uses beyond this are not counted.
const MAX_USES: u8 = 3;
/// So many uses in the small queue lead to the main queue.
const PROMOTING_USES: u8 = 2;

#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// Uses since the key came into its queue; in the main queue, since then and not yet spent.
    uses: u8,
    /// Named in the small queue: its removal leaves a ghost.
    leaves_ghost: bool,
}

/// The queues, each oldest first.
#[derive(Clone, Debug)]
pub struct S3FifoPolicy {
    keys: KeyLists<Mark>,
    capacity: usize,
    has_evicted: bool,
}

impl Default for S3FifoPolicy {
    fn default() -> Self {
        Self { keys: KeyLists::new(4), capacity: 0, has_evicted: false }
    }
}

impl S3FifoPolicy {
    fn small_target(&self) -> usize {
        self.capacity / 10
    }

    fn ghost_target(&self) -> usize {
        self.capacity - self.capacity.div_ceil(10)
    }

    /// A key is reserved or written.
    fn arrive(&mut self, key: &ObjectKey) {
        // Until the first eviction nobody knows how much a tenth is: see `divide`.
        let list_of_new = if self.has_evicted { SMALL } else { MAIN };
        // The write that follows a reservation is no use.
        if let Place::Found(node) = self.keys.find_or_push(list_of_new, key)
            && matches!(self.keys.list_of(node), GHOST | NAMED)
        {
            self.come_back(node);
        }
        self.capacity = self.capacity.max(self.tracked_keys());
        // Here and not where ghosts are made: the key for which the oldest had to go may be its own ghost.
        // Between two arrivals there can be as many more as keys were present.
        while self.keys.len(GHOST) > self.ghost_target() {
            self.keys.remove_first(GHOST);
        }
    }

    fn come_back(&mut self, node: NodeId) {
        *self.keys.mark(node) = Mark::default();
        self.keys.move_last(node, MAIN);
    }

    /// Before the first eviction: the oldest tenth becomes the small queue.
    fn divide(&mut self) {
        self.has_evicted = true;
        for _ in 0..self.small_target() {
            if let Some(oldest) = self.keys.first(MAIN) {
                self.keys.move_last(oldest, SMALL);
            }
        }
    }

    /// Evicts by name until the demand is met: from the main queue while it is too large, otherwise from the small
    /// one. Keys that must stay are passed over, so each queue has a cursor.
    fn choose(&mut self, tally: &mut Tally<'_>) {
        let mut cursors = Cursors { small: self.keys.first(SMALL), main: self.keys.first(MAIN) };
        while !tally.is_met() {
            let main_target = self.capacity - self.small_target();
            let is_main_due = self.keys.len(MAIN) > main_target && cursors.main.is_some();
            if is_main_due || cursors.small.is_none() {
                if cursors.main.is_none() {
                    return;
                }
                self.evict_main(&mut cursors, tally);
            } else {
                self.evict_small(&mut cursors, tally);
            }
        }
    }

    /// Names one key of the small queue, unless all have to stay or go to the main queue.
    fn evict_small(&mut self, cursors: &mut Cursors, tally: &mut Tally<'_>) {
        while let Some(node) = cursors.small {
            cursors.small = self.keys.next(node);
            if self.keys.mark_of(node).uses >= PROMOTING_USES {
                self.come_back(node);
                cursors.main = cursors.main.or(Some(node));
            } else if tally.offer(self.keys.key(node)) {
                self.keys.mark(node).leaves_ghost = true;
                return self.keys.move_last(node, NAMED);
            }
        }
    }

    /// Names one key of the main queue, unless all have to stay.
    fn evict_main(&mut self, cursors: &mut Cursors, tally: &mut Tally<'_>) {
        while let Some(node) = cursors.main {
            cursors.main = self.keys.next(node);
            let mark = self.keys.mark(node);
            if mark.uses > 0 {
                mark.uses -= 1;
                self.keys.move_last(node, MAIN);
                cursors.main = cursors.main.or(Some(node));
            } else if tally.offer(self.keys.key(node)) {
                return self.keys.move_last(node, NAMED);
            }
        }
    }
}

/// Whom a call looks at next in each queue: all before it had to stay.
struct Cursors {
    small: Option<NodeId>,
    main: Option<NodeId>,
}

impl EvictionPolicy for S3FifoPolicy {
    fn on_keys_created(&mut self, keys: &[&ObjectKey]) {
        keys.iter().rev().for_each(|key| self.arrive(key));
    }

    fn on_keys_touched(&mut self, keys: &[&ObjectKey]) {
        for key in keys.iter().rev() {
            let Some(node) = self.keys.find(key) else { continue };
            match self.keys.list_of(node) {
                NAMED => self.come_back(node),
                GHOST => {}
                _ => {
                    let mark = self.keys.mark(node);
                    mark.uses = (mark.uses + 1).min(MAX_USES);
                }
            }
        }
    }

    fn on_keys_removed(&mut self, keys: &[&ObjectKey]) {
        for key in keys {
            let Some(node) = self.keys.find(key) else { continue };
            if std::mem::take(self.keys.mark(node)).leaves_ghost {
                self.keys.move_last(node, GHOST);
            } else {
                self.keys.remove(node);
            }
        }
    }

    fn victims(
        &mut self,
        demand: Demand<'_>,
        _cache_salt: Option<&str>,
        is_evictable: &dyn Fn(&ObjectKey) -> bool,
    ) -> Result<Vec<ObjectKey>> {
        let mut tally = Tally::new(demand, self.tracked_keys(), is_evictable);
        if !self.has_evicted && !tally.is_met() && self.tracked_keys() > 0 {
            self.divide();
        }
        self.keys.offer(NAMED, &mut tally);
        self.choose(&mut tally);
        Ok(tally.into_victims())
    }

    fn tracked_keys(&self) -> usize {
        self.keys.len(SMALL) + self.keys.len(MAIN) + self.keys.len(NAMED)
    }

    fn state(&self) -> PolicyState {
        let queue =
            |list| self.keys.keys_and_marks(list).map(|(key, mark): (_, Mark)| (key, mark.uses)).collect();
        PolicyState::S3Fifo {
            small: queue(SMALL),
            main: queue(MAIN),
            ghost: self.keys.keys(GHOST),
            named: self.keys.keys(NAMED),
            capacity: self.capacity,
        }
    }
}

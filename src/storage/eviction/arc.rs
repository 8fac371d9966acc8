//! `ARC`: adaptive replacement, as LMCache has it.
//!
//! Keys used once are in T1, keys used again in T2. What is evicted from them is remembered, without its
//! bytes, in the ghost lists B1 and B2: a key that comes back from B1 says that T1 was too small, one from B2
//! that T2 was. T1's target size follows. The capacity is the most keys that were ever present at once.
//!
//! Unlike the paper's, eviction comes in batches and is not tied to the key that needs the room; on a tie
//! with the target, T1 gives.

use super::demand::Tally;
use super::key_lists::{KeyLists, ListId, NodeId, Place};
use super::{Demand, EvictionPolicy, PolicyState};
use crate::error::Result;
use crate::format::model::ObjectKey;

const T1: ListId = 0;
const T2: ListId = 1;
const B1: ListId = 2;
const B2: ListId = 3;

/// What is noted beside a key that is present.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// Reserved and not written yet: the write that follows is no second use. LMCache forgets to take this
    /// back when a write is dropped because its key became resident; the next write is then no use either.
    admission_pending: bool,
    /// Named as a victim: its removal is an eviction, and leaves a ghost.
    eviction_pending: bool,
}

/// The four lists and the target.
#[derive(Clone, Debug)]
pub struct ArcPolicy {
    keys: KeyLists<Mark>,
    target_t1_size: f64,
    capacity: usize,
}

impl Default for ArcPolicy {
    fn default() -> Self {
        Self { keys: KeyLists::new(4), target_t1_size: 0.0, capacity: 0 }
    }
}

impl ArcPolicy {
    /// Moves the target towards the list whose ghost came back: by one, or by as much as the other ghost
    /// list is longer. The lists still hold the ghost.
    fn adapt(&mut self, ghost_list: ListId) {
        let step =
            |hit: ListId, other: ListId| (self.keys.len(other) as f64 / self.keys.len(hit) as f64).max(1.0);
        self.target_t1_size = match ghost_list {
            B1 => (self.target_t1_size + step(B1, B2)).min(self.capacity as f64),
            B2 => (self.target_t1_size - step(B2, B1)).max(0.0),
            _ => self.target_t1_size,
        };
    }

    fn create(&mut self, key: &ObjectKey) {
        let Place::Found(node) = self.keys.find_or_push(T1, key) else { return self.settle() };
        let mark = self.keys.mark(node);
        mark.eviction_pending = false;
        if std::mem::take(&mut mark.admission_pending) {
            return;
        }
        self.adapt(self.keys.list_of(node));
        self.keys.move_last(node, T2);
        self.settle();
    }

    fn reserve(&mut self, key: &ObjectKey) {
        let node = match self.keys.find_or_push(T1, key) {
            Place::New(node) => node,
            Place::Found(node) => {
                self.adapt(self.keys.list_of(node));
                self.keys.move_last(node, T1);
                node
            }
        };
        *self.keys.mark(node) = Mark { admission_pending: true, eviction_pending: false };
        self.settle();
    }

    /// What follows every arrival.
    fn settle(&mut self) {
        self.capacity = self.capacity.max(self.tracked_keys());
        self.trim_ghosts();
    }

    fn trim_ghosts(&mut self) {
        if self.capacity == 0 {
            return;
        }
        while self.keys.len(T1) + self.keys.len(B1) > self.capacity && self.keys.len(B1) > 0 {
            self.keys.remove_first(B1);
        }
        while self.tracked_keys() + self.keys.len(B1) + self.keys.len(B2) > 2 * self.capacity {
            let oldest = if self.keys.len(B2) > 0 { B2 } else { B1 };
            if self.keys.len(oldest) == 0 {
                break;
            }
            self.keys.remove_first(oldest);
        }
    }

    /// Names keys until the demand is met: from T1 while it is not below its target, otherwise from T2, and from
    /// T1 again where T2 has no more.
    fn choose(&self, tally: &mut Tally<'_>) -> Vec<NodeId> {
        let (mut t1, mut t2) = (self.keys.iter(T1), self.keys.iter(T2));
        let mut left_in_t1 = self.keys.len(T1);
        let target = self.target_t1_size as usize;
        let mut victims = Vec::new();
        while !tally.is_met() {
            let mut name_next =
                |list: &mut _| Iterator::find(list, |node: &NodeId| tally.offer(self.keys.key(*node)));
            let first = if left_in_t1 >= target { name_next(&mut t1) } else { None };
            let Some(victim) = first.or_else(|| name_next(&mut t2)).or_else(|| name_next(&mut t1)) else {
                break;
            };
            left_in_t1 -= usize::from(self.keys.list_of(victim) == T1);
            victims.push(victim);
        }
        victims
    }
}

impl EvictionPolicy for ArcPolicy {
    fn on_keys_reserved(&mut self, keys: &[&ObjectKey]) {
        keys.iter().rev().for_each(|key| self.reserve(key));
    }

    fn on_keys_created(&mut self, keys: &[&ObjectKey]) {
        keys.iter().rev().for_each(|key| self.create(key));
    }

    fn on_keys_touched(&mut self, keys: &[&ObjectKey]) {
        for key in keys.iter().rev() {
            if let Some(node) = self.keys.find(key)
                && matches!(self.keys.list_of(node), T1 | T2)
            {
                self.keys.move_last(node, T2);
            }
        }
    }

    fn on_keys_removed(&mut self, keys: &[&ObjectKey]) {
        if keys.is_empty() {
            return;
        }
        for key in keys {
            let Some(node) = self.keys.find(key) else { continue };
            let evicted = std::mem::take(self.keys.mark(node)).eviction_pending;
            match self.keys.list_of(node) {
                T1 if evicted => self.keys.move_last(node, B1),
                T2 if evicted => self.keys.move_last(node, B2),
                _ => self.keys.remove(node),
            }
        }
        self.trim_ghosts();
    }

    fn victims(
        &mut self,
        demand: Demand<'_>,
        _cache_salt: Option<&str>,
        is_evictable: &dyn Fn(&ObjectKey) -> bool,
    ) -> Result<Vec<ObjectKey>> {
        let mut tally = Tally::new(demand, self.tracked_keys(), is_evictable);
        if tally.is_met() {
            return Ok(Vec::new());
        }
        self.target_t1_size = self.target_t1_size.min(self.capacity as f64);
        for node in self.choose(&mut tally) {
            self.keys.mark(node).eviction_pending = true;
        }
        Ok(tally.into_victims())
    }

    fn tracked_keys(&self) -> usize {
        self.keys.len(T1) + self.keys.len(T2)
    }

    fn state(&self) -> PolicyState {
        PolicyState::Arc {
            t1: self.keys.keys(T1),
            t2: self.keys.keys(T2),
            b1: self.keys.keys(B1),
            b2: self.keys.keys(B2),
            capacity: self.capacity,
            target_t1_size: self.target_t1_size,
        }
    }
}

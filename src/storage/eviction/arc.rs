//! `ARC`: adaptive replacement, as LMCache has it.
//!
//! Keys used once are in T1, keys used again in T2. What is evicted from them is remembered, without its
//! bytes, in the ghost lists B1 and B2: a key that comes back from B1 says that T1 was too small, one from B2
//! that T2 was. T1's target size follows. The capacity is the most keys that were ever present at once.
//!
//! Unlike the paper's, eviction comes in batches and is not tied to the key that needs the room; on a tie
//! with the target, T1 gives.

use super::key_lists::{KeyLists, ListId, NodeId};
use super::{EvictionPolicy, PolicyState, victim_count};
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
        let Some(node) = self.keys.find(key) else {
            self.keys.push_last(T1, key);
            return self.settle();
        };
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
        let node = match self.keys.find(key) {
            Some(node) => {
                self.adapt(self.keys.list_of(node));
                self.keys.move_last(node, T1);
                node
            }
            None => self.keys.push_last(T1, key),
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

    fn select(&self, count: usize, is_evictable: &dyn Fn(&ObjectKey) -> bool) -> Vec<NodeId> {
        let evictable = |list| self.keys.iter(list).filter(|node| is_evictable(self.keys.key(*node)));
        let (mut from_t1, mut from_t2) = (evictable(T1), evictable(T2));
        let mut left_in_t1 = self.keys.len(T1);
        let target = self.target_t1_size as usize;
        let mut victims = Vec::new();
        while victims.len() < count {
            let t1_first = if left_in_t1 >= target { from_t1.next() } else { None };
            let (victim, is_t1) = match t1_first {
                Some(node) => (node, true),
                None => match from_t2.next() {
                    Some(node) => (node, false),
                    None => match from_t1.next() {
                        Some(node) => (node, true),
                        None => break,
                    },
                },
            };
            left_in_t1 -= usize::from(is_t1);
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
        ratio: f64,
        _cache_salt: Option<&str>,
        is_evictable: &dyn Fn(&ObjectKey) -> bool,
    ) -> Result<Vec<ObjectKey>> {
        let count = victim_count(self.tracked_keys(), ratio);
        if count == 0 {
            return Ok(Vec::new());
        }
        self.target_t1_size = self.target_t1_size.min(self.capacity as f64);
        let victims = self.select(count, is_evictable);
        for node in &victims {
            self.keys.mark(*node).eviction_pending = true;
        }
        Ok(victims.into_iter().map(|node| self.keys.key(node).clone()).collect())
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

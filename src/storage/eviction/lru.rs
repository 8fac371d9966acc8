//! `LRU`: least recently used first.

use super::demand::Tally;
use super::key_lists::{KeyLists, Place};
use super::{Demand, EvictionPolicy, PolicyState};
use crate::error::Result;
use crate::format::model::ObjectKey;

const ORDER: u32 = 0;

/// All keys in one order, least recently created or touched first. A finished read does not count as use:
/// recency comes from touches, which a prefetch makes for its hits.
#[derive(Clone, Debug)]
pub struct LruPolicy {
    keys: KeyLists<()>,
}

impl Default for LruPolicy {
    fn default() -> Self {
        Self { keys: KeyLists::new(1) }
    }
}

impl EvictionPolicy for LruPolicy {
    fn on_keys_created(&mut self, keys: &[&ObjectKey]) {
        for key in keys.iter().rev() {
            if let Place::Found(node) = self.keys.find_or_push(ORDER, key) {
                self.keys.move_last(node, ORDER);
            }
        }
    }

    fn on_keys_touched(&mut self, keys: &[&ObjectKey]) {
        for key in keys.iter().rev() {
            if let Some(node) = self.keys.find(key) {
                self.keys.move_last(node, ORDER);
            }
        }
    }

    fn on_keys_removed(&mut self, keys: &[&ObjectKey]) {
        for key in keys {
            self.keys.remove_key(key);
        }
    }

    fn victims(
        &mut self,
        demand: Demand<'_>,
        _cache_salt: Option<&str>,
        is_evictable: &dyn Fn(&ObjectKey) -> bool,
    ) -> Result<Vec<ObjectKey>> {
        let mut tally = Tally::new(demand, self.tracked_keys(), is_evictable);
        self.keys.offer(ORDER, &mut tally);
        Ok(tally.into_victims())
    }

    fn tracked_keys(&self) -> usize {
        self.keys.len(ORDER)
    }

    fn state(&self) -> PolicyState {
        PolicyState::Lru { order: self.keys.keys(ORDER) }
    }
}

//! `FIFO`: first come, first to go. Ours; LMCache has no such policy.

use super::demand::Tally;
use super::key_lists::KeyLists;
use super::{Demand, EvictionPolicy, PolicyState};
use crate::error::Result;
use crate::format::model::ObjectKey;

const ORDER: u32 = 0;

/// All keys in one order, the oldest first. A key comes when its write is reserved; neither that the write
/// finishes nor any use moves it.
#[derive(Clone, Debug)]
pub struct FifoPolicy {
    keys: KeyLists<()>,
}

impl Default for FifoPolicy {
    fn default() -> Self {
        Self { keys: KeyLists::new(1) }
    }
}

impl EvictionPolicy for FifoPolicy {
    fn on_keys_created(&mut self, keys: &[&ObjectKey]) {
        for key in keys.iter().rev() {
            self.keys.find_or_push(ORDER, key);
        }
    }

    fn on_keys_touched(&mut self, _keys: &[&ObjectKey]) {}

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
        PolicyState::Fifo { order: self.keys.keys(ORDER) }
    }
}

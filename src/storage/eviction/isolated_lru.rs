//! `IsolatedLRU`: one LRU order per `cache_salt`, so that one tenant's pressure never evicts another's keys.

use super::key_lists::{KeyLists, ListId};
use super::{EvictionPolicy, PolicyState, victim_count};
use crate::error::{Error, ErrorKind, Result};
use crate::format::model::ObjectKey;

/// Made for L2, whose controller knows each tenant's quota and names the tenant. LMCache lets it be chosen
/// for L1 too, whose controller names none: there, choosing victims fails, and nothing is evicted.
#[derive(Clone, Debug)]
pub struct IsolatedLruPolicy {
    keys: KeyLists<()>,
    /// The list of each salt that was ever seen.
    lists: hashbrown::HashMap<Box<str>, ListId, foldhash::fast::RandomState>,
}

impl Default for IsolatedLruPolicy {
    fn default() -> Self {
        Self { keys: KeyLists::new(0), lists: hashbrown::HashMap::default() }
    }
}

impl IsolatedLruPolicy {
    fn list_of_salt(&mut self, salt: &str) -> ListId {
        match self.lists.get(salt) {
            Some(list) => *list,
            None => {
                let list = self.keys.add_list();
                self.lists.insert(salt.into(), list);
                list
            }
        }
    }
}

impl EvictionPolicy for IsolatedLruPolicy {
    fn on_keys_created(&mut self, keys: &[&ObjectKey]) {
        for key in keys.iter().rev() {
            match self.keys.find(key) {
                Some(node) => self.keys.move_last(node, self.keys.list_of(node)),
                None => {
                    let list = self.list_of_salt(key.scope().cache_salt());
                    self.keys.push_last(list, key);
                }
            }
        }
    }

    fn on_keys_touched(&mut self, keys: &[&ObjectKey]) {
        for key in keys.iter().rev() {
            if let Some(node) = self.keys.find(key) {
                self.keys.move_last(node, self.keys.list_of(node));
            }
        }
    }

    fn on_keys_removed(&mut self, keys: &[&ObjectKey]) {
        for key in keys {
            if let Some(node) = self.keys.find(key) {
                self.keys.remove(node);
            }
        }
    }

    fn victims(
        &mut self,
        ratio: f64,
        cache_salt: Option<&str>,
        is_evictable: &dyn Fn(&ObjectKey) -> bool,
    ) -> Result<Vec<ObjectKey>> {
        let Some(salt) = cache_salt else {
            return Err(Error::new(
                ErrorKind::Policy,
                "IsolatedLRU evicts for one cache_salt at a time, and L1 names none",
            )
            .with_hint("choose LRU or ARC for L1"));
        };
        let Some(list) = self.lists.get(salt).copied() else { return Ok(Vec::new()) };
        let count = victim_count(self.keys.len(list), ratio);
        Ok(self.keys.first_evictable(list, count, is_evictable))
    }

    fn tracked_keys(&self) -> usize {
        self.lists.values().map(|list| self.keys.len(*list)).sum()
    }

    fn state(&self) -> PolicyState {
        let used = self.lists.iter().filter(|(_, list)| self.keys.len(**list) > 0);
        let mut per_salt: Vec<_> =
            used.map(|(salt, list)| (salt.to_string(), self.keys.keys(*list))).collect();
        per_salt.sort_by(|a, b| a.0.cmp(&b.0));
        PolicyState::IsolatedLru { per_salt }
    }
}

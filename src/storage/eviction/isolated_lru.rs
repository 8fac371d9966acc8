//! `IsolatedLRU`: one LRU order per `cache_salt`, so that one tenant's pressure never evicts another's keys.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::demand::Tally;
use super::key_lists::{KeyLists, ListId, NodeId, Place};
use super::{Demand, EvictionPolicy, PolicyState};
use crate::error::{Error, ErrorKind, Result};
use crate::format::model::ObjectKey;
use crate::storage::config::Compat;

/// Made for L2, whose controller knows each tenant's quota and names the tenant. LMCache lets it be chosen
/// for L1 too, whose controller names none: there, choosing victims fails, and nothing is evicted.
///
/// Under [`Compat::Native`] all tenants give then, each the same share of its keys: the next victim is of the tenant
/// whose share with it is the smallest, and among equals the one that was used longest ago. So of each tenant goes at
/// least the ratio that was asked for, rounded down, and none is emptied for the others. For one whose keys are locked,
/// the others give.
#[derive(Clone, Debug)]
pub struct IsolatedLruPolicy {
    keys: KeyLists<LastUse>,
    /// Uses so far, of all keys.
    uses: u64,
    /// The list of each salt that has keys.
    lists: hashbrown::HashMap<Box<str>, ListId, foldhash::fast::RandomState>,
    /// Lists whose salt has no key left.
    vacant: Vec<ListId>,
    compat: Compat,
}

/// The number of the use that was a key's last: keys of different salts are compared by it.
type LastUse = u64;

impl IsolatedLruPolicy {
    /// A policy that has seen no key. `compat` says what it does where no salt is named.
    pub fn new(compat: Compat) -> Self {
        Self {
            keys: KeyLists::new(0),
            uses: 0,
            lists: hashbrown::HashMap::default(),
            vacant: Vec::new(),
            compat,
        }
    }

    fn list_of_salt(&mut self, salt: &str) -> ListId {
        match self.lists.get(salt) {
            Some(list) => *list,
            None => {
                let list = self.vacant.pop().unwrap_or_else(|| self.keys.add_list());
                self.lists.insert(salt.into(), list);
                list
            }
        }
    }

    fn use_key(&mut self, node: NodeId) {
        self.uses += 1;
        *self.keys.mark(node) = self.uses;
        self.keys.move_last(node, self.keys.list_of(node));
    }

    /// Offers keys of all salts.
    fn offer_shares(&self, tally: &mut Tally<'_>) {
        let mut next_of_salts: BinaryHeap<_> = self
            .lists
            .values()
            .filter_map(|list| Some(Reverse(Offer::new(&self.keys, self.keys.first(*list)?, 0))))
            .collect();
        while !tally.is_met()
            && let Some(Reverse(offer)) = next_of_salts.pop()
        {
            let given = offer.given + u64::from(tally.offer(self.keys.key(offer.node)));
            let next = self.keys.next(offer.node);
            next_of_salts.extend(next.map(|node| Reverse(Offer::new(&self.keys, node, given))));
        }
    }
}

/// The next key of a salt, ordered as salts give.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Offer {
    /// The share of its keys that the salt will have given with this one, in 1/2^64. There are fewer than 2^32
    /// keys, so different shares are different here.
    share: u128,
    last_use: LastUse,
    node: NodeId,
    /// How many keys of the salt were named before.
    given: u64,
}

impl Offer {
    fn new(keys: &KeyLists<LastUse>, node: NodeId, given: u64) -> Self {
        let keys_of_salt = keys.len(keys.list_of(node)) as u128;
        Self {
            share: (u128::from(given + 1) << 64) / keys_of_salt,
            last_use: keys.mark_of(node),
            node,
            given,
        }
    }
}

impl EvictionPolicy for IsolatedLruPolicy {
    fn on_keys_created(&mut self, keys: &[&ObjectKey]) {
        for key in keys.iter().rev() {
            let list = self.list_of_salt(key.scope().cache_salt());
            let (Place::Found(node) | Place::New(node)) = self.keys.find_or_push(list, key);
            self.use_key(node);
        }
    }

    fn on_keys_touched(&mut self, keys: &[&ObjectKey]) {
        for key in keys.iter().rev() {
            if let Some(node) = self.keys.find(key) {
                self.use_key(node);
            }
        }
    }

    fn on_keys_removed(&mut self, keys: &[&ObjectKey]) {
        for key in keys {
            let Some(node) = self.keys.find(key) else { continue };
            let list = self.keys.list_of(node);
            self.keys.remove(node);
            if self.keys.len(list) == 0 {
                self.lists.remove(key.scope().cache_salt());
                self.vacant.push(list);
            }
        }
    }

    fn victims(
        &mut self,
        demand: Demand<'_>,
        cache_salt: Option<&str>,
        is_evictable: &dyn Fn(&ObjectKey) -> bool,
    ) -> Result<Vec<ObjectKey>> {
        match (cache_salt, self.compat) {
            (Some(salt), _) => {
                let Some(list) = self.lists.get(salt).copied() else { return Ok(Vec::new()) };
                let mut tally = Tally::new(demand, self.keys.len(list), is_evictable);
                self.keys.offer(list, &mut tally);
                Ok(tally.into_victims())
            }
            (None, Compat::Native) => {
                let mut tally = Tally::new(demand, self.tracked_keys(), is_evictable);
                self.offer_shares(&mut tally);
                Ok(tally.into_victims())
            }
            (None, Compat::Lmcache) => Err(Error::new(
                ErrorKind::Policy,
                "IsolatedLRU evicts for one cache_salt at a time, and L1 names none",
            )
            .with_hint("choose LRU or ARC for L1")),
        }
    }

    fn tracked_keys(&self) -> usize {
        self.lists.values().map(|list| self.keys.len(*list)).sum()
    }

    fn state(&self) -> PolicyState {
        let lists = self.lists.iter();
        let mut per_salt: Vec<_> =
            lists.map(|(salt, list)| (salt.to_string(), self.keys.keys(*list))).collect();
        per_salt.sort_by(|a, b| a.0.cmp(&b.0));
        PolicyState::IsolatedLru { per_salt }
    }
}

//! Evicting: who goes is chosen and deleted in one step, so nobody can lock a victim in between. LMCache lets go of
//! its mutex there.

use super::L1Error;
use super::recency::{Candidate, Recency};
use super::shard::Place;
use super::tables::{Order, Tables};
use crate::error::Result;
use crate::format::model::ObjectKey;
use crate::storage::config::{EvictionConfig, EvictionMeasure};
use crate::storage::eviction::Demand;
use crate::storage::eviction::demand::victim_count;
use crate::sync::{Mutex, lock};

/// How much is to go.
#[derive(Clone, Copy, Debug)]
enum Amount {
    /// This share of the keys.
    Ratio(f64),
    Bytes(u64),
}

/// How much is still to go.
enum Left {
    Keys(usize),
    Bytes(u64),
}

impl Tables {
    /// Evicts the share of the keys, or of the bytes, that `config` names. Returns the victims in their order.
    ///
    /// # Errors
    /// If the policy cannot choose.
    pub(super) fn evict(&self, config: &EvictionConfig, now_ns: u64) -> Result<Vec<(ObjectKey, L1Error)>> {
        let amount = match config.by {
            EvictionMeasure::Keys => Amount::Ratio(config.eviction_ratio),
            EvictionMeasure::Bytes => {
                let ratio = config.eviction_ratio.clamp(0.0, 1.0);
                Amount::Bytes((self.memory_usage().0 as f64 * ratio) as u64)
            }
        };
        self.evict_amount(amount, now_ns)
    }

    /// Evicts until so many bytes are free that were not.
    pub(super) fn evict_bytes(&self, needed: u64, now_ns: u64) -> Result<Vec<(ObjectKey, L1Error)>> {
        self.evict_amount(Amount::Bytes(needed), now_ns)
    }

    fn evict_amount(&self, amount: Amount, now_ns: u64) -> Result<Vec<(ObjectKey, L1Error)>> {
        match &self.order {
            Order::Nothing => Ok(Vec::new()),
            Order::Policy => self.evict_by_policy(amount, now_ns),
            Order::Recency(recency) => Ok(self.evict_least_recent(recency, amount, now_ns)),
        }
    }

    /// Asks the policy, with the only shard held from the choice to the deletion.
    fn evict_by_policy(&self, amount: Amount, now_ns: u64) -> Result<Vec<(ObjectKey, L1Error)>> {
        let mut cursor = self.cursor();
        let shard = cursor.hold(0);
        let Some(mut policy) = shard.policy.take() else { return Ok(Vec::new()) };
        let find = |key: &ObjectKey| shard.find(self.hash(key), key).and_then(|id| shard.slot(id));
        let size_of = |key: &ObjectKey| find(key).map_or(0, |slot| slot.open_bytes(now_ns));
        let demand = match amount {
            Amount::Ratio(ratio) => Demand::Ratio(ratio),
            Amount::Bytes(needed) => Demand::Bytes { needed, size_of: &size_of },
        };
        let chosen =
            policy.victims(demand, None, &|key| find(key).is_some_and(|slot| slot.is_evictable(now_ns)));
        shard.policy = Some(policy);
        let victims = chosen?;
        let codes = self.delete_at(&mut cursor, &victims, false, now_ns);
        Ok(victims.into_iter().zip(codes.0).collect())
    }

    fn each_candidate(&self, offer: &mut dyn FnMut(Candidate)) {
        let mut number = 0;
        self.each_shard(|shard| {
            let place = |slot| Place { shard: number, slot };
            shard.slots().for_each(|(id, slot)| offer(Candidate { used: slot.used, place: place(id) }));
            number += 1;
        });
    }

    fn evict_least_recent(
        &self,
        recency: &Mutex<Recency>,
        amount: Amount,
        now_ns: u64,
    ) -> Vec<(ObjectKey, L1Error)> {
        let mut recency = lock(recency);
        let mut left = match amount {
            Amount::Ratio(ratio) => Left::Keys(victim_count(self.keys(), ratio)),
            Amount::Bytes(bytes) => Left::Bytes(bytes),
        };
        let (mut victims, mut kept, mut freed) = (Vec::new(), Vec::new(), Vec::new());
        let mut last = None;
        while !matches!(left, Left::Keys(0) | Left::Bytes(0))
            && let Some(candidate) = recency.next(last, || self.keys(), |offer| self.each_candidate(offer))
        {
            last = Some(candidate);
            let mut shard = self.lock_shard(candidate.place.shard);
            let Candidate { used, place } = candidate;
            let Some(slot) = shard.slot(place.slot).filter(|slot| slot.used == used) else { continue };
            if !slot.is_evictable(now_ns) {
                kept.push(candidate);
                continue;
            }
            let (key, bytes) = (shard.key(slot), slot.open_bytes(now_ns));
            let deletion = shard.delete(place.slot, false, now_ns, &self.arena, &mut freed);
            victims.push((key, deletion.code()));
            left = match left {
                Left::Keys(keys) => Left::Keys(keys - 1),
                Left::Bytes(missing) => Left::Bytes(missing.saturating_sub(bytes)),
            };
        }
        recency.put_back(kept);
        drop(recency);
        self.free(freed);
        victims
    }
}

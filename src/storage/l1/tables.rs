//! The tables of L1 and what all operations on them share.

use std::hash::BuildHasher;

use hashbrown::HashTable;

use super::slot::{Object, ObjectStage, Slot};
use super::status::L1Status;
use super::{L1Error, ObjectInfo};
use crate::error::Result;
use crate::format::model::ObjectKey;
use crate::storage::config::{Compat, EvictionConfig, EvictionMeasure};
use crate::storage::eviction::{Demand, EvictionPolicy};
use crate::storage::memory::{L1MemoryManager, Span};

/// The slots by key.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: HashTable<Slot>,
    hasher: foldhash::fast::RandomState,
}

impl Index {
    pub(super) fn hash(&self, key: &ObjectKey) -> u64 {
        self.hasher.hash_one(key)
    }

    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Slot> {
        self.slots.find(self.hash(key), |slot| slot.key == *key)
    }

    pub(super) fn get_mut(&mut self, key: &ObjectKey) -> Option<&mut Slot> {
        let hash = self.hash(key);
        self.get_hashed_mut(hash, key)
    }

    /// `hash` is that of `key`, from [`Self::hash`].
    pub(super) fn get_hashed_mut(&mut self, hash: u64, key: &ObjectKey) -> Option<&mut Slot> {
        self.slots.find_mut(hash, |slot| slot.key == *key)
    }

    /// Adds the slot of a key that has none.
    pub(super) fn insert(&mut self, hash: u64, slot: Slot) {
        let hasher = &self.hasher;
        self.slots.insert_unique(hash, slot, |other| hasher.hash_one(&other.key));
    }

    /// Takes the objects of `key` that `keep` does not let through out of the table, and the slot with the
    /// last of them.
    pub(super) fn take(&mut self, key: &ObjectKey, keep: impl FnMut(&Object) -> bool) -> Vec<Object> {
        let hash = self.hash(key);
        let mut taken = Vec::new();
        if let Ok(mut entry) = self.slots.find_entry(hash, |slot| slot.key == *key)
            && !entry.get_mut().retain(keep, |object| taken.push(object))
        {
            entry.remove();
        }
        taken
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    /// What the deletion of `key` would give back.
    pub(super) fn open_bytes(&self, key: &ObjectKey, now_ns: u64) -> u64 {
        let open = |object: &&Object| !object.lock.is_locked(now_ns);
        self.get(key)
            .map_or(0, |slot| slot.objects().filter(open).map(|object| object.span.phy_size_bytes).sum())
    }

    /// A resident object that nobody reads, or a reservation that ran out: both have an open lock.
    pub(super) fn is_evictable(&self, key: &ObjectKey, now_ns: u64) -> bool {
        self.get(key).is_some_and(|slot| slot.objects().any(|object| !object.lock.is_locked(now_ns)))
    }
}

/// All of L1's state. It stands behind one mutex, which each operation holds for its whole list of keys, as
/// in LMCache; and the eviction policy hears of the change before the mutex is let go.
///
/// LMCache has two dictionaries, resident and staging; here one slot per key holds both, so an operation
/// finds all it asks about a key at once.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) index: Index,
    pub(super) allocator: L1MemoryManager,
    pub(super) policy: Box<dyn EvictionPolicy>,
    pub(super) write_ttl_ns: u64,
    pub(super) read_ttl_ns: u64,
    /// Logical bytes of all staged objects.
    pub(super) staging_bytes: u64,
    /// Keys that got no memory, since the start.
    pub(super) allocation_failures: u64,
    /// Keys that were evicted to make room for an allocation, since the start.
    pub(super) evicted_for_room: u64,
    pub(super) compat: Compat,
}

impl Tables {
    /// Gives an object's memory back: at once, or, if an adapter is working on it, when that has let go.
    pub(super) fn free(&mut self, span: Span) {
        let freed = self.allocator.free(span.offset_bytes, span.phy_size_bytes);
        // Every span in the tables came from the allocator once. Should that ever be untrue, the allocator
        // keeps the block out of circulation, and `memcheck` says so from then on.
        debug_assert!(freed.is_ok(), "{freed:?}");
    }

    /// Takes the objects of `key` that `keep` does not let through out of the table, frees them, and returns
    /// what they were.
    pub(super) fn drop_objects(&mut self, key: &ObjectKey, keep: impl FnMut(&Object) -> bool) -> Vec<Object> {
        let dropped = self.index.take(key, keep);
        for object in &dropped {
            if object.stage != ObjectStage::Resident {
                self.staging_bytes -= object.span.size_bytes;
            }
            self.free(object.span);
        }
        dropped
    }

    /// Chooses victims and deletes those that are not locked. LMCache lets go of the mutex in between; here
    /// nobody can lock a victim after it was chosen.
    pub(super) fn evict(
        &mut self,
        config: &EvictionConfig,
        now_ns: u64,
    ) -> Result<Vec<(ObjectKey, L1Error)>> {
        match config.by {
            EvictionMeasure::Keys => self.evict_demand(Demand::Ratio(config.eviction_ratio), now_ns),
            EvictionMeasure::Bytes => {
                let ratio = config.eviction_ratio.clamp(0.0, 1.0);
                self.evict_bytes((self.allocator.used_bytes() as f64 * ratio) as u64, now_ns)
            }
        }
    }

    /// Evicts until so many bytes are free that were not.
    pub(super) fn evict_bytes(&mut self, needed: u64, now_ns: u64) -> Result<Vec<(ObjectKey, L1Error)>> {
        let index = &self.index;
        let size_of = |key: &ObjectKey| index.open_bytes(key, now_ns);
        let demand = Demand::Bytes { needed, size_of: &size_of };
        let victims = self.policy.victims(demand, None, &|key| index.is_evictable(key, now_ns))?;
        Ok(self.delete_victims(victims, now_ns))
    }

    fn evict_demand(&mut self, demand: Demand<'_>, now_ns: u64) -> Result<Vec<(ObjectKey, L1Error)>> {
        let index = &self.index;
        let victims = self.policy.victims(demand, None, &|key| index.is_evictable(key, now_ns))?;
        Ok(self.delete_victims(victims, now_ns))
    }

    fn delete_victims(&mut self, victims: Vec<ObjectKey>, now_ns: u64) -> Vec<(ObjectKey, L1Error)> {
        let codes = self.delete(&victims, false, now_ns);
        victims.into_iter().zip(codes.0).collect()
    }

    /// Every object, in address order.
    pub(super) fn objects(&self, now_ns: u64) -> Vec<ObjectInfo> {
        let slots = self.index.slots();
        let mut objects: Vec<_> = slots
            .flat_map(|slot| slot.objects().map(move |object| object_info(slot, object, now_ns)))
            .collect();
        objects.sort_unstable_by_key(|object| object.span.offset_bytes);
        objects
    }

    /// The objects of one key.
    pub(super) fn objects_of(&self, key: &ObjectKey, now_ns: u64) -> Vec<ObjectInfo> {
        let slot = self.index.get(key).into_iter();
        slot.flat_map(|slot| slot.objects().map(move |object| object_info(slot, object, now_ns))).collect()
    }

    /// Fills in what `report_status` counts and measures.
    pub(super) fn count(&self, now_ns: u64, status: &mut L1Status) {
        for object in self.index.slots().flat_map(Slot::objects) {
            let locked = u64::from(object.lock.is_locked(now_ns));
            status.total_object_count += 1;
            status.temporary_count += u64::from(object.is_temporary);
            if object.stage == ObjectStage::Resident {
                status.read_locked_count += locked;
            } else {
                status.staging_object_count += 1;
                status.write_locked_count += locked;
            }
        }
        status.is_healthy = self.allocator.memcheck();
        status.staging_bytes = self.staging_bytes;
        status.memory_used_bytes = self.allocator.used_bytes();
        status.memory_total_bytes = self.allocator.total_bytes();
    }
}

fn object_info(slot: &Slot, object: &Object, now_ns: u64) -> ObjectInfo {
    ObjectInfo {
        key: slot.key.clone(),
        span: object.span,
        stage: object.stage,
        is_locked: object.lock.is_locked(now_ns),
        is_temporary: object.is_temporary,
    }
}

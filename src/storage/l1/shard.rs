//! A part of the keys with their objects, behind one mutex.

use std::hash::{BuildHasher, Hash, Hasher};

use super::ObjectInfo;
use super::counts::Counts;
use super::index::{Index, Part};
use super::scopes::Scopes;
use super::slot::{Object, ObjectStage, Slot};
use crate::format::model::{ChunkHash, KeyScope, ObjectKey};
use crate::storage::eviction::EvictionPolicy;
use crate::storage::memory::{Arena, Released, Span};
use crate::sync::Arc;

/// A slot's place in its shard. It stays the same while the slot is there.
pub(super) type SlotId = u32;

/// The place of a slot in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) shard: u32,
    pub(super) slot: SlotId,
}

/// Slots are taken in blocks of this many, so that a shard that grows moves nothing.
const BLOCK_SLOTS: usize = 64;

/// The slots of a shard.
#[derive(Debug, Default)]
struct Slab {
    /// The first block, which most shards do not outgrow, can be looked up in one step less.
    first: Vec<Option<Slot>>,
    blocks: Vec<Vec<Option<Slot>>>,
    vacant: Vec<SlotId>,
}

impl Slab {
    #[inline]
    fn get(&self, id: SlotId) -> Option<&Slot> {
        let place = match self.first.get(id as usize) {
            Some(place) => place,
            None => self
                .blocks
                .get((id as usize / BLOCK_SLOTS).checked_sub(1)?)?
                .get(id as usize % BLOCK_SLOTS)?,
        };
        place.as_ref()
    }

    #[inline]
    fn place_mut(&mut self, id: SlotId) -> Option<&mut Option<Slot>> {
        match self.first.get_mut(id as usize) {
            Some(place) => Some(place),
            None => self
                .blocks
                .get_mut((id as usize / BLOCK_SLOTS).checked_sub(1)?)?
                .get_mut(id as usize % BLOCK_SLOTS),
        }
    }

    #[inline]
    fn get_mut(&mut self, id: SlotId) -> Option<&mut Slot> {
        self.place_mut(id)?.as_mut()
    }

    fn insert(&mut self, slot: Slot) -> SlotId {
        if let Some(id) = self.vacant.pop()
            && let Some(place) = self.place_mut(id)
        {
            *place = Some(slot);
            return id;
        }
        let (before, block) = self.block_with_room();
        block.push(Some(slot));
        // 2^32 slots would need 600 GiB first.
        (before + block.len() - 1) as SlotId
    }

    /// The last block, with how many places there are in those before it.
    fn block_with_room(&mut self) -> (usize, &mut Vec<Option<Slot>>) {
        if self.first.len() < BLOCK_SLOTS {
            self.first.reserve_exact(BLOCK_SLOTS - self.first.len());
            return (0, &mut self.first);
        }
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK_SLOTS) {
            self.blocks.push(Vec::with_capacity(BLOCK_SLOTS));
        }
        let last = self.blocks.len() - 1;
        (self.blocks.len() * BLOCK_SLOTS, &mut self.blocks[last])
    }

    fn remove(&mut self, id: SlotId) -> Option<Slot> {
        let slot = self.place_mut(id)?.take();
        if slot.is_some() {
            self.vacant.push(id);
        }
        slot
    }

    /// Whether one more fits into the blocks that are there, or into the first.
    fn has_room(&self) -> bool {
        let last = self.blocks.last().unwrap_or(&self.first);
        !self.vacant.is_empty() || last.len() < BLOCK_SLOTS
    }

    /// How many slots there are.
    fn len(&self) -> usize {
        let last = self.blocks.last().map_or(0, Vec::len);
        self.first.len() + self.blocks.len().saturating_sub(1) * BLOCK_SLOTS + last - self.vacant.len()
    }

    fn iter(&self) -> impl Iterator<Item = (SlotId, &Slot)> {
        let all = self.first.iter().chain(self.blocks.iter().flatten()).zip(0..);
        all.filter_map(|(slot, id)| Some((id, slot.as_ref()?)))
    }
}

/// Hashes keys, for the index. All shards have the same.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyHasher {
    state: foldhash::fast::RandomState,
    /// The bits that hashes do not have: tests have few hashes, so that keys share them.
    #[cfg(test)]
    without: u64,
}

impl KeyHasher {
    #[cfg(test)]
    pub(super) fn with_mask(mask: u64) -> Self {
        Self { without: !mask, ..Self::default() }
    }

    /// The hash of a key of these parts.
    #[inline]
    pub(super) fn hash(&self, scope: &KeyScope, chunk_hash: &ChunkHash) -> u64 {
        let mut hash = self.state.build_hasher();
        hash.write_u64(scope.hash64());
        chunk_hash.hash(&mut hash);
        #[cfg(test)]
        return hash.finish() & !self.without;
        #[cfg(not(test))]
        hash.finish()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Shard {
    number: u32,
    hasher: KeyHasher,
    /// Of all shards.
    index: Arc<Index>,
    slots: Slab,
    scopes: Scopes,
    counts: Counts,
    /// The policy, where the order of all keys is kept by one: then this is the only shard.
    pub(super) policy: Option<Box<dyn EvictionPolicy>>,
}

impl Shard {
    pub(super) fn new(
        number: u32,
        hasher: KeyHasher,
        index: Arc<Index>,
        policy: Option<Box<dyn EvictionPolicy>>,
    ) -> Self {
        Self {
            number,
            hasher,
            index,
            slots: Slab::default(),
            scopes: Scopes::default(),
            counts: Counts::default(),
            policy,
        }
    }

    /// Whether a slot is that of `key`.
    #[inline]
    pub(super) fn is_at(&self, id: SlotId, key: &ObjectKey) -> bool {
        self.slots.get(id).is_some_and(|slot| {
            slot.chunk_hash == *key.chunk_hash() && self.scopes.is(slot.scope, key.scope())
        })
    }

    /// The slot of `key`, if it is in this shard. `hash` is the key's, here and below.
    pub(super) fn find(&self, hash: u64, key: &ObjectKey) -> Option<SlotId> {
        let seen = self.index.lock(hash).look(hash);
        let mut slots = seen.places().filter(|place| place.shard == self.number).map(|place| place.slot);
        slots.find(|id| self.is_at(*id, key))
    }

    pub(super) fn slot(&self, id: SlotId) -> Option<&Slot> {
        self.slots.get(id)
    }

    /// The key of a slot.
    pub(super) fn key(&self, slot: &Slot) -> ObjectKey {
        ObjectKey::new(slot.chunk_hash.clone(), self.scopes.get(slot.scope).clone())
    }

    /// Adds a key that has no slot, with its first object. `part` is that of its hash.
    pub(super) fn insert(&mut self, part: &mut Part, hash: u64, key: &ObjectKey, object: Object) -> SlotId {
        self.counts.add(&object);
        let scope = self.scopes.take(key.scope());
        let id = self.slots.insert(Slot::new(key.chunk_hash().clone(), scope, object));
        part.add(hash, self.place(id));
        id
    }

    fn place(&self, slot: SlotId) -> Place {
        Place { shard: self.number, slot }
    }

    /// Adds an object of a stage that the slot does not have.
    pub(super) fn push(&mut self, id: SlotId, object: Object) {
        self.counts.add(&object);
        if let Some(slot) = self.slots.get_mut(id) {
            slot.push(object);
        }
    }

    /// Changes the object of a stage, if the slot has it.
    #[inline]
    pub(super) fn change<R>(
        &mut self,
        id: SlotId,
        stage: ObjectStage,
        change: impl FnOnce(&mut Object) -> R,
    ) -> Option<R> {
        let object = self.slots.get_mut(id)?.find_mut(stage)?;
        self.counts.remove(object);
        let result = change(object);
        self.counts.add(object);
        Some(result)
    }

    /// [`Self::change`] of the resident object that does nothing but take or release locks of readers.
    #[inline]
    pub(super) fn change_locks<R>(&mut self, id: SlotId, change: impl FnOnce(&mut Object) -> R) -> Option<R> {
        let object = self.slots.get_mut(id)?.find_mut(ObjectStage::Resident)?;
        let before_ns = object.live_until_ns();
        let result = change(object);
        self.counts.move_resident(before_ns, object.live_until_ns());
        Some(result)
    }

    /// Notes when a key was used; returns what was noted before.
    #[inline]
    pub(super) fn set_used(&mut self, id: SlotId, used: u64) -> u64 {
        self.slots.get_mut(id).map_or(0, |slot| std::mem::replace(&mut slot.used, used))
    }

    /// Takes the objects of a slot that `keep` does not let through out of the table, and the slot with the last of
    /// them. What can be freed at once is added to `freed`; what an adapter works on comes back by the arena.
    pub(super) fn take(
        &mut self,
        id: SlotId,
        keep: impl FnMut(&Object) -> bool,
        arena: &Arena,
        freed: &mut Vec<Span>,
    ) -> Taken {
        let mut taken = Taken::default();
        let Some(slot) = self.slots.get_mut(id) else { return taken };
        let counts = &mut self.counts;
        taken.key_is_left = slot.retain(keep, |object| {
            counts.remove(object);
            taken.residents += usize::from(object.is_resident());
            taken.objects += 1;
            if arena.release(object.span) == Released::Now {
                freed.push(object.span);
            }
        });
        if !taken.key_is_left {
            let hash = self.hasher.hash(self.scopes.get(slot.scope), &slot.chunk_hash);
            self.index.lock(hash).remove(hash, self.place(id));
            if let Some(slot) = self.slots.remove(id) {
                self.scopes.release(slot.scope);
            }
        }
        taken
    }

    /// All slots.
    pub(super) fn slots(&self) -> impl Iterator<Item = (SlotId, &Slot)> {
        self.slots.iter()
    }

    /// What is here, as far as locks are concerned at `now_ns`.
    pub(super) fn counts(&mut self, now_ns: u64) -> Counts {
        if self.counts.is_exact(now_ns) {
            return self.counts.clone();
        }
        let objects = self.slots.iter().flat_map(|(_, slot)| slot.objects());
        let (live, first_expiry_ns) = Counts::of_live(objects, now_ns);
        self.counts.set_first_expiry(first_expiry_ns);
        live
    }

    /// Whether one more key takes no block more than a shard has at least.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.slots.has_room()
    }

    /// How many keys are here.
    pub(super) fn keys(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn objects_of(&self, slot: &Slot, now_ns: u64, objects: &mut Vec<ObjectInfo>) {
        objects.extend(slot.objects().map(|object| ObjectInfo {
            key: self.key(slot),
            span: object.span,
            stage: object.stage,
            is_locked: object.is_locked(now_ns),
            is_temporary: object.is_temporary,
        }));
    }
}

/// What [`Shard::take`] took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    pub(super) objects: usize,
    pub(super) residents: usize,
    pub(super) key_is_left: bool,
}

//! An operation on its way from shard to shard, and where it guesses its keys to be.
//!
//! The keys that a thread adds get slots beside each other, and mostly the calls that follow have the same keys: the write
//! is finished; the prompt is prefetched, read and finished. So a call looks first in the slot beside that of its last
//! key, and for its first key where the thread's last call found its own; so too where the slots do not lie together: a
//! thread notes where it found the keys of a call, by their positions. That saves the hash and the way through the index.
//! The key that lies there is compared, under the shard's mutex, so a wrong guess costs a look, and nothing else. A note
//! is looked up in another shard only if that is free, and a call with a wrong one looks at no other.

use super::index::{Part, Sight};
use super::notes::Notes;
use super::shard::{Place, Shard, SlotId};
use super::slot::Object;
use super::tables::{Order, Tables};
use crate::format::model::ObjectKey;
use crate::storage::eviction::EvictionPolicy;
use crate::sync::MutexGuard;

/// See the module. It holds one shard at a time, and keeps it while keys are in the same.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    tables: &'a Tables,
    held: Option<(u32, MutexGuard<'a, Shard>)>,
    notes: &'a Notes,
    /// How many keys were looked for.
    position: usize,
    /// The slot behind that of the key that was found or added last, in the shard that is held.
    beside: SlotId,
    /// No note was wrong so far.
    is_on_track: bool,
    /// Of the key that was looked for last, unless it was found by a guess.
    hash: u64,
    /// That key is nowhere, and stays so while this is locked.
    vacancy: Option<MutexGuard<'a, Part>>,
}

impl Tables {
    /// For operations that go from shard to shard. Where there is only one they hold it from the first key to the last,
    /// there or not, as LMCache its mutex.
    pub(super) fn cursor(&self) -> Cursor<'_> {
        let mut cursor = self.cursor_aside();
        if self.has_one_shard() {
            cursor.hold(0);
        }
        cursor
    }

    /// For a question about one key, in between: it does not hold the only shard from the start.
    pub(super) fn cursor_aside(&self) -> Cursor<'_> {
        Cursor {
            tables: self,
            held: None,
            notes: self.notes.mine(),
            position: 0,
            beside: 0,
            is_on_track: true,
            hash: 0,
            vacancy: None,
        }
    }
}

impl<'a> Cursor<'a> {
    /// The tables that it goes through.
    pub(super) fn tables(&self) -> &'a Tables {
        self.tables
    }

    /// A shard, locked.
    #[inline]
    pub(super) fn hold(&mut self, number: u32) -> &mut Shard {
        self.vacancy = None;
        if self.held.as_ref().is_none_or(|(held, _)| *held != number) {
            // Nobody holds two shards.
            self.held = None;
            self.held = Some((number, self.tables.lock_shard(number)));
        }
        self.held()
    }

    /// The shard of the key that was looked for last and found, locked.
    #[inline]
    pub(super) fn held(&mut self) -> &mut Shard {
        match &mut self.held {
            Some((_, shard)) => shard,
            None => unreachable!("a key was looked for before"),
        }
    }

    /// The place of the key that was looked for last, with the slot that was found.
    #[inline]
    pub(super) fn place(&self, slot: SlotId) -> Place {
        Place { shard: self.held.as_ref().map_or(0, |(number, _)| *number), slot }
    }

    /// Says which key of the call is looked for next; without, it is the one behind the last.
    pub(super) fn go_to(&mut self, position: usize) {
        self.position = position;
    }

    /// Whether a shard could be had at once; it is held then. A guess waits for nobody.
    #[inline]
    fn try_hold(&mut self, number: u32) -> bool {
        if self.held.as_ref().is_none_or(|(held, _)| *held != number) {
            self.held = None;
            self.held = self.tables.try_lock_shard(number).map(|shard| (number, shard));
        }
        self.held.is_some()
    }

    /// Looks for a key; its shard is held from then on. Keys are looked for in the order of the call.
    #[inline]
    pub(super) fn find(&mut self, key: &ObjectKey) -> Option<SlotId> {
        let place = match self.guess(key) {
            Some(place) => place,
            None => self.find_by_hash(key)?,
        };
        Some(self.note(place))
    }

    /// [`Self::find`] for who adds the key if it is nowhere: [`Self::insert`] can be called next.
    pub(super) fn find_to_write(&mut self, key: &ObjectKey) -> Option<SlotId> {
        let place = match self.guess(key) {
            Some(place) => place,
            None => self.find_by_hash_to_write(key)?,
        };
        Some(self.note(place))
    }

    #[inline]
    fn guess(&mut self, key: &ObjectKey) -> Option<Place> {
        self.vacancy = None;
        self.position += 1;
        self.find_beside(key).or_else(|| self.find_noted(key))
    }

    #[inline]
    fn note(&mut self, place: Place) -> SlotId {
        self.beside = place.slot.wrapping_add(1);
        self.notes.set(self.position - 1, place);
        place.slot
    }

    /// Looks beside the key that was found or added last.
    #[inline]
    fn find_beside(&mut self, key: &ObjectKey) -> Option<Place> {
        let (number, shard) = self.held.as_ref()?;
        let place = Place { shard: *number, slot: self.beside };
        shard.is_at(place.slot, key).then_some(place)
    }

    /// Looks where the last call found its key of this position.
    fn find_noted(&mut self, key: &ObjectKey) -> Option<Place> {
        let place = if self.is_on_track { self.notes.get(self.position - 1)? } else { return None };
        self.is_on_track = self.try_hold(place.shard) && self.held().is_at(place.slot, key);
        self.is_on_track.then_some(place)
    }

    /// [`Self::find`] for a question in between, which is to put no later call off its track.
    pub(super) fn find_aside(&mut self, key: &ObjectKey) -> Option<SlotId> {
        Some(self.find_by_hash(key)?.slot)
    }

    /// Looks for a key where the index says. If it is not there by then it was removed meanwhile, so that it was nowhere at
    /// one moment of the call. The keys behind a missing one are mostly missing, too: nobody shall wait for that long.
    fn find_by_hash(&mut self, key: &ObjectKey) -> Option<Place> {
        self.vacancy = None;
        self.hash = self.tables.hash(key);
        let seen = self.tables.index.lock(self.hash).look(self.hash);
        let found = self.find_at(seen.places(), key);
        if found.is_none() && !self.tables.has_one_shard() {
            self.held = None;
        }
        found
    }

    /// Looks for a key where the index says, until it is found or known to be nowhere. Then the shard that takes it is
    /// held, and the part of its hash.
    fn find_by_hash_to_write(&mut self, key: &ObjectKey) -> Option<Place> {
        self.hash = self.tables.hash(key);
        let home = self.home();
        let mut before = None;
        loop {
            let seen = self.seen_unless_vacant(home, before.as_ref())?;
            if let Some(place) = self.find_at(seen.places(), key) {
                return Some(place);
            }
            before = Some(seen);
        }
    }

    /// What stands in the index under the hash. `None` if the key is nowhere: it was not at the places of `before`, and
    /// nothing changed since. Then the vacancy is taken.
    fn seen_unless_vacant(&mut self, home: u32, before: Option<&Sight>) -> Option<Sight> {
        self.hold(home);
        let part = self.tables.index.lock(self.hash);
        let seen = part.look(self.hash);
        if seen.is_empty() || before.is_some_and(|before| seen.is_as(before)) {
            self.vacancy = Some(part);
            return None;
        }
        Some(seen)
    }

    /// The shard that takes what this thread adds: the same while it has room, and then the next one. So prompts lie
    /// together though they come in several calls, places that became free are taken first, and all shards fill evenly.
    fn home(&mut self) -> u32 {
        let home = self.tables.number(self.notes.home());
        if self.hold(home).has_room() {
            return home;
        }
        self.notes.move_home();
        self.tables.number(self.notes.home())
    }

    fn find_at(&mut self, mut places: impl Iterator<Item = Place>, key: &ObjectKey) -> Option<Place> {
        places.find(|place| self.hold(place.shard).is_at(place.slot, key))
    }

    /// Adds the key that was [looked for last](Self::find_to_write), and not found, with its first object.
    pub(super) fn insert(&mut self, key: &ObjectKey, object: Object) -> SlotId {
        let hash = self.hash;
        let (Some(mut part), Some((number, shard))) = (self.vacancy.take(), &mut self.held) else {
            unreachable!("a key was looked for before, and not found");
        };
        let slot = shard.insert(&mut part, hash, key, object);
        let place = Place { shard: *number, slot };
        drop(part);
        self.note(place)
    }

    /// Tells the policy, if there is one, in the same step as what the operation did.
    pub(super) fn tell(&mut self, tell: impl FnOnce(&mut dyn EvictionPolicy)) {
        if matches!(self.tables.order, Order::Policy)
            && let Some(policy) = &mut self.hold(0).policy
        {
            tell(&mut **policy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::format::model::{ChunkHash, KeyScope};
    use crate::storage::config::{Compat, EvictionConfig, L1ManagerConfig};
    use crate::storage::events::Events;
    use crate::storage::l1::shard::KeyHasher;
    use crate::storage::l1::slot::ObjectStage;
    use crate::storage::l1::tell::Teller;
    use crate::storage::memory::{L1MemoryManager, Span};
    use crate::storage::ttl_lock::TtlLock;
    use crate::sync::Arc;

    const KEYS: usize = 16;
    const THREADS: usize = 3;

    /// Tables of so many pages, with few hashes.
    fn tables(pages: u64, compat: Compat) -> Tables {
        let config = L1ManagerConfig::dram(pages * 4096, EvictionConfig::default());
        let space = L1MemoryManager::new(&config.memory).unwrap();
        let teller = Teller::new("l1", Events::default());
        let hasher = KeyHasher::with_mask(0x0000_0001_0000_0001);
        Tables::with_hasher(&config, compat, space, teller, &Clock::system(), hasher)
    }

    /// Four shards, and four hashes for all keys.
    fn crowded() -> Tables {
        let tables = tables(256, Compat::Native);
        assert!(!tables.has_one_shard());
        tables
    }

    fn keys() -> Vec<ObjectKey> {
        numbered(KEYS)
    }

    fn numbered(count: usize) -> Vec<ObjectKey> {
        let scope = Arc::new(KeyScope::new("m", 0, 0, "").unwrap());
        (0..count).map(|key| ObjectKey::new(ChunkHash::new(&[key as u8]), Arc::clone(&scope))).collect()
    }

    fn add(cursor: &mut Cursor<'_>, key: &ObjectKey) -> bool {
        let span = Span { offset_bytes: 0, phy_size_bytes: 1, size_bytes: 1 };
        let is_absent = cursor.find_to_write(key).is_none();
        if is_absent {
            cursor.insert(key, Object::new(span, ObjectStage::Resident, TtlLock::default(), false));
        }
        is_absent
    }

    fn remove(cursor: &mut Cursor<'_>, key: &ObjectKey) -> bool {
        let Some(id) = cursor.find(key) else { return false };
        let arena = &cursor.tables().arena;
        !cursor.held().take(id, |_| false, arena, &mut Vec::new()).key_is_left
    }

    /// Every thread adds and removes keys of its own, of which it knows whether they are there, and keys of all threads,
    /// of which it counts what it did; all of them share a few hashes.
    fn churn(tables: &Tables, keys: &[ObjectKey], thread: usize) -> Vec<i64> {
        let mut net = vec![0; KEYS];
        let mut random = thread as u64;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let first = (random >> 33) as usize % KEYS;
            let mut cursor = tables.cursor();
            for number in (first..KEYS).take((random >> 60) as usize) {
                let is_own = number % (THREADS + 1) == thread;
                if !is_own && number % (THREADS + 1) != THREADS {
                    continue;
                }
                let change = if random >> 59 & 1 == 1 { 1 } else { -1 };
                let is_done = if change == 1 {
                    add(&mut cursor, &keys[number])
                } else {
                    remove(&mut cursor, &keys[number])
                };
                assert!(!is_own || is_done == (net[number] == i64::from(change == -1)), "{number}");
                net[number] += if is_done { change } else { 0 };
            }
        }
        net
    }

    #[test]
    fn the_only_shard_is_held_from_the_start_and_others_no_longer_than_keys_are_found() {
        let (tables, keys) = (tables(256, Compat::Lmcache), keys());
        let mut cursor = tables.cursor();
        assert!(tables.try_lock_shard(0).is_none(), "before the first key");
        assert!(cursor.find(&keys[0]).is_none() && tables.try_lock_shard(0).is_none(), "after a missing one");
        drop(cursor);
        let tables = crowded();
        assert!(add(&mut tables.cursor(), &keys[0]));
        let mut cursor = tables.cursor();
        let slot = cursor.find(&keys[0]).expect("it was added");
        let number = cursor.place(slot).shard;
        assert!(tables.try_lock_shard(number).is_none());
        assert!(cursor.find(&keys[1]).is_none() && tables.try_lock_shard(number).is_some());
    }

    #[test]
    fn what_became_free_is_filled_first_and_then_all_shards_alike() {
        let tables = tables(256, Compat::Native);
        let scope = Arc::new(KeyScope::new("m", 0, 0, "").unwrap());
        let key = |number: u32| ObjectKey::new(ChunkHash::new(&number.to_le_bytes()), Arc::clone(&scope));
        let shard_of = |key: &ObjectKey| {
            let mut cursor = tables.cursor();
            let slot = cursor.find(key).expect("it was added");
            cursor.place(slot).shard
        };
        (0..4 * 64).for_each(|number| assert!(add(&mut tables.cursor(), &key(number))));
        let mut counts = Vec::new();
        tables.each_shard(|shard| counts.push((shard.keys(), shard.has_room())));
        assert_eq!(counts, [(64, false); 4]);
        let before = shard_of(&key(70));
        assert!(remove(&mut tables.cursor(), &key(70)));
        // A round over all shards: three take a block, the one with a free place fills that and goes on, and the first
        // begins the next round.
        let again: Vec<u32> = (1000..1000 + 4 * 64).collect();
        again.iter().for_each(|number| assert!(add(&mut tables.cursor(), &key(*number))));
        assert!(again.iter().any(|number| shard_of(&key(*number)) == before));
        let mut counts = Vec::new();
        tables.each_shard(|shard| counts.push(shard.keys()));
        counts.sort_unstable();
        assert_eq!(counts, [64, 2 * 64, 2 * 64, 3 * 64 - 1]);
    }

    #[test]
    fn a_key_that_came_between_two_looks_is_not_added_again() {
        // So many keys that there are some with the hash of the first, whatever the seed.
        let (tables, keys) = (crowded(), numbered(256));
        let mut alike = keys.iter().filter(|key| tables.hash(key) == tables.hash(&keys[0]));
        let [other, key] = [(); 2].map(|()| alike.next().expect("four hashes for all keys"));
        assert!(add(&mut tables.cursor(), other));
        let mut cursor = Cursor { hash: tables.hash(key), ..tables.cursor() };
        let home = cursor.home();
        let seen = cursor.seen_unless_vacant(home, None).expect("the other one has the hash");
        assert_eq!(cursor.find_at(seen.places(), key), None);
        cursor.held = None;
        assert!(add(&mut tables.cursor(), key));
        let seen = cursor.seen_unless_vacant(home, Some(&seen)).expect("it changed");
        assert!(cursor.find_at(seen.places(), key).is_some());
        assert!(cursor.seen_unless_vacant(home, Some(&seen)).is_none(), "nothing changed since");
    }

    #[test]
    fn keys_that_share_hashes_are_told_apart_whatever_others_add_and_remove() {
        let (tables, keys) = (crowded(), keys());
        let nets: Vec<Vec<i64>> = std::thread::scope(|scope| {
            let (tables, keys) = (&tables, &keys);
            let threads: Vec<_> =
                (0..THREADS).map(|thread| scope.spawn(move || churn(tables, keys, thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut there = 0;
        for (number, key) in keys.iter().enumerate() {
            let net: i64 = nets.iter().map(|net| net[number]).sum();
            assert_eq!(i64::from(tables.slot_is(key, |_| true)), net, "{number}");
            there += net as usize;
        }
        assert!(there > 0 && tables.keys() == there);
    }
}

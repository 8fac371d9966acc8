//! Where the slot of each key lies, by the key's hash.
//!
//! The keys that a thread adds are put into one shard together, whatever their hashes, so that the calls that follow with
//! the same keys take one mutex and read memory that lies together. So the hash of a key does not say its shard; this index does.
//!
//! It knows hashes, not keys: whoever finds a place looks there, under the shard's mutex, whether it is that of his key. An
//! entry is added and taken out by who holds the shard of its slot. So a key that is not where the index points is nowhere
//! if the index has not changed meanwhile; and who adds it keeps the [part](Part) locked from then on.

use crossbeam::utils::CachePadded;
use hashbrown::HashTable;

use super::shard::Place;
use crate::sync::{Mutex, MutexGuard, lock};

/// See the module. It has parts, by the hash, each with a mutex that is taken last and held for a look.
#[derive(Debug)]
pub(super) struct Index {
    parts: Box<[CachePadded<Mutex<Part>>]>,
}

/// A part of the index, with the entries of some hashes.
#[derive(Debug, Default)]
pub(super) struct Part {
    entries: HashTable<Entry>,
    /// How often an entry was added or taken out.
    changes: u64,
}

/// A slot of a key with this hash, or what is left of it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    place: Place,
}

/// What stood in the index under a hash at one moment.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    /// Mostly the only one.
    first: Option<Place>,
    /// Others are those of other keys with this hash.
    others: Vec<Place>,
    /// The changes of the part up to then.
    changes: u64,
}

/// What an entry keeps of a hash. The parts are told apart by other bits.
fn kept(hash: u64) -> u32 {
    hash as u32
}

/// The hash that the table goes by: it uses the lowest bits and the highest.
fn spread(kept: u32) -> u64 {
    u64::from(kept) << 32 | u64::from(kept)
}

impl Index {
    /// An index of `parts` parts, a power of two.
    pub(super) fn new(parts: u64) -> Self {
        Self { parts: (0..parts).map(|_| CachePadded::default()).collect() }
    }

    /// The part of a hash, locked. Who has it takes no other mutex.
    #[inline]
    pub(super) fn lock(&self, hash: u64) -> MutexGuard<'_, Part> {
        lock(&self.parts[(hash >> 32) as usize & (self.parts.len() - 1)])
    }
}

impl Part {
    /// What stands under `hash`. Here and below, the hash is one of this part.
    #[inline]
    pub(super) fn look(&self, hash: u64) -> Sight {
        let kept = kept(hash);
        let entries = self.entries.iter_hash(spread(kept)).filter(|entry| entry.hash == kept);
        let mut places = entries.map(|entry| entry.place);
        Sight { first: places.next(), others: places.collect(), changes: self.changes }
    }

    /// Adds a place. The caller holds its shard.
    pub(super) fn add(&mut self, hash: u64, place: Place) {
        self.changes += 1;
        let entry = Entry { hash: kept(hash), place };
        self.entries.insert_unique(spread(kept(hash)), entry, |entry| spread(entry.hash));
    }

    /// Takes a place out. The caller holds its shard.
    pub(super) fn remove(&mut self, hash: u64, place: Place) {
        if let Ok(entry) = self.entries.find_entry(spread(kept(hash)), |entry| entry.place == place) {
            entry.remove();
            self.changes += 1;
        }
    }
}

impl Sight {
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.first.iter().chain(&self.others).copied()
    }

    /// No key has this hash.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The part has not changed between.
    pub(super) fn is_as(&self, before: &Self) -> bool {
        self.changes == before.changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: u64 = 0x0000_0003_1234_5678;

    fn place(slot: u32) -> Place {
        Place { shard: 1, slot }
    }

    fn places(index: &Index, hash: u64) -> Vec<Place> {
        index.lock(hash).look(hash).places().collect()
    }

    #[test]
    fn keys_of_one_hash_have_each_their_place() {
        let index = Index::new(4);
        let before = index.lock(HASH).look(HASH);
        assert!(before.is_empty() && before.is_as(&index.lock(HASH).look(HASH)));
        index.lock(HASH).add(HASH, place(7));
        assert!(!before.is_as(&index.lock(HASH).look(HASH)));
        index.lock(HASH).add(HASH, place(8));
        assert_eq!(places(&index, HASH).len(), 2);
        index.lock(HASH).remove(HASH, place(7));
        index.lock(HASH).remove(HASH, place(7));
        assert_eq!(places(&index, HASH), [place(8)]);
        assert!(places(&index, HASH + 1).is_empty());
    }

    #[test]
    fn many_entries_are_found_after_the_table_grew() {
        let index = Index::new(2);
        let hash = |key: u64| key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..10_000).for_each(|key| index.lock(hash(key)).add(hash(key), place(key as u32)));
        assert!((0..10_000).all(|key| places(&index, hash(key)).contains(&place(key as u32))));
    }

    #[test]
    fn an_entry_takes_12_bytes() {
        assert_eq!(size_of::<Entry>(), 12);
    }
}

//! What became of each key last, for the last two million keys or so.
//!
//! A table of fixed size holds a fingerprint and a few bits for each key: 16 MiB, of which the pages count that are in use.
//! A key has eight places where it can lie. If they are taken, the key of which nothing was heard for longest is forgotten,
//! and those places remember that they forgot something: a key that is not found there may be one of those, and is *unknown*;
//! one that is not found at other places was never written. Which keys are forgotten depends on the trace alone.

use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::HashMap;

use crate::format::model::ObjectKey;
use crate::storage::L1Error;
use crate::sync::{Mutex, lock};

/// Keys that the table can hold at most.
pub const MOST_KEYS: usize = 1 << 21;

/// Places where a key can lie: a cache line.
const WAYS: usize = 8;

/// Parts of the table with a lock each, so that workers seldom meet.
const PARTS: usize = 64;

/// Sizes of objects that are told apart; the number 0 is a size that is not known.
const MOST_SIZES: usize = (1 << SIZE_BITS) - 1;

const SIZE_BITS: u32 = 12;
const COPIES_BITS: u32 = 4;

/// Copies in L2 that are counted at most.
const MOST_COPIES: u8 = (1 << COPIES_BITS) - 1;

/// What the replay last did with a key in L1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Written {
    /// Nothing, or a write that came too late to be finished.
    #[default]
    Never = 0,
    /// It was reserved, and is not finished.
    Reserved = 1,
    /// Its write was finished.
    Finished = 2,
    /// It was to be written, and L1 had no memory for it.
    Refused = 3,
}

/// How far its last store to L2 is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Store {
    /// None was begun.
    #[default]
    None = 0,
    /// An adapter has it in hand.
    UnderWay = 1,
    /// An adapter stored it.
    Stored = 2,
    /// It failed as often as it may, or found no room.
    GivenUp = 3,
}

/// What became of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// In L1.
    pub written: Written,
    /// On the way to L2.
    pub store: Store,
    /// How many adapters have it, as they say.
    pub l2_copies: u8,
    /// The number of the size of its objects; 0 if it is not known.
    pub(super) size: u16,
}

impl Fate {
    /// Of a key with which nothing was done.
    pub const NEW: Self = Self { written: Written::Never, store: Store::None, l2_copies: 0, size: 0 };
}

/// What the table says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// This.
    Fate(Fate),
    /// It was never written in this replay.
    Never,
    /// The table has forgotten keys that lay where this one would.
    Forgotten,
}

/// A key as the table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::replay) struct Print(u64);

impl Print {
    /// Of a key: the same in every process, so that every replay of a trace forgets the same keys.
    pub(in crate::replay) fn of(key: &ObjectKey) -> Self {
        let mut hasher = foldhash::quality::FixedState::with_seed(0).build_hasher();
        let scope = key.scope();
        key.chunk_hash().hash(&mut hasher);
        (scope.kv_rank(), scope.object_group_id()).hash(&mut hasher);
        (scope.model_name(), scope.cache_salt()).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// A place of the table: a fate in the low bits, a part of the print in the others; 0 is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry(u64);

const FATE_BITS: u32 = 2 + 2 + COPIES_BITS + SIZE_BITS;

impl Entry {
    /// The lowest bit of the mark is set, so that no entry is 0.
    fn mark(print: Print) -> u64 {
        (print.0 >> FATE_BITS | 1) << FATE_BITS
    }

    fn new(print: Print, fate: Fate) -> Self {
        let copies = u64::from(fate.l2_copies.min(MOST_COPIES));
        let bits = fate.written as u64 | (fate.store as u64) << 2 | copies << 4;
        Self(Self::mark(print) | bits | u64::from(fate.size) << (4 + COPIES_BITS))
    }

    fn is_of(self, print: Print) -> bool {
        self.0 >> FATE_BITS == Self::mark(print) >> FATE_BITS
    }

    fn fate(self) -> Fate {
        let written = [Written::Never, Written::Reserved, Written::Finished, Written::Refused];
        let store = [Store::None, Store::UnderWay, Store::Stored, Store::GivenUp];
        Fate {
            written: written[(self.0 & 3) as usize],
            store: store[(self.0 >> 2 & 3) as usize],
            l2_copies: (self.0 >> 4) as u8 & MOST_COPIES,
            size: (self.0 >> (4 + COPIES_BITS)) as u16 & MOST_SIZES as u16,
        }
    }
}

#[derive(Debug)]
struct Part {
    /// [`WAYS`] after [`WAYS`]; of each the one that was changed last comes first.
    entries: Vec<u64>,
    /// A bit for each [`WAYS`] places that forgot something.
    forgot: Vec<u64>,
    forgotten: u64,
    /// Keys of prefetches under way, and of how many.
    loading: HashMap<Print, u32, foldhash::fast::RandomState>,
}

impl Part {
    fn new(buckets: usize) -> Self {
        Self {
            // Zeroed by the system: a page costs memory once a key lies in it.
            entries: vec![0; buckets * WAYS],
            forgot: vec![0; buckets.div_ceil(64)],
            forgotten: 0,
            loading: HashMap::default(),
        }
    }

    fn bucket(&self, print: Print) -> usize {
        (print.0 as usize / PARTS) % (self.entries.len() / WAYS)
    }

    fn get(&self, print: Print) -> Known {
        let bucket = self.bucket(print);
        let places = &self.entries[bucket * WAYS..][..WAYS];
        let found = places.iter().map(|entry| Entry(*entry)).find(|entry| entry.is_of(print));
        match found {
            Some(entry) => Known::Fate(entry.fate()),
            None if self.forgot[bucket / 64] >> (bucket % 64) & 1 == 1 => Known::Forgotten,
            None => Known::Never,
        }
    }

    fn change(&mut self, print: Print, change: impl FnOnce(&mut Fate)) {
        let bucket = self.bucket(print);
        let places = &mut self.entries[bucket * WAYS..][..WAYS];
        let found = places.iter().position(|entry| Entry(*entry).is_of(print));
        let mut fate = found.map_or_else(Fate::default, |position| Entry(places[position]).fate());
        change(&mut fate);
        let position = found.unwrap_or(WAYS - 1);
        if found.is_none() && places[position] != 0 {
            self.forgot[bucket / 64] |= 1 << (bucket % 64);
            self.forgotten += 1;
        }
        places.copy_within(..position, 1);
        places[0] = Entry::new(print, fate).0;
    }
}

/// See the module. Shared by all workers and by the threads of the manager.
#[derive(Debug)]
pub struct KeyFates {
    parts: Box<[Mutex<Part>]>,
    /// The sizes of objects, by their numbers from 1 on.
    sizes_bytes: Mutex<Vec<u64>>,
}

impl Default for KeyFates {
    fn default() -> Self {
        Self::for_keys(MOST_KEYS)
    }
}

impl KeyFates {
    /// A table for so many keys, rounded up to 512.
    pub fn for_keys(keys: usize) -> Self {
        let buckets = keys.div_ceil(WAYS * PARTS).max(1);
        Self {
            parts: (0..PARTS).map(|_| Mutex::new(Part::new(buckets))).collect(),
            sizes_bytes: Mutex::default(),
        }
    }

    fn part(&self, print: Print) -> &Mutex<Part> {
        &self.parts[print.0 as usize % PARTS]
    }

    /// What is known of a key.
    pub(in crate::replay) fn get(&self, print: Print) -> Known {
        lock(self.part(print)).get(print)
    }

    /// Something happened to a key. Of one that is not known only a reservation, or a refused one, makes a new entry: what was
    /// not written here is not the replay's to explain.
    pub(in crate::replay) fn change(&self, print: Print, change: impl FnOnce(&mut Fate)) {
        let mut part = lock(self.part(print));
        if matches!(part.get(print), Known::Fate(_)) {
            part.change(print, change);
        }
    }

    /// A key was reserved, for an object of the size with this [number](Self::size_number).
    pub(in crate::replay) fn reserve(&self, print: Print, size: u16) {
        lock(self.part(print)).change(print, |fate| {
            *fate = Fate { written: Written::Reserved, store: Store::None, size, ..*fate };
        });
    }

    /// Writes were finished, or not. Returns the bytes of those that were, and how many of them have a size that is not known.
    pub(in crate::replay) fn finish(&self, outcomes: impl Iterator<Item = (Print, L1Error)>) -> (u64, u64) {
        let sizes_bytes = lock(&self.sizes_bytes);
        let (mut bytes, mut unknown) = (0_u64, 0);
        for (print, code) in outcomes {
            let is_finished = code == L1Error::Success;
            let mut size = 0;
            self.change(print, |fate| {
                // Its store may have begun already.
                fate.written = match (is_finished, fate.written) {
                    (true, _) => Written::Finished,
                    // The trace's host had the memory, and finishes what was not reserved here.
                    (false, Written::Refused) => Written::Refused,
                    (false, _) => Written::Never,
                };
                size = fate.size;
            });
            if !is_finished {
                continue;
            }
            let size_bytes = usize::from(size).checked_sub(1).and_then(|position| sizes_bytes.get(position));
            match size_bytes {
                Some(size_bytes) => bytes = bytes.saturating_add(*size_bytes),
                None => unknown += 1,
            }
        }
        (bytes, unknown)
    }

    /// A key was to be reserved, and there was no memory.
    pub(in crate::replay) fn refuse(&self, print: Print) {
        lock(self.part(print)).change(print, |fate| fate.written = Written::Refused);
    }

    /// The number of a size; 0 past 4095 of them.
    pub(in crate::replay) fn size_number(&self, size_bytes: u64) -> u16 {
        let mut sizes = lock(&self.sizes_bytes);
        let position = sizes.iter().position(|size| *size == size_bytes).or_else(|| {
            (sizes.len() < MOST_SIZES).then(|| {
                sizes.push(size_bytes);
                sizes.len() - 1
            })
        });
        position.map_or(0, |position| position as u16 + 1)
    }

    /// A prefetch of the key is under way. Returns what is known of it.
    pub(in crate::replay) fn begin_load(&self, print: Print) -> Known {
        let mut part = lock(self.part(print));
        *part.loading.entry(print).or_insert(0) += 1;
        part.get(print)
    }

    /// It is not any more.
    pub(in crate::replay) fn end_load(&self, print: Print) {
        let loading = &mut lock(self.part(print)).loading;
        let Some(count) = loading.get_mut(&print) else { return };
        *count -= 1;
        if *count == 0 {
            loading.remove(&print);
        }
    }

    /// Whether a prefetch of the key is under way.
    pub(in crate::replay) fn is_loading(&self, print: Print) -> bool {
        lock(self.part(print)).loading.contains_key(&print)
    }

    /// How many keys were forgotten.
    pub fn forgotten_keys(&self) -> u64 {
        self.parts.iter().map(|part| lock(part).forgotten).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::model::{ChunkHash, KeyScope};
    use crate::sync::Arc;

    fn key(number: u32, salt: &str) -> ObjectKey {
        let scope = KeyScope::new("m", 0, 0, salt).expect("a valid scope");
        ObjectKey::new(ChunkHash::new(&number.to_le_bytes()), Arc::new(scope))
    }

    fn print(number: u32) -> Print {
        Print::of(&key(number, ""))
    }

    #[test]
    fn tenants_have_fates_of_their_own() {
        let fates = KeyFates::for_keys(1);
        fates.reserve(Print::of(&key(1, "a")), 0);
        assert_eq!(fates.get(Print::of(&key(1, "b"))), Known::Never);
        assert!(matches!(fates.get(Print::of(&key(1, "a"))), Known::Fate(_)));
    }

    /// Eight keys of one bucket fit; the ninth takes the place of the one of which nothing was heard for longest.
    #[test]
    fn a_full_bucket_forgets_who_was_silent_for_longest_and_says_so() {
        let fates = KeyFates::for_keys(1);
        let of_part = |part: usize| (0..).map(print).filter(move |print| print.0 as usize % PARTS == part);
        let prints: Vec<Print> = of_part(3).take(WAYS + 2).collect();
        prints[..WAYS].iter().for_each(|print| fates.reserve(*print, 0));
        assert_eq!((fates.get(prints[WAYS]), fates.forgotten_keys()), (Known::Never, 0));
        fates.change(prints[0], |fate| fate.written = Written::Finished);
        fates.reserve(prints[WAYS], 0);
        assert_eq!((fates.get(prints[1]), fates.forgotten_keys()), (Known::Forgotten, 1));
        assert_eq!(fates.get(prints[WAYS + 1]), Known::Forgotten, "it may be one that was forgotten");
        assert_eq!(fates.get(prints[0]), Known::Fate(Fate { written: Written::Finished, ..Fate::default() }));
        let elsewhere = of_part(4).next().expect("a key");
        assert_eq!(fates.get(elsewhere), Known::Never);
    }

    #[test]
    fn a_new_write_is_not_stored_and_its_old_copies_stay() {
        let fates = KeyFates::for_keys(1);
        fates.reserve(print(1), 0);
        fates.change(print(1), |fate| (fate.store, fate.l2_copies) = (Store::Stored, 1));
        fates.reserve(print(1), 0);
        let fate = Fate { written: Written::Reserved, l2_copies: 1, ..Fate::NEW };
        assert_eq!(fates.get(print(1)), Known::Fate(fate));
    }

    #[test]
    fn what_was_not_written_here_gets_no_fate() {
        let fates = KeyFates::for_keys(1);
        fates.change(print(1), |fate| fate.l2_copies = 1);
        assert_eq!(fates.get(print(1)), Known::Never);
    }

    #[test]
    fn sizes_are_numbered_to_the_limit_and_unknown_past_it() {
        let fates = KeyFates::for_keys(1);
        for size_bytes in 1..=MOST_SIZES as u64 {
            assert_eq!(u64::from(fates.size_number(size_bytes)), size_bytes);
        }
        assert_eq!((fates.size_number(1 << 20), fates.size_number(7)), (0, 7));
        fates.reserve(print(1), fates.size_number(MOST_SIZES as u64));
        fates.reserve(print(2), fates.size_number(1 << 20));
        let finished = [1, 2, 3].map(|number| (print(number), L1Error::Success));
        assert_eq!(fates.finish(finished.into_iter()), (MOST_SIZES as u64, 2));
    }

    #[test]
    fn a_key_is_loading_until_the_last_prefetch_has_it() {
        let fates = KeyFates::for_keys(1);
        assert_eq!([fates.begin_load(print(1)), fates.begin_load(print(1))], [Known::Never; 2]);
        [1, 2].into_iter().for_each(|number| fates.end_load(print(number)));
        assert!(fates.is_loading(print(1)) && !fates.is_loading(print(2)));
        fates.end_load(print(1));
        assert!(!fates.is_loading(print(1)) && fates.parts.iter().all(|part| lock(part).loading.is_empty()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_entry_keeps_its_fate_and_its_key(
            print: u64, written in 0_usize..4, store in 0_usize..4, l2_copies in 0..=MOST_COPIES, size in 0..=MOST_SIZES as u16,
        ) {
            let fate = Fate {
                written: [Written::Never, Written::Reserved, Written::Finished, Written::Refused][written],
                store: [Store::None, Store::UnderWay, Store::Stored, Store::GivenUp][store],
                l2_copies,
                size,
            };
            let entry = Entry::new(Print(print), fate);
            prop_assert!(entry.0 != 0 && entry.is_of(Print(print)) && entry.fate() == fate);
            prop_assert!(!entry.is_of(Print(print ^ 1 << 63)));
        }

        /// Against a map that never forgets: what the table knows is right, and it never says "never" of a key that was written.
        #[test]
        fn a_table_that_forgets_never_lies(numbers in prop::collection::vec(0_u32..3000, 1..3000)) {
            let fates = KeyFates::for_keys(512);
            let mut writes = std::collections::HashMap::new();
            for number in &numbers {
                let count = writes.entry(*number).or_insert(0_u16);
                *count = (*count + 1).min(9);
                fates.reserve(print(*number), *count);
            }
            for number in 0..3000 {
                match fates.get(print(number)) {
                    Known::Fate(fate) => prop_assert_eq!(Some(&fate.size), writes.get(&number)),
                    Known::Never => prop_assert!(!writes.contains_key(&number)),
                    Known::Forgotten => prop_assert!(fates.forgotten_keys() > 0),
                }
            }
        }
    }
}

//! Where in the chunk keys stand already: a table that forgets rather than searches.
//!
//! An entry is overwritten by whatever falls on its place. A miss costs repeating a key, never a wrong one: whoever
//! asks compares the bytes at the place that it gets.

/// Entries; a power of two. With rows of 40 bytes a chunk of the default stride holds 26,000.
const ENTRIES: usize = 1 << 15;

/// Finds a key's bytes among those that were pushed in line since the chunk was begun.
#[derive(Debug)]
pub(super) struct RowIndex {
    entries: Box<[Entry]>,
    /// Tells the entries of this chunk from those of chunks before, which are left where they are. Never 0.
    generation: u16,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    generation: u16,
    tag: u16,
    start: u32,
    run: u32,
}

impl RowIndex {
    pub(super) fn new() -> Self {
        Self { entries: vec![Entry::default(); ENTRIES].into_boxed_slice(), generation: 1 }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.generation = match self.generation.checked_add(1) {
            Some(next) => next,
            None => {
                self.entries.fill(Entry::default());
                1
            }
        };
    }

    /// Where `key` stands, if it is remembered and at least `count` keys stand there in a row.
    #[inline]
    pub(super) fn find(&self, key: &[u8], count: u32) -> Option<u32> {
        let (place, tag) = place_of(key);
        let entry = self.entries[place];
        let is_it = entry.generation == self.generation && entry.tag == tag && entry.run >= count;
        is_it.then_some(entry.start)
    }

    /// Remembers that `key` stands at `start`, the first of `run` keys in a row.
    #[inline]
    pub(super) fn insert(&mut self, key: &[u8], start: u32, run: u32) {
        let (place, tag) = place_of(key);
        self.entries[place] = Entry { generation: self.generation, tag, start, run };
    }
}

/// Chunk hashes are random already; scopes and ids are not. An id has four bytes, a row more.
#[inline]
fn place_of(key: &[u8]) -> (usize, u16) {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let word = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    let mut mixed = key.first_chunk::<4>().map_or(0, word);
    if let Some(last) = key.last_chunk::<8>() {
        mixed ^= u64::from_le_bytes(*last).rotate_left(32);
    }
    if let Some(more) = key.get(4..).and_then(|rest| rest.first_chunk::<8>()) {
        mixed ^= u64::from_le_bytes(*more).rotate_left(17);
    }
    mixed = mixed.wrapping_mul(ODD);
    mixed ^= mixed >> 29;
    ((mixed >> 16) as usize % ENTRIES, mixed as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_their_chunk_and_runs_are_not_exceeded() {
        let (mut index, key) = (RowIndex::new(), [7_u8; 40]);
        assert_eq!(index.find(&key, 1), None);
        index.insert(&key, 300, 3);
        assert_eq!((index.find(&key, 3), index.find(&key, 4)), (Some(300), None));
        for _ in 0..=u16::MAX {
            index.clear();
            assert_eq!(index.find(&key, 1), None);
        }
    }

    #[test]
    fn ids_do_not_share_a_place() {
        let mut index = RowIndex::new();
        let ids = || 0..ENTRIES as u32 / 8;
        ids().for_each(|id| index.insert(&id.to_le_bytes(), id, 1));
        let found = ids().filter(|id| index.find(&id.to_le_bytes(), 1) == Some(*id)).count();
        assert!(found > ids().count() * 3 / 4, "{found}");
    }
}

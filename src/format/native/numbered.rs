//! Values that are defined once in a chunk and named by a number from then on.

use hashbrown::HashTable;

/// Values that were given numbers from 0 on.
#[derive(Debug)]
pub(super) struct Numbered<T> {
    pub(super) values: Vec<T>,
    numbers: HashTable<(u64, u32)>,
    hasher: foldhash::fast::RandomState,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { values: Vec::new(), numbers: HashTable::new(), hasher: foldhash::fast::RandomState::default() }
    }
}

impl<T> Numbered<T> {
    pub(super) fn hash(&self, value: impl std::hash::Hash) -> u64 {
        std::hash::BuildHasher::hash_one(&self.hasher, value)
    }

    pub(super) fn len(&self) -> u32 {
        self.values.len() as u32
    }

    pub(super) fn find(&self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<u32> {
        let is_number =
            |(known, number): &(u64, u32)| *known == hash && is_it(&self.values[*number as usize]);
        self.numbers.find(hash, is_number).map(|(_, number)| *number)
    }

    pub(super) fn insert(&mut self, hash: u64, value: T) -> u32 {
        let number = self.len();
        self.values.push(value);
        self.numbers.insert_unique(hash, (hash, number), |(hash, _)| *hash);
        number
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.numbers.clear();
    }
}

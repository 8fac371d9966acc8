//! The scopes of a shard's keys, each with a number.
//!
//! All keys of a model on one rank share one [`KeyScope`] behind one count. If every slot had a share of that count,
//! all threads would write the same word for every object that comes or goes. So a shard takes one share, and counts
//! its slots itself.

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::format::model::KeyScope;
use crate::sync::Arc;

/// The scopes that slots of a shard have.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    /// Mostly there is one, which lies here.
    entries: SmallVec<[Option<Entry>; 1]>,
    vacant: Vec<u32>,
    index: HashTable<u32>,
    /// The one that was asked for last: mostly it is asked for again.
    last: u32,
}

#[derive(Debug)]
struct Entry {
    scope: Arc<KeyScope>,
    slots: u64,
}

impl Scopes {
    fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries.get(number as usize)?.as_ref()
    }

    /// Whether `number` is that of `scope`.
    #[inline]
    pub(super) fn is(&self, number: u32, scope: &Arc<KeyScope>) -> bool {
        self.entry(number).is_some_and(|entry| Arc::ptr_eq(&entry.scope, scope) || entry.scope == *scope)
    }

    /// The scope of a number that a slot has.
    pub(super) fn get(&self, number: u32) -> &Arc<KeyScope> {
        match self.entry(number) {
            Some(entry) => &entry.scope,
            None => unreachable!("a scope stays as long as a slot has its number"),
        }
    }

    /// The number of `scope`, for one more slot.
    pub(super) fn take(&mut self, scope: &Arc<KeyScope>) -> u32 {
        if !self.is(self.last, scope) {
            self.last = self.find_or_add(scope);
        }
        if let Some(Some(entry)) = self.entries.get_mut(self.last as usize) {
            entry.slots += 1;
        }
        self.last
    }

    fn find_or_add(&mut self, scope: &Arc<KeyScope>) -> u32 {
        let is_same = |number: &u32| self.is(*number, scope);
        if let Some(number) = self.index.find(scope.hash64(), is_same) {
            return *number;
        }
        let entry = Some(Entry { scope: Arc::clone(scope), slots: 0 });
        let number = match self.vacant.pop() {
            Some(number) => {
                self.entries[number as usize] = entry;
                number
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        let entries = &self.entries;
        let hash_of =
            |number: &u32| entries[*number as usize].as_ref().map_or(0, |entry| entry.scope.hash64());
        self.index.insert_unique(scope.hash64(), number, hash_of);
        number
    }

    /// One slot less has `number`. A scope without slots is forgotten.
    pub(super) fn release(&mut self, number: u32) {
        let Some(Some(entry)) = self.entries.get_mut(number as usize) else { return };
        entry.slots -= 1;
        if entry.slots > 0 {
            return;
        }
        if let Ok(found) = self.index.find_entry(entry.scope.hash64(), |other| *other == number) {
            found.remove();
        }
        self.entries[number as usize] = None;
        self.vacant.push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_one_number_while_a_slot_has_it() {
        let scope = |salt: &str| Arc::new(KeyScope::new("m", 0, 0, salt).unwrap());
        let (a, b) = (scope("a"), scope("b"));
        let mut scopes = Scopes::default();
        assert_eq!([scopes.take(&a), scopes.take(&b), scopes.take(&scope("a"))], [0, 1, 0]);
        scopes.release(0);
        assert!(scopes.is(0, &a) && !scopes.is(1, &a));
        scopes.release(0);
        assert!(!scopes.is(0, &a) && Arc::strong_count(&a) == 1);
        assert_eq!(scopes.take(&scope("c")), 0);
        assert_eq!(scopes.get(1).cache_salt(), "b");
    }
}

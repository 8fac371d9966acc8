//! Which addresses of the device may be used, and what keeps them alive.
//!
//! An engine passes addresses, and a wrong one that reaches a GPU costs the whole process its device. So every run of every plan is looked
//! up here first.

use std::any::Any;
use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::sync::{Arc, Mutex, lock};

/// Memory of the device that may be used.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) start: u64,
    pub(super) len_bytes: u64,
    /// What gives the memory back, once nobody has the range any more. `None` where somebody else does.
    _keeper: Option<Arc<dyn Keeper>>,
}

/// What memory of a device needs to stay: an allocation, an opened handle.
pub(super) trait Keeper: Any + std::fmt::Debug + Send + Sync {}

/// The ranges of a device. Engines may bring the same memory more than once, and ranges in ranges.
#[derive(Debug, Default)]
pub(super) struct AddressBook(Mutex<Ranges>);

/// By start and length.
type Ranges = BTreeMap<(u64, u64), Vec<Arc<Range>>>;

impl Range {
    pub(super) fn new(start: u64, len_bytes: u64, keeper: Option<Arc<dyn Keeper>>) -> Arc<Self> {
        Arc::new(Self { start, len_bytes, _keeper: keeper })
    }

    fn holds(&self, start: u64, len_bytes: u64) -> bool {
        let end = start.checked_add(len_bytes);
        start >= self.start && end.is_some_and(|end| end <= self.start.saturating_add(self.len_bytes))
    }
}

impl AddressBook {
    pub(super) fn add(&self, range: &Arc<Range>) {
        lock(&self.0).entry((range.start, range.len_bytes)).or_default().push(Arc::clone(range));
    }

    pub(super) fn remove(&self, range: &Arc<Range>) {
        let mut book = lock(&self.0);
        let key = (range.start, range.len_bytes);
        let Some(same) = book.get_mut(&key) else { return };
        let found =
            same.iter().position(|other| Arc::ptr_eq(other, range)).map(|index| same.swap_remove(index));
        if same.is_empty() {
            book.remove(&key);
        }
        // What this gives back is given back without the lock.
        drop(book);
        drop(found);
    }

    /// The ranges that hold these bytes, each of which is in one of them: what a transfer holds while it is under way.
    ///
    /// # Errors
    /// If bytes are in none.
    pub(super) fn holders(&self, spans: impl Iterator<Item = (u64, u64)>) -> Result<Vec<Arc<Range>>> {
        let book = lock(&self.0);
        let mut holders: Vec<Arc<Range>> = Vec::new();
        let mut last = 0;
        for (start, len_bytes) in spans {
            if holders.get(last).is_some_and(|range| range.holds(start, len_bytes)) {
                continue;
            }
            last = match holders.iter().position(|range| range.holds(start, len_bytes)) {
                Some(found) => found,
                None => {
                    let below = book.range(..=(start, u64::MAX)).rev().flat_map(|(_, same)| same.first());
                    let Some(found) = below.into_iter().find(|range| range.holds(start, len_bytes)) else {
                        return Err(unknown(start, len_bytes));
                    };
                    holders.push(Arc::clone(found));
                    holders.len() - 1
                }
            };
        }
        Ok(holders)
    }
}

fn unknown(start: u64, len_bytes: u64) -> Error {
    Error::invalid("these bytes are in no memory of the device that it was told of")
        .with_context("address", format_args!("{start:#x}"))
        .with_context("bytes", len_bytes)
        .with_hint("the engine's tensors are told of first, and stay as long as they are used")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_in_the_range_that_holds_them_all_whatever_lies_within_it() {
        let book = AddressBook::default();
        let [outer, inner, other] =
            [(100, 100), (120, 10), (300, 10)].map(|(at, len)| Range::new(at, len, None));
        [&outer, &inner, &other, &outer].into_iter().for_each(|range| book.add(range));
        let holders = book.holders([(100, 1), (125, 5), (199, 1), (300, 10), (125, 5)].into_iter()).unwrap();
        assert!(Arc::ptr_eq(&holders[0], &outer) && Arc::ptr_eq(&holders[1], &other) && holders.len() == 2);
        for (start, len_bytes) in [(99, 1), (199, 2), (200, 1), (309, 2), (u64::MAX, 2), (0, u64::MAX)] {
            assert!(book.holders([(start, len_bytes)].into_iter()).is_err(), "{start} {len_bytes}");
        }
        book.remove(&outer);
        assert!(book.holders([(199, 1)].into_iter()).is_ok(), "it was there twice");
        book.remove(&outer);
        assert!(book.holders([(199, 1)].into_iter()).is_err());
        assert!(book.holders([(129, 1)].into_iter()).is_ok());
    }

    #[derive(Debug)]
    struct Noisy(Arc<Mutex<bool>>);

    impl Keeper for Noisy {}

    impl Drop for Noisy {
        fn drop(&mut self) {
            *lock(&self.0) = true;
        }
    }

    #[test]
    fn memory_is_given_back_when_the_last_transfer_is_over() {
        let (book, is_gone) = (AddressBook::default(), Arc::new(Mutex::new(false)));
        let range = Range::new(0, 10, Some(Arc::new(Noisy(Arc::clone(&is_gone)))));
        book.add(&range);
        let holders = book.holders([(0, 10)].into_iter()).unwrap();
        book.remove(&range);
        drop(range);
        assert!(!*lock(&is_gone));
        drop(holders);
        assert!(*lock(&is_gone));
    }
}

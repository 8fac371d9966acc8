//! A value in several copies, so that threads that only use it do not write one word.
//!
//! Counting a reference, or adding to a counter, writes the word that is counted in. If all threads write the same
//! one, it goes from core to core with every call, which takes longer than all the rest of the call.

use crossbeam::utils::CachePadded;

use crate::sync::OnceLock;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// How many copies there are. Two of more threads than this share one.
pub(super) const STRIPES: usize = 16;

thread_local! {
    static STRIPE: usize = number_of_this_thread() % STRIPES;
}

/// Threads are numbered in the order in which they first ask. (std's own numbers are not to be had from a thread that is ending.)
fn number_of_this_thread() -> usize {
    static THREADS: OnceLock<AtomicUsize> = OnceLock::new();
    // Relaxed: numbers that differ are all that is asked for.
    THREADS.get_or_init(AtomicUsize::default).fetch_add(1, Ordering::Relaxed)
}

/// Copies of a value, each on cache lines of its own.
#[derive(Debug)]
pub(super) struct Striped<T>(Box<[CachePadded<T>]>);

impl<T> Striped<T> {
    /// Copies that `make` makes; it is told their numbers, from 0.
    pub(super) fn new(mut make: impl FnMut(usize) -> T) -> Self {
        Self((0..STRIPES).map(|number| CachePadded::new(make(number))).collect())
    }

    /// The copy that this thread uses.
    #[inline]
    pub(super) fn mine(&self) -> &T {
        &self.0[STRIPE.with(|stripe| *stripe)]
    }

    /// All copies.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|copy| &**copy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_start_one_after_the_other_have_different_copies() {
        let numbers = (0..4).map(|_| std::thread::spawn(number_of_this_thread).join().unwrap());
        let mut numbers: Vec<_> = numbers.collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 4);
        let mut count = 0;
        let striped = Striped::new(|number| {
            assert_eq!(number, count);
            count += 1;
            count
        });
        assert_eq!(striped.iter().sum::<usize>(), STRIPES * (STRIPES + 1) / 2);
        assert_eq!(striped.mine(), striped.mine());
    }
}

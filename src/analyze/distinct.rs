//! How many distinct keys there are, in memory that does not grow with the file.
//!
//! Up to [`MAX_EXACT_KEYS`] the count is exact: every key's 64-bit fingerprint stands in one table that all
//! threads share. (Two keys of two million have the same fingerprint once in ten million files.) Keys that
//! find the table full go to a HyperLogLog sketch per thread (Flajolet et al., 2007); at the end the table is
//! added to the merged sketch, whose standard error is `1.04 / sqrt(registers)`.
//!
//! Fingerprints are the same in every run, so an estimate is too. Where they stand in the table is each
//! process's own secret: whoever makes keys with fingerprints of his choice can spoil the count of his file, but
//! cannot crowd them into one corner of the table, where each would be compared with all that came before.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::RandomState;
use foldhash::quality::FixedState;

use crate::format::lct::WireKey;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Slots of the largest table, 8 bytes each; a power of two.
const MAX_SLOTS: usize = 1 << 22;

/// Slots of the smallest table.
const MIN_SLOTS: usize = 1 << 10;

/// Distinct keys that are counted exactly: the table is at most half full, so probes stay short.
pub const MAX_EXACT_KEYS: usize = MAX_SLOTS / 2;

/// A key takes more than this in a file, so a table with a slot for each so many bytes never gets half full.
const FILE_BYTES_PER_SLOT: u64 = 16;

/// log2 of the number of registers of a sketch.
const SKETCH_BITS: u32 = 16;

/// The seed of the fingerprints: fixed, so that two runs over a file agree.
const FINGERPRINT_SEED: u64 = 0x6c63_745f_6b65_7973;

/// A count of distinct keys, and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DistinctKeys {
    /// The count, or its estimate.
    pub count: u64,
    /// Relative standard error; zero if the count is exact.
    pub relative_error: f64,
}

/// 64 bits that stand for a key; never zero.
#[inline]
pub(super) fn fingerprint(key: &WireKey<'_>, scope_hash: u64) -> u64 {
    let mut hasher = FixedState::with_seed(FINGERPRINT_SEED).build_hasher();
    scope_hash.hash(&mut hasher);
    hasher.write(key.view.chunk_hash);
    hasher.finish().max(1)
}

/// The table that all threads of one scan share.
#[derive(Debug)]
pub(super) struct ExactKeys {
    slots: Vec<AtomicU64>,
    used: AtomicUsize,
    placement: RandomState,
}

impl ExactKeys {
    /// A table for the keys of a file of `file_bytes`.
    pub(super) fn new(file_bytes: u64) -> Self {
        let wanted = usize::try_from(file_bytes / FILE_BYTES_PER_SLOT).unwrap_or(MAX_SLOTS);
        let slots = wanted.clamp(MIN_SLOTS, MAX_SLOTS).next_power_of_two();
        let slots = (0..slots).map(|_| AtomicU64::new(0)).collect();
        Self { slots, used: AtomicUsize::new(0), placement: RandomState::default() }
    }

    /// How many keys the table counts; the threads that look at once may put in one more each.
    fn capacity(&self) -> usize {
        self.slots.len() / 2
    }

    /// Whether `fingerprint` is in the table now; `false` means that the table is full and does not have it.
    ///
    /// A slot is one word that goes from zero to a fingerprint once, so Relaxed does for the slots. `used` is
    /// counted up with Release and read with Acquire: whoever finds the table full sees all that fill it, and
    /// does not take a key for one too many that another thread put in a moment ago.
    #[inline]
    fn insert(&self, fingerprint: u64) -> bool {
        let mask = self.slots.len() - 1;
        let mut slot = self.placement.hash_one(fingerprint) as usize & mask;
        loop {
            let mut found = self.slots[slot].load(Ordering::Relaxed);
            if found == 0 {
                found = match self.used.load(Ordering::Acquire) < self.capacity() {
                    true => self.claim(slot, fingerprint),
                    false => self.slots[slot].load(Ordering::Relaxed),
                };
                if found == 0 {
                    return false;
                }
            }
            if found == fingerprint {
                return true;
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Puts `fingerprint` into a slot that was empty and returns what is there then.
    #[inline]
    fn claim(&self, slot: usize, fingerprint: u64) -> u64 {
        match self.slots[slot].compare_exchange(0, fingerprint, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                self.used.fetch_add(1, Ordering::Release);
                fingerprint
            }
            Err(other) => other,
        }
    }

    /// The final count, from the table and what did not fit into it; called when the threads were joined.
    ///
    /// It is exact if and only if there are no more than [`capacity`](Self::capacity) keys, whatever the
    /// number of threads: keys that were put in at once past the capacity are too many as well.
    pub(super) fn finish(&self, overflow: Option<Sketch>) -> DistinctKeys {
        let used = self.used.load(Ordering::Relaxed);
        if overflow.is_none() && used <= self.capacity() {
            return DistinctKeys { count: used as u64, relative_error: 0.0 };
        }
        let mut sketch = overflow.unwrap_or_default();
        self.slots
            .iter()
            .map(|slot| slot.load(Ordering::Relaxed))
            .filter(|slot| *slot != 0)
            .for_each(|slot| sketch.add(slot));
        DistinctKeys { count: sketch.estimate(), relative_error: Sketch::RELATIVE_ERROR }
    }
}

/// One thread's way to the table: keys that it saw a moment ago do not go there again.
#[derive(Debug)]
pub(super) struct KeyCounter {
    recent: Box<[u64]>,
    overflow: Option<Sketch>,
}

/// Slots of the filter of recent keys. A prompt's key list comes back up to six times within a few calls.
const RECENT_SLOTS: usize = 1 << 13;

impl KeyCounter {
    pub(super) fn new() -> Self {
        Self { recent: vec![0; RECENT_SLOTS].into_boxed_slice(), overflow: None }
    }

    #[inline]
    pub(super) fn add(&mut self, fingerprint: u64, table: &ExactKeys) {
        let recent = &mut self.recent[fingerprint as usize % RECENT_SLOTS];
        if *recent == fingerprint {
            return;
        }
        *recent = fingerprint;
        if !table.insert(fingerprint) {
            self.overflow.get_or_insert_default().add(fingerprint);
        }
    }

    pub(super) fn into_overflow(self) -> Option<Sketch> {
        self.overflow
    }
}

/// A HyperLogLog sketch: for each register, the longest run of leading zeros seen in its share of the hashes.
#[derive(Clone, Debug)]
pub(super) struct Sketch(Box<[u8]>);

impl Default for Sketch {
    fn default() -> Self {
        Self(vec![0; 1 << SKETCH_BITS].into_boxed_slice())
    }
}

impl Sketch {
    /// `1.04 / sqrt(2^SKETCH_BITS)`.
    const RELATIVE_ERROR: f64 = 1.04 / (1_u64 << (SKETCH_BITS / 2)) as f64;

    fn add(&mut self, hash: u64) {
        let register = (hash >> (u64::BITS - SKETCH_BITS)) as usize;
        let rank = ((hash << SKETCH_BITS) | 1).leading_zeros() as u8 + 1;
        self.0[register] = self.0[register].max(rank);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
    }

    /// The raw estimate. The corrections for small counts are not needed: a sketch is asked only when it holds
    /// more than [`MAX_EXACT_KEYS`] keys, 32 for each register.
    fn estimate(&self) -> u64 {
        let registers = self.0.len() as f64;
        let alpha = 0.7213 / (1.0 + 1.079 / registers);
        let inverse_sum: f64 = self.0.iter().map(|rank| (-f64::from(*rank)).exp2()).sum();
        (alpha * registers * registers / inverse_sum).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(keys: u64) -> DistinctKeys {
        let (table, mut counter) = (ExactKeys::new(u64::MAX), KeyCounter::new());
        let hash = FixedState::with_seed(1);
        for key in (0..keys).chain(0..keys / 2) {
            counter.add(hash.hash_one(key).max(1), &table);
        }
        table.finish(counter.into_overflow())
    }

    #[test]
    fn exact_to_the_limit_and_estimated_past_it() {
        for keys in [0, 1, 100_000, MAX_EXACT_KEYS as u64] {
            assert_eq!(count(keys), DistinctKeys { count: keys, relative_error: 0.0 });
        }
        for keys in [MAX_EXACT_KEYS as u64 + 1, 3 * MAX_EXACT_KEYS as u64] {
            let found = count(keys);
            assert!((found.relative_error - 0.0040625).abs() < 1e-9);
            let off = (found.count as f64 - keys as f64).abs() / keys as f64;
            assert!(off < 3.0 * found.relative_error, "{keys}: {found:?}");
        }
    }

    #[test]
    fn an_estimate_is_the_same_in_every_run() {
        let keys = MAX_EXACT_KEYS as u64 + 1;
        assert_eq!(count(keys), count(keys));
    }

    #[test]
    fn a_key_past_the_capacity_is_told_from_one_that_is_there() {
        let (table, mut counter) = (ExactKeys::new(0), KeyCounter::new());
        let capacity = table.capacity() as u64;
        (1..=capacity).for_each(|key| counter.add(key, &table));
        assert!((1..=capacity).all(|key| table.insert(key)));
        assert!(!table.insert(capacity + 1));
        assert_eq!(table.finish(None).count, capacity);
        assert_eq!(table.claim_first_empty(), capacity + 1);
        assert!(table.finish(None).relative_error > 0.0, "one more than the capacity is not exact");
    }

    impl ExactKeys {
        /// What a thread does that looked at `used` before another one filled the table.
        fn claim_first_empty(&self) -> u64 {
            let empty = self.slots.iter().position(|slot| slot.load(Ordering::Relaxed) == 0);
            self.claim(empty.expect("the table is half empty"), u64::MAX);
            self.used.load(Ordering::Relaxed) as u64
        }

        fn longest_run(&self) -> usize {
            let filled: Vec<_> = self.slots.iter().map(|slot| slot.load(Ordering::Relaxed) != 0).collect();
            filled.split(|is_filled| !is_filled).map(<[bool]>::len).max().unwrap_or(0)
        }
    }

    #[test]
    fn chosen_fingerprints_do_not_crowd_the_table() {
        const CHOSEN: u64 = 1 << 14;
        let choices: [fn(u64) -> u64; 4] =
            [|key| (key << 22) | 1, |key| (key << 42) | 1, |key| key + 1, |key| (key + 1) << 32];
        for choose in choices {
            let (table, mut counter) = (ExactKeys::new(u64::MAX), KeyCounter::new());
            (0..CHOSEN).for_each(|key| counter.add(choose(key), &table));
            assert_eq!(table.finish(None).count, CHOSEN);
            let longest = table.longest_run();
            assert!(longest < 64, "{longest} keys in a row in a table that is nearly empty");
        }
    }
}

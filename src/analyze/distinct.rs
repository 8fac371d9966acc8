//! How many distinct keys there are, in memory that does not grow with the file.
//!
//! Up to [`MAX_EXACT_KEYS`] the count is exact: every key's 64-bit fingerprint stands in one table that all
//! threads share. (Two keys of two million have the same fingerprint once in ten million files.) Keys that
//! find the table full go to a HyperLogLog sketch per thread (Flajolet et al., 2007); at the end the table is
//! added to the merged sketch, whose standard error is `1.04 / sqrt(registers)`.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::quality::FixedState;

use crate::format::lct::WireKey;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Slots of the largest table, 8 bytes each; a power of two.
const MAX_SLOTS: usize = 1 << 22;

/// Slots of the smallest table.
const MIN_SLOTS: usize = 1 << 10;

/// Distinct keys that are counted exactly: the table is at most half full, so probes stay short.
const MAX_EXACT_KEYS: usize = MAX_SLOTS / 2;

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
}

impl ExactKeys {
    /// A table for the keys of a file of `file_bytes`.
    pub(super) fn new(file_bytes: u64) -> Self {
        let wanted = usize::try_from(file_bytes / FILE_BYTES_PER_SLOT).unwrap_or(MAX_SLOTS);
        let slots = wanted.clamp(MIN_SLOTS, MAX_SLOTS).next_power_of_two();
        Self { slots: (0..slots).map(|_| AtomicU64::new(0)).collect(), used: AtomicUsize::new(0) }
    }

    /// Whether `fingerprint` is in the table now; `false` means that the table is full.
    ///
    /// All orderings are Relaxed: a slot is one word that goes from zero to a fingerprint once, nothing else
    /// is published with it, and the counts are read after the threads were joined.
    #[inline]
    fn insert(&self, fingerprint: u64) -> bool {
        let mask = self.slots.len() - 1;
        let mut slot = fingerprint as usize & mask;
        loop {
            let mut found = self.slots[slot].load(Ordering::Relaxed);
            if found == 0 {
                if self.used.load(Ordering::Relaxed) >= self.slots.len() / 2 {
                    return false;
                }
                match self.slots[slot].compare_exchange(0, fingerprint, Ordering::Relaxed, Ordering::Relaxed)
                {
                    Ok(_) => {
                        self.used.fetch_add(1, Ordering::Relaxed);
                        return true;
                    }
                    Err(other) => found = other,
                }
            }
            if found == fingerprint {
                return true;
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The final count, from the table and what did not fit into it.
    pub(super) fn finish(&self, overflow: Option<Sketch>) -> DistinctKeys {
        let Some(mut sketch) = overflow else {
            return DistinctKeys { count: self.used.load(Ordering::Relaxed) as u64, relative_error: 0.0 };
        };
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
}

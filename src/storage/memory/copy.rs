//! Copies into and out of memory that other threads may be writing at the same time.
//!
//! Who may touch an object's bytes follows from its state, but locks expire, and a late writer can meet the next
//! owner. A plain `memcpy` would make that undefined behaviour. The copies here move bytes by relaxed atomic
//! words: whatever threads do, the worst is a torn object.
#![expect(unsafe_code, reason = "shared memory behind raw pointers")]

use crate::sync::atomic::{AtomicU64, Ordering};

/// The word of a copy. Memory that is copied here begins and ends at multiples of it.
pub(super) const WORD_BYTES: usize = size_of::<AtomicU64>();

/// The word that holds the byte at `byte`, and the byte's place in it.
///
/// # Safety
/// `byte` lies in memory that begins and ends at multiples of [`WORD_BYTES`], that stays mapped for `'a`, and
/// that this process only accesses through atomics.
unsafe fn word_at<'a>(byte: *mut u8) -> (&'a AtomicU64, usize) {
    let start = byte.addr() % WORD_BYTES;
    let word = byte.wrapping_sub(start).cast::<AtomicU64>();
    // SAFETY: the word lies in the memory that the caller speaks of, is aligned, and is accessed as it asks.
    (unsafe { &*word }, start)
}

/// Copies `bytes` into shared memory at `to`.
///
/// # Safety
/// `to` is followed by at least as many bytes of shared memory, which begins and ends at multiples of
/// [`WORD_BYTES`], stays mapped during the call, and is accessed through this file, by system calls and by
/// engines only.
pub(super) unsafe fn copy_in(to: *mut u8, bytes: &[u8]) {
    let (mut to, mut rest) = (to, bytes);
    while !rest.is_empty() {
        // SAFETY: `to` is followed by the rest.
        let (word, start) = unsafe { word_at(to) };
        let take = rest.len().min(WORD_BYTES - start);
        let (part, behind) = rest.split_at(take);
        write_part(word, start, part);
        (to, rest) = (to.wrapping_add(take), behind);
    }
}

// Relaxed, here and in `copy_out`: the L1 mutex is what orders a writer before its readers.
fn write_part(word: &AtomicU64, start: usize, part: &[u8]) {
    if let Ok(whole) = part.try_into() {
        return word.store(u64::from_le_bytes(whole).to_le(), Ordering::Relaxed);
    }
    // The rest of the word can belong to the neighbour, where objects are not aligned to words.
    let merged = |old: u64| {
        let mut bytes = old.to_le().to_le_bytes();
        bytes[start..start + part.len()].copy_from_slice(part);
        u64::from_le_bytes(bytes).to_le()
    };
    let mut old = word.load(Ordering::Relaxed);
    while let Err(seen) = word.compare_exchange_weak(old, merged(old), Ordering::Relaxed, Ordering::Relaxed) {
        old = seen;
    }
}

/// Fills `out` from shared memory at `from`.
///
/// # Safety
/// As for [`copy_in`].
pub(super) unsafe fn copy_out(from: *const u8, out: &mut [u8]) {
    let (mut from, mut rest) = (from.cast_mut(), out);
    while !rest.is_empty() {
        // SAFETY: `from` is followed by the rest.
        let (word, start) = unsafe { word_at(from) };
        let take = rest.len().min(WORD_BYTES - start);
        let bytes = word.load(Ordering::Relaxed).to_le().to_le_bytes();
        let (part, behind) = rest.split_at_mut(take);
        part.copy_from_slice(&bytes[start..start + take]);
        (from, rest) = (from.wrapping_add(take), behind);
    }
}

//! Copies by relaxed atomic words.
use super::WORD_BYTES;
use crate::sync::atomic::{AtomicU64, Ordering};

/// How much of a copy from shared memory to shared memory passes through the stack at once.
const BLOCK_BYTES: usize = 1024;

/// The word that holds the byte at `byte`, and the byte's place in it.
///
/// # Safety
/// `byte` lies in shared memory as [`super::copy_in`] describes it, for `'a`.
unsafe fn word_at<'a>(byte: *mut u8) -> (&'a AtomicU64, usize) {
    let start = byte.addr() % WORD_BYTES;
    let word = byte.wrapping_sub(start).cast::<AtomicU64>();
    // SAFETY: the word lies in the memory that the caller speaks of, is aligned, and is accessed atomically.
    (unsafe { &*word }, start)
}

/// # Safety
/// See [`super::copy_in`].
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

/// # Safety
/// See [`super::copy_out`].
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

/// # Safety
/// See [`super::copy_across`].
pub(super) unsafe fn copy_across(from: *const u8, to: *mut u8, len: usize) {
    let mut block = [0; BLOCK_BYTES];
    for at in (0..len).step_by(BLOCK_BYTES) {
        let block = &mut block[..BLOCK_BYTES.min(len - at)];
        // SAFETY: the block lies in the source.
        unsafe { copy_out(from.wrapping_add(at), block) };
        // SAFETY: it lies in the destination.
        unsafe { copy_in(to.wrapping_add(at), block) };
    }
}

//! The memory of L1: one reserved region from which objects are cut by offset.
//!
//! Who may touch an object's bytes follows from its state: from `reserve_write` to `finish_write` the writer
//! that reserved it, and after that everybody who holds a read lock, for reading. The L1 manager's mutex
//! stands between the two, so a reader sees all that the writer wrote.
//!
//! Locks here expire (see [`ttl_lock`](super::ttl_lock)). A writer that outlives its reservation can meet the
//! object's next owner in the same bytes, in LMCache as here. To keep that a matter of wrong bytes and never
//! of undefined behaviour, the safe calls move bytes by relaxed atomic words: whatever threads do, the worst
//! is a torn object. The arena stays mapped as long as anybody holds it.
#![expect(unsafe_code, reason = "the memory of L1 is a raw map that many threads share")]

use std::ptr::NonNull;

use crate::error::{Error, ErrorKind, Result};
use crate::os::map::AnonymousMap;
use crate::sync::atomic::{AtomicU64, Ordering};

const WORD_BYTES: usize = size_of::<AtomicU64>();

/// Where an object lies in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Bytes from the start of the arena: LMCache's `meta.address`.
    pub offset_bytes: u64,
    /// What the object takes up: its size rounded up to the alignment.
    pub phy_size_bytes: u64,
    /// What its layout asks for.
    pub size_bytes: u64,
}

/// Reserved memory. It costs address space only; a page is backed by memory once an object is written there.
#[derive(Debug)]
pub struct Arena {
    /// Keeps the region mapped; `base` points into it.
    _map: AnonymousMap,
    base: NonNull<u8>,
    words: usize,
}

// SAFETY: the region belongs to no thread, and `&Arena` reaches its bytes through atomics only.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    /// Reserves `size_bytes` that start at a multiple of `align_bytes`, a power of two.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] if the address space has no such region.
    pub fn new(size_bytes: u64, align_bytes: u64) -> Result<Self> {
        let too_large = || {
            Error::new(ErrorKind::OutOfMemory, "L1 is larger than the address space")
                .with_context("bytes", size_bytes)
        };
        let size = usize::try_from(size_bytes).map_err(|_| too_large())?;
        let align = usize::try_from(align_bytes).map_err(|_| too_large())?.max(WORD_BYTES);
        let padded = size.checked_next_multiple_of(WORD_BYTES).ok_or_else(too_large)?;
        let map = AnonymousMap::new(padded.checked_add(align - 1).ok_or_else(too_large)?)?;
        let skipped = map.base().align_offset(align);
        // SAFETY: the map is `align - 1` bytes longer than the arena, so the first aligned address and the
        // arena behind it lie in the map.
        let base = unsafe { map.base().add(skipped) };
        Ok(Self { _map: map, base, words: padded / WORD_BYTES })
    }

    /// The address of the byte at `offset_bytes`, for an engine that copies from or to a device itself.
    ///
    /// What is done through the pointer is the caller's promise: inside the object's span, while the arena
    /// lives, writing only as the owner of the reservation, reading only under a read lock.
    pub fn ptr(&self, offset_bytes: u64) -> *mut u8 {
        self.base.as_ptr().wrapping_add(offset_bytes as usize)
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the region is mapped and aligned to a word, zeroed by the kernel, as long as `self` lives;
        // every access of this crate to it is through these atomics.
        unsafe { std::slice::from_raw_parts(self.base.cast().as_ptr(), self.words) }
    }

    /// Writes `bytes` to the start of the object.
    ///
    /// # Errors
    /// If they are more than the object holds.
    pub(super) fn write(&self, span: Span, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 > span.size_bytes {
            return Err(Error::invalid("more bytes than the object holds")
                .with_context("bytes", bytes.len())
                .with_context("object_bytes", span.size_bytes));
        }
        let (mut offset, mut rest) = (span.offset_bytes as usize, bytes);
        while !rest.is_empty() {
            let (start, take) = Self::part_of_word(offset, rest.len());
            let (part, behind) = rest.split_at(take);
            Self::write_part(&self.words()[offset / WORD_BYTES], start, part);
            (offset, rest) = (offset + take, behind);
        }
        Ok(())
    }

    /// Where in its word `offset` is, and how many of `len` bytes that word holds.
    fn part_of_word(offset: usize, len: usize) -> (usize, usize) {
        let start = offset % WORD_BYTES;
        (start, len.min(WORD_BYTES - start))
    }

    // Relaxed, here and in `read`: the L1 mutex is what orders a writer before its readers.
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
        while let Err(seen) =
            word.compare_exchange_weak(old, merged(old), Ordering::Relaxed, Ordering::Relaxed)
        {
            old = seen;
        }
    }

    /// Reads the object from its start into `out`, as many bytes as both have; returns how many.
    pub(super) fn read(&self, span: Span, out: &mut [u8]) -> usize {
        let len = out.len().min(usize::try_from(span.size_bytes).unwrap_or(usize::MAX));
        let (mut offset, mut rest) = (span.offset_bytes as usize, &mut out[..len]);
        while !rest.is_empty() {
            let (start, take) = Self::part_of_word(offset, rest.len());
            let bytes = self.words()[offset / WORD_BYTES].load(Ordering::Relaxed).to_le().to_le_bytes();
            let (part, behind) = rest.split_at_mut(take);
            part.copy_from_slice(&bytes[start..start + take]);
            (offset, rest) = (offset + take, behind);
        }
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset_bytes: u64, size_bytes: u64) -> Span {
        Span { offset_bytes, phy_size_bytes: size_bytes, size_bytes }
    }

    #[test]
    fn objects_at_any_offset_keep_their_bytes_and_leave_their_neighbours() {
        let arena = Arena::new(101, 1).unwrap();
        for (offset, len) in [(0, 3), (3, 5), (8, 8), (16, 17), (33, 1), (34, 67)] {
            let bytes: Vec<u8> = (0..len).map(|i| (offset + i) as u8 + 1).collect();
            arena.write(span(offset, len), &bytes).unwrap();
        }
        let mut all = [0; 101];
        assert_eq!(arena.read(span(0, 101), &mut all), 101);
        assert!(all.iter().enumerate().all(|(i, byte)| usize::from(*byte) == i + 1), "{all:?}");
    }

    #[test]
    fn a_base_is_aligned_past_the_page_and_a_write_past_the_object_is_refused() {
        let align_bytes = 1 << 21;
        let arena = Arena::new(3, align_bytes).unwrap();
        assert_eq!(arena.ptr(0).addr() as u64 % align_bytes, 0);
        assert!(arena.write(span(0, 3), &[1, 2, 3]).is_ok());
        assert!(arena.write(span(0, 3), &[1, 2, 3, 4]).is_err());
        assert_eq!(arena.read(span(0, 3), &mut [0; 9]), 3);
    }

    #[test]
    fn more_than_the_address_space_is_an_error() {
        for size_bytes in [u64::MAX, u64::MAX - 4096, 1 << 60] {
            assert_eq!(Arena::new(size_bytes, 4096).unwrap_err().kind(), ErrorKind::OutOfMemory);
        }
    }
}

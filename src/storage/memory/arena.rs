//! The memory of L1: one reserved region from which objects are cut by offset.
//!
//! Who may touch an object's bytes follows from its state: from `reserve_write` to `finish_write` the writer
//! that reserved it, and after that everybody who holds a read lock, for reading. The mutex of the
//! key's shard stands between the two, so a reader sees all that the writer wrote.
//!
//! Locks here expire (see [`ttl_lock`](crate::storage::ttl_lock)). A writer that outlives its reservation can
//! meet the object's next owner in the same bytes, in LMCache as here. To keep that a matter of wrong bytes and
//! never of undefined behaviour, the safe calls move bytes by relaxed atomic words ([`crate::os::copy`]). What does I/O on
//! the bytes from outside of the locks holds a [pin](super::PinnedSpan) and is never met by a next owner. The arena
//! stays mapped as long as anybody holds it.
#![expect(unsafe_code, reason = "the memory of L1 is a raw map that many threads share")]

use super::bytes::ArenaBytes;
use super::pins::{PinCounts, Pins, Released};
use super::registration::{Pinning, RegistrationStatus, Registrations};
use super::source::{ArenaOptions, ArenaSource};
use super::span::Span;
use crate::error::{Error, ErrorKind, Result};
use crate::os::copy::WORD_BYTES;
use crate::os::region::Region;
use crate::os::shm::ShmSegment;
use crate::os::{host, numa};
use crate::sync::Arc;

/// Reserved memory.
#[derive(Debug)]
pub struct Arena {
    /// Fields are dropped in this order: no page is unmapped that a device still knows of.
    registrations: Registrations,
    region: Region,
    /// The name of the region, where it has one.
    segment: Option<ShmSegment>,
    /// What was asked for, in whole words.
    len_bytes: usize,
    /// Whether the kernel has promised more than it may have.
    is_overcommitted: bool,
    pins: Pins,
}

impl Arena {
    /// Reserves `size_bytes` of plain memory that start at a multiple of `align_bytes`, a power of two. It costs
    /// address space only; a page is backed by memory once an object is written there.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] if the address space has no such region.
    pub fn new(size_bytes: u64, align_bytes: u64) -> Result<Self> {
        Self::with_options(&ArenaOptions::new(size_bytes, align_bytes))
    }

    /// An arena as `options` describe it.
    ///
    /// # Errors
    /// If the memory cannot be had, cannot be bound to the node, or has no such name; the error says which.
    pub fn with_options(options: &ArenaOptions) -> Result<Self> {
        Self::pinned(options, Pinning::default())
    }

    /// As [`Self::with_options`], whose pages are pinned by `pinning` when they are asked to be.
    ///
    /// # Errors
    /// As there.
    pub(super) fn pinned(options: &ArenaOptions, pinning: Pinning) -> Result<Self> {
        let too_large = || {
            Error::new(ErrorKind::OutOfMemory, "L1 is larger than the address space")
                .with_context("bytes", options.size_bytes)
        };
        let size = usize::try_from(options.size_bytes).map_err(|_| too_large())?;
        let align = usize::try_from(options.align_bytes).map_err(|_| too_large())?.max(WORD_BYTES);
        let len_bytes = size.checked_next_multiple_of(WORD_BYTES).ok_or_else(too_large)?;
        let (region, segment) = options.source.map(len_bytes, align)?;
        if let Some(node) = options.numa_node {
            numa::bind(&region, node)?;
        }
        let is_overcommitted = options.source == ArenaSource::Anonymous;
        let (registrations, pins) = (Registrations::new(pinning), Pins::default());
        let arena = Self { registrations, region, segment, len_bytes, is_overcommitted, pins };
        arena.commit_at_once(options)?;
        Ok(arena)
    }

    /// Commits what must not wait for its first write. Behind the choice of the node, which is about pages that are
    /// not there yet.
    fn commit_at_once(&self, options: &ArenaOptions) -> Result<()> {
        if let Some(segment) = &self.segment {
            check_available(host::available_memory_bytes(), self.len_bytes())?;
            segment.commit()?;
        }
        // Huge pages are set aside for the process when they are mapped, but not on a node: one that the node does not
        // have would end the process at the first write.
        let is_of_one_node = options.source == ArenaSource::HugePages && options.numa_node.is_some();
        if options.first_touch || is_of_one_node {
            self.commit(0, self.len_bytes())?;
        }
        Ok(())
    }

    /// How many bytes there are.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes as u64
    }

    /// The memory, in which an object lies at its offset.
    pub(in crate::storage) fn region(&self) -> &Region {
        &self.region
    }

    /// The name under which other processes map the arena, without the slash, if it is a shared memory segment. An
    /// object lies in the segment where it lies in the arena.
    pub fn shm_name(&self) -> Option<&str> {
        self.segment.as_ref().map(ShmSegment::name)
    }

    /// Commits the pages of `len_bytes` from `offset_bytes` on; see [`Region::populate`]. Where the kernel would
    /// rather end a process than say no, it is asked first what it has left.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub(super) fn commit(&self, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        if self.is_overcommitted {
            check_available(host::available_memory_bytes(), len_bytes)?;
        }
        self.region.populate(offset_bytes as usize, len_bytes as usize)
    }

    /// Pins the `len_bytes` from `offset_bytes` on, if the arena is to be pinned. They are committed, and lie behind all that was
    /// pinned before. One thread does this. A failure is no error: see [`Self::registration`].
    pub(super) fn register(&self, offset_bytes: u64, len_bytes: u64) {
        self.registrations.register(&self.region, offset_bytes, len_bytes);
    }

    /// Commits and pins the first `len_bytes`, if the arena is to be pinned: all that is used of one that does not grow. Want of memory
    /// is a failure to pin, and no error.
    pub(super) fn register_whole(&self, len_bytes: u64) {
        if !self.registrations.is_asked_for() {
            return;
        }
        match self.commit(0, len_bytes) {
            Ok(()) => self.register(0, len_bytes),
            Err(error) => self.registrations.give_up(0, len_bytes, error),
        }
    }

    /// How much of it is pinned, and what went wrong.
    pub fn registration(&self) -> RegistrationStatus {
        self.registrations.status()
    }

    /// Whether a device's driver knows all bytes of `span`. Once it does, it does as long as the arena lives. Where one part of a span is
    /// known and another is not, a driver refuses to copy the span in one piece, so such a span must not be given to it.
    pub fn is_registered(&self, span: Span) -> bool {
        self.registrations.holds(span.offset_bytes, span.phy_size_bytes)
    }

    /// The address of the byte at `offset_bytes`, for an engine that copies from or to a device itself.
    ///
    /// What is done through the pointer is the caller's promise: inside the object's span, while the arena
    /// lives, writing only as the owner of the reservation, reading only under a read lock.
    pub fn ptr(&self, offset_bytes: u64) -> *mut u8 {
        self.region.base().as_ptr().wrapping_add(offset_bytes as usize)
    }

    /// The bytes of the object at `span`: as many as its layout asks for.
    ///
    /// # Panics
    /// If the span is not one of this arena.
    pub(super) fn bytes(&self, span: Span) -> ArenaBytes<'_> {
        self.range(span, span.size_bytes)
    }

    /// As [`Self::bytes`], with the padding behind the object.
    pub(super) fn phy_bytes(&self, span: Span) -> ArenaBytes<'_> {
        self.range(span, span.phy_size_bytes)
    }

    fn range(&self, span: Span, len_bytes: u64) -> ArenaBytes<'_> {
        assert!(self.holds(span), "{span:?} is not a span of this arena of {} bytes", self.len_bytes);
        // SAFETY: the span lies in the region.
        let start = unsafe { self.region.base().add(span.offset_bytes as usize) };
        // SAFETY: so does its end; the region begins and ends at a word, is mapped as long as `self` lives, and
        // nobody has a reference to its bytes.
        unsafe { ArenaBytes::new(start, len_bytes as usize) }
    }

    fn holds(&self, span: Span) -> bool {
        let end = span.offset_bytes.checked_add(span.phy_size_bytes);
        span.size_bytes <= span.phy_size_bytes && end.is_some_and(|end| end <= self.len_bytes as u64)
    }

    /// Writes `bytes` to the start of the object.
    ///
    /// # Errors
    /// If they are more than the object holds.
    pub(in crate::storage) fn write(&self, span: Span, bytes: &[u8]) -> Result<()> {
        self.bytes(span).write_from(0, bytes)
    }

    /// Reads the object from its start into `out`, as many bytes as both have; returns how many.
    pub(in crate::storage) fn read(&self, span: Span, out: &mut [u8]) -> usize {
        self.bytes(span).read_into(0, out)
    }

    /// Counts a pin on `span`, for the [`PinnedSpan`](super::PinnedSpan) that gives it up.
    ///
    /// # Panics
    /// If the span is not one of this arena.
    pub(super) fn count_pin(&self, span: Span) {
        assert!(self.holds(span), "{span:?} is not a span of this arena of {} bytes", self.len_bytes);
        self.pins.pin(span.offset_bytes);
    }

    /// Gives up a pin that [`Self::count_pin`] counted.
    pub(super) fn unpin(&self, span: Span) {
        self.pins.unpin(span.offset_bytes);
    }

    /// Whether an I/O uses `span`. Call it under the lock under which spans are pinned.
    pub fn is_pinned(&self, span: Span) -> bool {
        self.pins.is_pinned(span.offset_bytes)
    }

    /// Asks whether `span` can be freed. If an I/O uses it, it comes back by [`Self::take_unpinned`] and must not
    /// be freed before. Call it once a span, under the lock under which spans are pinned.
    pub fn release(&self, span: Span) -> Released {
        self.pins.release(span)
    }

    /// The released spans whose last pin went since the last call: they can be freed now.
    pub fn take_unpinned(&self) -> Vec<Span> {
        self.pins.take_unpinned()
    }

    /// How much is pinned, and how much waits for that. Looks at every pinned span.
    pub fn pin_counts(&self) -> PinCounts {
        self.pins.counts()
    }
}

impl ArenaOptions {
    /// The arena.
    ///
    /// # Errors
    /// Those of [`Arena::with_options`].
    pub fn build(&self) -> Result<Arc<Arena>> {
        Arena::with_options(self).map(Arc::new)
    }
}

/// Refuses to commit more than the machine has, where it says what it has.
fn check_available(available_bytes: Option<u64>, len_bytes: u64) -> Result<()> {
    match available_bytes {
        Some(available_bytes) if available_bytes < len_bytes => {
            Err(Error::new(ErrorKind::OutOfMemory, "there is not enough free memory to commit L1")
                .with_context("bytes", len_bytes)
                .with_context("available_bytes", available_bytes)
                .with_hint("ask for a smaller L1, or for one that is not committed at the start"))
        }
        _ => Ok(()),
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
    fn all_the_memory_that_there_is_can_be_committed_and_no_more() {
        assert!(check_available(Some(10), 10).is_ok() && check_available(None, u64::MAX).is_ok());
        let error = check_available(Some(10), 11).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    }

    #[test]
    fn more_than_the_address_space_is_an_error() {
        for size_bytes in [u64::MAX, u64::MAX - 4096, 1 << 60] {
            assert_eq!(Arena::new(size_bytes, 4096).unwrap_err().kind(), ErrorKind::OutOfMemory);
        }
    }
}

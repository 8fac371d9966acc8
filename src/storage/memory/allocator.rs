//! What an allocator of addresses does, whichever it is.
//!
//! An allocator knows nothing of memory: what it hands out are offsets, and its books lie outside the arena, where
//! no stray write of an object reaches them. Callers bring the lock: every method takes `&mut self` or only reads.

use crate::error::{Error, Result};

/// An address space from 0 on, of which aligned blocks are handed out and taken back.
pub trait AddressAllocator {
    /// Takes `count` blocks of at least `size_bytes` each and appends their addresses to `addresses`. All or nothing:
    /// `Ok(false)` says that they do not all fit, and nothing was taken.
    ///
    /// # Errors
    /// Those of [`check_object_bytes`].
    fn batched_allocate(&mut self, size_bytes: u64, count: usize, addresses: &mut Vec<u64>) -> Result<bool>;

    /// Gives back the block of `size_bytes` (the aligned size) at `address`, and joins it with free neighbours.
    ///
    /// # Errors
    /// If it is not what was taken: nothing is changed then, and [`Self::memcheck`] is false from there on. LMCache
    /// does not look, and hands the bytes out twice.
    fn free(&mut self, address: u64, size_bytes: u64) -> Result<()>;

    /// Adds `more_bytes` at the end of the space. LMCache's `sbrk` is this with a multiple of the alignment.
    ///
    /// # Errors
    /// If the space would be larger than the allocator's books can say.
    fn extend(&mut self, more_bytes: u64) -> Result<()>;

    /// What an object of `size_bytes` takes up: the size rounded up to the alignment; `None` past what 64 bits count.
    fn aligned_size_bytes(&self, size_bytes: u64) -> Option<u64>;

    /// Bytes handed out, alignment included.
    fn used_bytes(&self) -> u64;

    /// The size of the space: what can be handed out, and up to a block at the end that is too small for any.
    fn total_bytes(&self) -> u64;

    /// How many separate stretches of free addresses there are.
    fn free_blocks(&self) -> usize;

    /// The longest of them. May look at many.
    fn largest_free_bytes(&self) -> u64;

    /// Whether the books are right: free and used bytes add up, free blocks do not touch, and no block was ever given
    /// back that was not taken. Looks at every free block.
    fn memcheck(&self) -> bool;

    /// What of [`Self::memcheck`] can be said without a look at the blocks: that no block was ever given back that was
    /// not taken.
    fn is_sound(&self) -> bool;

    /// What the books take up in memory, about.
    fn metadata_bytes(&self) -> usize;
}

/// Refuses objects that no amount of eviction would make room for, as LMCache does with `ValueError`.
///
/// # Errors
/// If `size_bytes` is zero.
#[inline]
pub fn check_object_bytes(size_bytes: u64) -> Result<()> {
    if size_bytes == 0 {
        return Err(Error::invalid("an object of zero bytes cannot be stored")
            .with_hint("the layout's shapes multiply to nothing"));
    }
    Ok(())
}

/// Checks what holds for the space of every allocator.
pub(super) fn check_space(size_bytes: u64, align_bytes: u64) -> Result<()> {
    if size_bytes == 0 {
        return Err(Error::invalid("L1 memory must not be empty").with_hint("give L1 a size"));
    }
    if !align_bytes.is_power_of_two() {
        return Err(Error::invalid("the alignment of L1 objects must be a power of two")
            .with_context("align_bytes", align_bytes));
    }
    Ok(())
}

/// The error of a block that was not taken.
pub(super) fn not_taken(address: u64, size_bytes: u64) -> Error {
    Error::invalid("a block was given back that was not taken")
        .with_context("address", address)
        .with_context("bytes", size_bytes)
}

/// The error of a space that cannot grow that far.
pub(super) fn too_large(total_bytes: u64, more_bytes: u64) -> Error {
    Error::invalid("L1 memory cannot grow that far")
        .with_context("bytes", total_bytes)
        .with_context("more_bytes", more_bytes)
}

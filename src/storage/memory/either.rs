//! The allocators under one type, for who has one by its configuration.

use super::allocator::AddressAllocator;
use super::first_fit::AddressManager;
use super::tlsf::Tlsf;
use crate::error::Result;
use crate::storage::config::L1AllocatorKind;

/// The allocator that a configuration names.
#[derive(Clone, Debug)]
pub enum Allocator {
    /// LMCache's addresses.
    FirstFit(AddressManager),
    /// Fewer holes and longer runs.
    Tlsf(Box<Tlsf>),
}

impl Allocator {
    /// An empty space of `size_bytes`, all blocks of which start at, and are, multiples of `align_bytes`.
    ///
    /// # Errors
    /// If the size is zero, or more than the allocator manages, or the alignment is not a power of two.
    pub fn new(kind: L1AllocatorKind, size_bytes: u64, align_bytes: u64) -> Result<Self> {
        Ok(match kind {
            L1AllocatorKind::FirstFit => Self::FirstFit(AddressManager::new(size_bytes, align_bytes)?),
            L1AllocatorKind::Tlsf => Self::Tlsf(Box::new(Tlsf::new(size_bytes, align_bytes)?)),
        })
    }
}

/// The same call of whichever allocator it is: a branch that is always predicted, where a pointer to a table of
/// functions would keep the compiler from looking into the short ones.
macro_rules! of_either {
    ($self:expr, $allocator:ident => $call:expr) => {
        match $self {
            Self::FirstFit($allocator) => $call,
            Self::Tlsf($allocator) => $call,
        }
    };
}

impl AddressAllocator for Allocator {
    fn batched_allocate(&mut self, size_bytes: u64, count: usize, addresses: &mut Vec<u64>) -> Result<bool> {
        of_either!(self, allocator => allocator.batched_allocate(size_bytes, count, addresses))
    }

    fn free(&mut self, address: u64, size_bytes: u64) -> Result<()> {
        of_either!(self, allocator => allocator.free(address, size_bytes))
    }

    fn extend(&mut self, more_bytes: u64) -> Result<()> {
        of_either!(self, allocator => allocator.extend(more_bytes))
    }

    fn aligned_size_bytes(&self, size_bytes: u64) -> Option<u64> {
        of_either!(self, allocator => allocator.aligned_size_bytes(size_bytes))
    }

    fn used_bytes(&self) -> u64 {
        of_either!(self, allocator => allocator.used_bytes())
    }

    fn total_bytes(&self) -> u64 {
        of_either!(self, allocator => allocator.total_bytes())
    }

    fn free_blocks(&self) -> usize {
        of_either!(self, allocator => allocator.free_blocks())
    }

    fn largest_free_bytes(&self) -> u64 {
        of_either!(self, allocator => allocator.largest_free_bytes())
    }

    fn memcheck(&self) -> bool {
        of_either!(self, allocator => allocator.memcheck())
    }

    fn is_sound(&self) -> bool {
        of_either!(self, allocator => allocator.is_sound())
    }

    fn metadata_bytes(&self) -> usize {
        of_either!(self, allocator => allocator.metadata_bytes())
    }
}

//! Addresses for reservations.

use super::code::L1Error;
use super::tables::{Order, Tables};
use crate::error::Result;
use crate::storage::config::Compat;
use crate::storage::memory::Span;
use crate::sync::atomic::Ordering;
use crate::sync::lock;

/// How often an allocation evicts before it gives up: once for the bytes, and then because they lie apart.
const EVICTION_ROUNDS: usize = 4;

/// Addresses for objects of one size, and what L1 had in use after they were taken.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    pub(super) offsets: Vec<u64>,
    pub(super) phy_size_bytes: u64,
    pub(super) used_bytes: u64,
}

impl Addresses {
    /// The span of an object at one of them.
    pub(super) fn span(&self, offset_bytes: u64, size_bytes: u64) -> Span {
        Span { offset_bytes, phy_size_bytes: self.phy_size_bytes, size_bytes }
    }
}

impl Tables {
    /// Takes `count` blocks, or none: then `offsets` is empty.
    ///
    /// # Errors
    /// If `size_bytes` is zero.
    pub(super) fn allocate(&self, size_bytes: u64, count: usize) -> Result<Addresses> {
        let mut addresses = Addresses { offsets: Vec::with_capacity(count), ..Addresses::default() };
        let mut space = lock(&self.space);
        space.batched_allocate(size_bytes, count, &mut addresses.offsets)?;
        addresses.phy_size_bytes = space.aligned_size_bytes(size_bytes).unwrap_or(u64::MAX);
        addresses.used_bytes = space.used_bytes();
        Ok(addresses)
    }

    /// [`Self::allocate`] that makes room where there is none: evicts what the blocks need, and tries again. LMCache
    /// waits for its eviction thread.
    ///
    /// # Errors
    /// If `size_bytes` is zero.
    pub(super) fn allocate_evicting(&self, size_bytes: u64, count: usize, now_ns: u64) -> Result<Addresses> {
        let mut addresses = self.allocate(size_bytes, count)?;
        if self.compat == Compat::Native {
            for _ in 0..EVICTION_ROUNDS {
                if !addresses.offsets.is_empty() || !self.make_room(size_bytes, count, now_ns) {
                    break;
                }
                addresses = self.allocate(size_bytes, count)?;
            }
        }
        if addresses.offsets.is_empty() {
            // Relaxed: a counter that orders nothing.
            self.allocation_failures.fetch_add(count as u64, Ordering::Relaxed);
        }
        Ok(addresses)
    }

    /// Evicts for `count` blocks; returns whether anything went.
    fn make_room(&self, size_bytes: u64, count: usize, now_ns: u64) -> bool {
        if matches!(self.order, Order::Nothing) {
            return false;
        }
        let (unit_bytes, free_bytes, total_bytes) = {
            let space = lock(&self.space);
            let unit_bytes = space.aligned_size_bytes(size_bytes).unwrap_or(u64::MAX);
            (unit_bytes, space.total_bytes() - space.used_bytes(), space.total_bytes())
        };
        let wanted_bytes = unit_bytes.saturating_mul(count as u64);
        if wanted_bytes > total_bytes {
            return false;
        }
        // Enough bytes may be free and lie apart: then as many again go.
        let missing = wanted_bytes.checked_sub(free_bytes).filter(|missing| *missing > 0);
        let victims = self.evict_bytes(missing.unwrap_or(wanted_bytes), now_ns).unwrap_or_default();
        self.teller.tell_victims(&victims);
        // Relaxed: a counter that orders nothing.
        let gone_count = victims.iter().filter(|(_, code)| *code == L1Error::Success).count();
        self.evicted_for_room.fetch_add(gone_count as u64, Ordering::Relaxed);
        !victims.is_empty()
    }

    /// Gives blocks back that were not needed.
    pub(super) fn give_back(&self, addresses: &Addresses, offsets: &[u64]) {
        if !offsets.is_empty() {
            self.free(offsets.iter().map(|offset| addresses.span(*offset, 0)).collect());
        }
    }
}

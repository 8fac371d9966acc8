//! Addresses of objects, with few holes and long runs: a two-level segregated fit (TLSF; Masmano and others, 2004).
//!
//! LMCache's first fit takes the lowest address that fits. This allocator takes the shortest block that fits, found in
//! constant time, and looks for one block that holds a whole batch: what is moved together lies together, and a copy to
//! a device needs few descriptors. Where no block holds the batch, it is cut from the longest ones there are, so that
//! it lies in as few runs as possible.
//!
//! * [`bins`] finds free blocks by size, [`starts`] taken ones by address. [`nodes`] has all blocks in address order, so
//!   that a block that is freed finds its neighbours.
//!
//! The space is counted in units of the alignment, of which there are at most [`MAX_UNITS`]. The books are 24 bytes an
//! object, up to twice that while the table of them has room to grow, and 4 bytes per 64 units of the space, or per
//! fewer where objects are small.

mod bins;
mod nodes;
mod starts;

use super::allocator::{AddressAllocator, check_object_bytes, check_space, not_taken, too_large};
use crate::error::Result;
use bins::Bins;
use nodes::{NONE, Node, Nodes};
use starts::Starts;

pub use bins::MAX_COMPARED;

/// The most units of the alignment that a space has: 16 TiB of 4 KiB.
pub const MAX_UNITS: u64 = u32::MAX as u64 - 2;

/// An address space whose blocks are found by size. Clones are independent.
#[derive(Clone, Debug)]
pub struct Tlsf {
    size_bytes: u64,
    /// The alignment is two to the power of this.
    unit_bits: u32,
    taken_units: u64,
    free_blocks: usize,
    refused_frees: u64,
    nodes: Nodes,
    bins: Bins,
    starts: Starts,
    /// The last block of the space.
    last: u32,
}

impl Tlsf {
    /// An empty space of `size_bytes`, all blocks of which start at, and are, multiples of `align_bytes`.
    ///
    /// # Errors
    /// If the size is zero, the alignment is not a power of two, or there are more than [`MAX_UNITS`] of it.
    pub fn new(size_bytes: u64, align_bytes: u64) -> Result<Self> {
        check_space(size_bytes, align_bytes)?;
        let mut space = Self {
            size_bytes: 0,
            unit_bits: align_bytes.trailing_zeros(),
            taken_units: 0,
            free_blocks: 0,
            refused_frees: 0,
            nodes: Nodes::new(),
            bins: Bins::new(),
            starts: Starts::new(),
            last: NONE,
        };
        space.extend(size_bytes)?;
        Ok(space)
    }

    fn units(&self) -> u32 {
        // `extend` keeps it below `MAX_UNITS`.
        (self.size_bytes >> self.unit_bits) as u32
    }

    fn insert_free(&mut self, node: u32) {
        self.bins.insert(&mut self.nodes, node);
        self.free_blocks += 1;
    }

    fn remove_free(&mut self, node: u32) {
        self.bins.remove(&mut self.nodes, node);
        self.nodes.take(node);
        self.free_blocks -= 1;
    }

    /// Takes `count` times `units` from the start of the free block `node`, which has them.
    #[inline]
    fn carve(&mut self, node: u32, units: u32, count: u32, addresses: &mut Vec<u64>) {
        let Node { mut start, mut prev, units: free_units, .. } = self.nodes[node];
        self.taken_units += u64::from(count) * u64::from(units);
        let rest_units = free_units - count * units;
        if rest_units == 0 && count == 1 {
            self.remove_free(node);
            addresses.push(u64::from(start) << self.unit_bits);
            return;
        }
        // Without a rest the node is that of the last block.
        for _ in u32::from(rest_units == 0)..count {
            let taken = self.nodes.add(start, units, prev, node);
            self.link_behind(prev, taken);
            self.starts.add(&self.nodes, taken);
            addresses.push(u64::from(start) << self.unit_bits);
            (start, prev) = (start + units, taken);
        }
        if rest_units == 0 {
            self.remove_free(node);
            self.nodes[node].units = units;
            addresses.push(u64::from(start) << self.unit_bits);
        } else {
            self.bins.resize(&mut self.nodes, node, rest_units);
        }
        (self.nodes[node].start, self.nodes[node].prev) = (start, prev);
        self.starts.add(&self.nodes, node);
        self.starts.adapt(&self.nodes, self.nodes.blocks(), self.last, self.units());
    }

    /// Says to the block `prev` that `node` is the next.
    #[inline]
    fn link_behind(&mut self, prev: u32, node: u32) {
        if prev != NONE {
            self.nodes[prev].next = node;
        }
    }

    /// Says to the block `next`, or to the space, that `node` is before it.
    #[inline]
    fn link_before(&mut self, next: u32, node: u32) {
        match next {
            NONE => self.last = node,
            next => self.nodes[next].prev = node,
        }
    }

    /// The free block to take the next of `missing` blocks from, and how many of them.
    #[inline]
    fn next_block(&self, units: u32, missing: u32) -> Option<(u32, u32)> {
        if let Some(node) = units.checked_mul(missing).and_then(|all| self.bins.find(&self.nodes, all)) {
            return Some((node, missing));
        }
        // One of the longest may be too short where another one of its class is not.
        let longest = self.bins.a_longest().filter(|node| self.nodes[*node].units >= units);
        let node = longest.or_else(|| self.bins.find(&self.nodes, units))?;
        Some((node, (self.nodes[node].units / units).min(missing)))
    }

    /// Takes what was there before `addresses` grew to more than `known` back.
    fn roll_back(&mut self, units: u32, known: usize, addresses: &mut Vec<u64>) {
        let size_bytes = u64::from(units) << self.unit_bits;
        for address in addresses.drain(known..) {
            let freed = self.free(address, size_bytes);
            debug_assert!(freed.is_ok(), "{freed:?}");
        }
    }

    /// The taken block of exactly `size_bytes` at `address`.
    #[inline]
    fn find_taken(&self, address: u64, size_bytes: u64) -> Option<u32> {
        let unit = |bytes: u64| {
            let units = u32::try_from(bytes >> self.unit_bits).ok()?;
            (u64::from(units) << self.unit_bits == bytes).then_some(units)
        };
        let (start, units) = (unit(address)?, unit(size_bytes)?);
        let node = self.starts.find(&self.nodes, start)?;
        (self.nodes[node].units == units && !self.nodes[node].is_free()).then_some(node)
    }

    /// Takes the block `node` out of the chain; its units go to the one before it.
    #[inline]
    fn give_to_prev(&mut self, node: u32) {
        let Node { prev, next, .. } = self.nodes[node];
        self.starts.remove(&self.nodes, node);
        self.nodes[prev].next = next;
        self.link_before(next, prev);
        self.nodes.drop_node(node);
    }

    /// Takes the block `node` out of the chain; its units go to the one behind it, which starts where it did.
    #[inline]
    fn give_to_next(&mut self, node: u32) {
        let Node { start, prev, next, .. } = self.nodes[node];
        self.starts.remove(&self.nodes, next);
        self.starts.remove(&self.nodes, node);
        (self.nodes[next].start, self.nodes[next].prev) = (start, prev);
        self.link_behind(prev, next);
        self.starts.add(&self.nodes, next);
        self.nodes.drop_node(node);
    }

    fn is_free(&self, node: u32) -> bool {
        node != NONE && self.nodes[node].is_free()
    }
}

impl AddressAllocator for Tlsf {
    fn batched_allocate(&mut self, size_bytes: u64, count: usize, addresses: &mut Vec<u64>) -> Result<bool> {
        check_object_bytes(size_bytes)?;
        let units = size_bytes.div_ceil(1 << self.unit_bits);
        let free_units = u64::from(self.units()) - self.taken_units;
        if units.checked_mul(count as u64).is_none_or(|wanted| wanted > free_units) {
            return Ok(false);
        }
        // No more than there are units, if any are wanted.
        let (units, mut missing) = (units as u32, count as u32);
        let known = addresses.len();
        while missing > 0 {
            let Some((node, taken)) = self.next_block(units, missing) else {
                self.roll_back(units, known, addresses);
                return Ok(false);
            };
            self.carve(node, units, taken, addresses);
            missing -= taken;
        }
        Ok(true)
    }

    fn free(&mut self, address: u64, size_bytes: u64) -> Result<()> {
        let Some(node) = self.find_taken(address, size_bytes) else {
            self.refused_frees += 1;
            return Err(not_taken(address, size_bytes));
        };
        let Node { units, prev, next, .. } = self.nodes[node];
        self.taken_units -= u64::from(units);
        let units_of = |neighbour: u32| self.nodes[neighbour].units;
        match (self.is_free(prev), self.is_free(next)) {
            (true, true) => {
                let joined_units = units_of(prev) + units + units_of(next);
                self.remove_free(next);
                self.give_to_prev(next);
                self.give_to_prev(node);
                self.bins.resize(&mut self.nodes, prev, joined_units);
            }
            (true, false) => {
                let joined_units = units_of(prev) + units;
                self.give_to_prev(node);
                self.bins.resize(&mut self.nodes, prev, joined_units);
            }
            (false, true) => {
                let joined_units = units + units_of(next);
                self.give_to_next(node);
                self.bins.resize(&mut self.nodes, next, joined_units);
            }
            (false, false) => self.insert_free(node),
        }
        Ok(())
    }

    fn extend(&mut self, more_bytes: u64) -> Result<()> {
        let units = self.units();
        let grown_bytes = self.size_bytes.checked_add(more_bytes);
        let grown_units = |bytes: &u64| bytes >> self.unit_bits <= MAX_UNITS;
        let Some(grown_bytes) = grown_bytes.filter(grown_units) else {
            return Err(too_large(self.size_bytes, more_bytes)
                .with_hint("give objects a coarser alignment, or use LMCache's allocator"));
        };
        self.size_bytes = grown_bytes;
        self.starts.extend(self.units());
        let more_units = self.units() - units;
        if more_units == 0 {
            return Ok(());
        }
        let last = self.last;
        if self.is_free(last) {
            let grown_units = self.nodes[last].units + more_units;
            self.bins.resize(&mut self.nodes, last, grown_units);
            return Ok(());
        }
        let node = self.nodes.add(units, more_units, last, NONE);
        self.link_behind(last, node);
        self.last = node;
        self.starts.add(&self.nodes, node);
        self.insert_free(node);
        Ok(())
    }

    fn aligned_size_bytes(&self, size_bytes: u64) -> Option<u64> {
        size_bytes.checked_next_multiple_of(1 << self.unit_bits)
    }

    fn used_bytes(&self) -> u64 {
        self.taken_units << self.unit_bits
    }

    fn total_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn free_blocks(&self) -> usize {
        self.free_blocks
    }

    fn largest_free_bytes(&self) -> u64 {
        u64::from(self.bins.longest_units(&self.nodes)) << self.unit_bits
    }

    /// Also looks whether the bins have every free block, and its neighbours know it.
    fn memcheck(&self) -> bool {
        let (mut free_blocks, mut free_units) = (0, 0);
        for (node, is_in_its_class) in self.bins.blocks(&self.nodes) {
            let block = self.nodes[node];
            let is_linked = |neighbour: u32, back: fn(&Node) -> u32| {
                neighbour == NONE || (!self.is_free(neighbour) && back(&self.nodes[neighbour]) == node)
            };
            let is_right = is_in_its_class
                && block.is_free()
                && is_linked(block.prev, |prev| prev.next)
                && is_linked(block.next, |next| next.prev)
                && (block.prev == NONE || self.nodes[block.prev].end() == block.start)
                && (block.next == NONE || self.nodes[block.next].start == block.end());
            if !is_right {
                return false;
            }
            free_blocks += 1;
            free_units += u64::from(block.units);
        }
        free_blocks == self.free_blocks
            && free_units + self.taken_units == u64::from(self.units())
            && self.is_sound()
    }

    fn is_sound(&self) -> bool {
        self.refused_frees == 0
    }

    fn metadata_bytes(&self) -> usize {
        self.nodes.metadata_bytes() + self.starts.metadata_bytes() + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_has_so_many_units_and_no_more() {
        assert!(Tlsf::new(MAX_UNITS, 1).is_ok());
        let error = Tlsf::new(MAX_UNITS + 1, 1).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("coarser")), "{error}");
        let mut space = Tlsf::new(MAX_UNITS << 12, 1 << 12).unwrap();
        assert!(space.extend(4095).is_ok());
        assert!(space.extend(1).is_err());
        assert!(space.extend(u64::MAX).is_err());
        assert_eq!(space.largest_free_bytes(), MAX_UNITS << 12);
        assert!(space.memcheck());
    }
}

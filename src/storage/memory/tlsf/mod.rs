//! Addresses of objects, with few holes and long runs: a two-level segregated fit (TLSF; Masmano and others, 2004).
//!
//! LMCache's first fit takes the lowest address that fits. This allocator takes the shortest block that fits, found in
//! constant time, and looks for one block that holds a whole batch: what is moved together lies together, and a copy to
//! a device needs few descriptors. Where no block holds the batch, it is cut from the longest ones there are, so that
//! it lies in as few runs as possible.
//!
//! * [`bins`] finds free blocks by size. [`nodes`] has all blocks in address order, so that a block that is freed finds
//!   its neighbours. Taken blocks are found by address in a hash table of node numbers.
//!
//! The space is counted in units of the alignment, of which there are at most [`MAX_UNITS`]. The books are 30 to 60
//! bytes an object: a node of 24, a number in the table, and the room that both have to grow.

mod bins;
mod nodes;

use hashbrown::HashTable;

use super::allocator::{AddressAllocator, check_object_bytes, check_space, not_taken, too_large};
use crate::error::Result;
use bins::Bins;
use nodes::{NONE, Nodes};

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
    /// The taken blocks by their start.
    taken: HashTable<u32>,
    /// The last block of the space.
    last: u32,
}

/// Mixes all bits of a start into all bits of the hash. Starts are ours, not an attacker's.
fn hash(start: u32) -> u64 {
    let product = u64::from(start).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 32)
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
            taken: HashTable::new(),
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

    /// Says to the block behind `node` in the space, or to the space, that it lies behind `node`.
    fn link_next(&mut self, node: u32) {
        match self.nodes[node].next {
            NONE => self.last = node,
            next => self.nodes[next].prev = node,
        }
    }

    /// Takes `count` times `units` from the start of the free block `node`, which has them.
    fn carve(&mut self, node: u32, units: u32, count: u32, addresses: &mut Vec<u64>) {
        self.remove_free(node);
        let whole = self.nodes[node];
        let mut prev = whole.prev;
        for position in 0..count {
            let start = whole.start + position * units;
            let is_rest = position + 1 == count && start + units == whole.end();
            let taken = if is_rest { node } else { self.nodes.add(start, units, prev, node) };
            if prev != NONE {
                self.nodes[prev].next = taken;
            }
            if is_rest {
                let rest = &mut self.nodes[node];
                (rest.start, rest.units, rest.prev) = (start, units, prev);
            }
            addresses.push(u64::from(start) << self.unit_bits);
            self.remember(taken, start);
            prev = taken;
        }
        if prev != node {
            let rest = &mut self.nodes[node];
            let carved = count * units;
            (rest.start, rest.units, rest.prev) = (whole.start + carved, whole.units - carved, prev);
            self.insert_free(node);
        }
        self.taken_units += u64::from(count) * u64::from(units);
    }

    fn remember(&mut self, node: u32, start: u32) {
        let nodes = &self.nodes;
        self.taken.insert_unique(hash(start), node, |other| hash(nodes[*other].start));
    }

    /// The free block to take the next of `missing` blocks from, and how many of them.
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

    /// The taken block of exactly `size_bytes` at `address`, taken out of the table of such.
    fn forget(&mut self, address: u64, size_bytes: u64) -> Option<u32> {
        let unit = |bytes: u64| {
            let units = u32::try_from(bytes >> self.unit_bits).ok()?;
            (u64::from(units) << self.unit_bits == bytes).then_some(units)
        };
        let (start, units) = (unit(address)?, unit(size_bytes)?);
        let nodes = &self.nodes;
        let entry = self.taken.find_entry(hash(start), |node| nodes[*node].start == start).ok()?;
        (nodes[*entry.get()].units == units).then(|| entry.remove().0)
    }

    /// Joins the free block `next`, which lies behind `node`, to it.
    fn join_next(&mut self, node: u32, next: u32) {
        let joined = self.nodes[next];
        self.nodes[node].units += joined.units;
        self.nodes[node].next = joined.next;
        self.link_next(node);
        self.nodes.drop_node(next);
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
        let Some(node) = self.forget(address, size_bytes) else {
            self.refused_frees += 1;
            return Err(not_taken(address, size_bytes));
        };
        self.taken_units -= u64::from(self.nodes[node].units);
        let (prev, next) = (self.nodes[node].prev, self.nodes[node].next);
        if self.is_free(next) {
            self.remove_free(next);
            self.join_next(node, next);
        }
        let mut joined = node;
        if self.is_free(prev) {
            self.remove_free(prev);
            self.join_next(prev, node);
            joined = prev;
        }
        self.insert_free(joined);
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
        let more_units = self.units() - units;
        if more_units == 0 {
            return Ok(());
        }
        let last = self.last;
        if self.is_free(last) {
            self.remove_free(last);
            self.nodes[last].units += more_units;
            self.insert_free(last);
            return Ok(());
        }
        let node = self.nodes.add(units, more_units, last, NONE);
        if last != NONE {
            self.nodes[last].next = node;
        }
        self.last = node;
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
            let is_linked = |neighbour: u32, back: fn(&nodes::Node) -> u32| {
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
            && self.refused_frees == 0
    }

    fn metadata_bytes(&self) -> usize {
        self.nodes.metadata_bytes() + self.taken.allocation_size() + size_of::<Self>()
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

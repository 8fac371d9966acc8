//! Addresses of objects: LMCache's `AddressManager`, first fit in address order.
//!
//! Which address an object gets decides how L1 fragments, and with it which later batch still fits; so this
//! allocator gives the very addresses that LMCache would.
//!
//! The free blocks are kept sorted by address and never touch each other. They are cut into runs, each of
//! which knows its longest block, so that a search steps over a run that cannot serve it: first fit among
//! `n` blocks looks at about `n / RUN_BLOCKS + RUN_BLOCKS` of them, where a plain list looks at all. An object that
//! is there costs nothing: whoever frees it says how long it was.

use super::allocator::{AddressAllocator, check_object_bytes, check_space, not_taken, too_large};
use crate::error::Result;

/// A run that grows past this is cut in two.
const RUN_BLOCKS: usize = 64;

/// A stretch of free addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FreeBlock {
    start: u64,
    size: u64,
}

impl FreeBlock {
    fn end(self) -> u64 {
        self.start + self.size
    }
}

/// Neighbouring free blocks. Never empty.
#[derive(Clone, Debug)]
struct Run {
    blocks: Vec<FreeBlock>,
    longest: u64,
}

impl Run {
    fn new(blocks: Vec<FreeBlock>) -> Self {
        let mut run = Self { blocks, longest: 0 };
        run.measure();
        run
    }

    fn measure(&mut self) {
        self.longest = self.longest_block();
    }

    fn longest_block(&self) -> u64 {
        self.blocks.iter().map(|block| block.size).max().unwrap_or(0)
    }
}

/// Where a block is: the run, and the place in it.
type Place = (usize, usize);

/// An address space from 0 to a fixed size, of which aligned blocks are handed out and taken back.
#[derive(Clone, Debug)]
pub struct AddressManager {
    size_bytes: u64,
    align_bytes: u64,
    allocated_bytes: u64,
    refused_frees: u64,
    runs: Vec<Run>,
}

impl AddressManager {
    /// An empty space of `size_bytes`, all blocks of which start at, and are, multiples of `align_bytes`.
    ///
    /// # Errors
    /// If the size is zero, or the alignment is not a power of two.
    pub fn new(size_bytes: u64, align_bytes: u64) -> Result<Self> {
        check_space(size_bytes, align_bytes)?;
        let runs = vec![Run::new(vec![FreeBlock { start: 0, size: size_bytes }])];
        Ok(Self { size_bytes, align_bytes, allocated_bytes: 0, refused_frees: 0, runs })
    }

    /// The first block that holds `bytes`.
    fn first_of(&self, bytes: u64) -> Option<Place> {
        let run = self.runs.iter().position(|run| run.longest >= bytes)?;
        let position = self.runs[run].blocks.iter().position(|block| block.size >= bytes)?;
        Some((run, position))
    }

    /// Takes all units from the first block that holds one of them, if that holds all.
    fn carve_first(&mut self, unit_bytes: u64, count: usize, addresses: &mut Vec<u64>) -> bool {
        let Some(place) = self.first_of(unit_bytes) else { return false };
        let FreeBlock { start, size } = self.block(place);
        let Some(bytes) = unit_bytes.checked_mul(count as u64).filter(|bytes| *bytes <= size) else {
            return false;
        };
        addresses.extend((0..count as u64).map(|unit| start + unit * unit_bytes));
        if bytes == size {
            self.remove(place);
            return true;
        }
        let run = &mut self.runs[place.0];
        run.blocks[place.1] = FreeBlock { start: start + bytes, size: size - bytes };
        if size == run.longest {
            run.measure();
        }
        true
    }

    fn has_room(&self, unit_bytes: u64, count: usize) -> bool {
        let mut missing = count as u64;
        let free_bytes = self.size_bytes - self.allocated_bytes;
        if unit_bytes.checked_mul(missing).is_none_or(|wanted_bytes| wanted_bytes > free_bytes) {
            return false;
        }
        for run in self.runs.iter().filter(|run| run.longest >= unit_bytes) {
            for block in &run.blocks {
                missing = missing.saturating_sub(block.size / unit_bytes);
                if missing == 0 {
                    return true;
                }
            }
        }
        missing == 0
    }

    /// Takes units that [`Self::has_room`] has seen.
    fn carve(&mut self, unit_bytes: u64, count: usize, addresses: &mut Vec<u64>) {
        let mut missing = count as u64;
        let mut emptied_run = false;
        for run in self.runs.iter_mut().filter(|run| run.longest >= unit_bytes) {
            if missing == 0 {
                break;
            }
            let (mut emptied_block, mut took_from_longest) = (false, false);
            for block in run.blocks.iter_mut().filter(|block| block.size >= unit_bytes) {
                if missing == 0 {
                    break;
                }
                let units = missing.min(block.size / unit_bytes);
                addresses.extend((0..units).map(|unit| block.start + unit * unit_bytes));
                missing -= units;
                took_from_longest |= block.size == run.longest;
                *block = FreeBlock {
                    start: block.start + units * unit_bytes,
                    size: block.size - units * unit_bytes,
                };
                emptied_block |= block.size == 0;
            }
            if emptied_block {
                run.blocks.retain(|block| block.size > 0);
                emptied_run |= run.blocks.is_empty();
            }
            if took_from_longest {
                run.measure();
            }
        }
        if emptied_run {
            self.runs.retain(|run| !run.blocks.is_empty());
        }
    }

    /// The end of the last free block, if it is that of the space.
    fn free_tail(&self) -> Option<Place> {
        let run = self.runs.len().checked_sub(1)?;
        let place = (run, self.runs[run].blocks.len() - 1);
        (self.block(place).end() == self.size_bytes).then_some(place)
    }

    fn block(&self, (run, position): Place) -> FreeBlock {
        self.runs[run].blocks[position]
    }

    /// The last free block that starts before `address`, and the first that does not.
    fn neighbours(&self, address: u64) -> (Option<Place>, Option<Place>) {
        let after = self.runs.partition_point(|run| run.blocks[0].start < address);
        let first_of = |run: usize| (run < self.runs.len()).then_some((run, 0));
        let Some(run) = after.checked_sub(1) else { return (None, first_of(0)) };
        let blocks = &self.runs[run].blocks;
        let position = blocks.partition_point(|block| block.start < address);
        let succ = if position < blocks.len() { Some((run, position)) } else { first_of(after) };
        (Some((run, position - 1)), succ)
    }

    /// Lengthens the block at `place` by what lies behind it.
    fn lengthen(&mut self, (run, position): Place, more_bytes: u64) {
        let run = &mut self.runs[run];
        let block = &mut run.blocks[position];
        block.size += more_bytes;
        run.longest = run.longest.max(block.size);
    }

    /// Lengthens the block at `place` towards lower addresses.
    fn replace_start(&mut self, (run, position): Place, start: u64) {
        let run = &mut self.runs[run];
        let block = &mut run.blocks[position];
        *block = FreeBlock { start, size: block.end() - start };
        run.longest = run.longest.max(block.size);
    }

    fn remove(&mut self, (run, position): Place) {
        let blocks = &mut self.runs[run].blocks;
        let removed = blocks.remove(position);
        if blocks.is_empty() {
            self.runs.remove(run);
        } else if removed.size == self.runs[run].longest {
            self.runs[run].measure();
        }
    }

    /// Inserts `block` behind `prev`, or before everything.
    fn insert(&mut self, prev: Option<Place>, block: FreeBlock) {
        if self.runs.is_empty() {
            self.runs.push(Run::new(vec![block]));
            return;
        }
        let (run_at, position) = prev.map_or((0, 0), |(run, position)| (run, position + 1));
        let run = &mut self.runs[run_at];
        run.blocks.insert(position, block);
        run.longest = run.longest.max(block.size);
        if run.blocks.len() > RUN_BLOCKS {
            let upper = run.blocks.split_off(RUN_BLOCKS / 2);
            run.measure();
            self.runs.insert(run_at + 1, Run::new(upper));
        }
    }
}

impl AddressAllocator for AddressManager {
    /// The addresses come in the order in which they lie: block by block from the lowest free address, as many
    /// units of each as fit.
    fn batched_allocate(&mut self, size_bytes: u64, count: usize, addresses: &mut Vec<u64>) -> Result<bool> {
        check_object_bytes(size_bytes)?;
        let Some(unit_bytes) = self.aligned_size_bytes(size_bytes) else { return Ok(false) };
        // The usual case: all in one place. Else two passes, since nothing may be taken if not all fit.
        if !self.carve_first(unit_bytes, count, addresses) {
            if !self.has_room(unit_bytes, count) {
                return Ok(false);
            }
            self.carve(unit_bytes, count, addresses);
        }
        // No overflow: all units lie in the space.
        self.allocated_bytes += unit_bytes * count as u64;
        Ok(true)
    }

    fn free(&mut self, address: u64, size_bytes: u64) -> Result<()> {
        let block = FreeBlock { start: address, size: size_bytes };
        let (prev, succ) = self.neighbours(address);
        let fits = size_bytes > 0
            && size_bytes <= self.allocated_bytes
            && address.checked_add(size_bytes).is_some_and(|end| end <= self.size_bytes)
            && prev.is_none_or(|place| self.block(place).end() <= address)
            && succ.is_none_or(|place| block.end() <= self.block(place).start);
        if !fits {
            self.refused_frees += 1;
            return Err(not_taken(address, size_bytes));
        }
        self.allocated_bytes -= size_bytes;
        let joins_prev = prev.filter(|place| self.block(*place).end() == address);
        let joins_succ = succ.filter(|place| self.block(*place).start == block.end());
        match (joins_prev, joins_succ) {
            (Some(prev), Some(succ)) => {
                let succ_bytes = self.block(succ).size;
                self.lengthen(prev, size_bytes + succ_bytes);
                self.remove(succ);
            }
            (Some(prev), None) => self.lengthen(prev, size_bytes),
            (None, Some(succ)) => self.replace_start(succ, address),
            (None, None) => self.insert(prev, block),
        }
        Ok(())
    }

    fn extend(&mut self, more_bytes: u64) -> Result<()> {
        let end = self.size_bytes;
        let grown = end.checked_add(more_bytes).ok_or_else(|| too_large(end, more_bytes))?;
        match self.free_tail() {
            _ if more_bytes == 0 => {}
            Some(tail) => self.lengthen(tail, more_bytes),
            None => self.insert(self.neighbours(end).0, FreeBlock { start: end, size: more_bytes }),
        }
        self.size_bytes = grown;
        Ok(())
    }

    fn aligned_size_bytes(&self, size_bytes: u64) -> Option<u64> {
        size_bytes.checked_next_multiple_of(self.align_bytes)
    }

    fn used_bytes(&self) -> u64 {
        self.allocated_bytes
    }

    fn total_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn free_blocks(&self) -> usize {
        self.runs.iter().map(|run| run.blocks.len()).sum()
    }

    fn largest_free_bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.longest).max().unwrap_or(0)
    }

    /// Also looks whether the blocks are sorted and every run knows its longest.
    fn memcheck(&self) -> bool {
        let blocks = || self.runs.iter().flat_map(|run| &run.blocks);
        let apart = blocks().zip(blocks().skip(1)).all(|(prev, succ)| prev.end() < succ.start);
        let free_bytes: u64 = blocks().map(|block| block.size).sum();
        let runs_known = self.runs.iter().all(|run| run.longest_block() == run.longest);
        apart && runs_known && free_bytes + self.allocated_bytes == self.size_bytes && self.is_sound()
    }

    fn is_sound(&self) -> bool {
        self.refused_frees == 0
    }

    fn metadata_bytes(&self) -> usize {
        let blocks: usize = self.runs.iter().map(|run| run.blocks.capacity()).sum();
        blocks * size_of::<FreeBlock>() + self.runs.capacity() * size_of::<Run>() + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(space: &mut AddressManager, size_bytes: u64, count: usize) -> Option<Vec<u64>> {
        let mut addresses = Vec::new();
        space.batched_allocate(size_bytes, count, &mut addresses).unwrap().then_some(addresses)
    }

    #[test]
    fn a_batch_takes_units_from_each_block_in_address_order_or_nothing() {
        let mut space = AddressManager::new(10 * 64, 64).unwrap();
        assert_eq!(take(&mut space, 64, 10).unwrap().len(), 10);
        space.free(64, 64).unwrap();
        space.free(256, 128).unwrap();
        assert_eq!(take(&mut space, 100, 1).unwrap(), [256]);
        assert_eq!(take(&mut space, 64, 2), None);
        assert_eq!((space.used_bytes(), space.free_blocks()), (9 * 64, 1));
        assert_eq!(take(&mut space, 1, 1).unwrap(), [64]);
        assert!(space.memcheck());
    }

    #[test]
    fn free_joins_both_neighbours_and_fills_a_space_of_odd_size() {
        let mut space = AddressManager::new(1000, 64).unwrap();
        assert_eq!(take(&mut space, 64, 15).unwrap().last(), Some(&896));
        assert_eq!(take(&mut space, 1, 1), None, "40 bytes at the end are less than a unit");
        for address in [0, 128, 64] {
            space.free(address, 64).unwrap();
        }
        assert_eq!(space.free_blocks(), 2);
        assert!(space.memcheck());
    }

    #[test]
    fn a_block_that_was_not_taken_is_refused_and_remembered() {
        let mut space = AddressManager::new(4096, 64).unwrap();
        take(&mut space, 64, 4).unwrap();
        space.free(64, 64).unwrap();
        for (address, size_bytes) in
            [(64, 64), (0, 128), (32, 64), (256, 64), (4096, 64), (128, 0), (u64::MAX, 64)]
        {
            assert!(space.free(address, size_bytes).is_err(), "{address} {size_bytes}");
        }
        assert_eq!(space.used_bytes(), 192);
        assert!(!space.memcheck());
    }

    #[test]
    fn sizes_at_and_past_the_limits() {
        assert!(AddressManager::new(0, 64).is_err());
        assert!(AddressManager::new(64, 48).is_err());
        assert!(AddressManager::new(64, 0).is_err());
        let mut space = AddressManager::new(u64::MAX, 1).unwrap();
        assert!(space.batched_allocate(0, 1, &mut Vec::new()).is_err());
        assert_eq!(take(&mut space, u64::MAX, 1).unwrap(), [0]);
        assert_eq!(take(&mut space, u64::MAX, 1), None);
        let mut space = AddressManager::new(1 << 40, 4096).unwrap();
        assert_eq!(take(&mut space, u64::MAX, 1), None);
    }
}

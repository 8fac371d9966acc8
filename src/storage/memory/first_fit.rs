//! Addresses of objects: LMCache's `AddressManager`, first fit in address order.
//!
//! Which address an object gets decides how L1 fragments, and with it which later batch still fits; so this
//! allocator gives the very addresses that LMCache would. It knows nothing of memory: what it hands out are
//! offsets, and its books lie outside the arena, where no stray write of an object reaches them.
//!
//! The free blocks are kept sorted by address and never touch each other. They are cut into runs, each of
//! which knows its longest block, so that a search steps over a run that cannot serve it: first fit among
//! `n` blocks looks at about `n / RUN_BLOCKS + RUN_BLOCKS` of them, where a plain list looks at all.
//!
//! Callers bring the lock: every method takes `&mut self` or only reads.

use crate::error::{Error, Result};

/// A run that grows past this is cut in two.
const RUN_BLOCKS: usize = 128;

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
        self.longest = self.blocks.iter().map(|block| block.size).max().unwrap_or(0);
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
        if size_bytes == 0 {
            return Err(Error::invalid("L1 memory must not be empty").with_hint("give L1 a size"));
        }
        if !align_bytes.is_power_of_two() {
            return Err(Error::invalid("the alignment of L1 objects must be a power of two")
                .with_context("align_bytes", align_bytes));
        }
        let runs = vec![Run::new(vec![FreeBlock { start: 0, size: size_bytes }])];
        Ok(Self { size_bytes, align_bytes, allocated_bytes: 0, refused_frees: 0, runs })
    }

    /// `size_bytes` rounded up to the alignment; `None` past what 64 bits count.
    pub fn aligned_size_bytes(&self, size_bytes: u64) -> Option<u64> {
        size_bytes.checked_next_multiple_of(self.align_bytes)
    }

    /// Refuses objects that no amount of eviction would make room for, as LMCache does with `ValueError`.
    ///
    /// # Errors
    /// If `size_bytes` is zero.
    pub fn check_object_bytes(size_bytes: u64) -> Result<()> {
        if size_bytes == 0 {
            return Err(Error::invalid("an object of zero bytes cannot be stored")
                .with_hint("the layout's shapes multiply to nothing"));
        }
        Ok(())
    }

    /// Takes `count` blocks of at least `size_bytes` each and appends their addresses to `addresses`, in the
    /// order in which they lie: block by block from the lowest free address, as many units of each as fit.
    /// All or nothing: `Ok(false)` says that they do not all fit, and nothing was taken.
    ///
    /// # Errors
    /// Those of [`Self::check_object_bytes`].
    pub fn batched_allocate(
        &mut self,
        size_bytes: u64,
        count: usize,
        addresses: &mut Vec<u64>,
    ) -> Result<bool> {
        Self::check_object_bytes(size_bytes)?;
        let Some(unit_bytes) = self.aligned_size_bytes(size_bytes) else { return Ok(false) };
        if !self.has_room(unit_bytes, count) {
            return Ok(false);
        }
        self.carve(unit_bytes, count, addresses);
        // No overflow: all units lie in the space.
        self.allocated_bytes += unit_bytes * count as u64;
        Ok(true)
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

    /// Gives back the block of `size_bytes` (the aligned size) at `address`, and joins it with free
    /// neighbours.
    ///
    /// # Errors
    /// If any byte of it is free already or outside the space: nothing is changed then, and
    /// [`Self::memcheck`] is false from there on. LMCache does not look, and hands the bytes out twice.
    pub fn free(&mut self, address: u64, size_bytes: u64) -> Result<()> {
        let block = FreeBlock { start: address, size: size_bytes };
        let (prev, succ) = self.neighbours(address);
        let fits = size_bytes > 0
            && size_bytes <= self.allocated_bytes
            && address.checked_add(size_bytes).is_some_and(|end| end <= self.size_bytes)
            && prev.is_none_or(|place| self.block(place).end() <= address)
            && succ.is_none_or(|place| block.end() <= self.block(place).start);
        if !fits {
            self.refused_frees += 1;
            return Err(Error::invalid("a block was given back that was not taken")
                .with_context("address", address)
                .with_context("bytes", size_bytes));
        }
        self.allocated_bytes -= size_bytes;
        let joins_prev = prev.filter(|place| self.block(*place).end() == address);
        let joins_succ = succ.filter(|place| self.block(*place).start == block.end());
        match (joins_prev, joins_succ) {
            (Some(prev), Some(succ)) => {
                let succ_bytes = self.block(succ).size;
                self.resize(prev, FreeBlock { start: self.block(prev).start, ..block }, succ_bytes);
                self.remove(succ);
            }
            (Some(prev), None) => self.resize(prev, FreeBlock { start: self.block(prev).start, ..block }, 0),
            (None, Some(succ)) => self.replace_start(succ, address),
            (None, None) => self.insert(prev, block),
        }
        Ok(())
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

    /// Lengthens the block at `place` by the freed block behind it, and by `more_bytes` behind that.
    fn resize(&mut self, (run, position): Place, freed: FreeBlock, more_bytes: u64) {
        let run = &mut self.runs[run];
        let block = &mut run.blocks[position];
        block.size += freed.size + more_bytes;
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

    /// Bytes handed out, alignment included.
    pub fn used_bytes(&self) -> u64 {
        self.allocated_bytes
    }

    /// The size of the space: what L1 can hold.
    pub fn total_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// How many separate stretches of free addresses there are.
    pub fn free_blocks(&self) -> usize {
        self.runs.iter().map(|run| run.blocks.len()).sum()
    }

    /// Whether the books are right: free and used bytes add up, free blocks are sorted and do not touch, every
    /// run knows its longest block, and no block was ever given back that was not taken.
    pub fn memcheck(&self) -> bool {
        let blocks = || self.runs.iter().flat_map(|run| &run.blocks);
        let apart = blocks().zip(blocks().skip(1)).all(|(prev, succ)| prev.end() < succ.start);
        let free_bytes: u64 = blocks().map(|block| block.size).sum();
        let runs_known = self.runs.iter().all(|run| Run::new(run.blocks.clone()).longest == run.longest);
        apart && runs_known && free_bytes + self.allocated_bytes == self.size_bytes && self.refused_frees == 0
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

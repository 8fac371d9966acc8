//! Finds a block by its start.
//!
//! The space is cut into stretches of equal length, and each stretch knows the first block that starts in it. From
//! there the chain of blocks leads to the one that is looked for, past at most as many as a stretch has units. Where
//! stretches have many blocks, they are cut anew.

use super::nodes::{NONE, Nodes};

/// A stretch has this many units at first, as a power of two.
const FIRST_BITS: u32 = 8;

/// What a stretch is divided by when it is cut anew, as a power of two.
const CUT_BITS: u32 = 2;

/// Stretches are cut anew when there are more blocks than this for each.
const BLOCKS_OF_STRETCH: usize = 1 << CUT_BITS;

/// The first blocks of the stretches.
#[derive(Clone, Debug)]
pub(super) struct Starts {
    /// The number of the node plus one; zero is none, so that the kernel's zeros need not be written.
    first: Vec<u32>,
    /// A stretch has two to the power of this units.
    bits: u32,
}

impl Starts {
    pub(super) fn new() -> Self {
        Self { first: Vec::new(), bits: FIRST_BITS }
    }

    /// Makes room for a space of `units`.
    pub(super) fn extend(&mut self, units: u32) {
        let stretches = (units as usize).div_ceil(1 << self.bits);
        if self.first.is_empty() {
            self.first = vec![0; stretches];
        } else {
            self.first.resize(stretches, 0);
        }
    }

    /// Says that `node`, which knows the block before it, is in the chain.
    #[inline]
    pub(super) fn add(&mut self, nodes: &Nodes, node: u32) {
        let block = &nodes[node];
        let stretch = block.start >> self.bits;
        if block.prev == NONE || nodes[block.prev].start >> self.bits != stretch {
            self.first[stretch as usize] = node + 1;
        }
    }

    /// Says that `node`, which still knows the block behind it, leaves the chain.
    #[inline]
    pub(super) fn remove(&mut self, nodes: &Nodes, node: u32) {
        let block = &nodes[node];
        let stretch = block.start >> self.bits;
        let first = &mut self.first[stretch as usize];
        if *first == node + 1 {
            let next = Some(block.next).filter(|next| *next != NONE);
            let next = next.filter(|next| nodes[*next].start >> self.bits == stretch);
            *first = next.map_or(0, |next| next + 1);
        }
    }

    /// The block that starts at `start`.
    #[inline]
    pub(super) fn find(&self, nodes: &Nodes, start: u32) -> Option<u32> {
        let mut node = self.first.get((start >> self.bits) as usize)?.checked_sub(1)?;
        while nodes[node].start < start {
            node = nodes[node].next;
            if node == NONE {
                return None;
            }
        }
        (nodes[node].start == start).then_some(node)
    }

    /// Cuts the stretches anew if there are too many blocks for them. `blocks` is how many there are, `last` the one
    /// at the end of the space of `units`.
    #[inline]
    pub(super) fn adapt(&mut self, nodes: &Nodes, blocks: usize, last: u32, units: u32) {
        if blocks > self.first.len() * BLOCKS_OF_STRETCH && self.bits > 0 {
            self.cut(nodes, last, units);
        }
    }

    #[cold]
    fn cut(&mut self, nodes: &Nodes, last: u32, units: u32) {
        *self = Self { first: Vec::new(), bits: self.bits.saturating_sub(CUT_BITS) };
        self.extend(units);
        let mut node = last;
        // From the end, so that the first of each stretch stays.
        while node != NONE {
            self.first[(nodes[node].start >> self.bits) as usize] = node + 1;
            node = nodes[node].prev;
        }
    }

    pub(super) fn metadata_bytes(&self) -> usize {
        self.first.capacity() * size_of::<u32>()
    }
}

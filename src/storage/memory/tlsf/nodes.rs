//! The blocks of the space, free and taken, as a chain in address order.

use std::ops::{Index, IndexMut};

/// No node.
pub(super) const NONE: u32 = u32::MAX;

/// The `bin_prev` of a block that is taken.
const TAKEN: u32 = u32::MAX - 1;

/// A block: 24 bytes, so that ten million objects are described in 240 MB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// In units from the start of the space.
    pub(super) start: u32,
    pub(super) units: u32,
    /// The block before it in the space.
    pub(super) prev: u32,
    /// The block behind it.
    pub(super) next: u32,
    /// Its neighbour in the list of its size, where it is free.
    pub(super) bin_prev: u32,
    /// The other one. Of a node that describes no block: the next such.
    pub(super) bin_next: u32,
}

impl Node {
    pub(super) fn is_free(&self) -> bool {
        self.bin_prev != TAKEN
    }

    pub(super) fn end(&self) -> u32 {
        self.start + self.units
    }
}

/// All nodes. Those that describe no block are used again first.
#[derive(Clone, Debug)]
pub(super) struct Nodes {
    nodes: Vec<Node>,
    unused: u32,
    blocks: usize,
}

impl Index<u32> for Nodes {
    type Output = Node;

    fn index(&self, node: u32) -> &Node {
        &self.nodes[node as usize]
    }
}

impl IndexMut<u32> for Nodes {
    fn index_mut(&mut self, node: u32) -> &mut Node {
        &mut self.nodes[node as usize]
    }
}

impl Nodes {
    pub(super) fn new() -> Self {
        Self { nodes: Vec::new(), unused: NONE, blocks: 0 }
    }

    /// A node for the taken block of `units` at `start`, between `prev` and `next`, which it does not tell.
    #[inline]
    pub(super) fn add(&mut self, start: u32, units: u32, prev: u32, next: u32) -> u32 {
        self.blocks += 1;
        let node = Node { start, units, prev, next, bin_prev: TAKEN, bin_next: NONE };
        match self.nodes.get_mut(self.unused as usize) {
            Some(unused) => {
                let position = std::mem::replace(&mut self.unused, unused.bin_next);
                *unused = node;
                position
            }
            None => {
                // There is a node a unit at most, and two names are not numbers of nodes.
                let position = u32::try_from(self.nodes.len()).expect("as many nodes as units at most");
                self.nodes.push(node);
                position
            }
        }
    }

    /// Takes back a node that describes no block any more.
    #[inline]
    pub(super) fn drop_node(&mut self, node: u32) {
        self.blocks -= 1;
        self[node].bin_next = std::mem::replace(&mut self.unused, node);
    }

    /// Says of a block that was in the bins that it is taken.
    pub(super) fn take(&mut self, node: u32) {
        self[node].bin_prev = TAKEN;
    }

    /// How many blocks there are.
    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }

    pub(super) fn metadata_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_small() {
        assert_eq!(size_of::<Node>(), 24);
    }
}

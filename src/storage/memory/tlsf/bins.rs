//! The free blocks by size: 32 classes for each power of two, and two levels of bitmaps that find the next class
//! that has a block in a few instructions ("two-level segregated fit").

use super::nodes::{NONE, Nodes};

/// Classes for each power of two: a class is as wide as 1/32 of its smallest size.
const CLASSES: u32 = 32;
const CLASS_BITS: u32 = CLASSES.trailing_zeros();

/// Powers of two that a `u32` has, of which the lowest share the row of sizes that are a class each.
const ROWS: usize = (u32::BITS - CLASS_BITS + 1) as usize;

/// How many blocks of its own class a size is compared with. Every block of a larger class is long enough; one of its
/// own may be. Past this many that are not, a longer one is taken.
pub const MAX_COMPARED: usize = 64;

/// A class, by row and place.
type Class = (usize, u32);

/// The heads of the lists of free blocks.
#[derive(Clone, Debug)]
pub(super) struct Bins {
    /// Which rows have a block.
    rows: u32,
    /// Which classes of each row have one.
    classes: [u32; ROWS],
    heads: [[u32; CLASSES as usize]; ROWS],
}

#[inline]
fn class_of(units: u32) -> Class {
    if units < CLASSES {
        return (0, units);
    }
    let shift = units.ilog2() - CLASS_BITS;
    (shift as usize + 1, (units >> shift) - CLASSES)
}

/// Whether every block of the class of `units` is at least as long.
#[inline]
fn is_smallest_of_its_class(units: u32) -> bool {
    units < CLASSES || units & ((1 << (units.ilog2() - CLASS_BITS)) - 1) == 0
}

impl Bins {
    pub(super) fn new() -> Self {
        Self { rows: 0, classes: [0; ROWS], heads: [[NONE; CLASSES as usize]; ROWS] }
    }

    /// Adds the free block `node`.
    #[inline]
    pub(super) fn insert(&mut self, nodes: &mut Nodes, node: u32) {
        let (row, class) = class_of(nodes[node].units);
        let head = &mut self.heads[row][class as usize];
        let next = std::mem::replace(head, node);
        if next != NONE {
            nodes[next].bin_prev = node;
        }
        nodes[node].bin_prev = NONE;
        nodes[node].bin_next = next;
        self.classes[row] |= 1 << class;
        self.rows |= 1 << row;
    }

    /// Takes the free block `node` out.
    #[inline]
    pub(super) fn remove(&mut self, nodes: &mut Nodes, node: u32) {
        let (prev, next) = (nodes[node].bin_prev, nodes[node].bin_next);
        if next != NONE {
            nodes[next].bin_prev = prev;
        }
        if prev != NONE {
            nodes[prev].bin_next = next;
            return;
        }
        let (row, class) = class_of(nodes[node].units);
        self.heads[row][class as usize] = next;
        if next == NONE {
            self.classes[row] &= !(1 << class);
            self.rows &= !(u32::from(self.classes[row] == 0) << row);
        }
    }

    /// Gives the free block `node` another length.
    #[inline]
    pub(super) fn resize(&mut self, nodes: &mut Nodes, node: u32, units: u32) {
        if class_of(nodes[node].units) == class_of(units) {
            nodes[node].units = units;
            return;
        }
        self.remove(nodes, node);
        nodes[node].units = units;
        self.insert(nodes, node);
    }

    /// A block of at least `units`, as short as possible, give or take a class.
    #[inline]
    pub(super) fn find(&self, nodes: &Nodes, units: u32) -> Option<u32> {
        let (row, class) = class_of(units);
        if self.classes[row] >> class & 1 == 1 {
            if is_smallest_of_its_class(units) {
                return Some(self.heads[row][class as usize]);
            }
            if let Some(node) = self.shortest_of_class(nodes, (row, class), units) {
                return Some(node);
            }
        }
        self.first_above((row, class))
    }

    fn shortest_of_class(&self, nodes: &Nodes, class: Class, units: u32) -> Option<u32> {
        let compared = self.class(nodes, class).take(MAX_COMPARED);
        let mut best = None;
        for node in compared {
            let found = nodes[node].units;
            if found == units {
                return Some(node);
            }
            if found > units && best.is_none_or(|best: u32| found < nodes[best].units) {
                best = Some(node);
            }
        }
        best
    }

    /// A block of the next class that has one.
    #[inline]
    fn first_above(&self, (row, class): Class) -> Option<u32> {
        // Shifted twice: a shift by all bits is none.
        let classes = self.classes[row] & (u32::MAX << class << 1);
        if classes != 0 {
            return Some(self.heads[row][classes.trailing_zeros() as usize]);
        }
        let rows = self.rows & (u32::MAX << row << 1);
        if rows == 0 {
            return None;
        }
        let row = rows.trailing_zeros() as usize;
        Some(self.heads[row][self.classes[row].trailing_zeros() as usize])
    }

    /// The highest class that has a block.
    fn highest(&self) -> Option<Class> {
        let row = self.rows.checked_ilog2()? as usize;
        Some((row, self.classes[row].ilog2()))
    }

    /// One of the longest blocks, give or take a class.
    pub(super) fn a_longest(&self) -> Option<u32> {
        self.highest().map(|(row, class)| self.heads[row][class as usize])
    }

    /// The length of the longest block. Looks at all of the highest class.
    pub(super) fn longest_units(&self, nodes: &Nodes) -> u32 {
        let highest = self.highest().into_iter().flat_map(|class| self.class(nodes, class));
        highest.map(|node| nodes[node].units).max().unwrap_or(0)
    }

    fn class<'a>(&self, nodes: &'a Nodes, (row, class): Class) -> impl Iterator<Item = u32> + use<'a> {
        let head = Some(self.heads[row][class as usize]).filter(|node| *node != NONE);
        std::iter::successors(head, |node| Some(nodes[*node].bin_next).filter(|next| *next != NONE))
    }

    /// Every free block, and whether it is in the list of its class and the bitmaps know.
    pub(super) fn blocks<'a>(&'a self, nodes: &'a Nodes) -> impl Iterator<Item = (u32, bool)> + 'a {
        let classes = (0..ROWS).flat_map(|row| (0..CLASSES).map(move |class| (row, class)));
        classes.flat_map(move |(row, class)| {
            let is_known = self.classes[row] >> class & 1 == 1 && self.rows >> row & 1 == 1;
            self.class(nodes, (row, class))
                .map(move |node| (node, is_known && class_of(nodes[node].units) == (row, class)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_in_the_order_of_their_sizes_and_a_32nd_wide() {
        let mut previous = class_of(1);
        for units in (2..5_000).chain((13..32).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1])) {
            let class = class_of(units);
            assert!(class >= previous, "{units}");
            assert_eq!(is_smallest_of_its_class(units), class != class_of(units - 1), "{units}");
            let width = 1 << (units / CLASSES).max(1).ilog2();
            assert_eq!(class, class_of(units - units % width), "{units}");
            previous = class;
        }
        assert_eq!(class_of(u32::MAX), (ROWS - 1, CLASSES - 1));
    }
}

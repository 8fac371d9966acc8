//! The cells of a request: one row per object group and rank, one column per chunk.

use super::bitmap::{Bitmap, Rows};
use crate::format::model::{GroupedObjectKeys, ObjectKey};

/// A set of cells. All grids of a request have its shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Grid(Rows);

impl Grid {
    /// No cell of `rows` times `columns`.
    pub(super) fn new(rows: usize, columns: usize) -> Self {
        Self(Rows::of(Bitmap::new(columns), rows))
    }

    /// The cells that are set in `rows`.
    pub(super) fn of_rows(rows: impl IntoIterator<Item = Bitmap>) -> Self {
        Self(rows.into_iter().collect())
    }

    /// The cells for which `is_set` is true, asked row by row for every key of the request.
    pub(super) fn of_keys(
        rows: &[GroupedObjectKeys],
        columns: usize,
        mut is_set: impl FnMut() -> bool,
    ) -> Self {
        Self(
            rows.iter()
                .map(|row| {
                    let mut bits = Bitmap::new(columns);
                    for cell in 0..row.keys.len() {
                        if is_set() {
                            bits.set(cell);
                        }
                    }
                    bits
                })
                .collect(),
        )
    }

    /// Of the cells of this grid, those that are set in `chosen`, which has a bit for each of them, row by row.
    pub(super) fn choose(&self, chosen: &Bitmap) -> Self {
        let mut result = self.empty();
        for (position, (row, column)) in self.cells().enumerate() {
            if chosen.test(position) {
                result.0[row].set(column);
            }
        }
        result
    }

    /// No cell, in the shape of this grid.
    pub(super) fn empty(&self) -> Self {
        Self(self.0.iter().map(|row| Bitmap::new(row.len())).collect())
    }

    /// The rows.
    pub(super) fn rows(&self) -> &[Bitmap] {
        &self.0
    }

    /// The rows, given away.
    pub(super) fn into_rows(self) -> Rows {
        self.0
    }

    /// Sets a cell.
    pub(super) fn set(&mut self, (row, column): (usize, usize)) {
        self.0[row].set(column);
    }

    /// Takes a cell out.
    pub(super) fn unset(&mut self, (row, column): (usize, usize)) {
        self.0[row].unset(column);
    }

    /// Adds the cells of `other`.
    pub(super) fn add(&mut self, other: &Self) {
        for (row, other) in self.0.iter_mut().zip(&other.0) {
            row.add(other);
        }
    }

    /// The cells that both have.
    #[must_use]
    pub(super) fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(row, other)| row.and(other)).collect())
    }

    /// The cells that `other` does not have.
    #[must_use]
    pub(super) fn without(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(row, other)| row.without(other)).collect())
    }

    /// Whether there is no cell.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|row| row.highest_set_bit().is_none())
    }

    /// How many cells there are.
    pub(super) fn popcount(&self) -> usize {
        self.0.iter().map(Bitmap::popcount).sum()
    }

    /// The cells, row by row.
    pub(super) fn cells(&self) -> impl Iterator<Item = (usize, usize)> {
        self.0.iter().enumerate().flat_map(|(row, bits)| bits.ones().map(move |column| (row, column)))
    }

    /// The keys of the cells, row by row.
    pub(super) fn keys<'a>(&self, rows: &'a [GroupedObjectKeys]) -> Vec<&'a ObjectKey> {
        self.cells().filter_map(|(row, column)| rows[row].keys.get(column)).collect()
    }

    /// The same, copied.
    pub(super) fn owned_keys(&self, rows: &[GroupedObjectKeys]) -> Vec<ObjectKey> {
        self.keys(rows).into_iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(rows: &[&str]) -> Grid {
        let row = |row: &&str| Bitmap::from_fn(row.len(), |cell| row.as_bytes()[cell] == b'1');
        Grid(rows.iter().map(row).collect())
    }

    #[test]
    fn grids_are_sets_of_cells() {
        let mut some = grid(&["0101", "1001"]);
        assert_eq!(some.cells().collect::<Vec<_>>(), [(0, 1), (0, 3), (1, 0), (1, 3)]);
        let chosen = Bitmap::from_fn(4, |position| position % 2 == 1);
        assert_eq!(some.choose(&chosen), grid(&["0001", "0001"]));
        assert_eq!(some.and(&grid(&["1100", "1100"])), grid(&["0100", "1000"]));
        assert_eq!(some.without(&grid(&["1100", "1100"])), grid(&["0001", "0001"]));
        some.add(&grid(&["1000", "0000"]));
        some.unset((0, 3));
        assert_eq!((some.popcount(), some.is_empty(), some.empty().is_empty()), (4, false, true));
    }
}

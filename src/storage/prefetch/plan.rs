//! Which cells a request is served with, and from where: LMCache's `DefaultPrefetchPolicy.plan_load`.

use super::bitmap::Bitmap;
use super::fold;
use super::grid::Grid;
use crate::format::model::FetchingPolicy;
use crate::format::model::call::FULL_ATTENTION_WINDOW_CHUNKS;

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// The window of each row.
    pub(super) windows: &'a [i64],
    /// What the request wants of its cells.
    pub(super) policy: FetchingPolicy,
}

impl Question<'_> {
    /// Whether LMCache plans nothing: the full policy knows no windows.
    fn is_empty(&self) -> bool {
        self.policy == FetchingPolicy::Full
            && self.windows.iter().any(|window| *window > FULL_ATTENTION_WINDOW_CHUNKS)
    }

    /// Of the cells that were found, those that are of use.
    pub(super) fn needed(&self, found: &Grid) -> Grid {
        if self.is_empty() {
            return found.empty();
        }
        match self.policy {
            FetchingPolicy::Full => found.clone(),
            FetchingPolicy::Prefix => {
                Grid::of_rows(fold::fold_unfold_grouped(found.rows(), self.windows).1).and(found)
            }
        }
    }

    /// Of the cells that are in L1 and locked when all is loaded, those that the request hits.
    pub(super) fn hits(&self, locked: &Grid) -> Grid {
        match self.policy {
            FetchingPolicy::Full => Grid::of_rows(fold::all_grouped(locked.rows())),
            FetchingPolicy::Prefix => self.needed(locked),
        }
    }

    /// The lengths of prefix that all rows can serve, the longest first. For the prefix policy.
    pub(super) fn servable_chunks(&self, found: &Grid) -> Vec<usize> {
        let servable = fold::fold_grouped(found.rows(), self.windows);
        let mut chunks: Vec<usize> = servable.ones().map(|last| last + 1).collect();
        chunks.reverse();
        chunks
    }

    /// What is needed for a prefix of so many chunks. For the prefix policy.
    pub(super) fn needed_for(&self, found: &Grid, chunks: usize) -> Grid {
        let columns = found.rows().first().map_or(0, Bitmap::len);
        Grid::of_rows(fold::unfold_grouped(chunks, columns, self.windows)).and(found)
    }
}

/// Gives each needed cell to the first of `tiers` that has it, and takes it out of `needed`.
pub(super) fn assign<'a>(needed: &mut Grid, tiers: impl Iterator<Item = &'a Grid>) -> Vec<Grid> {
    tiers
        .map(|tier| {
            let taken = needed.and(tier);
            *needed = needed.without(&taken);
            taken
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(rows: &[&str]) -> Grid {
        let row = |row: &&str| Bitmap::from_fn(row.len(), |cell| row.as_bytes()[cell] == b'1');
        Grid::of_rows(rows.iter().map(row))
    }

    #[test]
    fn a_cell_is_assigned_once_to_the_first_tier_that_has_it() {
        let mut needed = grid(&["1111"]);
        let tiers = [grid(&["0110"]), grid(&["1100"]), grid(&["1100"])];
        let assigned = assign(&mut needed, tiers.iter());
        assert_eq!(assigned, [grid(&["0110"]), grid(&["1000"]), grid(&["0000"])]);
        assert_eq!(needed, grid(&["0001"]));
    }

    #[test]
    fn a_shorter_prefix_needs_other_cells_of_a_window() {
        let question = Question { windows: &[-1, 2], policy: FetchingPolicy::Prefix };
        let found = grid(&["1111", "1111"]);
        assert_eq!(question.needed(&found), grid(&["1111", "0011"]));
        assert_eq!(question.servable_chunks(&found), [4, 3, 2, 1]);
        assert_eq!(question.needed_for(&found, 3), grid(&["1110", "0110"]));
    }

    #[test]
    fn the_full_policy_plans_nothing_where_a_row_has_a_window() {
        let full = |windows| Question { windows, policy: FetchingPolicy::Full };
        let found = grid(&["101", "110"]);
        assert_eq!(full(&[-1, -1]).needed(&found), found);
        assert_eq!(full(&[-1, -1]).hits(&found), grid(&["100", "100"]));
        assert!(full(&[-1, 2]).needed(&found).is_empty());
    }
}

//! Names counted in bounded memory, with a result that does not depend on who read what.
//!
//! A hostile file can have a name per record. Of more than `LIMIT` names the smallest stay: a name that belongs
//! to the smallest of the whole file belongs to the smallest of every part that has it, so no thread ever leaves
//! it out, its total is complete, and the parts added up and cut again are what one thread would have kept.
//! Which names a thread meets first would depend on the threads.

use std::borrow::Borrow;
use std::collections::BTreeMap;

/// How many names or numbers of a kind are kept. Real traces have a handful.
pub(super) const MAX_NAMES: usize = 1024;

/// Longer names are left out.
pub const MAX_NAME_BYTES: usize = 1024;

/// Under which the totals of what was left out are shown.
pub(super) const OTHER_NAMES: &str = "(other names)";

/// What is gathered per name. Adding must not depend on the order.
pub(super) trait Total: Default {
    fn add(&mut self, other: Self);
}

impl Total for u64 {
    fn add(&mut self, other: Self) {
        *self = self.saturating_add(other);
    }
}

impl Total for () {
    fn add(&mut self, (): Self) {}
}

/// Totals of the `LIMIT` smallest names, and of all others together.
#[derive(Debug)]
pub(super) struct SmallestNames<K, V, const LIMIT: usize = MAX_NAMES> {
    kept: BTreeMap<K, V>,
    others: Option<V>,
}

impl<K, V, const LIMIT: usize> Default for SmallestNames<K, V, LIMIT> {
    fn default() -> Self {
        Self { kept: BTreeMap::new(), others: None }
    }
}

impl<K: Ord, V: Total, const LIMIT: usize> SmallestNames<K, V, LIMIT> {
    /// Adds `total` to what `name` has; copies the name only if it is not there yet.
    pub(super) fn add<Q>(&mut self, name: &Q, total: V)
    where
        K: Borrow<Q>,
        Q: ?Sized + Ord + ToOwned<Owned = K>,
    {
        if let Some(kept) = self.kept.get_mut(name) {
            kept.add(total);
            return;
        }
        let largest = self.kept.last_key_value().map(|(largest, _)| largest.borrow());
        if self.kept.len() == LIMIT && largest.is_some_and(|largest| largest < name) {
            self.leave_out(total);
            return;
        }
        self.kept.insert(name.to_owned(), total);
        if self.kept.len() > LIMIT
            && let Some((_, evicted)) = self.kept.pop_last()
        {
            self.leave_out(evicted);
        }
    }

    /// Adds `total` to that of the others: names past the limit, and names that are too long.
    pub(super) fn leave_out(&mut self, total: V) {
        self.others.get_or_insert_default().add(total);
    }

    /// Whether no name was left out.
    pub(super) fn is_complete(&self) -> bool {
        self.others.is_none()
    }

    pub(super) fn kept(&self) -> &BTreeMap<K, V> {
        &self.kept
    }

    pub(super) fn into_kept(self) -> BTreeMap<K, V> {
        self.kept
    }
}

impl<V: Total> SmallestNames<String, V> {
    /// As [`add`](Self::add); a name past [`MAX_NAME_BYTES`] is left out.
    pub(super) fn add_text(&mut self, name: &str, total: V) {
        match name.len() <= MAX_NAME_BYTES {
            true => self.add(name, total),
            false => self.leave_out(total),
        }
    }
}

impl<K> SmallestNames<K, u64> {
    /// The total of what was left out.
    pub(super) fn others(&self) -> u64 {
        self.others.unwrap_or_default()
    }
}

impl SmallestNames<String, u64> {
    /// All totals; those of what was left out stand together under [`OTHER_NAMES`].
    pub(super) fn into_counts(self) -> BTreeMap<String, u64> {
        let mut counts = self.kept;
        if let Some(others) = self.others {
            counts.entry(OTHER_NAMES.to_owned()).or_default().add(others);
        }
        counts
    }
}

impl<K: Ord + Clone, V: Total, const LIMIT: usize> Total for SmallestNames<K, V, LIMIT> {
    fn add(&mut self, other: Self) {
        other.kept.into_iter().for_each(|(name, total)| SmallestNames::add(self, &name, total));
        other.others.into_iter().for_each(|total| self.leave_out(total));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Names = SmallestNames<String, u64>;

    fn gathered<'n>(names: impl Iterator<Item = &'n String>) -> Names {
        let mut gathered = Names::default();
        names.for_each(|name| gathered.add_text(name, 1));
        gathered
    }

    #[test]
    fn names_are_kept_to_the_limit_and_counted_past_it() {
        let names: Vec<_> = (0..=MAX_NAMES).map(|number| format!("{number:04}")).collect();
        for order in [names.clone(), names.iter().rev().cloned().collect()] {
            let mut gathered = gathered(order.iter().filter(|name| **name != names[MAX_NAMES]));
            assert!(gathered.is_complete());
            (0..3).for_each(|_| gathered.add_text(&names[MAX_NAMES], 1));
            gathered.add_text(&names[0], 1);
            assert!(!gathered.is_complete());
            let counts = gathered.into_counts();
            assert_eq!(counts.len(), MAX_NAMES + 1);
            assert_eq!((counts[OTHER_NAMES], counts["0000"]), (3, 2));
        }
    }

    #[test]
    fn a_smaller_name_drives_the_largest_out_with_its_count() {
        let names: Vec<_> = (1..=MAX_NAMES).map(|number| format!("{number:04}")).collect();
        let mut gathered = gathered(names.iter().chain(names.last()));
        gathered.add_text("0000", 1);
        assert_eq!(gathered.others(), 2);
        gathered.add_text(&names[MAX_NAMES - 1], 1);
        assert_eq!((gathered.others(), gathered.kept().len()), (3, MAX_NAMES));
    }

    #[test]
    fn parts_add_up_to_the_whole_however_they_are_cut() {
        let names: Vec<_> = (0..5 * MAX_NAMES).map(|step| format!("{:04}", step * 7919 % 3001)).collect();
        let whole = gathered(names.iter()).into_counts();
        assert_eq!(whole.values().sum::<u64>(), names.len() as u64);
        for parts in [2, 5] {
            let mut sum = Names::default();
            for part in 0..parts {
                Total::add(&mut sum, gathered(names.iter().skip(part).step_by(parts)));
            }
            assert_eq!(sum.into_counts(), whole, "{parts} parts");
        }
    }

    #[test]
    fn names_are_kept_to_their_length() {
        let mut gathered = Names::default();
        gathered.add_text(&"x".repeat(MAX_NAME_BYTES), 1);
        assert!(gathered.is_complete());
        gathered.add_text(&"x".repeat(MAX_NAME_BYTES + 1), 1);
        assert_eq!((gathered.others(), gathered.kept().len()), (1, 1));
    }
}

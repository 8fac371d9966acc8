//! How much is to go, and the count that a policy keeps while it chooses.

use crate::format::model::ObjectKey;

/// How much a call of [`victims`](super::EvictionPolicy::victims) is to name.
#[derive(Clone, Copy)]
pub enum Demand<'a> {
    /// This share of the tracked keys, as LMCache has it: `int(keys * ratio)`, but at least one key if the ratio
    /// is above zero. It counts as 0 below 0, or if it is no number, and as 1 above 1.
    Ratio(f64),
    /// As many keys as it takes, and no more, until they add up to `needed` bytes.
    Bytes {
        /// How many bytes are to become free; 0 asks for nothing.
        needed: u64,
        /// How many bytes the removal of a key frees. Asked once for each key that is named.
        size_of: &'a dyn Fn(&ObjectKey) -> u64,
    },
}

impl std::fmt::Debug for Demand<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ratio(ratio) => f.debug_tuple("Ratio").field(ratio).finish(),
            Self::Bytes { needed, .. } => {
                f.debug_struct("Bytes").field("needed", needed).finish_non_exhaustive()
            }
        }
    }
}

/// What is still to be named.
enum Left<'a> {
    Keys(usize),
    Bytes { left: u64, size_of: &'a dyn Fn(&ObjectKey) -> u64 },
}

/// The victims of one call as they are named. Every policy offers it keys, the first to go first, until
/// [`Self::is_met`] or it has no more.
pub(super) struct Tally<'a> {
    left: Left<'a>,
    is_evictable: &'a dyn Fn(&ObjectKey) -> bool,
    victims: Vec<ObjectKey>,
}

impl<'a> Tally<'a> {
    /// `tracked` is the number of keys that a ratio is taken of.
    pub(super) fn new(
        demand: Demand<'a>,
        tracked: usize,
        is_evictable: &'a dyn Fn(&ObjectKey) -> bool,
    ) -> Self {
        let left = match demand {
            Demand::Ratio(ratio) => Left::Keys(victim_count(tracked, ratio)),
            Demand::Bytes { needed, size_of } => Left::Bytes { left: needed, size_of },
        };
        Self { left, is_evictable, victims: Vec::new() }
    }

    /// Whether enough was named.
    pub(super) fn is_met(&self) -> bool {
        matches!(self.left, Left::Keys(0) | Left::Bytes { left: 0, .. })
    }

    /// Names `key`, unless it must stay; returns whether it was named.
    pub(super) fn offer(&mut self, key: &ObjectKey) -> bool {
        let is_named = !self.is_met() && (self.is_evictable)(key);
        if is_named {
            match &mut self.left {
                Left::Keys(keys) => *keys -= 1,
                Left::Bytes { left, size_of } => *left = left.saturating_sub(size_of(key)),
            }
            self.victims.push(key.clone());
        }
        is_named
    }

    /// What was named, in that order.
    pub(super) fn into_victims(self) -> Vec<ObjectKey> {
        self.victims
    }
}

/// How many of `tracked` keys a ratio takes: see [`Demand::Ratio`].
pub(in crate::storage) fn victim_count(tracked: usize, ratio: f64) -> usize {
    let ratio = ratio.clamp(0.0, 1.0);
    let count = (tracked as f64 * ratio) as usize;
    if count == 0 && ratio > 0.0 { tracked.min(1) } else { count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_rounded_down_but_takes_at_least_one() {
        let counts = [(10, 0.25), (10, 0.0), (10, -1.0), (10, 0.01), (0, 0.5), (10, 1.5), (10, f64::NAN)];
        assert_eq!(counts.map(|(tracked, ratio)| victim_count(tracked, ratio)), [2, 0, 0, 1, 0, 10, 0]);
    }
}

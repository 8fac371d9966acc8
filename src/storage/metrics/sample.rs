//! A share of the chunks, the same ones all the time: LMCache's rule, by a hash of our own.

use std::hash::{BuildHasher, Hash};

/// LMCache's modulus of the rule.
const SAMPLE_MODULUS: u64 = 1_000_003;

/// Takes a share of what there is.
#[derive(Debug)]
pub(super) struct Sampler {
    hasher: foldhash::fast::FixedState,
    /// What has a hash modulo [`SAMPLE_MODULUS`] below this is taken.
    below: u64,
}

impl Sampler {
    /// Takes this share.
    pub(super) fn new(rate: f64) -> Self {
        Self { hasher: foldhash::fast::FixedState::default(), below: (rate * SAMPLE_MODULUS as f64) as u64 }
    }

    /// Whether `value` is in the share.
    pub(super) fn takes(&self, value: impl Hash) -> bool {
        self.hasher.hash_one(value) % SAMPLE_MODULUS < self.below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_taken() {
        let taken = |rate| (0..100_000).filter(|number| Sampler::new(rate).takes(number)).count();
        assert_eq!((taken(1.0), taken(0.000_000_1)), (100_000, 0));
        let tenth = taken(0.1);
        assert!((9_500..10_500).contains(&tenth), "{tenth}");
    }
}

//! Which configuration runs when.
//!
//! Pairs of neighbours are compared, one run of each configuration, so that what changes slowly (heat, a neighbour on the
//! machine, a page cache that fills) is in both. Which of the two goes first follows the Thue-Morse sequence, A B B A B A
//! A B: in every four runs a linear drift favours neither side, in every eight a quadratic one does not either.

/// One of two configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What is compared against.
    A,
    /// What is compared.
    B,
}

impl Side {
    /// The letter on the command line and in reports.
    pub fn letter(self) -> char {
        match self {
            Self::A => 'A',
            Self::B => 'B',
        }
    }
}

/// The order of `pairs` pairs: two runs a pair.
pub fn interleaved(pairs: usize) -> impl Iterator<Item = Side> {
    (0..pairs).flat_map(|pair| match pair.count_ones() % 2 {
        0 => [Side::A, Side::B],
        _ => [Side::B, Side::A],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_favours_neither_side() {
        let order: Vec<Side> = interleaved(4).collect();
        let letters: String = order.iter().map(|side| side.letter()).collect();
        assert_eq!(letters, "ABBABAAB");
        for power in 0..=2 {
            let drift = |side| -> usize {
                let places = order.iter().enumerate().filter(|(_, run)| **run == side);
                places.map(|(place, _)| place.pow(power)).sum()
            };
            assert_eq!(drift(Side::A), drift(Side::B), "{power}");
        }
        assert_eq!(interleaved(0).count(), 0);
    }
}

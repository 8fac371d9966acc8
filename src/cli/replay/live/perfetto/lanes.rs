//! Prefetches overlap, and slices of one track must not: so they go into lanes.

/// How many lanes there are at most.
pub(super) const MAX_LANES: usize = 256;

/// When the last prefetch of each lane ended.
#[derive(Debug, Default)]
pub(super) struct Lanes(Vec<u64>);

/// Where a prefetch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) number: u32,
    /// Nothing went there before.
    pub(super) is_new: bool,
}

impl Lanes {
    /// The first lane whose last prefetch ended before this one began. Nothing if all are taken.
    pub(super) fn place(&mut self, begin_ns: u64, end_ns: u64) -> Option<Lane> {
        let free = self.0.iter().position(|last_end_ns| *last_end_ns <= begin_ns);
        let is_new = free.is_none();
        let position = free.unwrap_or(self.0.len());
        if position >= MAX_LANES {
            return None;
        }
        if is_new {
            self.0.push(end_ns);
        }
        self.0[position] = end_ns;
        Some(Lane { number: position as u32, is_new })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_goes_side_by_side() {
        let mut lanes = Lanes::default();
        let mut place =
            |begin_ns, end_ns| lanes.place(begin_ns, end_ns).map(|lane| (lane.number, lane.is_new));
        assert_eq!(place(0, 10), Some((0, true)));
        assert_eq!(place(9, 20), Some((1, true)));
        assert_eq!(place(10, 30), Some((0, false)));
        assert_eq!(place(19, 40), Some((2, true)));
    }

    #[test]
    fn the_last_lane_is_given_and_none_past_it() {
        let mut lanes = Lanes::default();
        let given = (0..MAX_LANES).filter(|_| lanes.place(0, 5).is_some()).count();
        assert_eq!((given, lanes.place(0, 5)), (MAX_LANES, None));
        assert_eq!(lanes.place(5, 6), Some(Lane { number: 0, is_new: false }));
    }
}

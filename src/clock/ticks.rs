//! From ticks to nanoseconds: pairs of both, read at one moment, and the straight line between two pairs.
//!
//! A recorder stamps with ticks, because reading `CLOCK_MONOTONIC` costs more than all the rest of a record. Its
//! writer takes a [`TickPair`] after each look at the rings and places what it saw on the line between the last
//! two, which makes the times continuous from span to span, never running backwards, and as right as the kernel's
//! own clock is at each pair. No rate is assumed, so none can drift.
//!
//! A thread that loses its CPU between its stamp and its commit is late: its stamp lies before the earlier pair,
//! and is moved to it. Its record is then as late in the file as it was for everybody else.

use super::{TickSource, Waiter, monotonic_ns};

/// Readings from which a pair is chosen; one that an interrupt fell into is wider than the others.
const PAIR_READINGS: usize = 4;

/// One moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickPair {
    /// Ticks of the [`TickSource`] that the pair was taken from.
    pub ticks: u64,
    /// The same moment on `CLOCK_MONOTONIC`.
    pub monotonic_ns: u64,
}

impl TickPair {
    /// Now, after everything that stands before this call in the program: a tick that another thread read before
    /// it published what this thread has read lies before the pair. Costs five to ten reads of the clock.
    pub fn take(source: TickSource) -> Self {
        if source == TickSource::Monotonic {
            let monotonic_ns = monotonic_ns();
            return Self { ticks: monotonic_ns, monotonic_ns };
        }
        let (mut narrowest, mut narrowest_ticks) = Self::read(source);
        for _ in 1..PAIR_READINGS {
            let (pair, width_ticks) = Self::read(source);
            if width_ticks < narrowest_ticks {
                (narrowest, narrowest_ticks) = (pair, width_ticks);
            }
        }
        narrowest
    }

    /// A pair, and how many ticks passed while it was read: it is at most half of them wrong.
    fn read(source: TickSource) -> (Self, u64) {
        let before = source.now_after();
        let monotonic_ns = monotonic_ns();
        let width_ticks = source.now_after().saturating_sub(before);
        (Self { ticks: before + width_ticks / 2, monotonic_ns }, width_ticks)
    }
}

/// The line between two pairs, ready to place ticks on it.
#[derive(Clone, Copy, Debug)]
pub struct TickScale {
    earlier: TickPair,
    later: TickPair,
    /// Nanoseconds per tick, in units of 2^-shift.
    multiplier: u64,
    /// At most 63.
    shift: u32,
}

impl TickScale {
    /// The line from `earlier` to `later`. Pairs of a clock that stood still or was set back (a restored virtual
    /// machine) give a line that only has its two ends.
    pub fn between(earlier: TickPair, later: TickPair) -> Self {
        let later = TickPair { monotonic_ns: later.monotonic_ns.max(earlier.monotonic_ns), ..later };
        let span_ns = later.monotonic_ns - earlier.monotonic_ns;
        let span_ticks = later.ticks.saturating_sub(earlier.ticks).max(1);
        // As many binary places as the multiplier has room for beside the whole nanoseconds of a tick.
        let whole_bits = u64::BITS - (span_ns / span_ticks).leading_zeros();
        let shift = (u64::BITS - whole_bits).min(u64::BITS - 1);
        let multiplier = (u128::from(span_ns) << shift) / u128::from(span_ticks);
        Self { earlier, later, multiplier: multiplier as u64, shift }
    }

    /// `ticks` on `CLOCK_MONOTONIC`, at most 2 ns before the exact place on the line; what lies outside is moved
    /// to the nearer end. Never decreases as `ticks` grows.
    #[inline]
    pub fn monotonic_ns(&self, ticks: u64) -> u64 {
        if ticks >= self.later.ticks {
            return self.later.monotonic_ns;
        }
        let since_ticks = ticks.saturating_sub(self.earlier.ticks);
        // The mask tells the compiler what `between` made sure of, and saves it a wide shift.
        let since_ns = (u128::from(since_ticks) * u128::from(self.multiplier)) >> (self.shift & 63);
        self.earlier.monotonic_ns + since_ns as u64
    }
}

/// Measures how long things take, by ticks: two reads of the counter instead of two of the clock, which cost a call of a
/// tenth of a microsecond as much as itself.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    source: TickSource,
    /// Nanoseconds per tick, in units of 2^-32.
    multiplier: u64,
}

/// How long a stopwatch watches the clock to learn its rate: the reads at both ends are then wrong by less than a ten-thousandth.
const CALIBRATION_NS: u64 = 2_000_000;

impl Stopwatch {
    /// A stopwatch on the cheapest counter that this machine can be trusted with. Takes two milliseconds.
    pub fn calibrate() -> Self {
        let source = TickSource::detect();
        if source == TickSource::Monotonic {
            return Self { source, multiplier: 1 << 32 };
        }
        let earlier = TickPair::take(source);
        Waiter::new(0).wait_until_ns(earlier.monotonic_ns + CALIBRATION_NS, || false);
        let later = TickPair::take(source);
        let (span_ns, span_ticks) =
            (later.monotonic_ns - earlier.monotonic_ns, later.ticks.saturating_sub(earlier.ticks).max(1));
        let multiplier = (u128::from(span_ns) << 32) / u128::from(span_ticks);
        Self { source, multiplier: u64::try_from(multiplier).unwrap_or(u64::MAX) }
    }

    /// The ticks of this moment.
    #[inline]
    pub fn now(self) -> u64 {
        self.source.now()
    }

    /// Nanoseconds from `begun`, which [`Self::now`] said, to this moment.
    #[inline]
    pub fn since_ns(self, begun: u64) -> u64 {
        self.between_ns(begun, self.now())
    }

    /// Nanoseconds from one moment to another, both of which [`Self::now`] said.
    #[inline]
    pub fn between_ns(self, begun: u64, ended: u64) -> u64 {
        let ticks = ended.saturating_sub(begun);
        ((u128::from(ticks) * u128::from(self.multiplier)) >> 32) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair(ticks: u64, monotonic_ns: u64) -> TickPair {
        TickPair { ticks, monotonic_ns }
    }

    fn exact_ns(earlier: TickPair, later: TickPair, ticks: u64) -> u64 {
        let span_ns = u128::from(later.monotonic_ns - earlier.monotonic_ns);
        let since = u128::from(ticks - earlier.ticks) * span_ns / u128::from(later.ticks - earlier.ticks);
        earlier.monotonic_ns + since as u64
    }

    /// Everything that is promised of a line, at `ticks` inside it.
    fn check(earlier: TickPair, later: TickPair, ticks: u64) {
        let scale = TickScale::between(earlier, later);
        assert_eq!(scale.monotonic_ns(earlier.ticks), earlier.monotonic_ns);
        assert_eq!(scale.monotonic_ns(later.ticks), later.monotonic_ns);
        let (placed_ns, exact_ns) = (scale.monotonic_ns(ticks), exact_ns(earlier, later, ticks));
        assert!(placed_ns <= exact_ns && exact_ns - placed_ns <= 2, "{placed_ns} is not {exact_ns}");
        assert!(scale.monotonic_ns(ticks.saturating_sub(1)) <= placed_ns);
        assert!(placed_ns <= scale.monotonic_ns(ticks.saturating_add(1)));
    }

    proptest! {
        #[test]
        fn a_tick_is_placed_on_the_line_between_its_pairs(
            start_ticks in 0..u64::MAX / 2, start_ns in 0..u64::MAX / 2,
            (span_ticks, span_ns) in (1..u64::MAX / 2, 0..u64::MAX / 2),
            (ticks_bits, ns_bits) in (0..63_u32, 0..63_u32), within in 0.0..1.0_f64,
        ) {
            let (span_ticks, span_ns) = ((span_ticks >> ticks_bits).max(1), span_ns >> ns_bits);
            let earlier = pair(start_ticks, start_ns);
            let later = pair(start_ticks + span_ticks, start_ns + span_ns);
            let inside = ((span_ticks as f64 * within) as u64).min(span_ticks);
            check(earlier, later, start_ticks + inside);
        }
    }

    #[test]
    fn extremes_are_placed_too() {
        for span in [(1, 0), (1, 1), (1, u64::MAX), (u64::MAX, 0), (u64::MAX, 1), (u64::MAX, u64::MAX)] {
            let (earlier, later) = (pair(0, 0), pair(span.0, span.1));
            for ticks in [0, 1, span.0 / 2, span.0 - 1, span.0] {
                check(earlier, later, ticks);
            }
        }
    }

    #[test]
    fn what_lies_outside_is_moved_to_the_nearer_end() {
        let scale = TickScale::between(pair(1_000, 50), pair(2_000, 450));
        assert_eq!([0, 999, 2_001, u64::MAX].map(|ticks| scale.monotonic_ns(ticks)), [50, 50, 450, 450]);
    }

    #[test]
    fn clocks_that_stand_still_or_go_back_still_give_times_in_order() {
        let stopped = TickScale::between(pair(7, 10), pair(7, 20));
        assert_eq!([6, 7, 8].map(|ticks| stopped.monotonic_ns(ticks)), [10, 20, 20]);
        let counter_set_back = TickScale::between(pair(7, 10), pair(3, 20));
        assert_eq!([2, 3, 8].map(|ticks| counter_set_back.monotonic_ns(ticks)), [10, 20, 20]);
        let time_set_back = TickScale::between(pair(7, 10), pair(9, 5));
        assert_eq!([6, 8, 9].map(|ticks| time_set_back.monotonic_ns(ticks)), [10, 10, 10]);
    }

    #[test]
    fn ticks_that_are_nanoseconds_stay_what_they_are() {
        let scale = TickScale::between(pair(1_000, 1_000), pair(u64::MAX - 1, u64::MAX - 1));
        for ticks in [1_000, 1_001, 1 << 40, (1 << 63) + 1, u64::MAX - 1] {
            assert_eq!(scale.monotonic_ns(ticks), ticks);
        }
    }

    #[test]
    fn a_stamp_between_two_pairs_agrees_with_the_clock() {
        for source in [TickSource::detect(), TickSource::Monotonic] {
            let earlier = TickPair::take(source);
            // An interrupt between the two readings would be the clock's error, not the line's.
            let stamps: Vec<_> = (0..100).map(|_| TickPair::take(source)).collect();
            let scale = TickScale::between(earlier, TickPair::take(source));
            let errors = stamps.iter().map(|s| scale.monotonic_ns(s.ticks).abs_diff(s.monotonic_ns));
            assert!(errors.min().is_some_and(|error_ns| error_ns < 1_000), "{source:?}");
            assert!(stamps.is_sorted_by_key(|stamp| stamp.ticks));
        }
    }

    #[test]
    fn a_stopwatch_agrees_with_the_clock() {
        let watch = Stopwatch::calibrate();
        let errors = (0..5).map(|_| {
            let (begun, begun_ns) = (watch.now(), monotonic_ns());
            Waiter::default().wait_until_ns(begun_ns + 3_000_000, || false);
            watch.since_ns(begun).abs_diff(monotonic_ns() - begun_ns)
        });
        // The thread can be interrupted between two reads: not every time.
        let least_ns = errors.min().unwrap();
        assert!(least_ns < 30_000, "{least_ns}");
    }
}

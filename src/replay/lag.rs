//! How late calls began: actual start minus intended start.

use hdrhistogram::Histogram;

/// The largest lag that is told apart: an hour. Later calls count as this late in the percentiles; the
/// maximum is kept exactly.
const MAX_TRACKED_LAG_NS: u64 = 3_600_000_000_000;

/// Significant digits of the percentiles.
const DIGITS: u8 = 3;

/// A call that begins later than this counts as late.
pub const LATE_NS: u64 = 1_000_000;

/// A histogram with room for everything up to [`MAX_TRACKED_LAG_NS`], so that recording never allocates.
pub(super) fn fixed_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_TRACKED_LAG_NS, DIGITS).expect("bounds 1..=1 h and 3 digits are valid")
}

/// Collects lags.
#[derive(Debug)]
pub struct LagRecorder {
    histogram: Histogram<u64>,
    max_ns: u64,
    late_calls: u64,
    /// The longest stretch of late calls that is over, and the one that is not.
    longest: LateStretch,
    current: Option<LateStretch>,
}

/// Calls that began late, one after the other, without one in between that was on time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LateStretch {
    /// When the first was due, nanoseconds from the start of the replay.
    pub from_ns: u64,
    /// When the last was due.
    pub to_ns: u64,
    /// How many there were.
    pub calls: u64,
    /// How late the latest was, nanoseconds.
    pub max_ns: u64,
}

impl LateStretch {
    fn longer(self, other: Self) -> Self {
        let length = |stretch: &Self| (stretch.to_ns - stretch.from_ns, stretch.calls);
        if length(&self) >= length(&other) { self } else { other }
    }
}

impl Default for LagRecorder {
    fn default() -> Self {
        Self {
            histogram: fixed_histogram(),
            max_ns: 0,
            late_calls: 0,
            longest: LateStretch::default(),
            current: None,
        }
    }
}

impl LagRecorder {
    /// Counts one call that began `lag_ns` after it was due, at `due_ns` from the start of the replay.
    #[inline]
    pub fn record(&mut self, due_ns: u64, lag_ns: u64) {
        self.histogram.saturating_record(lag_ns);
        self.max_ns = self.max_ns.max(lag_ns);
        if lag_ns > LATE_NS {
            self.late_calls += 1;
            let first = LateStretch { from_ns: due_ns, ..LateStretch::default() };
            let current = self.current.get_or_insert(first);
            current.to_ns = due_ns;
            current.calls += 1;
            current.max_ns = current.max_ns.max(lag_ns);
        } else if let Some(over) = self.current.take() {
            self.longest = self.longest.longer(over);
        }
    }

    fn longest_stretch(&self) -> LateStretch {
        self.current.map_or(self.longest, |current| self.longest.longer(current))
    }

    /// Adds the lags of another worker.
    pub fn merge(&mut self, other: &Self) {
        self.histogram += &other.histogram;
        self.max_ns = self.max_ns.max(other.max_ns);
        self.late_calls += other.late_calls;
        // Of workers that were late at the same time the one that was for longest.
        self.longest = self.longest_stretch().longer(other.longest_stretch());
        self.current = None;
    }

    /// The distribution so far.
    pub fn summary(&self) -> LagSummary {
        let quantile_ns = |quantile| self.histogram.value_at_quantile(quantile).min(self.max_ns);
        LagSummary {
            calls: self.histogram.len(),
            p50_ns: quantile_ns(0.5),
            p99_ns: quantile_ns(0.99),
            p999_ns: quantile_ns(0.999),
            max_ns: self.max_ns,
            late_calls: self.late_calls,
            longest_late: self.longest_stretch(),
        }
    }
}

/// How late the calls of a replay began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LagSummary {
    /// Calls that had a schedule.
    pub calls: u64,
    /// Median, nanoseconds.
    pub p50_ns: u64,
    /// 99th percentile, nanoseconds, to three digits.
    pub p99_ns: u64,
    /// 99.9th percentile, nanoseconds, to three digits.
    pub p999_ns: u64,
    /// Maximum, nanoseconds, exact.
    pub max_ns: u64,
    /// Calls more than [`LATE_NS`] late.
    pub late_calls: u64,
    /// The longest stretch of them.
    pub longest_late: LateStretch,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_is_later_than_a_millisecond_and_the_maximum_is_exact() {
        let mut lags = LagRecorder::default();
        for lag_ns in [10, 20, 30, LATE_NS, LATE_NS + 1, MAX_TRACKED_LAG_NS * 3] {
            lags.record(0, lag_ns);
        }
        let summary = lags.summary();
        assert_eq!((summary.calls, summary.late_calls), (6, 2));
        assert_eq!((summary.p50_ns, summary.max_ns), (30, MAX_TRACKED_LAG_NS * 3));
    }

    #[test]
    fn the_lags_of_two_workers_are_those_of_one_that_had_all() {
        let (mut one, mut other, mut all) =
            (LagRecorder::default(), LagRecorder::default(), LagRecorder::default());
        for (number, lag_ns) in [5, LATE_NS * 2, 70, 9, LATE_NS + 1].into_iter().enumerate() {
            if number % 2 == 0 { &mut one } else { &mut other }.record(0, lag_ns);
            all.record(0, lag_ns);
        }
        one.merge(&other);
        let without_stretches =
            |lags: &LagRecorder| LagSummary { longest_late: LateStretch::default(), ..lags.summary() };
        assert_eq!(without_stretches(&one), without_stretches(&all));
    }

    #[test]
    fn the_longest_stretch_of_late_calls_says_since_when() {
        let late = LATE_NS + 1;
        let mut lags = LagRecorder::default();
        for (due_ns, lag_ns) in [(0, 0), (10, late), (20, late * 3), (30, 0), (40, late), (50, 0)] {
            lags.record(due_ns, lag_ns);
        }
        let first = LateStretch { from_ns: 10, to_ns: 20, calls: 2, max_ns: late * 3 };
        assert_eq!(lags.summary().longest_late, first);
        for due_ns in [60, 70, 80] {
            lags.record(due_ns, late);
        }
        let to_the_end = LateStretch { from_ns: 60, to_ns: 80, calls: 3, max_ns: late };
        assert_eq!(lags.summary().longest_late, to_the_end);
        let mut other = LagRecorder::default();
        other.merge(&lags);
        assert_eq!(other.summary().longest_late, to_the_end);
    }

    #[test]
    fn without_calls_everything_is_zero() {
        assert_eq!(LagRecorder::default().summary(), LagSummary::default());
    }
}

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
}

impl Default for LagRecorder {
    fn default() -> Self {
        Self { histogram: fixed_histogram(), max_ns: 0, late_calls: 0 }
    }
}

impl LagRecorder {
    /// Counts one call that began `lag_ns` after it was due.
    #[inline]
    pub fn record(&mut self, lag_ns: u64) {
        self.histogram.saturating_record(lag_ns);
        self.max_ns = self.max_ns.max(lag_ns);
        self.late_calls += u64::from(lag_ns > LATE_NS);
    }

    /// Adds what another worker counted.
    pub fn merge(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("all lags have the same bounds");
        self.max_ns = self.max_ns.max(other.max_ns);
        self.late_calls += other.late_calls;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_is_later_than_a_millisecond_and_the_maximum_is_exact() {
        let mut lags = LagRecorder::default();
        for lag_ns in [10, 20, 30, LATE_NS, LATE_NS + 1, MAX_TRACKED_LAG_NS * 3] {
            lags.record(lag_ns);
        }
        let summary = lags.summary();
        assert_eq!((summary.calls, summary.late_calls), (6, 2));
        assert_eq!((summary.p50_ns, summary.max_ns), (30, MAX_TRACKED_LAG_NS * 3));
    }

    #[test]
    fn lags_of_several_workers_are_those_of_one() {
        let (mut all, mut some, mut others) =
            (LagRecorder::default(), LagRecorder::default(), LagRecorder::default());
        for lag_ns in [1, 20, 300, LATE_NS + 1, LATE_NS * 7] {
            all.record(lag_ns);
            if lag_ns % 2 == 0 { some.record(lag_ns) } else { others.record(lag_ns) }
        }
        some.merge(&others);
        assert_eq!(some.summary(), all.summary());
    }

    #[test]
    fn without_calls_everything_is_zero() {
        assert_eq!(LagRecorder::default().summary(), LagSummary::default());
    }
}

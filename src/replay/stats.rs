//! How long calls took, per operation.
//!
//! Percentiles are nearest-rank, the sample at `ceil(p/100 * N) - 1`, over every sample as long as there are
//! at most [`EXACT_SAMPLES`] of an operation; from there on a histogram answers, to three digits, and the
//! summary says so. Count, mean, minimum and maximum are always exact. (LMCache's own percentiles are one
//! rank higher where `p/100 * N` is whole.)
//!
//! Beside the latency stands the response time: from the time at which the call was due to its end, which is its lag and its
//! latency. A call that takes long makes the ones after it late; in their latencies that does not show, which is called
//! coordinated omission, and in their response times it does. Each worker has a table of its own; they are merged at the end.

use crate::format::model::Op;
use crate::replay::latency::{Series, Spread};

/// How many samples of one operation are kept: 1 MiB.
pub const EXACT_SAMPLES: usize = 1 << 17;

/// The latencies of one operation.
#[derive(Debug)]
pub struct OpLatencies {
    /// Reserved at full length up front: a page costs memory once samples reach it, and no sample ever waits
    /// for the others to be copied.
    samples_ns: Vec<u64>,
    all: Series,
    errors: u64,
    responses: Series,
}

impl Default for OpLatencies {
    fn default() -> Self {
        Self {
            samples_ns: Vec::with_capacity(EXACT_SAMPLES),
            all: Series::allocated(),
            errors: 0,
            responses: Series::allocated(),
        }
    }
}

impl OpLatencies {
    /// Counts a call that took `latency_ns`, and began `lag_ns` after it was due; nothing if it was never due.
    #[inline]
    pub fn record(&mut self, latency_ns: u64, lag_ns: Option<u64>) {
        if let Some(lag_ns) = lag_ns {
            self.responses.record(lag_ns.saturating_add(latency_ns));
        }
        if self.samples_ns.len() < EXACT_SAMPLES {
            self.samples_ns.push(latency_ns);
        }
        self.all.record(latency_ns);
    }

    /// Counts a call that failed. As in LMCache's statistics it has no latency.
    pub fn record_error(&mut self) {
        self.errors += 1;
    }

    /// Adds what another worker measured.
    fn merge(&mut self, other: Self) {
        let room = EXACT_SAMPLES - self.samples_ns.len();
        self.samples_ns.extend(other.samples_ns.iter().take(room));
        self.all.merge(&other.all);
        self.errors += other.errors;
        self.responses.merge(&other.responses);
    }

    /// Whether there is anything to report.
    fn is_empty(&self) -> bool {
        self.all.count() == 0 && self.errors == 0
    }

    fn summary(mut self, op: Op) -> OpSummary {
        self.samples_ns.sort_unstable();
        let all = self.all.spread();
        let is_exact = all.count <= EXACT_SAMPLES as u64;
        let or_exact = |percent, of_all_ns| match is_exact {
            true => nearest_rank(&self.samples_ns, percent),
            false => of_all_ns,
        };
        OpSummary {
            op,
            count: all.count,
            errors: self.errors,
            mean_ns: all.mean_ns,
            p50_ns: or_exact(50, all.p50_ns),
            p90_ns: or_exact(90, all.p90_ns),
            p99_ns: or_exact(99, all.p99_ns),
            min_ns: all.min_ns,
            max_ns: all.max_ns,
            is_exact,
            response: self.responses.spread(),
        }
    }
}

/// The sample at `ceil(percent/100 * N) - 1` of `sorted`; 0 if there is none.
fn nearest_rank(sorted: &[u64], percent: u64) -> u64 {
    let rank = (sorted.len() as u64 * percent).div_ceil(100).max(1);
    sorted.get(rank as usize - 1).copied().unwrap_or(0)
}

/// The latencies of all operations.
#[derive(Debug, Default)]
pub struct LatencyTable([OpLatencies; Op::COUNT]);

impl LatencyTable {
    /// The latencies of `op`.
    #[inline]
    pub fn of(&mut self, op: Op) -> &mut OpLatencies {
        &mut self.0[op as usize]
    }

    /// Adds what another worker measured.
    pub fn merge(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| own.merge(other));
    }

    /// One summary per operation that was called, in the order of their names.
    pub fn into_summaries(self) -> Vec<OpSummary> {
        Op::ALL
            .into_iter()
            .zip(self.0)
            .filter(|(_, latencies)| !latencies.is_empty())
            .map(|(op, latencies)| latencies.summary(op))
            .collect()
    }
}

/// The latencies of one operation, summed up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpSummary {
    /// Which operation.
    pub op: Op,
    /// Calls that succeeded.
    pub count: u64,
    /// Calls that failed; they are in none of the other numbers.
    pub errors: u64,
    /// Mean, nanoseconds.
    pub mean_ns: f64,
    /// Median, nanoseconds.
    pub p50_ns: u64,
    /// 90th percentile, nanoseconds.
    pub p90_ns: u64,
    /// 99th percentile, nanoseconds.
    pub p99_ns: u64,
    /// The quickest call, nanoseconds.
    pub min_ns: u64,
    /// The slowest call, nanoseconds.
    pub max_ns: u64,
    /// Whether the percentiles are those of every sample; else they are good to three digits.
    pub is_exact: bool,
    /// From the time at which each call was due to its end. Without the calls that were never due.
    pub response: Spread,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary_of(latencies_ns: impl IntoIterator<Item = u64>) -> OpSummary {
        let mut table = LatencyTable::default();
        latencies_ns.into_iter().for_each(|latency_ns| table.of(Op::FinishWrite).record(latency_ns, Some(0)));
        table.into_summaries()[0]
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let hundred = summary_of((1..=100).rev());
        assert_eq!((hundred.p50_ns, hundred.p90_ns, hundred.p99_ns), (50, 90, 99));
        assert_eq!((hundred.min_ns, hundred.max_ns, hundred.mean_ns), (1, 100, 50.5));
        let three = summary_of([7, 3, 5]);
        assert_eq!((three.p50_ns, three.p90_ns, three.p99_ns), (5, 7, 7));
        assert_eq!(summary_of([9]).p50_ns, 9);
    }

    #[test]
    fn errors_alone_still_make_a_row() {
        let mut table = LatencyTable::default();
        table.of(Op::ReserveWrite).record_error();
        let rows = table.into_summaries();
        assert_eq!((rows.len(), rows[0].errors, rows[0].count, rows[0].max_ns), (1, 1, 0, 0));
        assert_eq!((rows[0].min_ns, rows[0].mean_ns), (0, 0.0));
    }

    #[test]
    fn past_the_bound_a_histogram_answers_and_says_so() {
        let bound = EXACT_SAMPLES as u64;
        let at_bound = summary_of((1..=bound).map(|value| value * 1000));
        assert!(at_bound.is_exact);
        assert_eq!(at_bound.p50_ns, bound / 2 * 1000);
        let past = summary_of((1..=2 * bound).map(|value| value * 1000));
        assert!(!past.is_exact);
        let error = past.p50_ns.abs_diff(bound * 1000) as f64 / (bound * 1000) as f64;
        assert!(error < 1e-3, "{error}");
        assert_eq!((past.min_ns, past.max_ns, past.count), (1000, 2 * bound * 1000, 2 * bound));
    }

    #[test]
    fn workers_together_say_what_one_would_have() {
        let values = || (1..=3000_u64).map(|value| value * 7919 % 1009);
        let mut parts = [const { None }; 3].map(|_: Option<()>| LatencyTable::default());
        for (number, value) in values().enumerate() {
            parts[number % 3].of(Op::FinishWrite).record(value, Some(0));
        }
        parts[1].of(Op::FinishWrite).record_error();
        let [mut first, second, third] = parts;
        first.merge(second);
        first.merge(third);
        let merged = first.into_summaries();
        assert_eq!(merged, [OpSummary { errors: 1, ..summary_of(values()) }]);
    }

    #[test]
    fn a_response_is_lag_and_latency() {
        let mut table = LatencyTable::default();
        for (latency_ns, lag_ns) in [(100, Some(0)), (100, Some(900)), (5, None)] {
            table.of(Op::ReadExit).record(latency_ns, lag_ns);
        }
        let row = table.into_summaries()[0];
        assert_eq!((row.count, row.max_ns, row.min_ns), (3, 100, 5));
        let response = row.response;
        assert_eq!(
            (response.count, response.min_ns, response.max_ns, response.mean_ns),
            (2, 100, 1000, 550.0)
        );
    }

    #[test]
    fn no_percentile_lies_outside_the_samples() {
        const HOURS_NS: u64 = 7_200_000_000_001;
        for value_ns in [1_234_567, HOURS_NS] {
            let same = summary_of(std::iter::repeat_n(value_ns, EXACT_SAMPLES + 1));
            assert!(!same.is_exact);
            assert_eq!([same.p50_ns, same.p90_ns, same.p99_ns], [value_ns; 3]);
        }
    }
}

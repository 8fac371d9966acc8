//! Two sets of runs, metric by metric.
//!
//! A difference is *real* if its interval lies on one side of zero and it is larger than the noise floor. The floor is what
//! runs of one configuration differ by among themselves: the same estimate, made of as many pairs of which both are A or
//! both are B. A machine that a neighbour shakes raises the floor in the very runs that it shakes.

use super::metrics::{Direction, Metric, RunMetrics};
use super::resample::{Estimate, least_pairs, paired, unpaired};

/// How the runs of the two sets belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// The n-th of one ran beside the n-th of the other.
    Paired,
    /// They ran at different times.
    Unpaired,
}

/// The fewest runs of each set with which a confidence can be had: [`least_pairs`], and an even number, for the noise floor is
/// made of pairs of runs of one set. With fewer nothing is told of any metric, not even of one that never varied.
pub fn least_runs(confidence: f64) -> usize {
    least_pairs(confidence).next_multiple_of(2).max(MIN_RUNS)
}

/// The fewest runs of each set, however low the confidence.
pub const MIN_RUNS: usize = 4;

/// A change by more percent than this is told in the metric's unit: what it began with was next to nothing.
pub const MAX_PERCENT: f64 = 1000.0;

/// Values further from zero than this are not compared: their squares would be no numbers any more.
const MAX_VALUE: f64 = 1e100;

/// What the runs of one set said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The mean that the change is made of: see [`Row::mean`].
    pub mean: f64,
    /// The value in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of at least one value.
    fn of(values: &[f64], mean: Mean) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let median = match sorted.len().is_multiple_of(2) {
            true => f64::midpoint(sorted[half - 1], sorted[half]),
            false => sorted[half],
        };
        // What never varies is its own mean, to the last bit.
        let mean = if min == max { min } else { mean.of(values) };
        Some(Self { mean, median, min, max })
    }
}

/// How the runs of a set are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mean {
    /// The n-th root of the product: B / A of these means is the mean of B / A.
    Geometric,
    /// The sum by the count: B - A of these means is the mean of B - A.
    Arithmetic,
}

impl Mean {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Geometric => "geometric",
            Self::Arithmetic => "arithmetic",
        }
    }

    /// The one by which these values of a metric are compared.
    fn fit_for<'a>(metric: &Metric, mut values: impl Iterator<Item = &'a f64>) -> Self {
        match metric.unit.least_of_percent() {
            Some(least) if values.all(|value| *value >= least) => Self::Geometric,
            _ => Self::Arithmetic,
        }
    }

    fn of(self, values: &[f64]) -> f64 {
        let count = values.len() as f64;
        match self {
            Self::Geometric => (values.iter().map(|value| value.ln()).sum::<f64>() / count).exp(),
            Self::Arithmetic => values.iter().sum::<f64>() / count,
        }
    }
}

/// What a change is told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Percent of A's mean: times and rates.
    Percent,
    /// The metric's own unit: counts, shares and bytes, times of next to nothing, and changes beyond [`MAX_PERCENT`].
    Unit,
}

/// How B differs from A.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Every run of A gave one value, every run of B gave one: this is their difference, in the metric's unit.
    Exact {
        /// B less A.
        difference: f64,
    },
    /// Runs differ; so this is an estimate.
    Estimated {
        /// What it and the other numbers are told in.
        scale: Scale,
        /// The mean change.
        change: f64,
        /// The lower end of its interval.
        low: f64,
        /// The upper end.
        high: f64,
        /// What runs of one configuration differ by.
        floor: f64,
        /// Whether the change is above the noise.
        is_real: bool,
    },
    /// There are too few runs to tell anything.
    TooFewRuns {
        /// How many of each set it takes.
        least: usize,
    },
    /// Runs of one of the sets do not have it.
    NotInBoth,
}

/// A metric in both sets.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its place in the catalogue.
    pub place: usize,
    /// What the runs of A said; nothing if one of them said nothing.
    pub a: Option<Spread>,
    /// The same of B.
    pub b: Option<Spread>,
    /// How the runs of a set are averaged.
    pub mean: Mean,
    /// How they differ.
    pub change: Change,
    /// Whether it says what another metric says already: times of whole prefetches, where none went to L2.
    pub is_repeat: bool,
}

impl Row {
    /// Where B lies from A, if it differs above the noise.
    pub fn direction(&self) -> Option<Direction> {
        let change = match self.change {
            Change::Exact { difference } if difference != 0.0 => difference,
            Change::Estimated { change, is_real: true, .. } => change,
            _ => return None,
        };
        Some(if change > 0.0 { Direction::Higher } else { Direction::Lower })
    }

    /// Whether B differs from A, above the noise.
    pub fn is_changed(&self) -> bool {
        self.direction().is_some()
    }
}

/// Compares `b` with `a`: all metrics that any run has, in the order of the catalogue.
pub fn compare(
    catalogue: &[Metric],
    a: &[RunMetrics],
    b: &[RunMetrics],
    pairing: Pairing,
    confidence: f64,
) -> Vec<Row> {
    let least = least_runs(confidence);
    let mut rows = Vec::new();
    let mut samples = Vec::new();
    for (place, metric) in catalogue.iter().enumerate() {
        let [values_a, values_b] = [a, b].map(|runs| values(runs, place));
        let mean = Mean::fit_for(metric, values_a.iter().chain(&values_b).flatten());
        let [spread_a, spread_b] = [&values_a, &values_b].map(|values| Spread::of(values.as_deref()?, mean));
        if spread_a.is_none() && spread_b.is_none() {
            continue;
        }
        let mut change = Change::NotInBoth;
        if let (Some(values_a), Some(values_b)) = (values_a, values_b) {
            change = Change::TooFewRuns { least };
            if values_a.len().min(values_b.len()) >= least {
                samples.push((rows.len(), Sample::new(mean, values_a, values_b)));
            }
        }
        rows.push(Row { place, a: spread_a, b: spread_b, mean, change, is_repeat: false });
    }
    estimate(&mut rows, &samples, pairing, confidence);
    if !rows.iter().any(|row| catalogue[row.place].is_of_l2()) {
        rows.iter_mut().for_each(|row| row.is_repeat = catalogue[row.place].is_of_whole_prefetches());
    }
    rows
}

/// A metric that all runs have: on the scale on which its changes add up.
struct Sample {
    mean: Mean,
    a: Vec<f64>,
    b: Vec<f64>,
}

impl Sample {
    fn new(mean: Mean, a: Vec<f64>, b: Vec<f64>) -> Self {
        match mean {
            Mean::Geometric => {
                let [a, b] = [a, b].map(|values| values.into_iter().map(f64::ln).collect());
                Self { mean, a, b }
            }
            Mean::Arithmetic => Self { mean, a, b },
        }
    }

    fn differences(&self) -> Vec<f64> {
        self.a.iter().zip(&self.b).map(|(a, b)| b - a).collect()
    }

    /// Differences of runs of one set: neighbours among A, neighbours among B. Every other one is turned round, so that
    /// drift cancels here as it does between A and B.
    fn own_differences(&self) -> Vec<f64> {
        let own = |values: &[f64]| -> Vec<f64> {
            let pairs = values.chunks_exact(2).enumerate();
            pairs
                .map(|(place, pair)| if place % 2 == 0 { pair[1] - pair[0] } else { pair[0] - pair[1] })
                .collect()
        };
        [own(&self.a), own(&self.b)].concat()
    }

    /// The change of this metric, where A's mean is `base`.
    fn change(&self, base: f64, estimate: Estimate, floor: Estimate) -> Change {
        let is_real = estimate.excludes_zero() && estimate.mean.abs() > floor.reach();
        let values = [estimate.mean, estimate.low, estimate.high, floor.reach()];
        let (scale, [change, low, high, floor]) = match self.mean {
            Mean::Arithmetic => (Scale::Unit, values),
            Mean::Geometric => {
                let percent = values.map(|value| value.exp_m1() * 100.0);
                match percent.iter().all(|percent| percent.abs() <= MAX_PERCENT) {
                    true => (Scale::Percent, percent),
                    false => (Scale::Unit, percent.map(|percent| percent / 100.0 * base)),
                }
            }
        };
        Change::Estimated { scale, change, low, high, floor, is_real }
    }
}

/// Puts the changes of all `samples` into their rows. Those that never vary are judged with the others: that all of them differ
/// in the one way that happened is one chance among all choices, and has to count as one.
fn estimate(rows: &mut [Row], samples: &[(usize, Sample)], pairing: Pairing, confidence: f64) {
    let of_all =
        |of: fn(&Sample) -> Vec<f64>| samples.iter().map(|(_, sample)| of(sample)).collect::<Vec<_>>();
    let estimates = match pairing {
        Pairing::Paired => paired(&of_all(Sample::differences), confidence),
        Pairing::Unpaired => {
            let groups = samples.iter().map(|(_, sample)| (sample.a.clone(), sample.b.clone()));
            unpaired(&groups.collect::<Vec<_>>(), confidence)
        }
    };
    let floors = paired(&of_all(Sample::own_differences), confidence);
    let (Some(estimates), Some(floors)) = (estimates, floors) else { return };
    for (((place, sample), estimate), floor) in samples.iter().zip(estimates).zip(floors) {
        let row = &mut rows[*place];
        let (Some(a), Some(b)) = (row.a, row.b) else { continue };
        row.change = match a.min == a.max && b.min == b.max {
            true => Change::Exact { difference: b.min - a.min },
            false => sample.change(a.mean, estimate, floor),
        };
    }
}

/// The values of a metric, if all runs have it and none is beyond all measure.
fn values(runs: &[RunMetrics], place: usize) -> Option<Vec<f64>> {
    let value = |run: &RunMetrics| run.get(place).copied().flatten().filter(|value| value.abs() <= MAX_VALUE);
    let values: Option<Vec<f64>> = runs.iter().map(value).collect();
    values.filter(|values| !values.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::metrics::catalogue;

    fn runs(name: &str, values: &[f64]) -> Vec<RunMetrics> {
        let all = catalogue();
        let run = |value: &f64| all.iter().map(|metric| (metric.name == name).then_some(*value)).collect();
        values.iter().map(run).collect()
    }

    fn row(name: &str, a: &[f64], b: &[f64]) -> Row {
        let mut rows = compare(&catalogue(), &runs(name, a), &runs(name, b), Pairing::Paired, 0.99);
        assert_eq!(rows.len(), 1);
        rows.remove(0)
    }

    fn change(name: &str, a: &[f64], b: &[f64]) -> Change {
        row(name, a, b).change
    }

    const A: [f64; 8] = [100.0, 101.0, 99.0, 100.0, 102.0, 100.0, 101.0, 99.0];

    #[test]
    fn what_never_varies_is_told_exactly() {
        assert_eq!(change("keys_hit", &[5.0; 8], &[7.0; 8]), Change::Exact { difference: 2.0 });
        assert_eq!(change("keys_hit", &[5.0; 8], &[5.0; 8]), Change::Exact { difference: 0.0 });
    }

    /// One run that differs from one other is no finding, and a count that never varied in three runs is none either.
    #[test]
    fn with_one_run_too_few_nothing_is_told() {
        for (confidence, least) in
            [(0.5, MIN_RUNS), (0.8, MIN_RUNS), (0.9, 6), (0.95, 6), (0.99, 8), (0.999, 12)]
        {
            assert_eq!(least_runs(confidence), least);
            for pairing in [Pairing::Paired, Pairing::Unpaired] {
                let of = |count: usize| {
                    let (a, b) = (vec![1.0; count], vec![2.0; count]);
                    let [a, b] = [a, b].map(|values| runs("keys_hit", &values));
                    compare(&catalogue(), &a, &b, pairing, confidence)[0].change
                };
                assert_eq!(of(least), Change::Exact { difference: 1.0 }, "{confidence}");
                assert_eq!(of(least - 1), Change::TooFewRuns { least }, "{confidence}");
                assert_eq!(of(1), Change::TooFewRuns { least }, "{confidence}");
            }
        }
        let few = row("duration", &[1.0; 7], &A[..7]);
        assert_eq!((few.change, few.direction()), (Change::TooFewRuns { least: 8 }, None));
        let one_side = compare(
            &catalogue(),
            &runs("keys_hit", &[1.0; 8]),
            &runs("keys_hit", &[2.0; 7]),
            Pairing::Unpaired,
            0.99,
        );
        assert_eq!(one_side[0].change, Change::TooFewRuns { least: 8 });
    }

    #[test]
    fn times_change_in_percent_and_counts_in_their_unit() {
        let b = A.map(|value| value * 1.1);
        let Change::Estimated { scale, change: percent, low, high, is_real, .. } = change("lag.p50", &A, &b)
        else {
            panic!("an estimate")
        };
        assert!(is_real && scale == Scale::Percent);
        assert!((percent - 10.0).abs() < 1e-9 && (high - low).abs() < 1e-6, "{percent} {low} {high}");
        let Change::Estimated { scale, change: count, .. } = change("keys_evicted", &A, &b) else {
            panic!("an estimate")
        };
        assert!(scale == Scale::Unit && (count - 10.025).abs() < 1e-9);
        // A time of zero has no percent.
        let zero = A.map(|value| value - 99.0);
        assert!(matches!(change("lag.p50", &zero, &A), Change::Estimated { scale: Scale::Unit, .. }));
    }

    /// A run that was held up moves the mean that is shown as it moves the change.
    #[test]
    fn the_change_can_be_computed_from_what_is_shown_beside_it() {
        let mut a = A;
        a[3] = 90_000.0;
        let b = A.map(|value| value * 1.1);
        for (name, mean) in [("reserve_write.p99", Mean::Geometric), ("keys_evicted", Mean::Arithmetic)] {
            let row = row(name, &a, &b);
            let (Some(a), Some(b)) = (row.a, row.b) else { panic!("both") };
            let Change::Estimated { scale, change, .. } = row.change else { panic!("an estimate") };
            let computed = match scale {
                Scale::Percent => (b.mean / a.mean - 1.0) * 100.0,
                Scale::Unit => b.mean - a.mean,
            };
            assert_eq!(row.mean, mean);
            assert!((change - computed).abs() < 1e-9 * change.abs(), "{name}: {change} {computed}");
        }
    }

    #[test]
    fn a_percentage_of_next_to_nothing_is_a_difference() {
        let scale = |name: &str, a: f64, b: f64| {
            let row = row(name, &A.map(|value| value * a / 100.0), &A.map(|value| value * b / 100.0));
            let Change::Estimated { scale, change, .. } = row.change else { panic!("an estimate") };
            if scale == Scale::Unit {
                let difference = row.b.map_or(0.0, |b| b.mean) - row.a.map_or(0.0, |a| a.mean);
                assert!((change - difference).abs() < 1e-9 * difference.abs(), "{change} {difference}");
            }
            scale
        };
        // The smallest of A is 0.99 times as large.
        let least = crate::compare::metrics::LEAST_TIME_US / 0.99;
        assert_eq!(scale("lag.p50", least * 1.001, 1.0), Scale::Percent);
        assert_eq!(scale("lag.p50", least * 0.999, 1.0), Scale::Unit);
        assert_eq!(scale("lag.p50", 0.02, 30_000.0), Scale::Unit);
        // Eleven times as much is 1000 percent more.
        assert_eq!(scale("lag.p50", 1.0, 10.999), Scale::Percent);
        assert_eq!(scale("lag.p50", 1.0, 11.001), Scale::Unit);
    }

    /// Every B is slower, but the As differ among themselves by more.
    #[test]
    fn a_difference_below_the_floor_is_not_real() {
        let a = [100.0, 200.0, 210.0, 99.0, 98.0, 205.0, 207.0, 100.0];
        let b = a.map(|value| value * 1.05);
        let Change::Estimated { low, floor, is_real, .. } = change("lag.p50", &a, &b) else {
            panic!("an estimate")
        };
        assert!(low > 0.0 && floor > 5.0 && !is_real, "{low} {floor}");
    }

    #[test]
    fn what_one_side_lacks_is_said() {
        let of = |a: &[RunMetrics], b: &[RunMetrics]| compare(&catalogue(), a, b, Pairing::Paired, 0.99);
        let rows = of(&runs("l2.bytes", &[1.0]), &runs("none", &[1.0]));
        assert_eq!((rows.len(), rows[0].change, rows[0].is_changed()), (1, Change::NotInBoth, false));
        assert_eq!(rows[0].a.map(|spread| spread.median), Some(1.0));
        // What is no number is not there, and neither is what no arithmetic can be done with.
        for value in [f64::NAN, f64::INFINITY, 2.0 * MAX_VALUE] {
            let mut odd = [1.0; 8];
            odd[5] = value;
            let rows = of(&runs("l2.bytes", &[1.0; 8]), &runs("l2.bytes", &odd));
            assert_eq!((rows[0].change, rows[0].b), (Change::NotInBoth, None), "{value}");
        }
        let rows = of(&runs("l2.bytes", &[MAX_VALUE; 8]), &runs("l2.bytes", &[-MAX_VALUE; 8]));
        assert_eq!(rows[0].change, Change::Exact { difference: -2.0 * MAX_VALUE });
    }

    #[test]
    fn whole_prefetches_repeat_their_calls_where_there_is_no_l2() {
        let all = catalogue();
        let has = |names: &[&str]| -> Vec<RunMetrics> {
            let run = all.iter().map(|metric| names.contains(&metric.name.as_str()).then_some(1.0));
            vec![run.collect(); 8]
        };
        let repeats = |a: &[&str], b: &[&str]| -> Vec<String> {
            let rows = compare(&all, &has(a), &has(b), Pairing::Paired, 0.99);
            rows.iter().filter(|row| row.is_repeat).map(|row| all[row.place].name.clone()).collect()
        };
        let (without, with) =
            (["prefetch.p50", "prefetch.timed_out"], ["prefetch.p50", "prefetch.l2_load.p50"]);
        assert_eq!(repeats(&without, &without), ["prefetch.p50"]);
        assert_eq!(repeats(&without, &with), [] as [&str; 0]);
        assert_eq!(repeats(&with, &with), [] as [&str; 0]);
    }
}

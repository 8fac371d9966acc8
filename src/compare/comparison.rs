//! Two sets of runs, metric by metric.
//!
//! A difference is *real* if its interval lies on one side of zero and it is larger than the noise floor. The floor is what
//! runs of one configuration differ by among themselves: the same estimate, made of as many pairs of which both are A or
//! both are B. A machine that a neighbour shakes raises the floor in the very runs that it shakes.

use super::metrics::{Metric, RunMetrics};
use super::resample::{Estimate, paired, unpaired};

/// How the runs of the two sets belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// The n-th of one ran beside the n-th of the other.
    Paired,
    /// They ran at different times.
    Unpaired,
}

/// What the runs of one set said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The value in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of at least one value.
    fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let median = match sorted.len().is_multiple_of(2) {
            true => f64::midpoint(sorted[half - 1], sorted[half]),
            false => sorted[half],
        };
        Some(Self { median, min, max })
    }
}

/// What a change is told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Percent of A: times and rates. Means are geometric.
    Percent,
    /// The metric's own unit: counts, shares and bytes.
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
    /// There are too few runs for an interval.
    TooFewRuns,
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
    /// How they differ.
    pub change: Change,
}

impl Row {
    /// Whether B differs from A, above the noise.
    pub fn is_changed(&self) -> bool {
        match self.change {
            Change::Exact { difference } => difference != 0.0,
            Change::Estimated { is_real, .. } => is_real,
            Change::TooFewRuns | Change::NotInBoth => false,
        }
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
    let mut rows = Vec::new();
    let mut samples = Vec::new();
    for (place, metric) in catalogue.iter().enumerate() {
        let [values_a, values_b] = [a, b].map(|runs| values(runs, place));
        let [spread_a, spread_b] = [&values_a, &values_b].map(|values| Spread::of(values.as_deref()?));
        if spread_a.is_none() && spread_b.is_none() {
            continue;
        }
        let mut change = Change::NotInBoth;
        if let (Some(values_a), Some(values_b)) = (values_a, values_b) {
            let difference = values_b[0] - values_a[0];
            change = match is_constant(&values_a) && is_constant(&values_b) {
                true => Change::Exact { difference },
                false => {
                    samples.push((rows.len(), Sample::new(metric, values_a, values_b)));
                    Change::TooFewRuns
                }
            };
        }
        rows.push(Row { place, a: spread_a, b: spread_b, change });
    }
    estimate(&mut rows, &samples, pairing, confidence);
    rows
}

/// A metric that has to be estimated: on the scale on which its changes add up.
struct Sample {
    scale: Scale,
    a: Vec<f64>,
    b: Vec<f64>,
}

impl Sample {
    fn new(metric: &Metric, a: Vec<f64>, b: Vec<f64>) -> Self {
        let is_positive = a.iter().chain(&b).all(|value| *value > 0.0);
        match metric.unit.is_ratio() && is_positive {
            true => {
                let [a, b] = [a, b].map(|values| values.into_iter().map(f64::ln).collect());
                Self { scale: Scale::Percent, a, b }
            }
            false => Self { scale: Scale::Unit, a, b },
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

    fn told(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Percent => value.exp_m1() * 100.0,
            Scale::Unit => value,
        }
    }
}

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
    for (((row, sample), estimate), floor) in samples.iter().zip(estimates).zip(floors) {
        let is_above = estimate.mean.abs() > floor.reach();
        rows[*row].change = Change::Estimated {
            scale: sample.scale,
            change: sample.told(estimate.mean),
            low: sample.told(estimate.low),
            high: sample.told(estimate.high),
            floor: sample.told(Estimate::reach(&floor)),
            is_real: estimate.excludes_zero() && is_above,
        };
    }
}

/// The values of a metric, if all runs have it.
fn values(runs: &[RunMetrics], place: usize) -> Option<Vec<f64>> {
    let values: Option<Vec<f64>> = runs.iter().map(|run| run.get(place).copied().flatten()).collect();
    values.filter(|values| !values.is_empty())
}

fn is_constant(values: &[f64]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
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

    fn change(name: &str, a: &[f64], b: &[f64]) -> Change {
        let rows = compare(&catalogue(), &runs(name, a), &runs(name, b), Pairing::Paired, 0.99);
        assert_eq!(rows.len(), 1);
        rows[0].change
    }

    #[test]
    fn what_never_varies_is_told_exactly() {
        assert_eq!(change("keys_hit", &[5.0], &[7.0]), Change::Exact { difference: 2.0 });
        assert_eq!(change("keys_hit", &[5.0; 8], &[5.0; 8]), Change::Exact { difference: 0.0 });
        assert_eq!(change("keys_hit", &[5.0, 6.0], &[5.0, 5.0]), Change::TooFewRuns);
    }

    #[test]
    fn times_change_in_percent_and_counts_in_their_unit() {
        let a = [100.0, 101.0, 99.0, 100.0, 102.0, 100.0, 101.0, 99.0];
        let b = a.map(|value| value * 1.1);
        let Change::Estimated { scale, change: percent, low, high, is_real, .. } = change("lag.p50", &a, &b)
        else {
            panic!("an estimate")
        };
        assert!(is_real && scale == Scale::Percent);
        assert!((percent - 10.0).abs() < 1e-9 && (high - low).abs() < 1e-6, "{percent} {low} {high}");
        let Change::Estimated { scale, change: count, .. } = change("keys_evicted", &a, &b) else {
            panic!("an estimate")
        };
        assert!(scale == Scale::Unit && (count - 10.025).abs() < 1e-9);
        // A time of zero has no percent.
        let zero = a.map(|value| value - 99.0);
        assert!(matches!(change("lag.p50", &zero, &a), Change::Estimated { scale: Scale::Unit, .. }));
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
        let rows =
            compare(&catalogue(), &runs("l2.bytes", &[1.0]), &runs("none", &[1.0]), Pairing::Paired, 0.99);
        assert_eq!((rows.len(), rows[0].change, rows[0].is_changed()), (1, Change::NotInBoth, false));
        assert_eq!(rows[0].a.map(|spread| spread.median), Some(1.0));
    }
}

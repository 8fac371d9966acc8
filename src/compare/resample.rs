//! Intervals for the mean differences of many metrics at once, from the runs alone.
//!
//! A run of some minutes yields some forty metrics, few runs, and distributions that nobody knows: spikes, steps, two humps. So
//! no distribution is assumed. If the two configurations are alike, each pair's difference could as well have had the
//! other sign, for all metrics together: the metrics of a run go up and down with each other. Every choice of signs gives
//! each metric a Student statistic, |mean| / standard error, and the choice as a whole its largest one. What only a share
//! `1 - confidence` of the choices exceeds is the critical value for all metrics: one in a hundred comparisons of like with
//! like finds anything at all at 0.99, however many metrics there are (the single-step maxT of Westfall and Young,
//! "Resampling-Based Multiple Testing", 1993; with signs as in Nichols and Holmes, Human Brain Mapping 15, 2002). An
//! interval is the mean, give or take the critical value times the standard error. A spike makes the standard error large:
//! it can hide a difference and not make one.
//!
//! Up to [`EXACT_PAIRS`] pairs all choices are looked at; past that [`CHOICES`] of them, drawn by a fixed seed, the
//! observed one among them (Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9, 2010). So the same runs give the same
//! intervals. Where runs are not paired, against a baseline, labels are exchanged in place of signs, and the statistic is
//! Welch's.

/// Up to so many pairs every choice of signs is looked at.
pub const EXACT_PAIRS: usize = 14;

/// How many choices are looked at: half of all of [`EXACT_PAIRS`] pairs, for the other half differs in the sign alone.
pub const CHOICES: usize = 1 << (EXACT_PAIRS - 1);

/// A statistic that equals the critical value does not exceed it. The two are computed in different orders, so that without this
/// factor a rounding error would decide.
const TIES: f64 = 1.0 + 1e-9;

/// Where the drawing of choices begins.
const SEED: u64 = 0x1bad_b002;

/// A mean difference, and how far it can be trusted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean difference.
    pub mean: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Estimate {
    fn new(Moments { mean, error }: Moments, critical: f64) -> Self {
        // No spread: there is nothing to give or take, whatever the critical value.
        let half = if error == 0.0 { 0.0 } else { critical * error * TIES };
        Self { mean, low: mean - half, high: mean + half }
    }

    /// Whether the interval lies on one side of zero.
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }

    /// The end that is further from zero.
    pub fn reach(&self) -> f64 {
        self.low.abs().max(self.high.abs())
    }
}

/// The fewest pairs with which a confidence can be had: with fewer, too many of all choices are as clear as the clearest.
pub fn least_pairs(confidence: f64) -> usize {
    let alpha = 1.0 - confidence;
    let enough = |pairs: &usize| share_of(alpha, 1 << (pairs - 1)) >= 1;
    (2..=EXACT_PAIRS).find(enough).unwrap_or(EXACT_PAIRS)
}

/// Intervals for the means of paired differences: a list for each metric, with as many pairs each. Nothing with fewer
/// pairs than [`least_pairs`].
pub fn paired(differences: &[Vec<f64>], confidence: f64) -> Option<Vec<Estimate>> {
    let pairs = differences.first().map_or(0, Vec::len);
    if pairs < least_pairs(confidence) {
        return None;
    }
    let observed: Vec<Moments> = differences.iter().map(|values| Moments::of(values)).collect();
    let mut draw = SplitMix(SEED);
    let is_exact = pairs <= EXACT_PAIRS;
    let choices = if is_exact { 1 << (pairs - 1) } else { CHOICES };
    let squares: Vec<f64> = differences.iter().map(|values| values.iter().map(|v| v * v).sum()).collect();
    let largest = (0..choices).map(|choice| {
        let signs: Vec<f64> = (0..pairs)
            .map(|pair| match (choice, is_exact) {
                (0, _) => 1.0,
                (_, true) => sign(choice as u64 >> pair),
                (_, false) => sign(draw.next()),
            })
            .collect();
        let statistic = |(values, squares): (&Vec<f64>, &f64)| {
            let sum: f64 = values.iter().zip(&signs).map(|(value, sign)| value * sign).sum();
            Moments::from_sums(sum, *squares, pairs).statistic()
        };
        differences.iter().zip(&squares).map(statistic).fold(0.0, f64::max)
    });
    let critical = critical(largest.collect(), 1.0 - confidence);
    Some(observed.into_iter().map(|moments| Estimate::new(moments, critical)).collect())
}

/// Intervals for the differences of the means of two groups of runs that are not paired, second less first; a pair of lists
/// for each metric, with as many runs each. Nothing with fewer runs in a group than [`least_pairs`].
pub fn unpaired(groups: &[(Vec<f64>, Vec<f64>)], confidence: f64) -> Option<Vec<Estimate>> {
    let (first, second) = groups.first().map_or((0, 0), |(first, second)| (first.len(), second.len()));
    if first.min(second) < least_pairs(confidence) {
        return None;
    }
    let pooled: Vec<Vec<f64>> = groups.iter().map(|(first, second)| [&first[..], second].concat()).collect();
    let mut places: Vec<usize> = (0..first + second).collect();
    let welch = |values: &[f64], places: &[usize]| {
        let group = |places: &[usize]| -> Vec<f64> { places.iter().map(|place| values[*place]).collect() };
        let (first, second) = (Moments::of(&group(&places[..first])), Moments::of(&group(&places[first..])));
        Moments { mean: second.mean - first.mean, error: first.error.hypot(second.error) }
    };
    let observed: Vec<Moments> = pooled.iter().map(|values| welch(values, &places)).collect();
    let mut draw = SplitMix(SEED);
    let largest = (0..CHOICES).map(|choice| {
        if choice > 0 {
            draw.shuffle(&mut places);
        }
        pooled.iter().map(|values| welch(values, &places).statistic()).fold(0.0, f64::max)
    });
    let critical = critical(largest.collect(), 1.0 - confidence);
    Some(observed.into_iter().map(|moments| Estimate::new(moments, critical)).collect())
}

/// Mean and standard error.
#[derive(Clone, Copy, Debug)]
struct Moments {
    mean: f64,
    error: f64,
}

impl Moments {
    fn of(values: &[f64]) -> Self {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        let spread = squares / (values.len() as f64 - 1.0);
        // What is left of equal values is rounding.
        let scale = values.iter().fold(0.0_f64, |scale, value| scale.max(value.abs()));
        let error = (spread / values.len() as f64).sqrt();
        Self { mean, error: if error <= scale * 1e-12 { 0.0 } else { error } }
    }

    fn from_sums(sum: f64, squares: f64, count: usize) -> Self {
        let count = count as f64;
        let mean = sum / count;
        let spread = ((squares - count * mean * mean) / (count - 1.0)).max(0.0);
        let error = (spread / count).sqrt();
        Self { mean, error: if error * error <= squares * 1e-12 { 0.0 } else { error } }
    }

    fn statistic(self) -> f64 {
        match (self.mean == 0.0, self.error == 0.0) {
            (true, _) => 0.0,
            (false, true) => f64::INFINITY,
            (false, false) => self.mean.abs() / self.error,
        }
    }
}

/// What at most a share `alpha` of the statistics exceeds.
fn critical(mut largest: Vec<f64>, alpha: f64) -> f64 {
    largest.sort_unstable_by(|left, right| right.total_cmp(left));
    let place = share_of(alpha, largest.len());
    largest.get(place).copied().unwrap_or(0.0)
}

/// A share of a count, rounded down; a rounding error of the share is no reason to take one less.
fn share_of(alpha: f64, count: usize) -> usize {
    (alpha * count as f64 + 1e-9) as usize
}

fn sign(bits: u64) -> f64 {
    if bits & 1 == 0 { 1.0 } else { -1.0 }
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Fisher and Yates. Some hundred places: that they do not divide 2^64 shows nowhere.
    fn shuffle(&mut self, places: &mut [usize]) {
        for last in (1..places.len()).rev() {
            let other = (self.next() % (last as u64 + 1)) as usize;
            places.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confidence_takes_so_many_pairs() {
        for (confidence, pairs) in [(0.9, 5), (0.95, 6), (0.99, 8), (0.999, 11)] {
            assert_eq!(least_pairs(confidence), pairs, "{confidence}");
            // As clear as can be, and one pair fewer is not enough for that.
            let clear = |pairs: usize| vec![(0..pairs).map(|pair| 1.0 + pair as f64 / 100.0).collect()];
            assert!(paired(&clear(pairs), confidence).unwrap()[0].excludes_zero(), "{confidence}");
            assert_eq!(paired(&clear(pairs - 1), confidence), None, "{confidence}");
        }
    }

    /// Eight pairs, one of which says the opposite: 1 + 8 of 128 choices are as clear or clearer.
    #[test]
    fn the_critical_value_is_that_of_the_choices() {
        let differences = vec![1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0];
        let statistic = |sum: f64| Moments::from_sums(sum, 8.0, 8).statistic();
        // 1 choice of 128 has sum 8, 8 have 6, 28 have 4: 10 % are 12.8 of them.
        let estimate = paired(&[differences], 0.9).unwrap()[0];
        let error = Moments::from_sums(6.0, 8.0, 8).error;
        assert!((estimate.high - (0.75 + statistic(4.0) * error)).abs() < 1e-8);
        assert!((estimate.low + estimate.high - 1.5).abs() < 1e-8);
        assert!(estimate.excludes_zero());
    }

    #[test]
    fn what_does_not_differ_has_no_interval() {
        let estimate = paired(&[vec![0.0; 8], vec![0.3; 8]], 0.99).unwrap();
        assert_eq!((estimate[0].low, estimate[0].high), (0.0, 0.0));
        assert!(!estimate[0].excludes_zero() && estimate[1].excludes_zero());
        assert_eq!(paired(&[vec![1.0]], 0.99), None);
        assert_eq!(paired(&[], 0.99), None);
        assert_eq!(unpaired(&[(vec![1.0; 7], vec![1.0; 8])], 0.99), None);
    }

    /// A pair without a difference has no sign, so that two choices of 128 are as clear as what happened: more than one in a hundred.
    #[test]
    fn as_clear_as_the_critical_choice_is_not_clear_enough() {
        for seed in 0..500 {
            let mut draw = SplitMix(seed);
            let mut differences: Vec<f64> = (0..8).map(|_| 1.0 + (draw.next() % 1000) as f64 / 1e4).collect();
            differences[(seed % 8) as usize] = 0.0;
            let estimate = paired(&[differences.clone()], 0.99).unwrap()[0];
            assert!(!estimate.excludes_zero(), "{differences:?}: {estimate:?}");
            differences[(seed % 8) as usize] = 0.01;
            assert!(paired(&[differences], 0.99).unwrap()[0].excludes_zero(), "seed {seed}");
        }
    }

    #[test]
    fn more_pairs_than_can_be_looked_at_are_drawn_and_give_the_same_each_time() {
        let noise =
            |metric: u64, pair: u64| (SplitMix(metric * 1000 + pair).next() % 1000) as f64 / 1000.0 - 0.5;
        for pairs in [EXACT_PAIRS, EXACT_PAIRS + 1, 100] {
            let differences: Vec<Vec<f64>> = (0..5)
                .map(|metric| {
                    (0..pairs as u64).map(|pair| noise(metric, pair) + f64::from(metric == 3)).collect()
                })
                .collect();
            let estimates = paired(&differences, 0.99).unwrap();
            assert_eq!(paired(&differences, 0.99).unwrap(), estimates);
            let found: Vec<bool> = estimates.iter().map(Estimate::excludes_zero).collect();
            assert_eq!(found, [false, false, false, true, false], "{pairs}");
        }
    }

    #[test]
    fn groups_that_are_not_paired_are_told_apart() {
        let group = |seed: u64, shift: f64| -> Vec<f64> {
            (0..10).map(|run| (SplitMix(seed + run).next() % 1000) as f64 / 1000.0 + shift).collect()
        };
        let groups = [(group(1, 0.0), group(100, 0.0)), (group(200, 0.0), group(300, 1.0))];
        let estimates = unpaired(&groups, 0.99).unwrap();
        assert!(!estimates[0].excludes_zero() && estimates[1].excludes_zero(), "{estimates:?}");
        assert!(estimates[1].low < 1.0 && estimates[1].high > 1.0);
    }
}

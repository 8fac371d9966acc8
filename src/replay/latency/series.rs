//! A distribution of times that can be put together from parts: what each worker, or each thread, measured for itself.

use hdrhistogram::Histogram;

use crate::replay::lag::fixed_histogram;

/// Times of one kind. Percentiles are good to three digits; count, mean, minimum and maximum are exact. Costs memory from
/// the first time on, and then always the same: about 270 KiB.
#[derive(Clone, Debug)]
pub struct Series {
    histogram: Option<Box<Histogram<u64>>>,
    total_ns: u128,
    min_ns: u64,
    max_ns: u64,
}

impl Default for Series {
    fn default() -> Self {
        Self { histogram: None, total_ns: 0, min_ns: u64::MAX, max_ns: 0 }
    }
}

impl Series {
    /// One that never allocates when a time is recorded, the first neither.
    pub fn allocated() -> Self {
        Self { histogram: Some(Box::new(fixed_histogram())), ..Self::default() }
    }

    /// Records a time.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        let histogram = self.histogram.get_or_insert_with(|| Box::new(fixed_histogram()));
        histogram.saturating_record(ns);
        self.total_ns += u128::from(ns);
        self.min_ns = self.min_ns.min(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// Adds what `other` recorded. The result is what one series would be that had recorded both.
    pub fn merge(&mut self, other: &Self) {
        let Some(theirs) = &other.histogram else { return };
        match &mut self.histogram {
            Some(mine) => mine.add(theirs.as_ref()).expect("all series have the same bounds"),
            None => self.histogram = Some(theirs.clone()),
        }
        self.total_ns += other.total_ns;
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// How many times were recorded.
    pub fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, |histogram| histogram.len())
    }

    /// The distribution so far.
    pub fn spread(&self) -> Spread {
        let Some(histogram) = self.histogram.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Spread::default();
        };
        // A bucket is named by its largest value, which can lie past every time in it.
        let quantile_ns = |quantile| histogram.value_at_quantile(quantile).clamp(self.min_ns, self.max_ns);
        Spread {
            count: histogram.len(),
            mean_ns: self.total_ns as f64 / histogram.len() as f64,
            p50_ns: quantile_ns(0.5),
            p90_ns: quantile_ns(0.9),
            p99_ns: quantile_ns(0.99),
            min_ns: self.min_ns,
            max_ns: self.max_ns,
        }
    }
}

/// A distribution of times, summed up. All zero if there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// How many times were recorded.
    pub count: u64,
    /// Mean, nanoseconds, exact.
    pub mean_ns: f64,
    /// Median, nanoseconds, to three digits.
    pub p50_ns: u64,
    /// 90th percentile, nanoseconds, to three digits.
    pub p90_ns: u64,
    /// 99th percentile, nanoseconds, to three digits.
    pub p99_ns: u64,
    /// The shortest, nanoseconds, exact.
    pub min_ns: u64,
    /// The longest, nanoseconds, exact.
    pub max_ns: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn series(times_ns: &[u64]) -> Series {
        let mut series = Series::default();
        times_ns.iter().for_each(|ns| series.record(*ns));
        series
    }

    #[test]
    fn percentiles_are_nearest_rank_and_within_the_times() {
        let spread = series(&(1..=100).collect::<Vec<_>>()).spread();
        assert_eq!((spread.p50_ns, spread.p90_ns, spread.p99_ns), (50, 90, 99));
        assert_eq!((spread.count, spread.mean_ns, spread.min_ns, spread.max_ns), (100, 50.5, 1, 100));
        let alike = series(&[1_234_567; 3]).spread();
        assert_eq!([alike.p50_ns, alike.p90_ns, alike.p99_ns], [1_234_567; 3]);
        assert_eq!(Series::allocated().spread(), Spread::default());
    }

    proptest! {
        /// However times are dealt out to workers, and in whatever order the workers are merged.
        #[test]
        fn merged_parts_are_the_whole(
            dealt in prop::collection::vec((0_usize..4, prop_oneof![0_u64..5000, any::<u64>()]), 0..200),
        ) {
            let whole = series(&dealt.iter().map(|(_, ns)| *ns).collect::<Vec<_>>()).spread();
            let parts: Vec<Series> = (0..4)
                .map(|worker| {
                    let own = dealt.iter().filter(|(of, _)| *of == worker).map(|(_, ns)| *ns);
                    series(&own.collect::<Vec<_>>())
                })
                .collect();
            let mut forward = Series::default();
            parts.iter().for_each(|part| forward.merge(part));
            let mut backward = Series::allocated();
            parts.iter().rev().for_each(|part| backward.merge(part));
            prop_assert_eq!(forward.spread(), whole);
            prop_assert_eq!(backward.spread(), whole);
        }
    }
}

//! Instruments as LMCache has them: by OpenTelemetry's names, from which those of Prometheus are made.

use super::series::{Labels, Series};

/// What all names of LMCache's server begin with.
const PREFIX: &str = "lmcache_mp";

/// What an instrument is called, and what it measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// LMCache's name of the meter that it belongs to: the scope of OTLP.
    pub meter: &'static str,
    /// Its name behind `lmcache_mp.`.
    pub name: &'static str,
    /// Its unit; empty if LMCache gives none.
    pub unit: &'static str,
    /// What it measures.
    pub help: &'static str,
}

impl Instrument {
    pub(super) const fn new(
        meter: &'static str,
        name: &'static str,
        unit: &'static str,
        help: &'static str,
    ) -> Self {
        Self { meter, name, unit, help }
    }

    /// Its name in OpenTelemetry.
    pub fn otel_name(&self) -> String {
        format!("{PREFIX}.{}", self.name)
    }

    /// Its name in Prometheus, as OpenTelemetry's exporter makes it; a counter's has `_total` behind it.
    pub fn prometheus_name(&self) -> String {
        let unit = match self.unit {
            // What stands in braces is a remark.
            "" | "{chunks}" => return format!("{PREFIX}_{}", self.name),
            "s" => "seconds",
            "GB/s" => "GB_per_second",
            unit => unit,
        };
        format!("{PREFIX}_{}_{unit}", self.name)
    }
}

/// Everything that is known of one instrument at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Which.
    pub instrument: Instrument,
    /// Its values.
    pub points: Points,
}

/// The values of an instrument by their labels.
#[derive(Clone, Debug, PartialEq)]
pub enum Points {
    /// Counts since the start.
    Counts(Vec<(Labels, u64)>),
    /// Values of the moment.
    Gauges(Vec<(Labels, f64)>),
    /// Distributions since the start.
    Histograms {
        /// The upper boundaries of the buckets, each of which holds its boundary; a last bucket has none.
        bounds: &'static [f64],
        /// The distributions.
        points: Vec<(Labels, Distribution)>,
    },
}

/// How values are distributed.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// How many values are in each bucket; there is one more than there are boundaries.
    pub buckets: Box<[u64]>,
    /// The sum of all values.
    pub sum: f64,
    /// How many values there were.
    pub count: u64,
}

/// A counter.
#[derive(Debug)]
pub(super) struct Counter {
    instrument: Instrument,
    series: Series<u64>,
}

impl Counter {
    pub(super) fn new(instrument: Instrument) -> Self {
        Self { instrument, series: Series::default() }
    }

    pub(super) fn add(&self, labels: &[(&'static str, &str)], count: u64) {
        self.series.update(labels, || 0, |total| *total += count);
    }

    pub(super) fn metric(&self) -> Metric {
        Metric { instrument: self.instrument, points: Points::Counts(self.series.snapshot()) }
    }
}

/// A histogram.
#[derive(Debug)]
pub(super) struct Histogram {
    instrument: Instrument,
    bounds: &'static [f64],
    series: Series<Distribution>,
}

impl Histogram {
    pub(super) fn new(instrument: Instrument, bounds: &'static [f64]) -> Self {
        Self { instrument, bounds, series: Series::default() }
    }

    pub(super) fn observe(&self, labels: &[(&'static str, &str)], value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        let buckets = self.bounds.len() + 1;
        let new = || Distribution { buckets: vec![0; buckets].into(), sum: 0.0, count: 0 };
        self.series.update(labels, new, |seen| {
            seen.buckets[bucket] += 1;
            seen.sum += value;
            seen.count += 1;
        });
    }

    pub(super) fn metric(&self) -> Metric {
        let points = Points::Histograms { bounds: self.bounds, points: self.series.snapshot() };
        Metric { instrument: self.instrument, points }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_lmcaches_metrics_page() {
        for (name, unit, prometheus) in [
            ("l1_read", "chunks", "lmcache_mp_l1_read_chunks"),
            ("timeouts", "", "lmcache_mp_timeouts"),
            ("real_reuse_gap_objects", "{chunks}", "lmcache_mp_real_reuse_gap_objects"),
            ("l1_chunk_lifetime", "s", "lmcache_mp_l1_chunk_lifetime_seconds"),
            ("l2_store_throughput", "GB/s", "lmcache_mp_l2_store_throughput_GB_per_second"),
        ] {
            let instrument = Instrument::new("lmcache", name, unit, "");
            assert_eq!(instrument.prometheus_name(), prometheus);
            assert_eq!(instrument.otel_name(), format!("lmcache_mp.{name}"));
        }
    }

    #[test]
    fn a_bucket_holds_its_boundary() {
        let histogram = Histogram::new(Instrument::new("lmcache", "x", "s", ""), &[1.0, 5.0]);
        [0.5, 1.0, 1.5, 5.0, 5.5, 100.0].iter().for_each(|value| histogram.observe(&[], *value));
        let Points::Histograms { points, .. } = histogram.metric().points else { panic!("a histogram") };
        let expected = Distribution { buckets: [2, 2, 2].into(), sum: 113.5, count: 6 };
        assert_eq!(points, [(Labels::new(&[]), expected)]);
    }
}

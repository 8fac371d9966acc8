//! Runs that were kept, to compare later ones with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::metrics::{Metric, RunMetrics};
use crate::error::{Error, Result};

/// What the file says that it is.
const FORMAT: &str = "lmcache-trace baseline";

/// The version of the file that is written and read.
const VERSION: u32 = 1;

/// The most runs that are read from a file: more than anybody makes.
pub const MAX_RUNS: usize = 10_000;

/// The file.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    format: String,
    version: u32,
    /// The release of the program that ran.
    pub program: String,
    /// The host that it ran on.
    pub host: String,
    /// The flags of its configuration.
    pub flags: String,
    /// What it replayed.
    pub trace: TraceIdentity,
    /// The values of each metric that all runs have, run by run.
    pub metrics: BTreeMap<String, Vec<f64>>,
}

/// What tells one trace from another: that of one in LMCache's form is that of the same one in ours.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TraceIdentity {
    /// Its records.
    pub records: u64,
    /// The digest of the configuration that it was recorded under; empty if it has none.
    pub recorded_digest: String,
    /// When its last record is due, in seconds from the start; nothing in a baseline that did not keep it.
    #[serde(default)]
    pub duration_s: Option<f64>,
}

/// Two forms of one trace may differ by so much in their times: one has them in nanoseconds, the other as a float of seconds.
const SAME_TIME_S: f64 = 1e-6;

impl TraceIdentity {
    fn is_same(&self, other: &Self) -> bool {
        let is_as_long = match (self.duration_s, other.duration_s) {
            (Some(one), Some(other)) => (one - other).abs() <= SAME_TIME_S,
            _ => true,
        };
        is_as_long && self.records == other.records && self.recorded_digest == other.recorded_digest
    }
}

impl Baseline {
    /// Keeps `runs`, which were made on `host`.
    pub fn new(
        catalogue: &[Metric],
        runs: &[RunMetrics],
        trace: &TraceIdentity,
        flags: &str,
        host: String,
    ) -> Self {
        let of_metric = |(place, metric): (usize, &Metric)| {
            let values: Option<Vec<f64>> = runs.iter().map(|run| run[place]).collect();
            values.map(|values| (metric.name.clone(), values))
        };
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            host,
            flags: flags.to_owned(),
            trace: trace.clone(),
            metrics: catalogue.iter().enumerate().filter_map(of_metric).collect(),
        }
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// If it is no baseline, of another version, or its metrics have not as many runs each.
    pub fn from_json(text: &str) -> Result<Self> {
        let again = "make it anew by `lmcache-trace compare TRACE --a 'FLAGS' --save-baseline FILE`";
        let baseline: Self = serde_json::from_str(text).map_err(|error| {
            Error::invalid(format!("the baseline cannot be read: {error}")).with_hint(again)
        })?;
        if baseline.format != FORMAT || baseline.version != VERSION {
            return Err(Error::unsupported("the file is no baseline of this version")
                .with_context("format", format!("{:?}", baseline.format))
                .with_context("version", baseline.version)
                .with_hint(again));
        }
        let runs = baseline.runs();
        let is_whole =
            |values: &Vec<f64>| values.len() == runs && values.iter().all(|value| value.is_finite());
        if runs == 0 || runs > MAX_RUNS || !baseline.metrics.values().all(is_whole) {
            return Err(
                Error::invalid("the baseline does not have as many runs of each metric").with_hint(again)
            );
        }
        Ok(baseline)
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("numbers and texts are JSON");
        text.push('\n');
        text
    }

    /// How many runs it has.
    pub fn runs(&self) -> usize {
        self.metrics.values().next().map_or(0, Vec::len)
    }

    /// The runs, in the order of `catalogue`. Metrics that it does not name are left out.
    pub fn run_metrics(&self, catalogue: &[Metric]) -> Vec<RunMetrics> {
        let value = |metric: &Metric, run: usize| Some(self.metrics.get(&metric.name)?[run]);
        let run = |run| catalogue.iter().map(|metric| value(metric, run)).collect();
        (0..self.runs()).map(run).collect()
    }

    /// Refuses to be compared with runs of another trace.
    ///
    /// # Errors
    /// If it is of another one.
    pub fn check_trace(&self, trace: &TraceIdentity) -> Result<()> {
        if self.trace.is_same(trace) {
            return Ok(());
        }
        let told = |trace: &TraceIdentity| match trace.duration_s {
            Some(seconds) => format!("{} records in {seconds:.6} s", trace.records),
            None => format!("{} records", trace.records),
        };
        Err(Error::invalid("the baseline is of another trace")
            .with_context("baseline", told(&self.trace))
            .with_context("now", told(trace))
            .with_hint("save a new one by --save-baseline"))
    }
}

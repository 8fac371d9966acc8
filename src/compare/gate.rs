//! A gate: what a change may cost, as a JSON file, and the verdict on a comparison.
//!
//! ```json
//! {
//!   "metrics": {
//!     "submit_prefetch_task.p99": {"max_increase_percent": 10},
//!     "chunk_hit_rate": {"max_decrease": 0.005}
//!   },
//!   "baseline": "baseline.json"
//! }
//! ```
//!
//! A limit is broken if the change is above the noise and larger than the limit. There is no verdict where the load was not
//! delivered: calls that began late met a manager with less to do, or with more at once, than the trace says.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::comparison::{Change, Row, Scale};
use super::metrics::{LATE_SHARE, Metric, RunMetrics};
use crate::error::{Error, Result};

/// The share of late calls, in percent, from which on a load counts as not delivered, unless the gate says otherwise.
pub const DEFAULT_MAX_LATE_PERCENT: f64 = 1.0;

/// The file.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// `metrics`: the limits of each.
    #[serde(deserialize_with = "named_once")]
    pub metrics: Vec<(String, Limits)>,
    /// `baseline`: a file of earlier runs to compare with; nothing to compare B with A. Relative to the gate's folder.
    #[serde(default)]
    pub baseline: Option<String>,
    /// `max_late_percent`: the share of calls that may begin more than a millisecond late; 1 by default.
    #[serde(default)]
    pub max_late_percent: Option<f64>,
    /// `on_noise`: what becomes of a limit that the noise is too large to judge; `pass` by default.
    #[serde(default)]
    pub on_noise: OnNoise,
}

/// How much a metric may change. At least one is there.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// `max_increase_percent`: in percent of what it was.
    #[serde(default)]
    pub max_increase_percent: Option<f64>,
    /// `max_decrease_percent`.
    #[serde(default)]
    pub max_decrease_percent: Option<f64>,
    /// `max_increase`: in the metric's unit.
    #[serde(default)]
    pub max_increase: Option<f64>,
    /// `max_decrease`.
    #[serde(default)]
    pub max_decrease: Option<f64>,
}

impl Limits {
    /// Those that are there: the name, the sign of a change that it limits, whether it is in percent, and the limit.
    fn given(&self) -> impl Iterator<Item = (&'static str, f64, bool, f64)> {
        let all = [
            ("max_increase_percent", 1.0, true, self.max_increase_percent),
            ("max_decrease_percent", -1.0, true, self.max_decrease_percent),
            ("max_increase", 1.0, false, self.max_increase),
            ("max_decrease", -1.0, false, self.max_decrease),
        ];
        all.into_iter().filter_map(|(name, sign, is_percent, limit)| Some((name, sign, is_percent, limit?)))
    }
}

/// What becomes of a limit that cannot be judged.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum OnNoise {
    /// It counts as kept, and is reported.
    #[default]
    Pass,
    /// It counts as broken.
    Fail,
}

impl Gate {
    /// Reads a file's text; names of metrics are those of `catalogue`.
    ///
    /// # Errors
    /// If it is no such JSON, has an unknown key or metric, or a limit that is none. The message names it.
    pub fn from_json(text: &str, catalogue: &[Metric]) -> Result<Self> {
        let gate: Self = serde_json::from_str(text).map_err(|error| {
            Error::invalid(format!("the gate cannot be read: {error}")).with_hint(
                "a gate looks like {\"metrics\": {\"submit_prefetch_task.p99\": {\"max_increase_percent\": 10}}}",
            )
        })?;
        if gate.metrics.is_empty() {
            return Err(Error::invalid("the gate has no metrics, so that nothing could break it"));
        }
        for (name, limits) in &gate.metrics {
            if !catalogue.iter().any(|metric| metric.name == *name) {
                return Err(unknown_metric(name, catalogue));
            }
            if limits.given().next().is_none() {
                return Err(Error::invalid("a metric of the gate has no limit")
                    .with_context("metric", name)
                    .with_hint(
                        "give max_increase_percent, max_decrease_percent, max_increase or max_decrease",
                    ));
            }
            if let Some((limit, .., value)) = limits.given().find(|(.., limit)| !is_amount(*limit)) {
                return Err(Error::invalid("a limit of the gate must be a finite number, at least 0")
                    .with_context("metric", name)
                    .with_context("limit", limit)
                    .with_context("value", value));
            }
        }
        if gate.max_late_percent.is_some_and(|percent| !is_amount(percent) || percent > 100.0) {
            return Err(Error::invalid("max_late_percent must be from 0 to 100"));
        }
        Ok(gate)
    }

    /// The verdict on a comparison of these runs, whose rows are `rows`.
    pub fn judge(&self, catalogue: &[Metric], rows: &[Row], runs: &[&[RunMetrics]]) -> Judgement {
        let mut refusals = Vec::new();
        let max_late = self.max_late_percent.unwrap_or(DEFAULT_MAX_LATE_PERCENT);
        refusals.extend(undelivered(catalogue, runs, max_late));
        let mut checks = Vec::new();
        for (name, limits) in &self.metrics {
            let row = rows.iter().find(|row| catalogue[row.place].name == *name);
            match row.map(|row| (row, row.change)) {
                None | Some((_, Change::NotInBoth)) => {
                    refusals.push(format!("{name} is not in all runs: the trace has no such calls, or the configuration none of that"));
                }
                Some((_, Change::TooFewRuns)) => {
                    refusals.push(format!("there are too few runs to judge {name}"))
                }
                Some((row, _)) => checks.extend(limits.given().map(|limit| self.check(name, row, limit))),
            }
        }
        let is_broken = checks.iter().any(|check: &Check| check.result == CheckResult::Broken);
        let verdict = match (refusals.is_empty(), is_broken) {
            (false, _) => Verdict::Refused,
            (true, true) => Verdict::Failed,
            (true, false) => Verdict::Passed,
        };
        Judgement { verdict, checks, refusals }
    }

    fn check(&self, name: &str, row: &Row, limit: (&'static str, f64, bool, f64)) -> Check {
        let (limit_name, sign, is_percent, limit) = limit;
        let base = row.a.map_or(0.0, |spread| spread.median);
        let (change, furthest, is_real) = match row.change {
            Change::Exact { difference } => {
                let change = told(difference, Scale::Unit, is_percent, base);
                (change, change, difference != 0.0)
            }
            Change::Estimated { scale, change, low, high, is_real, .. } => {
                let furthest = if sign > 0.0 { high } else { low };
                let in_limits_unit = |value| told(value, scale, is_percent, base);
                (in_limits_unit(change), in_limits_unit(furthest), is_real)
            }
            Change::TooFewRuns | Change::NotInBoth => (0.0, 0.0, false),
        };
        let result = match (is_real, self.on_noise) {
            (true, _) if change * sign > limit => CheckResult::Broken,
            (false, OnNoise::Fail) if furthest * sign > limit => CheckResult::Broken,
            (false, OnNoise::Pass) if furthest * sign > limit => CheckResult::TooNoisy,
            _ => CheckResult::Kept,
        };
        Check { metric: name.to_owned(), limit: limit_name, value: limit, change, furthest, result }
    }
}

/// A change in the unit of a limit: percent of `base`, or the metric's own.
fn told(change: f64, scale: Scale, is_percent: bool, base: f64) -> f64 {
    match (scale, is_percent) {
        (Scale::Percent, true) | (Scale::Unit, false) => change,
        (Scale::Percent, false) => base * change / 100.0,
        (Scale::Unit, true) if change == 0.0 => 0.0,
        // From nothing to something is infinitely many percent.
        (Scale::Unit, true) => change / base.abs() * 100.0,
    }
}

fn is_amount(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// Sides whose median run had more late calls than that.
fn undelivered(catalogue: &[Metric], runs: &[&[RunMetrics]], max_late_percent: f64) -> Vec<String> {
    let Some(place) = catalogue.iter().position(|metric| metric.name == LATE_SHARE) else {
        return Vec::new();
    };
    let late = runs.iter().zip(["A", "B"]).filter_map(|(runs, side)| {
        let mut shares: Vec<f64> = runs.iter().filter_map(|run| run[place]).collect();
        shares.sort_unstable_by(f64::total_cmp);
        let percent = shares.get(shares.len() / 2)? * 100.0;
        (percent > max_late_percent).then(|| {
            format!("{percent:.1} % of the calls of {side} began more than 1 ms late: this machine did not deliver the load")
        })
    });
    late.collect()
}

fn unknown_metric(name: &str, catalogue: &[Metric]) -> Error {
    let names: Vec<&str> = catalogue.iter().map(|metric| metric.name.as_str()).collect();
    Error::invalid("the gate names a metric that there is not")
        .with_context("metric", format!("{name:?}"))
        .with_hint(format!("metrics are {}", names.join(", ")))
}

/// What became of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All limits are kept, or nobody can tell.
    Passed,
    /// One is broken.
    Failed,
    /// There is none: see [`Judgement::refusals`].
    Refused,
}

/// A verdict and its reasons.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Each limit.
    pub checks: Vec<Check>,
    /// Why there is no verdict, one sentence each.
    pub refusals: Vec<String>,
}

/// A limit and what it was held against.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// The metric.
    pub metric: String,
    /// The key in the file.
    pub limit: &'static str,
    /// Its value.
    pub value: f64,
    /// The change, in the unit of the limit; a decrease is negative.
    pub change: f64,
    /// The end of its interval that the limit is about.
    pub furthest: f64,
    /// What became of it.
    pub result: CheckResult,
}

/// What became of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// It is kept.
    Kept,
    /// It is broken.
    Broken,
    /// The change is in the noise, and the noise is larger than the limit.
    TooNoisy,
}

/// A map whose names are there once: serde would keep the last.
fn named_once<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Limits)>, D::Error> {
    struct Named;
    impl<'de> Visitor<'de> for Named {
        type Value = Vec<(String, Limits)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of metrics and their limits")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut all: Self::Value = Vec::new();
            while let Some((name, limits)) = map.next_entry::<String, Limits>()? {
                if all.iter().any(|(other, _)| *other == name) {
                    return Err(A::Error::custom(format!("the metric `{name}` is there twice")));
                }
                all.push((name, limits));
            }
            Ok(all)
        }
    }
    deserializer.deserialize_map(Named)
}

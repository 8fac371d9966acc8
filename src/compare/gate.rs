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
//! delivered: calls that began late met a manager with less to do, or with more at once, than the trace says. Nor is there one
//! where more was left undone than before, by records that failed or an L2 that stored nothing: that takes no time.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::comparison::{Change, Row, Scale};
use super::metrics::{LATE_SHARE, Metric, RunMetrics, UNDONE};
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
    /// Those that are there.
    fn given(&self) -> impl Iterator<Item = Limit> {
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

    /// The verdict on a comparison of `judged`, the second with the first, whose rows are `rows`.
    pub fn judge(&self, catalogue: &[Metric], rows: &[Row], judged: &[Judged<'_>; 2]) -> Judgement {
        let max_late = self.max_late_percent.unwrap_or(DEFAULT_MAX_LATE_PERCENT);
        let mut refusals = undelivered(catalogue, judged, max_late);
        refusals.extend(undone(catalogue, &self.metrics, judged));
        let mut checks = Vec::new();
        let mut least_runs = None;
        for (name, limits) in &self.metrics {
            let row = rows.iter().find(|row| catalogue[row.place].name == *name);
            match row.map(|row| (row, row.change)) {
                None | Some((_, Change::NotInBoth)) => refusals.push(missing(name)),
                Some((_, Change::TooFewRuns { least })) => least_runs = Some(least),
                Some((row, _)) => checks.extend(limits.given().map(|limit| self.check(name, row, limit))),
            }
        }
        refusals.extend(least_runs.map(|least| too_few(judged, least)));
        let is_broken = checks.iter().any(|check: &Check| check.result == CheckResult::Broken);
        let verdict = match (refusals.is_empty(), is_broken) {
            (false, _) => Verdict::Refused,
            (true, true) => Verdict::Failed,
            (true, false) => Verdict::Passed,
        };
        Judgement { verdict, checks, refusals }
    }

    fn check(&self, name: &str, row: &Row, (limit_name, sign, is_percent, limit): Limit) -> Check {
        let [first, second] = [row.a, row.b].map(|spread| spread.map_or(0.0, |spread| spread.mean));
        let (scale, change, furthest, is_real) = match row.change {
            Change::Estimated { scale, change, low, high, is_real, .. } => {
                (scale, change, if sign > 0.0 { high } else { low }, is_real)
            }
            Change::Exact { difference } => (Scale::Unit, difference, difference, difference != 0.0),
            Change::TooFewRuns { .. } | Change::NotInBoth => (Scale::Unit, 0.0, 0.0, false),
        };
        let in_limits_unit = |value| told(value, scale, is_percent, first);
        // Of nothing, whatever there is more or less is more than any percentage.
        let is_past = |value: f64| match in_limits_unit(value) {
            Some(value) => value * sign > limit,
            None => value * sign > 0.0,
        };
        let result = match (is_real, self.on_noise) {
            (true, _) if is_past(change) => CheckResult::Broken,
            (false, OnNoise::Fail) if is_past(furthest) => CheckResult::Broken,
            (false, OnNoise::Pass) if is_past(furthest) => CheckResult::TooNoisy,
            _ => CheckResult::Kept,
        };
        Check {
            metric: name.to_owned(),
            limit: limit_name,
            value: limit,
            first,
            second,
            change: in_limits_unit(change),
            furthest: in_limits_unit(furthest),
            result,
        }
    }
}

/// A limit: its name, the sign of a change that it limits, whether it is in percent, and its value.
type Limit = (&'static str, f64, bool, f64);

/// A change in the unit of a limit: percent of `base`, or the metric's own. Nothing if it is a percentage of nothing.
fn told(change: f64, scale: Scale, is_percent: bool, base: f64) -> Option<f64> {
    match (scale, is_percent) {
        (Scale::Percent, true) | (Scale::Unit, false) => Some(change),
        (Scale::Percent, false) => Some(base * change / 100.0),
        (Scale::Unit, true) if change == 0.0 => Some(0.0),
        (Scale::Unit, true) => (base != 0.0).then(|| change / base.abs() * 100.0),
    }
}

fn is_amount(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// One of the two sets of runs that a gate is about.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// What it is called: A, B, the baseline.
    pub name: &'a str,
    /// Its runs.
    pub runs: &'a [RunMetrics],
}

impl Judged<'_> {
    /// The values of a metric in the runs that have it, from the smallest on.
    fn sorted(&self, catalogue: &[Metric], name: &str) -> Vec<f64> {
        let place = catalogue.iter().position(|metric| metric.name == name);
        let value = |run: &RunMetrics| place.and_then(|place| *run.get(place)?);
        let mut values: Vec<f64> = self.runs.iter().filter_map(value).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }
}

/// Sides whose median run had more late calls than that, in percent.
pub fn undelivered(catalogue: &[Metric], judged: &[Judged<'_>], max_late_percent: f64) -> Vec<Refusal> {
    let late = judged.iter().filter_map(|side| {
        let shares = side.sorted(catalogue, LATE_SHARE);
        let percent = shares.get(shares.len() / 2)? * 100.0;
        (percent > max_late_percent).then(|| Refusal {
            reason: format!(
                "{percent:.1} % of the calls of {} began more than 1 ms late: this machine did not deliver the load",
                side.name
            ),
            hint: Some(
                "give it a machine whose other programs are still, or a lower pace; judge hits by --asap in FLAGS, which has no pace to                  miss; or raise \"max_late_percent\" in the gate",
            ),
        })
    });
    late.collect()
}

/// Metrics of work that was not done, of which the second side has more than the first, in the worst run of each. Those that have a
/// limit are judged by that.
fn undone(catalogue: &[Metric], limited: &[(String, Limits)], judged: &[Judged<'_>; 2]) -> Vec<Refusal> {
    let [first, second] = judged;
    let unlimited = UNDONE.iter().filter(|name| !limited.iter().any(|(limited, _)| limited == *name));
    let refusal = |name: &&str| {
        let most = |side: &Judged<'_>| side.sorted(catalogue, name).last().copied().unwrap_or(0.0);
        let (before, now) = (most(first), most(second));
        (now > before).then(|| Refusal {
            reason: format!(
                "{name} is {now} in a run of {}, and at most {before} in those of {}: what is not done takes no time and no room",
                second.name, first.name
            ),
            hint: Some("`lmcache-trace replay` with the same flags says why; or give the metric a limit in the gate"),
        })
    };
    unlimited.filter_map(refusal).collect()
}

fn missing(name: &str) -> Refusal {
    Refusal {
        reason: format!(
            "{name} is not in all runs: the trace has no such calls, or the configuration none of that"
        ),
        hint: Some("take it out of the gate, or save the baseline anew if it is an older program's"),
    }
}

fn too_few([first, second]: &[Judged<'_>; 2], least: usize) -> Refusal {
    Refusal {
        reason: format!(
            "{} runs of {} and {} of {} are too few: {least} of each are needed",
            first.runs.len(),
            first.name,
            second.runs.len(),
            second.name
        ),
        hint: None,
    }
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
    /// Why there is no verdict.
    pub refusals: Vec<Refusal>,
}

impl Judgement {
    /// Takes the verdict back.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.verdict = Verdict::Refused;
        self.refusals.push(refusal);
    }
}

/// Why there is no verdict, and what to do about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refusal {
    /// One sentence.
    pub reason: String,
    /// What helps, if anything is known to.
    pub hint: Option<&'static str>,
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
    /// The mean of the runs that were compared against, in the metric's unit.
    pub first: f64,
    /// The mean of the runs that were compared with them.
    pub second: f64,
    /// The change, in the unit of the limit; a decrease is negative. Nothing if that is percent, and `first` is zero.
    pub change: Option<f64>,
    /// The end of its interval that the limit is about.
    pub furthest: Option<f64>,
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

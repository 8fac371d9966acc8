//! What is compared: numbers of a replay's summary, by name.
//!
//! The summary is the JSON object of `replay --format json`. A number that is not there, because the trace has no such call
//! or nobody asked for a prefetch, is no metric of that run.

use serde_json::Value;

use crate::format::model::Op;

/// What a metric is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds.
    Microseconds,
    /// Seconds.
    Seconds,
    /// Calls a second.
    PerSecond,
    /// A part of a whole, from 0 to 1.
    Share,
    /// How many.
    Count,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Microseconds => "us",
            Self::Seconds => "s",
            Self::PerSecond => "1/s",
            Self::Share => "share",
            Self::Count => "count",
            Self::Bytes => "bytes",
        }
    }

    /// Whether twice as much is twice as much wherever it begins, so that changes are told in percent. A share and a count
    /// can be zero, and from there no percent leads anywhere.
    pub fn is_ratio(self) -> bool {
        matches!(self, Self::Microseconds | Self::Seconds | Self::PerSecond)
    }
}

/// A number of a replay.
#[derive(Clone, Debug)]
pub struct Metric {
    /// The name in gates and reports, for instance `submit_prefetch_task.p99`.
    pub name: String,
    /// What it is measured in.
    pub unit: Unit,
    source: Source,
}

/// Where a metric stands in the summary.
#[derive(Clone, Debug)]
enum Source {
    /// A number, times a factor.
    Number(Vec<String>, f64),
    /// One number by another; nothing if that is zero.
    Quotient([&'static str; 2], [&'static str; 2]),
    /// A number of each L2 adapter, added up: where the list is in `l2`, and where the number in each.
    AdapterSum(&'static str, &'static [&'static str]),
}

/// The values of one run, in the order of [`catalogue`].
pub type RunMetrics = Vec<Option<f64>>;

/// The share of a run's calls that began late, which says whether the load was delivered.
pub const LATE_SHARE: &str = "lag.late_share";

/// The metrics of an operation: what its name ends with, and where it stands.
const OF_OPERATION: [(&str, &str); 4] =
    [("mean", "mean_ms"), ("p50", "p50_ms"), ("p90", "p90_ms"), ("p99", "p99_ms")];

/// Counts: the name, and where it stands.
const COUNTS: [(&str, [&str; 2]); 13] = [
    ("chunks_served", ["totals", "served_chunks"]),
    ("keys_hit", ["totals", "hit_keys"]),
    ("keys_hit_l1", ["totals", "l1_hit_keys"]),
    ("keys_hit_l2", ["totals", "l2_hit_keys"]),
    ("keys_evicted", ["totals", "evicted_keys"]),
    ("keys_out_of_memory", ["writes", "keys_out_of_memory"]),
    ("reads_found_nothing", ["reads", "found_nothing"]),
    ("records_failed", ["totals", "records_failed"]),
    ("prefetch.timed_out", ["prefetches", "timed_out"]),
    ("prefetch.unanswered", ["prefetches", "never_answered"]),
    ("l2.keys_lost", ["l2", "lost_keys"]),
    ("l2.keys_dropped", ["l2", "dropped_keys"]),
    ("l2.keys_retried", ["l2", "retried_keys"]),
];

/// Every metric there is, in the order of reports.
pub fn catalogue() -> Vec<Metric> {
    let mut all = Vec::new();
    for op in Op::ALL {
        for (suffix, field) in OF_OPERATION {
            let path = vec!["ops".to_owned(), op.qualname(), field.to_owned()];
            let name = format!("{}.{suffix}", op.short_name());
            all.push(Metric { name, unit: Unit::Microseconds, source: Source::Number(path, 1e3) });
        }
    }
    let mut add = |name: &str, unit, source| all.push(Metric { name: name.to_owned(), unit, source });
    let number = |path: &[&str]| Source::Number(path.iter().map(|&name| name.to_owned()).collect(), 1.0);
    for quantile in ["p50", "p99", "max"] {
        let path = ["prefetches", "submit_to_result_us", quantile];
        add(&format!("prefetch.{quantile}"), Unit::Microseconds, number(&path));
    }
    for part in ["lookup", "load"] {
        for quantile in ["p50", "p99"] {
            let path = ["prefetches", "with_l2_us", part, quantile];
            add(&format!("prefetch.l2_{part}.{quantile}"), Unit::Microseconds, number(&path));
        }
    }
    for quantile in ["p50", "p99", "max"] {
        add(&format!("lag.{quantile}"), Unit::Microseconds, number(&["lag_us", quantile]));
    }
    let quotient = |of: [&'static str; 2], by: [&'static str; 2]| Source::Quotient(of, by);
    add(LATE_SHARE, Unit::Share, quotient(["schedule", "late_calls"], ["schedule", "calls"]));
    add("duration", Unit::Seconds, number(&["duration_s"]));
    add("calls_per_s", Unit::PerSecond, quotient(["totals", "records_replayed"], ["duration_s", ""]));
    let totals = |name| ["totals", name];
    add("chunk_hit_rate", Unit::Share, quotient(totals("served_chunks"), totals("requested_chunks")));
    add("key_hit_rate", Unit::Share, quotient(totals("hit_keys"), totals("requested_keys")));
    for (name, path) in COUNTS {
        add(name, Unit::Count, number(&path));
    }
    add("l2.bytes", Unit::Bytes, Source::AdapterSum("adapters", &["current_size_bytes"]));
    add("l2.bytes_stored", Unit::Bytes, Source::AdapterSum("flows", &["stores", "bytes"]));
    add("l2.bytes_loaded", Unit::Bytes, Source::AdapterSum("flows", &["loads", "bytes"]));
    all
}

/// The values of a run, from its summary.
pub fn read(catalogue: &[Metric], summary: &Value) -> RunMetrics {
    catalogue.iter().map(|metric| metric.source.read(summary)).collect()
}

impl Source {
    fn read(&self, summary: &Value) -> Option<f64> {
        match self {
            Self::Number(path, factor) => Some(number(summary, path.iter().map(String::as_str))? * factor),
            Self::Quotient(of, by) => {
                let [of, by] = [of, by].map(|path| number(summary, path.iter().copied()));
                by.filter(|by| *by > 0.0).and_then(|by| Some(of? / by))
            }
            Self::AdapterSum(list, path) => {
                let adapters = summary["l2"][list].as_array().filter(|list| !list.is_empty())?;
                adapters.iter().map(|adapter| number(adapter, path.iter().copied())).sum()
            }
        }
    }
}

/// The number at the end of a path; empty names lead nowhere else.
fn number<'a>(from: &Value, path: impl Iterator<Item = &'a str>) -> Option<f64> {
    let found = path.filter(|name| !name.is_empty()).try_fold(from, |value, name| value.get(name))?;
    found.as_f64().filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let all = catalogue();
        let mut names: Vec<&str> = all.iter().map(|metric| metric.name.as_str()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.contains(&"submit_prefetch_task.p99") && names.contains(&LATE_SHARE));
    }

    #[test]
    fn what_is_not_there_is_no_metric() {
        let all = catalogue();
        assert!(read(&all, &Value::Null).iter().all(Option::is_none));
        let summary = serde_json::json!({
            "duration_s": 2.0,
            "totals": {"records_replayed": 10, "served_chunks": 1, "requested_chunks": 0},
            "l2": {"adapters": [{"current_size_bytes": 3}, {"current_size_bytes": 4}]},
        });
        let of = |name: &str| {
            let place = all.iter().position(|metric| metric.name == name).unwrap();
            read(&all, &summary)[place]
        };
        assert_eq!((of("calls_per_s"), of("chunk_hit_rate"), of("l2.bytes")), (Some(5.0), None, Some(7.0)));
        assert_eq!(of("duration"), Some(2.0));
    }
}

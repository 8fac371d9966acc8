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
        self.least_of_percent().is_some()
    }

    /// What all runs have to reach for a change to be told in percent: below it a value is the clock's reading, and a percentage of
    /// it says nothing. Nothing for units that have no percent.
    pub fn least_of_percent(self) -> Option<f64> {
        match self {
            Self::Microseconds => Some(LEAST_TIME_US),
            Self::Seconds => Some(LEAST_TIME_US / 1e6),
            Self::PerSecond => Some(f64::MIN_POSITIVE),
            Self::Share | Self::Count | Self::Bytes => None,
        }
    }
}

/// The shortest time of which percents are told, in microseconds: some readings of the clock.
pub const LEAST_TIME_US: f64 = 0.1;

/// The way from a smaller value to a larger one, or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards less.
    Lower,
    /// Towards more.
    Higher,
}

impl Direction {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lower => "lower",
            Self::Higher => "higher",
        }
    }
}

/// A number of a replay.
#[derive(Clone, Debug)]
pub struct Metric {
    /// The name in gates and reports, for instance `submit_prefetch_task.p99`.
    pub name: String,
    /// What it is measured in.
    pub unit: Unit,
    /// Which way is the better one; nothing if that depends on what somebody wants.
    pub better: Option<Direction>,
    source: Source,
}

impl Metric {
    /// Whether it is a time of whole prefetches. Where no prefetch went to L2 those are the times of `submit_prefetch_task`.
    pub fn is_of_whole_prefetches(&self) -> bool {
        ["prefetch.p50", "prefetch.p99", "prefetch.max"].contains(&self.name.as_str())
    }

    /// Whether it is a time of prefetches in L2, which a run that asked no L2 does not have.
    pub fn is_of_l2(&self) -> bool {
        self.name.starts_with("prefetch.l2_")
    }
}

/// Where a metric stands in the summary.
#[derive(Clone, Debug)]
enum Source {
    /// A number, times a factor.
    Number(Vec<String>, f64),
    /// A number of a distribution, times a factor; nothing if the distribution is of nothing, where the summary has zeros.
    Spread { of: Vec<String>, field: &'static str, factor: f64, count: Vec<String> },
    /// One number by another; nothing if that is zero.
    Quotient([&'static str; 2], [&'static str; 2]),
    /// A number of each L2 adapter, added up: where the list is in `l2`, and where the number in each.
    AdapterSum(&'static str, &'static [&'static str]),
}

/// The values of one run, in the order of [`catalogue`].
pub type RunMetrics = Vec<Option<f64>>;

/// The share of a run's calls that began late, which says whether the load was delivered.
pub const LATE_SHARE: &str = "lag.late_share";

/// Work that a run did not do: records that raised an error, objects that could not be stored to L2.
pub const UNDONE: [&str; 2] = ["records_failed", "l2.keys_lost"];

/// The metrics of an operation: what its name ends with, and where it stands.
const OF_OPERATION: [(&str, &str); 4] =
    [("mean", "mean_ms"), ("p50", "p50_ms"), ("p90", "p90_ms"), ("p99", "p99_ms")];

/// Counts: the name, which way is the better one, and where it stands.
const COUNTS: [(&str, Option<Direction>, [&str; 2]); 13] = [
    ("chunks_served", HIGHER, ["totals", "served_chunks"]),
    ("keys_hit", HIGHER, ["totals", "hit_keys"]),
    ("keys_hit_l1", HIGHER, ["totals", "l1_hit_keys"]),
    // A hit in L2 is one that L1 did not have.
    ("keys_hit_l2", None, ["totals", "l2_hit_keys"]),
    // What is evicted late is evicted in larger steps: neither is better.
    ("keys_evicted", None, ["totals", "evicted_keys"]),
    ("keys_out_of_memory", LOWER, ["writes", "keys_out_of_memory"]),
    ("reads_found_nothing", LOWER, ["reads", "found_nothing"]),
    ("records_failed", LOWER, ["totals", "records_failed"]),
    ("prefetch.timed_out", LOWER, ["prefetches", "timed_out"]),
    ("prefetch.unanswered", LOWER, ["prefetches", "never_answered"]),
    ("l2.keys_lost", LOWER, ["l2", "lost_keys"]),
    ("l2.keys_dropped", LOWER, ["l2", "dropped_keys"]),
    ("l2.keys_retried", LOWER, ["l2", "retried_keys"]),
];

const LOWER: Option<Direction> = Some(Direction::Lower);
const HIGHER: Option<Direction> = Some(Direction::Higher);

/// Every metric there is, in the order of reports.
pub fn catalogue() -> Vec<Metric> {
    let mut all = Vec::new();
    let mut add = |name: &str, unit, better, source| {
        all.push(Metric { name: name.to_owned(), unit, better, source });
    };
    for op in Op::ALL {
        for (suffix, field) in OF_OPERATION {
            let source = Source::spread(vec!["ops".to_owned(), op.qualname()], field, 1e3);
            add(&format!("{}.{suffix}", op.short_name()), Unit::Microseconds, LOWER, source);
        }
    }
    let path = |path: &[&str]| path.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    for quantile in ["p50", "p99", "max"] {
        let source = Source::spread(path(&["prefetches", "submit_to_result_us"]), quantile, 1.0);
        add(&format!("prefetch.{quantile}"), Unit::Microseconds, LOWER, source);
    }
    for part in ["lookup", "load"] {
        for quantile in ["p50", "p99"] {
            let source = Source::spread(path(&["prefetches", "with_l2_us", part]), quantile, 1.0);
            add(&format!("prefetch.l2_{part}.{quantile}"), Unit::Microseconds, LOWER, source);
        }
    }
    let number = |of: &[&str]| Source::Number(path(of), 1.0);
    for quantile in ["p50", "p99", "max"] {
        // Nothing is late where nothing is due.
        let count = path(&["schedule", "calls"]);
        let source = Source::Spread { of: path(&["lag_us"]), field: quantile, factor: 1.0, count };
        add(&format!("lag.{quantile}"), Unit::Microseconds, LOWER, source);
    }
    let quotient = |of: [&'static str; 2], by: [&'static str; 2]| Source::Quotient(of, by);
    add(LATE_SHARE, Unit::Share, LOWER, quotient(["schedule", "late_calls"], ["schedule", "calls"]));
    add("duration", Unit::Seconds, LOWER, number(&["duration_s"]));
    let calls = quotient(["totals", "records_replayed"], ["duration_s", ""]);
    add("calls_per_s", Unit::PerSecond, HIGHER, calls);
    let totals = |name| ["totals", name];
    let chunks = quotient(totals("served_chunks"), totals("requested_chunks"));
    add("chunk_hit_rate", Unit::Share, HIGHER, chunks);
    let keys = quotient(totals("hit_keys"), totals("requested_keys"));
    add("key_hit_rate", Unit::Share, HIGHER, keys);
    for (name, better, path) in COUNTS {
        add(name, Unit::Count, better, number(&path));
    }
    add("l2.bytes", Unit::Bytes, None, Source::AdapterSum("adapters", &["current_size_bytes"]));
    add("l2.bytes_stored", Unit::Bytes, None, Source::AdapterSum("flows", &["stores", "bytes"]));
    add("l2.bytes_loaded", Unit::Bytes, None, Source::AdapterSum("flows", &["loads", "bytes"]));
    all
}

/// The values of a run, from its summary.
pub fn read(catalogue: &[Metric], summary: &Value) -> RunMetrics {
    catalogue.iter().map(|metric| metric.source.read(summary)).collect()
}

impl Source {
    /// A number of a distribution that says itself of how many it is.
    fn spread(of: Vec<String>, field: &'static str, factor: f64) -> Self {
        let count = of.iter().cloned().chain(["count".to_owned()]).collect();
        Self::Spread { of, field, factor, count }
    }

    fn read(&self, summary: &Value) -> Option<f64> {
        let read = match self {
            Self::Number(path, factor) => Some(number(summary, path.iter().map(String::as_str))? * factor),
            Self::Spread { of, field, factor, count } => {
                let is_of_any =
                    number(summary, count.iter().map(String::as_str)).is_some_and(|count| count > 0.0);
                let value = number(summary, of.iter().map(String::as_str).chain([*field]));
                value.filter(|_| is_of_any).map(|value| value * factor)
            }
            Self::Quotient(of, by) => {
                let [of, by] = [of, by].map(|path| number(summary, path.iter().copied()));
                by.filter(|by| *by > 0.0).and_then(|by| Some(of? / by))
            }
            Self::AdapterSum(list, path) => {
                let adapters = summary["l2"][list].as_array().filter(|list| !list.is_empty())?;
                adapters.iter().map(|adapter| number(adapter, path.iter().copied())).sum()
            }
        };
        read.filter(|value| value.is_finite())
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
        assert!(UNDONE.iter().all(|name| names.contains(name)));
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

    /// The summary has zeros where there was nothing to measure.
    #[test]
    fn a_distribution_of_nothing_is_no_metric() {
        let all = catalogue();
        let place = all.iter().position(|metric| metric.name == "prefetch.l2_load.p99").unwrap();
        let of = |load: Value| {
            read(&all, &serde_json::json!({"prefetches": {"with_l2_us": {"load": load}}}))[place]
        };
        assert_eq!(of(serde_json::json!({"count": 0, "p99": 0.0})), None);
        assert_eq!(of(serde_json::json!({"p99": 3.0})), None);
        assert_eq!(of(serde_json::json!({"count": 1, "p99": 3.0})), Some(3.0));
        let place = all.iter().position(|metric| metric.name == "lag.max").unwrap();
        let lag = |calls: u64| {
            read(&all, &serde_json::json!({"lag_us": {"max": 2.0}, "schedule": {"calls": calls}}))[place]
        };
        assert_eq!([lag(0), lag(1)], [None, Some(2.0)]);
    }

    #[test]
    fn times_and_misses_are_better_where_they_are_less() {
        let all = catalogue();
        let better = |name: &str| all.iter().find(|metric| metric.name == name).unwrap().better;
        for name in ["reserve_write.p99", "prefetch.l2_load.p50", "duration", "keys_out_of_memory"] {
            assert_eq!(better(name), LOWER, "{name}");
        }
        for name in ["chunk_hit_rate", "keys_hit", "calls_per_s"] {
            assert_eq!(better(name), HIGHER, "{name}");
        }
        for name in ["keys_evicted", "keys_hit_l2", "l2.bytes"] {
            assert_eq!(better(name), None, "{name}");
        }
    }
}

//! What one wants to know first: the most important numbers, and what is to be known before any is believed.

use super::axis::duration;
use super::figures::{percent, si};
use super::html::escape;
use super::table::NOTHING;
use crate::cli::replay::report::ReplayReport;
use crate::cli::text::bytes;
use crate::clock::NS_PER_S;
use crate::replay::Timeline;

/// What one wants to know first.
pub(super) fn tiles(report: &ReplayReport, timeline: &Timeline) -> String {
    let (run, totals) = (&report.run, &report.totals);
    let hit_rate = match totals.requested_chunks {
        0 => "none asked".to_owned(),
        requested => percent(totals.served_chunks as f64 / requested as f64),
    };
    let usages = || timeline.buckets().iter().filter_map(|bucket| bucket.usage);
    let l1 = usages().map(|usage| usage.l1_used_bytes).max();
    let mut tiles = vec![
        ("Records replayed", run.records_replayed.to_string()),
        ("Failed", run.records_failed.to_string()),
        ("Skipped", run.records_skipped.to_string()),
        ("Duration", duration(run.duration_ns as f64)),
        ("Calls per second", calls_per_second(report)),
        ("Chunk hit rate", hit_rate),
    ];
    if run.lag.calls > 0 {
        tiles.push(("Lag p99", duration(run.lag.p99_ns as f64)));
        tiles.push(("Lag max", duration(run.lag.max_ns as f64)));
    }
    tiles.push(("L1 at its fullest", l1.map_or("unknown".to_owned(), bytes)));
    if let Some(l2) = usages().filter_map(|usage| usage.l2_used_bytes).max() {
        tiles.push(("L2 at its fullest", bytes(l2)));
    }
    tiles.push(("Keys evicted", totals.evicted_keys.to_string()));
    let tile = |(name, value): &(&str, String)| {
        format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(value))
    };
    format!("<dl class=\"tiles\">\n{}</dl>\n", tiles.iter().map(tile).collect::<String>())
}

fn calls_per_second(report: &ReplayReport) -> String {
    let calls = report.run.records_replayed + report.run.records_failed;
    match report.run.duration_ns {
        0 => NOTHING.to_owned(),
        duration_ns => si(calls as f64 * NS_PER_S as f64 / duration_ns as f64),
    }
}

/// What is to be known before the plots are believed.
pub(super) fn notes(report: &ReplayReport) -> String {
    let mut notes = Vec::new();
    if report.run.interrupted {
        notes.push("The replay was interrupted: this is what happened until then.".to_owned());
    }
    if report.run.unobserved_records > 0 {
        notes.push(format!(
            "{} records came faster than they could be looked at: they are in the tables and not in the plots.",
            report.run.unobserved_records
        ));
    }
    if report.is_same_config() == Some(false) {
        notes.push("The trace was recorded under another configuration; see Config differences.".to_owned());
    }
    if notes.is_empty() {
        return String::new();
    }
    let items: String = notes.iter().map(|note| format!("<li>{}</li>", escape(note))).collect();
    format!("<ul class=\"notes\">{items}</ul>\n")
}

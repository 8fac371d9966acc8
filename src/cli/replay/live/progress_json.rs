//! `--progress json`: one object a second on standard error, and a last one at the end.

use std::io::Write;

use serde::Serialize;

use super::pulse::{Beat, Pulse};
use crate::clock::NS_PER_S;

/// What programs are told of a replay's progress.
#[derive(Serialize)]
struct Line {
    /// Tells these lines from others on standard error.
    #[serde(rename = "type")]
    kind: &'static str,
    elapsed_s: f64,
    done: f64,
    left_s: Option<f64>,
    finished: bool,
    records: u64,
    total_records: u64,
    failed: u64,
    skipped: u64,
    calls_per_s: f64,
    /// Null before a call was due, and where none ever is.
    lag_us: Option<f64>,
    max_lag_us: Option<f64>,
    hit_rate: Option<f64>,
    answered_chunks: u64,
    served_chunks: u64,
    l1_used_bytes: u64,
    l1_total_bytes: u64,
    l2_used_bytes: Option<u64>,
    evicted_keys: u64,
}

/// Prints a line to standard error. If that is gone there is nobody left to tell.
pub(super) fn print(beat: &Beat, pulse: &Pulse, finished: bool) {
    let line = serde_json::to_string(&line(beat, pulse, finished)).expect("numbers and one word");
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn line(beat: &Beat, pulse: &Pulse, finished: bool) -> Line {
    let seconds = |ns: u64| ns as f64 / NS_PER_S as f64;
    let lag_us = |ns: u64| pulse.has_lag.then(|| ns as f64 / 1e3);
    let sample = &pulse.sample;
    Line {
        kind: "progress",
        elapsed_s: seconds(beat.elapsed_ns),
        done: beat.done,
        left_s: beat.left_ns.map(seconds),
        finished,
        records: pulse.records,
        total_records: pulse.total_records(),
        failed: pulse.failed,
        skipped: pulse.skipped,
        calls_per_s: beat.calls_per_s,
        lag_us: lag_us(beat.lag_ns),
        max_lag_us: lag_us(beat.max_lag_ns),
        hit_rate: sample.hit_rate(),
        answered_chunks: sample.answered_chunks,
        served_chunks: sample.served_chunks,
        l1_used_bytes: sample.l1_used_bytes,
        l1_total_bytes: sample.l1_total_bytes,
        l2_used_bytes: sample.l2_used_bytes,
        evicted_keys: sample.evicted_keys,
    }
}

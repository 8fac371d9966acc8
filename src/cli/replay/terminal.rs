//! The report as a table of 64 columns: LMCache's two sections, then ours in the same style.

use std::borrow::Cow;
use std::fmt;

use crate::format::model::Op;
use crate::replay::RecordNote;
use crate::replay::telemetry::TelemetryReport;
use crate::replay::{
    AnswerSummary, FailedEviction, L2Totals, NativeExtent, OpSummary, Order, Pace, RecordName,
};
use crate::storage::config::ConfigDifference;

use super::pacing::{order_name, pace_name};
use super::recording::RecordingReport;
use super::report::{Delivered, ReplayReport, adapter_name};
use super::telemetry;
use crate::cli::text::{bytes, printable, short};

/// Characters of a line.
const WIDTH: usize = 64;

/// How the two hit rates differ.
const CELLS_NOTE: [&str; 4] = [
    "Chunks are columns of a prefetch: served by all its rows. Keys",
    "are cells: rows x columns. Of a row with a sliding window only",
    "its last chunks are kept, so fewer cells than chunks are hits:",
    "there the chunk hit rate says how much of a prompt was served.",
];

/// How many configuration differences are listed.
const MAX_DIFFERENCES: usize = 12;

/// The table, with a newline at its end.
pub(super) fn render(report: &ReplayReport) -> String {
    let rule = "=".repeat(WIDTH);
    let title = format!("{:=^WIDTH$}", " Trace Replay Result ");
    let lines = lines(report);
    let lines = lines.iter().map(Line::to_string);
    std::iter::once(title).chain(lines).chain([rule]).map(|line| line + "\n").collect()
}

/// What the table says, line by line, for whoever gives it another form.
pub(super) fn lines(report: &ReplayReport) -> Vec<Line> {
    let mut table = Table(Vec::new());
    overall(&mut table, report);
    latencies(&mut table, &report.run.ops);
    fine_latencies(&mut table, &report.run.ops);
    delivered(&mut table, report);
    schedule(&mut table, report);
    prefetches(&mut table, report);
    answers(&mut table, &report.answers);
    reads_and_writes(&mut table, report);
    l2(&mut table, &report.l2);
    recording(&mut table, report);
    observability(&mut table, &report.telemetry);
    trace(&mut table, report);
    notes(&mut table, "Failed Records", &report.run.failures, report.run.records_failed);
    notes(&mut table, "Skipped Records", &report.run.skips, report.run.records_skipped);
    differences(&mut table, &report.differences);
    table.0
}

fn observability(table: &mut Table, report: &TelemetryReport) {
    if !report.is_empty() {
        table.heading("Observability");
        telemetry::rows(report).iter().for_each(|(label, value)| table.row(label, value));
    }
}

fn overall(table: &mut Table, report: &ReplayReport) {
    let run = &report.run;
    table.heading("Overall");
    table.row("Trace level", &report.level);
    table.row("Records replayed", run.records_replayed);
    table.row("Records skipped", run.records_skipped);
    table.row("Records failed", run.records_failed);
    table.row("Replay duration (s)", two_decimals(run.duration_ns as f64 / 1e9));
    let (recorded, replay) = (short_digest(&report.recorded_digest), short_digest(&report.replay_digest));
    match report.is_same_config() {
        Some(true) => table.row("Config digest", format!("match ({recorded})")),
        Some(false) => table.row("Config digest", format!("MISMATCH (rec={recorded}, run={replay})")),
        None => {}
    }
}

fn latencies(table: &mut Table, ops: &[OpSummary]) {
    if ops.is_empty() {
        return;
    }
    table.heading("Per-Op Latency (ms)");
    for row in ops {
        let name = row.op.short_name();
        // A histogram's percentiles are marked: they are good to three digits only.
        let mark = if row.is_exact { "" } else { "~" };
        let milliseconds = |ns: f64| two_decimals(ns / 1e6);
        table.row(&format!("{name} count"), row.count);
        table.row(&format!("{name} mean"), milliseconds(row.mean_ns));
        table.row(&format!("{name} p50"), format!("{mark}{}", milliseconds(row.p50_ns as f64)));
        table.row(&format!("{name} p99"), format!("{mark}{}", milliseconds(row.p99_ns as f64)));
    }
}

/// The same in microseconds: most calls take less than LMCache's two decimals of a millisecond show.
fn fine_latencies(table: &mut Table, ops: &[OpSummary]) {
    if ops.is_empty() {
        return;
    }
    table.heading("Latency (us): mean, p50, p99, max");
    for row in ops {
        let columns = [row.mean_ns, row.p50_ns as f64, row.p99_ns as f64, row.max_ns as f64];
        let columns = columns.map(|ns| format!("{:>7.1}", ns / 1e3)).join(" ");
        table.row(row.op.short_name(), columns);
    }
}

/// How it was replayed, where that is not as LMCache would.
fn delivered(table: &mut Table, report: &ReplayReport) {
    let Some(Delivered { pacing, part, left_out_records, left_out_keys }) = &report.delivered else { return };
    let is_usual = pacing.options.pace == Pace::Recorded
        && pacing.options.order == Order::Recorded
        && pacing.workers == 1
        && part.copies() == 1
        && part.selection.is_everything();
    if is_usual {
        return;
    }
    table.heading("Pace");
    table.row("Pace", pace_name(pacing.options.pace));
    table.row("Order", order_name(pacing.options.order));
    table.row("Workers", pacing.workers);
    let calls = report.run.records_replayed + report.run.records_failed;
    table.row("Calls per second", calls.saturating_mul(1_000_000_000) / report.run.duration_ns.max(1));
    if part.copies() > 1 {
        table.row("Loops, tenants", format!("{}, {}", part.loops, part.tenants));
    }
    if !part.selection.is_everything() {
        table.row("Records left out", left_out_records);
        table.row("Keys left out of other records", left_out_keys);
    }
}

fn schedule(table: &mut Table, report: &ReplayReport) {
    let lag = &report.run.lag;
    if lag.calls == 0 {
        return;
    }
    let microseconds = |ns: u64| two_decimals(ns as f64 / 1e3);
    table.heading("Schedule Lag (us): actual minus intended start");
    table.row("Lag p50", microseconds(lag.p50_ns));
    table.row("Lag p99", microseconds(lag.p99_ns));
    table.row("Lag p99.9", microseconds(lag.p999_ns));
    table.row("Lag max", microseconds(lag.max_ns));
    table.row("Calls more than 1 ms late", lag.late_calls);
}

/// The sum of all adapters, and each.
fn l2(table: &mut Table, l2: &L2Totals) {
    if l2.adapters.is_empty() {
        return;
    }
    table.heading("L2");
    table.row("Keys that could not be stored", l2.lost_keys);
    table.row("Keys dropped by a full queue", l2.dropped_keys);
    table.row("Keys tried again", l2.retried_keys);
    for (position, adapter) in l2.adapters.iter().enumerate() {
        let name = adapter_name(position, adapter);
        table.row(&format!("{name}: failed operations"), adapter.failed_operations());
        let used = adapter.fields.get("current_size_bytes").and_then(serde_json::Value::as_u64);
        if let Some(used) = used {
            table.row(&format!("{name}: bytes"), used);
        }
    }
}

fn prefetches(table: &mut Table, report: &ReplayReport) {
    let totals = &report.totals;
    table.heading("Hits: what prefetches found");
    table.row("Chunks requested by prefetches", totals.requested_chunks);
    table.row("Chunks served", totals.served_chunks);
    table.row("Chunk hit rate (served / requested)", percent(totals.served_chunks, totals.requested_chunks));
    table.row("Keys requested by prefetches", totals.requested_keys);
    table.row("Keys hit", totals.hit_keys);
    table.row("Hit rate (hit / requested)", percent(totals.hit_keys, totals.requested_keys));
    table.row("Keys hit in L1", totals.l1_hit_keys);
    table.row("Keys hit in L2", totals.l2_hit_keys);
    table.line(&CELLS_NOTE.join("\n"));
}

/// How long prefetches took; nothing if the trace has none.
fn answers(table: &mut Table, answers: &AnswerSummary) {
    if answers.answered + answers.never_answered == 0 {
        return;
    }
    let microseconds = |ns: u64| two_decimals(ns as f64 / 1e3);
    table.heading("Prefetch Time (us): from submission to result");
    table.row("Prefetch p50", microseconds(answers.p50_ns));
    table.row("Prefetch p99", microseconds(answers.p99_ns));
    table.row("Prefetch max", microseconds(answers.max_ns));
    table.row("Prefetches with a result", answers.answered);
    table.row("  that came after their call had returned", answers.answered_after_call);
    table.row_if_any("  that were given up by --prefetch-timeout-ms", answers.timed_out);
    table.row("Queries that came before the result", answers.early_queries);
    table.row("Prefetches without a result", answers.never_answered);
}

fn reads_and_writes(table: &mut Table, report: &ReplayReport) {
    let totals = &report.totals;
    table.heading("Reads and Writes");
    table.row("Reads that got nothing (a key was missing)", totals.reads_found_nothing);
    table.row_if_any("  their keys that were not there", totals.keys_not_found);
    table.row_if_any("  their keys that were not locked for reading", totals.keys_not_readable);
    table.row_if_any("Exits without an open read (ignored)", totals.unmatched_exits);
    table.row_if_any("Reads left open by the trace, closed", totals.closed_leftovers);
    table.row("Keys reserved for writing", totals.keys_reserved);
    table.row("Keys there already, not reserved", totals.keys_not_writable);
    table.row("Keys without memory, not reserved", totals.keys_out_of_memory);
    table.row("Keys evicted", totals.evicted_keys);
    table.row_if_any("Eviction passes that failed", report.failed_eviction_passes());
    for FailedEviction { l1_tag, policy, failed_passes, reason } in &report.failed_evictions {
        let reason = reason.as_deref().unwrap_or("the last pass worked again");
        table.line(&printable(&format!("  L1 {l1_tag}, {policy}, {failed_passes} times: {reason}")));
    }
}

/// The trace that the replay left of itself.
fn recording(table: &mut Table, report: &ReplayReport) {
    let Some(RecordingReport { path, stats, size_bytes, failure }) = &report.recording else { return };
    table.heading("Recording of This Replay");
    table.row("File", printable(&path.display().to_string()));
    table.row("Size", bytes(*size_bytes));
    table.row("Calls written", stats.calls);
    table.row("Calls lost", stats.lost);
    table.row("Late calls", stats.late);
    table.row("Completions written", stats.completions);
    table.row_if_any("Completions lost", stats.lost_completions);
    if let Some(failure) = failure {
        table.line(&printable(failure));
    }
}

/// What is odd about the trace or this run of it; nothing if nothing is.
fn trace(table: &mut Table, report: &ReplayReport) {
    let (run, extent) = (&report.run, &report.extent);
    let is_odd = run.interrupted
        || !extent.is_complete()
        || run.impossible_times + run.disordered_times + run.decode_waits + run.unobserved_records > 0;
    if !is_odd {
        return;
    }
    table.heading("Worth Knowing");
    if run.interrupted {
        let done = run.records_replayed + run.records_skipped + run.records_failed;
        table.row("Interrupted after", format!("{done} of {} records", extent.records));
    }
    if let Some(offset) = extent.ending.cut_offset() {
        table.row("Trace is cut short at byte", offset);
    }
    table.row_if_any("Frames that are no records", extent.undecodable_frames);
    if let Some(native) = &extent.native {
        native_trace(table, native);
    }
    table.row_if_any("Times that cannot be waited for", run.impossible_times);
    table.row_if_any("Times before the record before", run.disordered_times);
    table.row_if_any("Waits for the decoder", run.decode_waits);
    table.row_if_any("Records missing from live output", run.unobserved_records);
}

/// What is missing in a native file.
fn native_trace(table: &mut Table, native: &NativeExtent) {
    table.row_if_any("Calls that the recorder lost", native.lost_calls);
    table.row_if_any("Damaged chunks, left out", native.damaged_chunks);
    table.row_if_any("  calls in them", native.damaged_calls);
    table.row_if_any("Bytes that hold no chunk", native.gap_bytes);
    if !native.is_closed {
        table.line("The trace was not closed: what checksums vouch for was played");
    }
    if native.is_cut_import {
        table.line("The trace is a conversion of one that was cut short");
    }
}

fn notes(table: &mut Table, heading: &str, notes: &[RecordNote], total: u64) {
    if notes.is_empty() {
        return;
    }
    table.heading(heading);
    for note in notes {
        let name = match &note.name {
            RecordName::Op(op) => op.short_name().to_owned(),
            RecordName::Other(name) => match Op::from_qualname(name) {
                Some(op) => op.short_name().to_owned(),
                None => short(name).into_owned(),
            },
        };
        table.line(&format!("#{} {name}: {}", note.seq, printable(&note.reason)));
    }
    table.rest(total.saturating_sub(notes.len() as u64));
}

fn differences(table: &mut Table, differences: &[ConfigDifference]) {
    if differences.is_empty() {
        return;
    }
    table.heading("Config Differences");
    for difference in differences.iter().take(MAX_DIFFERENCES) {
        let (recorded, replay) = (side(&difference.recorded), side(&difference.replay));
        table.line(&format!("{}: recorded {recorded}, replay {replay}", short(&difference.path)));
    }
    table.rest(differences.len().saturating_sub(MAX_DIFFERENCES) as u64);
}

/// One side of a difference.
fn side(value: &Option<String>) -> Cow<'_, str> {
    value.as_deref().map_or(Cow::Borrowed("(none)"), printable)
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A section begins.
    Heading(String),
    /// A label and its value.
    Row(String, String),
    /// A sentence, perhaps in several lines.
    Text(String),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // In the middle of a rule, as Python's `str.center` places it.
            Self::Heading(title) => write!(f, "{:-^WIDTH$}", format!(" {title} ")),
            Self::Row(label, value) => {
                let gap = WIDTH.saturating_sub(label.len() + 1 + value.len()).max(1);
                write!(f, "{label}:{}{value}", " ".repeat(gap))
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}

struct Table(Vec<Line>);

impl Table {
    fn heading(&mut self, title: &str) {
        self.0.push(Line::Heading(title.to_owned()));
    }

    fn row(&mut self, label: &str, value: impl ToString) {
        self.0.push(Line::Row(label.to_owned(), value.to_string()));
    }

    fn row_if_any(&mut self, label: &str, count: u64) {
        if count > 0 {
            self.row(label, count);
        }
    }

    fn rest(&mut self, count: u64) {
        if count > 0 {
            self.line(&format!("... and {count} more"));
        }
    }

    fn line(&mut self, text: &str) {
        self.0.push(Line::Text(text.to_owned()));
    }
}

fn two_decimals(value: f64) -> String {
    format!("{value:.2}")
}

fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "none requested".to_owned(),
        _ => format!("{:.2} %", part as f64 * 100.0 / whole as f64),
    }
}

/// The first eight characters: how LMCache shows digests.
fn short_digest(digest: &str) -> String {
    printable(&digest.chars().take(8).collect::<String>()).into_owned()
}

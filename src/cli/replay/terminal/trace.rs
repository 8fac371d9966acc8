//! What is known of the trace, what it says itself, and the trace that the replay left.

use std::borrow::Cow;

use super::super::recording::RecordingReport;
use super::super::report::ReplayReport;
use super::table::{Table, columns_us};
use crate::cli::replay::telemetry;
use crate::cli::text::{bytes, printable, short};
use crate::format::model::Op;
use crate::replay::RecordNote;
use crate::replay::latency::Spread;
use crate::replay::telemetry::TelemetryReport;
use crate::replay::traces::NodeReport;
use crate::replay::{NativeExtent, RecordName};
use crate::storage::config::ConfigDifference;

/// How many configuration differences are listed.
const MAX_DIFFERENCES: usize = 12;

/// The trace that the replay left of itself.
pub(super) fn recording(table: &mut Table, report: &ReplayReport) {
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

/// What monitoring systems were told.
pub(super) fn observability(table: &mut Table, report: &TelemetryReport) {
    if !report.is_empty() {
        table.heading("Observability");
        telemetry::rows(report).iter().for_each(|(label, value)| table.row(label, value));
    }
}

/// Several traces, one by one.
pub(super) fn nodes(table: &mut Table, nodes: &[NodeReport]) {
    if nodes.is_empty() {
        return;
    }
    table.heading("Traces: records, begins (s)");
    for node in nodes {
        let path = node.path.display().to_string();
        table.row(&printable(&path), format!("{} {:.3}", node.extent.records, node.begins_s));
        if let Some(offset) = node.extent.ending.cut_offset() {
            table.row("  cut short at byte", offset);
        }
    }
}

/// What the trace says of the calls, beside what the replay measured; nothing if it says nothing.
pub(super) fn recorded(table: &mut Table, report: &ReplayReport) {
    let Some(recorded) = &report.account.recorded else { return };
    table.heading("Recorded, Replayed (us): mean, p50, p90, p99");
    let times = |spread: &Spread| {
        columns_us([spread.mean_ns, spread.p50_ns as f64, spread.p90_ns as f64, spread.p99_ns as f64])
    };
    for of_op in &recorded.ops {
        table.row(of_op.op.short_name(), times(&of_op.duration));
        if let Some(row) = report.run.ops.iter().find(|row| row.op == of_op.op) {
            let replayed = [row.mean_ns, row.p50_ns as f64, row.p90_ns as f64, row.p99_ns as f64];
            table.row("  replayed", columns_us(replayed));
        }
        table.row_if_any("  recorded calls that raised", of_op.raised);
    }
    if recorded.data_ready.count > 0 {
        table.row("prefetch to data ready", times(&recorded.data_ready));
        table.row("  replayed", times(&report.answers.total));
    }
    let hits = &recorded.hits;
    if hits.replayed == 0 {
        return;
    }
    table.row("Prefetches compared one by one", format!("{} of {}", hits.compared, hits.replayed));
    table.row("  as many hits as recorded", hits.equal);
    table.row("  more hits", hits.more);
    table.row("  fewer hits", hits.fewer);
    table.row("  keys hit, recorded", hits.recorded_hits);
    table.row("  keys hit, replayed", hits.replayed_hits);
}

/// What is odd about the trace or this run of it; nothing if nothing is.
pub(super) fn trace(table: &mut Table, report: &ReplayReport) {
    let (run, extent) = (&report.run, &report.extent);
    let is_odd = run.interrupted
        || !extent.is_complete()
        || run.impossible_times + run.disordered_times + run.decode_waits + run.unobserved_records > 0;
    if !is_odd {
        return;
    }
    table.heading("Worth Knowing");
    if run.interrupted {
        let copies = report.delivered.as_ref().map_or(1, |delivered| delivered.part.copies());
        let all = extent.records.saturating_mul(copies);
        table.row("Interrupted after", format!("{} of {all} records", run.records()));
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

pub(super) fn notes(table: &mut Table, heading: &str, notes: &[RecordNote], total: u64) {
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

pub(super) fn differences(table: &mut Table, differences: &[ConfigDifference]) {
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

//! What is known of the trace, what went wrong, and what the replay left.

use super::table::{Card, Table};
use crate::cli::replay::recording::RecordingReport;
use crate::cli::replay::report::ReplayReport;
use crate::cli::replay::telemetry;
use crate::cli::text::{bytes, short};
use crate::format::model::Op;
use crate::replay::{NativeExtent, RecordName, RecordNote};

/// How many configuration differences are listed.
const MAX_DIFFERENCES: usize = 12;

/// Several traces, one by one.
pub(super) fn traces(report: &ReplayReport) -> Card {
    let mut table = Table::of_numbers(&["", "records", "begins at", "cut short at byte"]);
    for node in &report.nodes {
        let cut = node.extent.ending.cut_offset().map_or(String::new(), |offset| offset.to_string());
        let begins = format!("{:.3} s", node.begins_s);
        table.row(&node.path.display().to_string(), [node.extent.records.to_string(), begins, cut]);
    }
    Card::of("Traces", &table)
}

/// The trace that the replay left of itself.
pub(super) fn recording(report: &ReplayReport) -> Card {
    let mut table = Table::of_numbers(&[]);
    let Some(RecordingReport { path, stats, size_bytes, failure }) = &report.recording else {
        return Card::new("");
    };
    table.row("File", [path.display().to_string()]);
    table.row("Size", [bytes(*size_bytes)]);
    table.row("Calls written", [stats.calls.to_string()]);
    table.row_in(1, "lost", [stats.lost.to_string()]);
    table.row_in(1, "late", [stats.late.to_string()]);
    table.row("Completions written", [stats.completions.to_string()]);
    table.row_if_any(1, "lost", stats.lost_completions);
    let card = Card::of("Recording of this replay", &table);
    failure.iter().fold(card, |card, failure| card.note(failure))
}

/// What monitoring systems were told.
pub(super) fn observability(report: &ReplayReport) -> Card {
    let mut table = Table::of_numbers(&[]);
    if !report.telemetry.is_empty() {
        telemetry::rows(&report.telemetry).into_iter().for_each(|(label, value)| table.row(label, [value]));
    }
    Card::of("Observability", &table)
}

/// What is odd about the trace or this run of it; nothing if nothing is.
pub(super) fn worth_knowing(report: &ReplayReport) -> Card {
    let (run, extent) = (&report.run, &report.extent);
    let mut table = Table::of_numbers(&[]);
    if run.interrupted {
        let copies = report.delivered.as_ref().map_or(1, |delivered| delivered.part.copies());
        let all = extent.records.saturating_mul(copies);
        table.row("Interrupted after", [format!("{} of {all} records", run.records())]);
    }
    if let Some(offset) = extent.ending.cut_offset() {
        table.row("Trace is cut short at byte", [offset.to_string()]);
    }
    table.row_if_any(0, "Frames that are no records", extent.undecodable_frames);
    if let Some(native) = &extent.native {
        native_trace(&mut table, native);
    }
    table.row_if_any(0, "Times that cannot be waited for", run.impossible_times);
    table.row_if_any(0, "Times before the record before", run.disordered_times);
    table.row_if_any(0, "Waits for the decoder", run.decode_waits);
    table.row_if_any(0, "Records missing from live output", run.unobserved_records);
    Card::of("Worth knowing", &table)
}

/// What is missing in a native file.
fn native_trace(table: &mut Table, native: &NativeExtent) {
    table.row_if_any(0, "Calls that the recorder lost", native.lost_calls);
    table.row_if_any(0, "Damaged chunks, left out", native.damaged_chunks);
    table.row_if_any(1, "calls in them", native.damaged_calls);
    table.row_if_any(0, "Bytes that hold no chunk", native.gap_bytes);
    if !native.is_closed {
        table.row("The trace was not closed", ["what checksums vouch for was played".to_owned()]);
    }
    if native.is_cut_import {
        table.row("The trace is a conversion", ["of one that was cut short".to_owned()]);
    }
}

pub(super) fn failures(report: &ReplayReport) -> Card {
    notes("Failed records", &report.run.failures, report.run.records_failed)
}

pub(super) fn skips(report: &ReplayReport) -> Card {
    notes("Skipped records", &report.run.skips, report.run.records_skipped)
}

fn notes(title: &str, notes: &[RecordNote], total: u64) -> Card {
    let mut table = Table::of_words(&["record", "call", "why"]);
    for note in notes {
        let name = match &note.name {
            RecordName::Op(op) => op.short_name().to_owned(),
            RecordName::Other(name) => match Op::from_qualname(name) {
                Some(op) => op.short_name().to_owned(),
                None => short(name).into_owned(),
            },
        };
        table.row(&format!("#{}", note.seq), [name, note.reason.to_string()]);
    }
    rest(Card::of(title, &table), total.saturating_sub(notes.len() as u64))
}

/// Settings that are not those of the recording.
pub(super) fn differences(report: &ReplayReport) -> Card {
    let mut table = Table::of_words(&["setting", "recorded", "replay"]);
    let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
    for difference in report.differences.iter().take(MAX_DIFFERENCES) {
        table.row(&short(&difference.path), [side(&difference.recorded), side(&difference.replay)]);
    }
    let hidden = report.differences.len().saturating_sub(MAX_DIFFERENCES) as u64;
    rest(Card::of("Config differences", &table), hidden)
}

fn rest(card: Card, count: u64) -> Card {
    if count > 0 { card.note(&format!("... and {count} more")) } else { card }
}

//! What prefetches found, and why they and reads did not find more.

use super::super::report::ReplayReport;
use super::table::{Table, percent};
use crate::cli::text::printable;
use crate::replay::FailedEviction;
use crate::replay::latency::HitRate;
use crate::replay::misses::MissCounts;

/// How the hit rates differ.
const CELLS_NOTE: [&str; 6] = [
    "Chunks are columns of a prefetch: served by all its rows. Keys",
    "are cells: rows x columns. Of a row with a sliding window only",
    "its last chunks are kept, so fewer cells than chunks are hits:",
    "there the chunk hit rate says how much of a prompt was served.",
    "Bytes stand for tokens: a token takes the same in every chunk",
    "of a row, so the byte hit rate weighs a key by what it holds.",
];

pub(super) fn prefetches(table: &mut Table, report: &ReplayReport) {
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
    by_weight(table, report);
    table.line(&CELLS_NOTE.join("\n"));
}

/// Hit rates that weigh what was hit.
fn by_weight(table: &mut Table, report: &ReplayReport) {
    let HitRate { hits, requested } = report.account.bytes.hit_rate();
    table.row("Bytes requested by prefetches", requested);
    table.row("Bytes hit", hits);
    table.row("Byte hit rate (hit / requested)", percent(hits, requested));
    if let Some(tokens) = report.token_hit_rate() {
        table.row("Tokens requested (chunks x chunk_size)", tokens.requested);
        table.row("Tokens served", tokens.hits);
    }
}

/// Why cells of prefetches were no hits, and why reads got nothing.
pub(super) fn misses(table: &mut Table, report: &ReplayReport) {
    let misses = &report.account.misses;
    reasons(table, "Keys That Prefetches Missed, and Why", &misses.prefetches);
    reasons(table, "Keys That Reads Did Not Get, and Why", &misses.reads);
    if misses.prefetches.total() + misses.reads.total() > 0 {
        table.row_if_any("Keys forgotten, to bound memory", misses.forgotten_keys);
    }
}

fn reasons(table: &mut Table, heading: &str, counts: &MissCounts) {
    if counts.total() == 0 {
        return;
    }
    table.heading(heading);
    counts.found().for_each(|(reason, count)| table.row(reason.words(), count));
    table.row("All together", counts.total());
}

pub(super) fn reads_and_writes(table: &mut Table, report: &ReplayReport) {
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
    table.row_if_any("Objects still locked for reading at the end", totals.locked_at_end);
    table.row_if_any("Eviction passes that failed", report.failed_eviction_passes());
    for pinned in &report.pinned_l1s {
        table.line(&printable(&pinned.to_string()));
    }
    for FailedEviction { l1_tag, policy, failed_passes, reason } in &report.failed_evictions {
        let reason = reason.as_deref().unwrap_or("the last pass worked again");
        table.line(&printable(&format!("  L1 {l1_tag}, {policy}, {failed_passes} times: {reason}")));
    }
}

//! What prefetches found, and why they and reads did not find more.

use super::figures::percent;
use super::table::{Card, NOTHING, Table};
use crate::cli::replay::report::ReplayReport;
use crate::cli::text::bytes;
use crate::replay::FailedEviction;
use crate::replay::latency::HitRate;
use crate::replay::misses::MissReason;

/// How the hit rates differ.
const CELLS_NOTE: &str = "Chunks are columns of a prefetch: served by all its rows. Keys are cells: rows x columns. Of a row with a \
                          sliding window only its last chunks are kept, so fewer cells than chunks are hits: there the chunk hit rate \
                          says how much of a prompt was served. Bytes stand for tokens: a token takes the same in every chunk of a row, \
                          so the byte hit rate weighs a key by what it holds.";

/// A part of a whole: `50 %`.
fn share(part: u64, whole: u64) -> String {
    if whole > 0 { percent(part as f64 / whole as f64) } else { NOTHING.to_owned() }
}

pub(super) fn hits(report: &ReplayReport) -> Card {
    let totals = &report.totals;
    let mut table = Table::of_numbers(&["", "requested", "hit", "hit rate"]);
    let mut row = |label: &str, HitRate { hits, requested }: HitRate, words: fn(u64) -> String| {
        table.row(label, [words(requested), words(hits), share(hits, requested)]);
    };
    let number = |count: u64| count.to_string();
    row("Chunks", HitRate { hits: totals.served_chunks, requested: totals.requested_chunks }, number);
    if let Some(tokens) = report.token_hit_rate() {
        row("Tokens", tokens, number);
    }
    row("Bytes", report.account.bytes.hit_rate(), bytes);
    row("Keys", HitRate { hits: totals.hit_keys, requested: totals.requested_keys }, number);
    for (label, hits) in [("in L1", totals.l1_hit_keys), ("in L2", totals.l2_hit_keys)] {
        table.row_in(1, label, [String::new(), hits.to_string(), share(hits, totals.requested_keys)]);
    }
    Card::of("Hits: what prefetches found", &table).note(CELLS_NOTE)
}

/// The hits of prefetches, one by one, beside those that the trace says.
pub(super) fn compared(report: &ReplayReport) -> Card {
    let mut table = Table::of_numbers(&[]);
    if let Some(recorded) = report.account.recorded.as_ref().filter(|recorded| recorded.hits.replayed > 0) {
        let hits = &recorded.hits;
        table.row("Prefetches compared one by one", [format!("{} of {}", hits.compared, hits.replayed)]);
        table.row_in(1, "as many hits as recorded", [hits.equal.to_string()]);
        table.row_in(1, "more hits", [hits.more.to_string()]);
        table.row_in(1, "fewer hits", [hits.fewer.to_string()]);
        table.row_in(1, "keys hit, recorded", [hits.recorded_hits.to_string()]);
        table.row_in(1, "keys hit, replayed", [hits.replayed_hits.to_string()]);
    }
    Card::of("Hits, beside the recording's", &table)
}

/// Why cells of prefetches were no hits, and why reads got nothing; nothing if nothing was missed.
pub(super) fn misses(report: &ReplayReport) -> Card {
    let misses = &report.account.misses;
    let mut table = Table::of_numbers(&["", "prefetches", "reads"]);
    for reason in MissReason::ALL {
        let counts = [misses.prefetches.of(reason), misses.reads.of(reason)];
        if counts != [0, 0] {
            table.row(reason.words(), counts.map(|count| count.to_string()));
        }
    }
    let totals = [misses.prefetches.total(), misses.reads.total()];
    if totals != [0, 0] {
        table.row("All together", totals.map(|count| count.to_string()));
    }
    let card = Card::of("Keys that were missed, and why", &table);
    match misses.forgotten_keys {
        0 => card,
        forgotten => card.note(&format!("{forgotten} keys were forgotten, to bound memory.")),
    }
}

pub(super) fn reads_and_writes(report: &ReplayReport) -> Card {
    let totals = &report.totals;
    let mut table = Table::of_numbers(&[]);
    table.row("Reads that got nothing (a key was missing)", [totals.reads_found_nothing.to_string()]);
    table.row_if_any(1, "their keys that were not there", totals.keys_not_found);
    table.row_if_any(1, "their keys that were not locked for reading", totals.keys_not_readable);
    table.row_if_any(0, "Exits without an open read (ignored)", totals.unmatched_exits);
    table.row_if_any(0, "Reads left open by the trace, closed", totals.closed_leftovers);
    table.row("Keys reserved for writing", [totals.keys_reserved.to_string()]);
    table.row("Keys there already, not reserved", [totals.keys_not_writable.to_string()]);
    table.row("Keys without memory, not reserved", [totals.keys_out_of_memory.to_string()]);
    table.row("Keys evicted", [totals.evicted_keys.to_string()]);
    table.row_if_any(0, "Eviction passes that failed", report.failed_eviction_passes());
    let card = Card::of("Reads and writes", &table);
    let card = report.pinned_l1s.iter().fold(card, |card, pinned| card.note(&pinned.to_string()));
    report.failed_evictions.iter().fold(card, |card, failed| {
        let FailedEviction { l1_tag, policy, failed_passes, reason } = failed;
        let reason = reason.as_deref().unwrap_or("the last pass worked again");
        card.note(&format!("L1 {l1_tag}, {policy}, {failed_passes} times: {reason}"))
    })
}

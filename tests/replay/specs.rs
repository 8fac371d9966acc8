//! What LMCache 0.5.6 refuses to build is skipped, and what prefetches served is counted.

use lmcache::replay::manager_target::ManagerTarget;
use lmcache::replay::timed::MAX_NAME_CHARS;
use lmcache::replay::{RecordName, ReplayRun, StorageTotals, TraceSource};
use lmcache::storage::config::{EvictionPolicyKind, StorageManagerConfig};
use lmcache::trace::TraceReader;
use serde_json::json;

use crate::fakes::run_to_the_end;
use crate::made::{MadeTrace, keys, layout, prefetch};

fn play(trace: MadeTrace) -> (ReplayRun, StorageTotals) {
    let reader = TraceReader::from_bytes("made", trace.bytes()).expect("a trace");
    let config = StorageManagerConfig::l1_only(1 << 20, EvictionPolicyKind::Lru);
    let mut target = ManagerTarget::new(config).expect("memory");
    let run = run_to_the_end(TraceSource::new(&reader).records(), &mut target);
    (run, target.close().expect("no thread panicked"))
}

fn stored(names: &str) -> MadeTrace {
    MadeTrace::new().call(0.0, "reserve_write", json!({"keys": keys(names), "layout_desc": layout(16)})).call(
        0.0,
        "finish_write",
        json!({"keys": keys(names)}),
    )
}

#[test]
fn specs_that_lmcache_refuses_are_skipped_with_the_reason() {
    let refused = [
        (prefetch(&[("ab", 0)], 1), "window 0"),
        (prefetch(&[("ab", -2)], 1), "window -2"),
        (prefetch(&[("ab", -1)], 0), "num_kv_readers 0"),
        (prefetch(&[], 1), "at least one row"),
        (prefetch(&[("ab", -1), ("a", -1)], 1), "same number of keys"),
    ];
    let count = refused.len();
    let (arguments, reasons): (Vec<_>, Vec<_>) = refused.into_iter().unzip();
    let made = arguments
        .into_iter()
        .fold(MadeTrace::new(), |made, args| made.call(0.0, "submit_prefetch_task", args));
    let (run, totals) = play(made.call(0.0, "submit_prefetch_task", prefetch(&[("ab", 1)], 1)));
    assert_eq!((run.records_skipped, run.records_replayed, run.records_failed), (count as u64, 1, 0));
    assert_eq!(totals.requested_keys, 2);
    for (note, reason) in run.skips.iter().zip(reasons) {
        assert!(note.reason.contains(reason), "{}", note.reason);
    }
}

/// Releases before 0.5.6 recorded no rows, and had no rule about readers.
#[test]
fn specs_of_old_releases_stay_tolerated() {
    let flat = json!({"keys": [], "layout_desc": layout(16), "extra_count": -5, "external_request_id": "r"});
    let (run, _) = play(MadeTrace::new().call(0.0, "submit_prefetch_task", flat));
    assert_eq!((run.records_replayed, run.records_skipped), (1, 0));
}

/// Ten chunks are served, and one cell is all that a window of one keeps of them.
#[test]
fn a_windows_chunks_are_served_although_few_cells_are_hits() {
    let (_, totals) =
        play(stored("abcdefghij").call(0.0, "submit_prefetch_task", prefetch(&[("abcdefghij", 1)], 1)));
    assert_eq!((totals.requested_chunks, totals.served_chunks), (10, 10));
    assert_eq!((totals.requested_keys, totals.hit_keys), (10, 1));
}

#[test]
fn chunks_are_columns_and_served_up_to_the_first_gap() {
    let rows = [("abx", -1), ("cdy", -1)];
    let (_, totals) = play(stored("abcd").call(0.0, "submit_prefetch_task", prefetch(&rows, 1)));
    assert_eq!((totals.requested_chunks, totals.served_chunks), (3, 2));
    assert_eq!((totals.requested_keys, totals.hit_keys), (6, 4));
}

#[test]
fn a_long_name_is_cut_before_it_queues_up() {
    let (run, _) = play(MadeTrace::new().record(0.0, &"n".repeat(1 << 20), json!({})));
    assert_eq!(run.skips[0].name, RecordName::Other("n".repeat(MAX_NAME_CHARS).into()));
}

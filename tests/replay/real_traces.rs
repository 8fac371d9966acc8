//! Real traces against the real manager. The pace is taken out: what L1 answers does not depend on it as long
//! as nothing is evicted.

use lmcache::replay::manager_target::ManagerTarget;
use lmcache::replay::{ReplayRun, StorageTotals, TimedRecord, TraceSource};
use lmcache::storage::config::{EvictionPolicyKind, StorageManagerConfig};
use lmcache::trace::TraceReader;

use crate::common;
use crate::fakes::run_to_the_end;

/// Replays a fixture as fast as it goes, with `l1_bytes` of memory.
fn play(name: &str, l1_bytes: u64) -> (ReplayRun, StorageTotals) {
    let reader = TraceReader::from_bytes(name, common::unpack(name)).expect("a trace");
    let config = StorageManagerConfig::l1_only(l1_bytes, EvictionPolicyKind::Lru);
    let mut target = ManagerTarget::new(config).expect("memory");
    let records = TraceSource::new(&reader).records().map(|record| TimedRecord { t_mono_s: 0.0, ..record });
    let run = run_to_the_end(records, &mut target);
    assert!(target.manager().memcheck());
    let totals = target.close_in_full().expect("no thread panicked");
    let (storage, misses) = (totals.storage, totals.account.misses);
    // Each cell is a hit or was missed for one reason, and so is each key of a read.
    assert_eq!(misses.prefetches.total(), storage.requested_keys - storage.hit_keys, "{name}");
    assert_eq!(misses.reads.total(), storage.keys_not_found + storage.keys_not_readable, "{name}");
    (run, storage)
}

/// The whole Mooncake trace fits into this L1; the real manager's hits stand beside the trace.
#[test]
fn hits_are_those_of_the_real_manager() {
    let (run, totals) = play("traces/mooncake_syn_all_fits.lct", 245_760_000);
    assert_eq!((run.records_failed, run.records_skipped), (0, 0));
    assert_eq!((totals.requested_keys, totals.hit_keys), (121_877, 77_953));
    assert_eq!((totals.l1_hit_keys, totals.l2_hit_keys, totals.evicted_keys), (77_953, 0, 0));
    assert_eq!((totals.reads_found_nothing, totals.keys_out_of_memory), (0, 0));
    assert_eq!((totals.unmatched_exits, totals.closed_leftovers, totals.unresolved_prefetches), (0, 0, 0));
}

/// Six times the recorded client reads again what it released just before: nothing is locked for it then.
#[test]
fn a_trace_of_a_real_server_is_replayed_whole() {
    let (run, totals) = play("traces/server_bench.lct", 1 << 30);
    assert_eq!((run.records_replayed, run.records_failed, run.records_skipped), (561, 0, 0));
    assert_eq!(totals.keys_out_of_memory, 0, "{totals:?}");
    assert_eq!((totals.reads_found_nothing, totals.keys_not_readable, totals.keys_not_found), (6, 24, 0));
}

/// Records that the trace lost are noticed: the reads that need them find nothing, and are counted.
#[test]
fn a_cut_trace_leaves_reads_open_and_they_are_closed() {
    let (run, totals) = play("traces/truncated_kill9.lct", 1 << 30);
    assert_eq!(run.records_failed, 0);
    let entered = run.ops.iter().find(|row| row.op == lmcache::format::model::Op::ReadEnter);
    let exited = run.ops.iter().find(|row| row.op == lmcache::format::model::Op::ReadExit);
    let open = entered.map_or(0, |row| row.count) - exited.map_or(0, |row| row.count);
    assert_eq!(totals.closed_leftovers - totals.unmatched_exits, open);
}

#[test]
fn memory_that_runs_out_is_counted_and_fails_nothing() {
    let (run, totals) = play("traces/small.lct", 1 << 20);
    assert_eq!((run.records_replayed, run.records_failed), (1432, 0));
    assert!(totals.keys_out_of_memory > 0);
    assert!(totals.hit_keys < totals.requested_keys);
}

/// Releases whose traces LMCache 0.5.6 itself cannot replay.
#[test]
fn traces_of_old_releases_are_replayed() {
    for release in ["0.4.4", "0.4.7", "0.5.0", "0.5.1", "0.5.3", "0.5.5"] {
        let (run, totals) = play(&format!("old_traces/{release}.lct"), 1 << 30);
        assert_eq!((run.records_failed, run.records_skipped), (0, 0), "{release}");
        assert!(run.records_replayed > 0 && totals.requested_keys > 0, "{release}");
    }
}

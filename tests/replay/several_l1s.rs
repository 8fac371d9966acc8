//! A trace of one L1 on a manager of several: each call goes to the L1 that holds its keys.

use std::time::Duration;

use lmcache::replay::manager_target::ManagerTarget;
use lmcache::replay::{ReplayRun, TimedRecord, TraceSource};
use lmcache::storage::config::{Compat, EvictionPolicyKind, L2AdapterConfig, StorageManagerConfig};
use lmcache::storage::status::StorageManagerStatus;
use lmcache::trace::TraceReader;
use serde_json::{Value, json};

use crate::common;
use crate::fakes::run_to_the_end;
use crate::made::{MadeTrace, keys, layout, prefetch};

/// What L1 hands out at least.
const PAGE: u64 = 4096;

/// L1s of these sizes, by the tags 0, 1 and so on. Nothing is evicted.
fn l1s(sizes: &[u64], compat: Compat) -> StorageManagerConfig {
    let mut config = StorageManagerConfig::l1_only(sizes[0], EvictionPolicyKind::Noop);
    let first = config.l1_managers[0].clone();
    config.compat = compat;
    config.l1_managers = (0..sizes.len()).map(|_| first.clone()).collect();
    for (position, l1) in config.l1_managers.iter_mut().enumerate() {
        (l1.tag, l1.memory.size_bytes) = (position.to_string(), sizes[position]);
    }
    config
}

fn run(reader: &TraceReader, target: &mut ManagerTarget, keeps_pace: bool) -> ReplayRun {
    let records = TraceSource::new(reader)
        .records()
        .map(|record| TimedRecord { t_mono_s: if keeps_pace { record.t_mono_s } else { 0.0 }, ..record });
    run_to_the_end(records, target)
}

fn made(trace: MadeTrace) -> TraceReader {
    TraceReader::from_bytes("made", trace.bytes()).expect("a trace")
}

fn reserve(names: &str) -> Value {
    json!({"keys": keys(names), "layout_desc": layout(16)})
}

fn read(trace: MadeTrace, t_mono_s: f64, names: &str) -> MadeTrace {
    trace
        .call(t_mono_s, "read_prefetched_results.__enter__", json!({"keys": keys(names)}))
        .call(t_mono_s, "read_prefetched_results.__exit__", json!({"keys": keys(names)}))
        .call(t_mono_s, "finish_read_prefetched", json!({"keys": keys(names), "read_locks": 1}))
}

/// Of each L1: objects, reservations, read locks.
fn objects_and_locks(status: &StorageManagerStatus) -> Vec<(u64, u64, u64)> {
    let l1s = status.l1_managers.values();
    l1s.map(|l1| (l1.total_object_count, l1.write_locked_count, l1.read_locked_count)).collect()
}

#[test]
fn each_key_is_finished_and_read_where_it_was_reserved() {
    for compat in Compat::ALL {
        // Two writes are open at once; "cd" finds no room in the first L1.
        let trace = MadeTrace::new()
            .call(0.0, "reserve_write", reserve("ab"))
            .call(0.0, "reserve_write", reserve("cd"))
            .call(0.0, "finish_write", json!({"keys": keys("bcda")}))
            .call(0.0, "submit_prefetch_task", prefetch(&[("abcd", -1)], 2));
        let reader = made(read(read(trace, 0.0, "abcd"), 0.0, "dcba"));
        let mut target = ManagerTarget::new(l1s(&[2 * PAGE, 8 * PAGE], compat)).expect("memory");
        let played = run(&reader, &mut target, false);
        assert_eq!((played.records_replayed, played.records_failed), (10, 0), "{:?}", played.failures);
        assert_eq!(objects_and_locks(&target.manager().report_status()), [(2, 0, 0), (2, 0, 0)]);
        let totals = target.close().expect("no thread panicked");
        assert_eq!((totals.keys_reserved, totals.hit_keys, totals.reads_found_nothing), (4, 4, 0));
    }
}

/// "e" was never reserved and "f" never prefetched: with one L1 that is no failure either.
#[test]
fn keys_that_no_l1_holds_are_misses() {
    for compat in Compat::ALL {
        let trace = MadeTrace::new()
            .call(0.0, "reserve_write", reserve("abf"))
            .call(0.0, "finish_write", json!({"keys": keys("abef")}))
            .call(0.0, "submit_prefetch_task", prefetch(&[("ab", -1)], 2));
        let reader = made(read(read(trace, 0.0, "abf"), 0.0, "ab"));
        let mut target = ManagerTarget::new(l1s(&[PAGE, 8 * PAGE], compat)).expect("memory");
        let played = run(&reader, &mut target, false);
        assert_eq!((played.records_replayed, played.records_failed), (9, 0), "{:?}", played.failures);
        let totals = target.close().expect("no thread panicked");
        assert_eq!((totals.reads_found_nothing, totals.keys_not_readable), (2, 1 + 2));
    }
}

/// LMCache asks its adapters even if L1 has everything, so the answer comes after the call.
#[test]
fn a_read_knows_the_answer_that_came_since_the_last_call() {
    let mut config = l1s(&[2 * PAGE, 8 * PAGE], Compat::Lmcache);
    let mock =
        r#"{"type":"mock","max_size_gb":0.001,"mock_bandwidth_gb":10,"latency_ms":100,"affinity_tag":"1"}"#;
    config.l2_adapters = L2AdapterConfig::from_json_list(&[mock.to_owned()]).expect("an adapter");
    let trace = MadeTrace::new()
        .call(0.0, "reserve_write", reserve("abc"))
        .call(0.0, "finish_write", json!({"keys": keys("abc")}))
        .call(0.0, "submit_prefetch_task", prefetch(&[("abc", -1)], 1));
    let reader = made(read(trace, 2.0, "abc"));
    let mut target = ManagerTarget::new(config).expect("memory");
    let played = run(&reader, &mut target, true);
    assert_eq!((played.records_replayed, played.records_failed), (6, 0), "{:?}", played.failures);
    target.manager().flush_stores(Duration::from_secs(10));
    assert!(objects_and_locks(&target.manager().report_status()).iter().all(|(_, _, locked)| *locked == 0));
    let totals = target.close().expect("no thread panicked");
    assert_eq!((totals.hit_keys, totals.reads_found_nothing, totals.unresolved_prefetches), (3, 0, 0));
}

/// The whole trace fits: what is hit does not depend on how many L1s share the memory.
#[test]
fn a_real_trace_hits_as_on_one_l1() {
    let name = "traces/mooncake_syn_all_fits.lct";
    let reader = TraceReader::from_bytes(name, common::unpack(name)).expect("a trace");
    let mut target =
        ManagerTarget::new(l1s(&[80_000_000, 40_000_000, 245_760_000], Compat::Lmcache)).expect("memory");
    let played = run(&reader, &mut target, false);
    assert_eq!((played.records_failed, played.records_skipped), (0, 0), "{:?}", played.failures);
    assert!(target.manager().memcheck());
    let states = objects_and_locks(&target.manager().report_status());
    assert!(states.iter().all(|(objects, written, read)| *objects > 0 && written + read == 0), "{states:?}");
    let totals = target.close().expect("no thread panicked");
    assert_eq!((totals.requested_keys, totals.hit_keys), (121_877, 77_953));
    assert_eq!((totals.reads_found_nothing, totals.keys_out_of_memory), (0, 0));
}

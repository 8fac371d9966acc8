//! Why something was missed, and what was moved: call by call, against counts made by hand.

use std::time::Duration;

use lmcache::clock::{Clock, ManualClock, NS_PER_S, Waiter, monotonic_ns};
use lmcache::format::model::call::GroupedObjectKeys;
use lmcache::format::model::{
    Dtype, FetchingPolicy, LockMode, MemoryLayoutDesc, PrefetchTaskSpec, StorageCall, WriteMode,
};
use lmcache::replay::manager_target::ManagerTarget;
use lmcache::replay::misses::MissCounts;
use lmcache::replay::{Made, ManagerTotals, MissReason, ReadSlot, ReplayTarget, StopFlag};
use lmcache::storage::StorageManagerBuilder;
use lmcache::storage::config::{Compat, EvictionPolicyKind, L2AdapterConfig, StorageManagerConfig};

use crate::fakes::keys;

/// What an object takes in L1.
const PAGE: u64 = 4096;

/// How long stores of a mock may take here.
const SOON: Duration = Duration::from_secs(20);

fn layout(size_bytes: u64) -> MemoryLayoutDesc {
    let uint8 = Dtype::from_name("torch.uint8").expect("a type");
    MemoryLayoutDesc::new(vec![(Box::new([size_bytes]), uint8)]).expect("a layout")
}

/// A target whose manager does nothing by itself, on a clock that stands still.
struct Bench {
    target: ManagerTarget,
    hand: ManualClock,
    calls: u64,
}

impl Bench {
    /// An L1 of so many pages, and a mock if that is wanted.
    fn new(pages: u64, has_l2: bool) -> Self {
        let mock = r#"{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":1000000}"#;
        Self::with(pages, has_l2.then_some(mock))
    }

    fn with(pages: u64, adapter: Option<&str>) -> Self {
        let mut config = StorageManagerConfig::l1_only(pages * PAGE, EvictionPolicyKind::Noop);
        config.compat = Compat::Native;
        config.l1_managers[0].write_ttl_seconds = 10;
        let adapter = adapter.map(|json| L2AdapterConfig::from_json(json).expect("an adapter"));
        config.l2_adapters = adapter.into_iter().collect();
        let (clock, hand) = Clock::manual(NS_PER_S);
        let manager = StorageManagerBuilder::new(config).without_threads(clock).build().expect("memory");
        Self {
            target: ManagerTarget::of_manager(manager, 1).expect("the only sink").remove(0),
            hand,
            calls: 0,
        }
    }

    fn call(&mut self, call: &StorageCall) {
        let slot = matches!(call, StorageCall::ReadEnter { .. }).then_some(ReadSlot(0));
        self.target.dispatch(call, slot).expect("a call that can be made");
        self.target.settle(&Made { seq: self.calls, call, latency_ns: 1 }, &StopFlag::default());
        self.calls += 1;
    }

    fn reserve(&mut self, names: &str, size_bytes: u64) {
        let layout = layout(size_bytes);
        self.call(&StorageCall::ReserveWrite { keys: keys(names), layout, mode: WriteMode::New });
    }

    fn finish(&mut self, names: &str) {
        self.call(&StorageCall::FinishWrite { keys: keys(names) });
    }

    fn write(&mut self, names: &str) {
        self.reserve(names, 16);
        self.finish(names);
    }

    fn spec(rows: &[(&str, i64)], fetching_policy: FetchingPolicy) -> PrefetchTaskSpec {
        let row = |(names, window): &(&str, i64)| GroupedObjectKeys {
            keys: keys(names),
            object_group_id: 0,
            layout: layout(16),
            sliding_window_size: *window,
        };
        let key_groups = rows.iter().map(row).collect();
        let lock_mode = LockMode::NoLock;
        PrefetchTaskSpec { key_groups, num_kv_readers: 1, fetching_policy, lock_mode }
    }

    fn prefetch_rows(&mut self, rows: &[(&str, i64)], fetching_policy: FetchingPolicy) {
        let (spec, external_request_id) = (Self::spec(rows, fetching_policy), String::new());
        self.call(&StorageCall::SubmitPrefetch { spec, external_request_id, skip_l2: false });
    }

    fn prefetch(&mut self, names: &str) {
        self.prefetch_rows(&[(names, -1)], FetchingPolicy::Prefix);
    }

    fn read(&mut self, names: &str) {
        self.call(&StorageCall::ReadEnter { keys: keys(names) });
        self.target.dispatch(&StorageCall::ReadExit { keys: keys(names) }, Some(ReadSlot(0))).expect("open");
    }

    /// What eviction would do.
    fn evict(&mut self, names: &str) {
        self.target.manager().flush_stores(SOON);
        let (deleted, _) = self.target.manager().delete_l1_keys(&keys(names), true);
        assert_eq!(deleted, names.len(), "{names}");
    }

    fn delete_from_l2(&self, names: &str) {
        let adapters = self.target.manager().l2_adapters();
        assert_eq!(adapters[0].adapter.delete(&keys(names)), names.len());
    }

    fn close(mut self) -> ManagerTotals {
        self.target.finish(&StopFlag::default());
        self.target.close_in_full().expect("no thread panicked")
    }
}

/// The reasons, as `name count`.
fn reasons(counts: &MissCounts) -> Vec<(MissReason, u64)> {
    counts.found().collect()
}

/// Each cell is a hit or a miss, and each miss has one reason.
fn check(totals: &ManagerTotals) {
    let (storage, misses) = (&totals.storage, &totals.account.misses);
    assert_eq!(misses.prefetches.total(), storage.requested_keys - storage.hit_keys);
    assert_eq!(misses.reads.total(), storage.keys_not_found + storage.keys_not_readable);
}

#[test]
fn what_prefetches_from_l1_missed() {
    let mut bench = Bench::new(16, false);
    bench.prefetch("a"); // Never written.
    bench.write("abc");
    bench.prefetch("abcx"); // Three hits; x was never written.
    bench.evict("a");
    bench.prefetch("abc"); // a was evicted; b and c are behind it.
    bench.reserve("d", 16);
    bench.prefetch("db"); // d is being written; b is behind it.
    bench.finish("d");
    bench.prefetch("d"); // A hit.
    bench.write("a");
    bench.prefetch("abc"); // Three hits: what was evicted was written again.
    let totals = bench.close();
    check(&totals);
    let expected = [
        (MissReason::NeverWritten, 2),
        (MissReason::BeingWritten, 1),
        (MissReason::Evicted, 1),
        (MissReason::BehindGap, 3),
    ];
    assert_eq!(reasons(&totals.account.misses.prefetches), expected);
}

#[test]
fn a_write_that_comes_after_a_miss_does_not_explain_it() {
    for has_l2 in [false, true] {
        let mut bench = Bench::new(16, has_l2);
        bench.prefetch("a");
        bench.write("a");
        let totals = bench.close();
        check(&totals);
        let missed = reasons(&totals.account.misses.prefetches);
        assert_eq!(missed, [(MissReason::NeverWritten, 1)], "with L2: {has_l2}");
    }
}

#[test]
fn a_reservation_that_ran_out_is_no_write() {
    let mut bench = Bench::new(16, false);
    bench.reserve("a", 16);
    bench.hand.advance_ns(11 * NS_PER_S);
    bench.finish("a");
    bench.prefetch("a");
    let totals = bench.close();
    assert_eq!(reasons(&totals.account.misses.prefetches), [(MissReason::NeverWritten, 1)]);
    assert_eq!((totals.account.bytes.reserved_bytes, totals.account.bytes.written_bytes), (16, 0));
}

#[test]
fn windows_and_columns_explain_what_nobody_needs() {
    let mut bench = Bench::new(16, false);
    bench.write("abcdABC");
    // Served are three chunks, for which the second row keeps its last; x was never written, d is behind it.
    bench.prefetch_rows(&[("abcd", -1), ("ABCx", 1)], FetchingPolicy::Prefix);
    // The full policy hits the columns of both rows: C stands beside x.
    bench.prefetch_rows(&[("abx", -1), ("ABC", -1)], FetchingPolicy::Full);
    let totals = bench.close();
    check(&totals);
    let expected =
        [(MissReason::NeverWritten, 2), (MissReason::BehindGap, 2), (MissReason::OutsideWindow, 2)];
    assert_eq!(reasons(&totals.account.misses.prefetches), expected);
}

#[test]
fn what_reads_did_not_get() {
    let mut bench = Bench::new(16, false);
    bench.write("abc");
    bench.reserve("d", 16);
    bench.evict("a");
    bench.read("abdx"); // a was evicted, b is not locked, d is being written, x was never written.
    let totals = bench.close();
    check(&totals);
    let expected = [
        (MissReason::NeverWritten, 1),
        (MissReason::BeingWritten, 1),
        (MissReason::Evicted, 1),
        (MissReason::NotLocked, 1),
    ];
    assert_eq!(reasons(&totals.account.misses.reads), expected);
    assert_eq!(totals.account.misses.prefetches.total(), 0);
}

#[test]
fn a_read_that_comes_before_its_prefetch_is_answered_finds_it_loading() {
    // The mock looks up for longer than it takes to get to the read.
    let slow = r#"{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":1000000,"latency_ms":200}"#;
    let mut bench = Bench::with(16, Some(slow));
    bench.write("ab");
    bench.evict("ab");
    bench.prefetch("ab");
    bench.read("ab");
    let totals = bench.close();
    assert_eq!(totals.storage.l2_hit_keys, 2);
    assert_eq!(reasons(&totals.account.misses.reads), [(MissReason::StillLoading, 2)]);
    // It is not any more once it is there.
    let mut bench = Bench::new(16, true);
    bench.write("a");
    bench.evict("a");
    bench.prefetch("a");
    bench.target.finish(&StopFlag::default());
    bench.read("a");
    assert_eq!(reasons(&bench.close().account.misses.reads), [(MissReason::NotLocked, 1)]);
}

#[test]
fn what_prefetches_missed_that_went_to_l2() {
    let mut bench = Bench::new(16, true);
    bench.write("abc");
    bench.evict("abc");
    bench.delete_from_l2("c");
    bench.reserve("d", 16);
    bench.prefetch("abcdx"); // a and b come; c was evicted from L2, too; d is being written; x never was.
    let totals = bench.close();
    check(&totals);
    assert_eq!((totals.storage.l2_hit_keys, totals.storage.requested_keys), (2, 5));
    let expected = [(MissReason::NeverWritten, 1), (MissReason::BeingWritten, 1), (MissReason::Evicted, 1)];
    assert_eq!(reasons(&totals.account.misses.prefetches), expected);
    assert_eq!((totals.answers.by_l1.count, totals.answers.with_l2.total.count), (0, 1));
    assert_eq!((totals.answers.with_l2.lookup.count, totals.answers.with_l2.load.count), (1, 1));
}

#[test]
fn what_is_in_l2_has_no_room_or_lies_behind_what_is_gone() {
    let mut bench = Bench::new(3, true);
    bench.write("abc");
    bench.evict("abc");
    bench.prefetch("xab"); // x was never written; a and b are behind it.
    bench.target.finish(&StopFlag::default());
    bench.reserve("pq", 16);
    bench.prefetch("abc"); // Room for one of the three.
    let totals = bench.close();
    check(&totals);
    let expected = [(MissReason::NeverWritten, 1), (MissReason::NoRoom, 2), (MissReason::BehindGap, 2)];
    assert_eq!(reasons(&totals.account.misses.prefetches), expected);
}

/// The mock has room for less than an object.
#[test]
fn what_l2_did_not_take_is_missed_when_it_left_l1() {
    let mock = r#"{"type":"mock","max_size_gb":0.00000001,"mock_bandwidth_gb":1000000}"#;
    let mut bench = Bench::with(16, Some(mock));
    bench.write("a");
    bench.evict("a");
    bench.prefetch("a");
    let totals = bench.close();
    check(&totals);
    assert_eq!(reasons(&totals.account.misses.prefetches), [(MissReason::NotStored, 1)]);
    assert_eq!(totals.account.adapters[0].stores.failed_objects, 1);
}

/// What prefetches from L1 alone look for, though an adapter has it.
#[test]
fn a_prefetch_that_skips_l2_misses_what_left_l1() {
    let mut bench = Bench::new(16, true);
    bench.write("ab");
    bench.evict("a");
    let spec = Bench::spec(&[("ab", -1)], FetchingPolicy::Prefix);
    bench.call(&StorageCall::SubmitPrefetch { spec, external_request_id: String::new(), skip_l2: true });
    let totals = bench.close();
    let expected = [(MissReason::Evicted, 1), (MissReason::BehindGap, 1)];
    assert_eq!(reasons(&totals.account.misses.prefetches), expected);
}

#[test]
fn bytes_are_counted_by_tier() {
    let mut bench = Bench::new(16, true);
    bench.reserve("ab", 100);
    bench.reserve("abc", 16); // a and b are being written: c alone is reserved.
    bench.finish("abc");
    bench.finish("x"); // Was not reserved.
    bench.write("d");
    bench.evict("c");
    bench.prefetch("dcx"); // d in L1, c from L2, x nowhere.
    let totals = bench.close();
    let bytes = totals.account.bytes;
    assert_eq!(
        (bytes.reserved_bytes, bytes.written_bytes, bytes.written_keys_of_unknown_size),
        (232, 232, 0)
    );
    assert_eq!((bytes.requested_bytes, bytes.l1_hit_bytes, bytes.l2_hit_bytes), (48, 16, 16));
    let [adapter] = &totals.account.adapters[..] else { panic!("one adapter") };
    assert_eq!((adapter.adapter_index, adapter.l2_name.as_str()), (0, "mock"));
    assert_eq!((adapter.stores.objects, adapter.stores.bytes), (4, 232));
    assert_eq!((adapter.loads.objects, adapter.loads.bytes, adapter.loads.task.count), (1, 16, 1));
    assert_eq!(adapter.written_to_stored.count, 4);
    assert!(adapter.stores.busy_ns > 0 && adapter.written_to_stored.min_ns > 0);
}

#[test]
fn what_found_no_memory_is_missed_until_it_does() {
    let mut bench = Bench::new(2, false);
    bench.write("ab");
    bench.reserve("c", 16);
    bench.prefetch("c");
    bench.evict("b");
    bench.write("c");
    bench.prefetch("c");
    bench.read("b"); // Evicted.
    bench.reserve("b", 16);
    bench.finish("b"); // As on the host of the trace, which had the memory.
    bench.read("b"); // Since then there was no memory for it.
    let totals = bench.close();
    check(&totals);
    assert_eq!(reasons(&totals.account.misses.prefetches), [(MissReason::WriteRefused, 1)]);
    let reads = [(MissReason::WriteRefused, 1), (MissReason::Evicted, 1)];
    assert_eq!(reasons(&totals.account.misses.reads), reads);
}

/// The adapter has answered by the time of the read, and nobody has looked at its answer.
#[test]
fn an_answer_that_comes_after_a_read_does_not_explain_it() {
    let slow = r#"{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":1000000,"latency_ms":100}"#;
    let mut bench = Bench::with(16, Some(slow));
    bench.write("a");
    bench.evict("a");
    bench.delete_from_l2("a");
    bench.prefetch("a");
    Waiter::new(0).wait_until_ns(monotonic_ns() + 300_000_000, || false);
    bench.read("a");
    let misses = bench.close().account.misses;
    assert_eq!(reasons(&misses.reads), [(MissReason::StillLoading, 1)]);
    assert_eq!(reasons(&misses.prefetches), [(MissReason::Evicted, 1)]);
}

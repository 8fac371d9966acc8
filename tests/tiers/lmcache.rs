//! Lines of the table in `docs/storage.md` whose other column has its test elsewhere, and those that need both at once.

use std::sync::Arc;
use std::time::Duration;

use lmcache::clock::{Clock, NS_PER_S, monotonic_ns};
use lmcache::format::model::{ChunkHash, KeyScope, ObjectKey};
use lmcache::storage::config::{Compat, EvictionPolicyKind, L2AdapterConfig};
use lmcache::storage::store::lane::MAX_TASKS;
use lmcache::storage::{L1Error, StorageManager};

use crate::gate::Kind;
use crate::support::{Bench, PAGE, config, hit_keys, keys, layout, spec};

const DAY_NS: u64 = 24 * 3600 * NS_PER_S;

#[test]
fn what_l1_has_is_not_looked_up_where_lmcache_looks_every_key_up() {
    let keys = keys(0, 4);
    for (compat, looked_up) in [(Compat::Native, 2), (Compat::Lmcache, 4)] {
        let bench = Bench::new(compat, 16);
        bench.write_to_l2(&keys);
        bench.write(&keys[..2]);
        let result = bench.prefetch(&spec(&keys));
        assert_eq!((result.l1_hit_cells[0].popcount(), result.hit_count()), (2, 4), "{compat}");
        assert_eq!(*bench.mocks[0].lookups.lock().unwrap(), [looked_up], "{compat}");
    }
}

#[test]
fn an_adapter_that_hangs_holds_its_request_and_its_place_for_ever_in_lmcache() {
    let mut config = config(Compat::Lmcache, 16);
    config.prefetch_max_in_flight = 1;
    let bench = Bench::with(config, 1);
    let keys = keys(0, 4);
    bench.write_to_l2(&keys);
    bench.hold(Kind::Lookup, true);
    let handles = [bench.submit(&spec(&keys[..2])), bench.submit(&spec(&keys[2..]))];
    bench.hand.advance_ns(DAY_NS);
    bench.manager.pump();
    assert!(handles.iter().all(|handle| !handle.is_done()));
    let status = bench.manager.report_status().prefetch_controller;
    assert_eq!((status.pending_queue_size, status.in_flight_request_count), (1, 1));
    bench.hold(Kind::Lookup, false);
    assert!(handles.iter().all(|handle| handle.is_done()));
}

#[test]
fn the_locks_of_a_request_that_nobody_waits_for_stay_until_they_expire_in_lmcache() {
    let bench = Bench::new(Compat::Lmcache, 16);
    let keys = keys(0, 4);
    bench.write_to_l2(&keys);
    bench.hold(Kind::Lookup, true);
    drop(bench.submit(&spec(&keys)));
    bench.hold(Kind::Lookup, false);
    let locked = || bench.manager.report_status().l1_manager.unwrap().read_locked_count;
    assert_eq!(locked(), 4);
    bench.hand.advance_ns(9 * NS_PER_S);
    bench.manager.pump();
    assert_eq!(locked(), 4, "their time to live is 10 s");
    bench.hand.advance_ns(2 * NS_PER_S);
    assert_eq!(locked(), 0);
    bench.assert_idle();
}

#[test]
fn stores_pile_up_without_bound_in_lmcache() {
    let mut config = config(Compat::Lmcache, 512);
    config.store.queue_keys = 3;
    let bench = Bench::with(config, 1);
    bench.hold(Kind::Store, true);
    let keys = keys(0, MAX_TASKS as u32 + 5);
    keys.iter().for_each(|key| bench.write(std::slice::from_ref(key)));
    let status = bench.manager.report_status().store_controller.unwrap();
    assert_eq!((status.in_flight_task_count, status.pending_keys_count), (keys.len(), 0));
    assert_eq!(status.dropped_keys, 0);
    bench.hold(Kind::Store, false);
    assert_eq!(bench.mocks[0].mock.stored_keys().len(), keys.len());
    bench.assert_idle();
}

#[test]
fn what_is_in_l2_from_before_can_be_evicted_where_lmcache_does_not_know_it() {
    for kind in ["fs", "fs_native"] {
        for compat in Compat::ALL {
            let folder = tempfile::tempdir().unwrap();
            let open = || {
                let json = serde_json::json!({
                    "type": kind,
                    "base_path": folder.path(),
                    "max_capacity_gb": (20 * PAGE) as f64 / (1_u64 << 30) as f64,
                    "eviction": {
                        "eviction_policy": "LRU",
                        "trigger_watermark": 0.5,
                        "eviction_ratio": 0.25,
                    },
                });
                let mut config = config(compat, 32);
                config.l2_adapters = vec![L2AdapterConfig::from_json(&json.to_string()).unwrap()];
                StorageManager::with_clock(config, Clock::manual(NS_PER_S).0).unwrap()
            };
            let before = open();
            let keys = keys(0, 16);
            assert!(before.reserve_write(&keys, &layout(PAGE)).unwrap().codes().all_succeeded());
            assert!(before.finish_write(&keys).unwrap().all_succeeded());
            assert!(before.flush_stores(Duration::from_secs(20)));
            before.close().unwrap();
            let after = open();
            let victims: usize = after.evict_l2_once().iter().map(|(_, victims)| victims.len()).sum();
            let files = std::fs::read_dir(folder.path()).unwrap().count();
            let expected = if compat == Compat::Native { (4, 12) } else { (0, 16) };
            assert_eq!((victims, files), expected, "{kind}, {compat}");
            after.close().unwrap();
        }
    }
}

#[test]
fn a_client_cannot_end_the_lock_of_a_running_store() {
    let bench = Bench::new(Compat::Native, 16);
    let keys = keys(0, 4);
    bench.hold(Kind::Store, true);
    bench.write(&keys);
    let codes = bench.manager.finish_read_prefetched(&keys, 1, None).unwrap();
    assert_eq!(codes.as_slice(), [L1Error::KeyInWrongState; 4]);
    assert_eq!(bench.manager.delete_l1_keys(&keys, false), (0, 4));
    bench.hold(Kind::Store, false);
    assert_eq!(bench.mocks[0].mock.stored_keys().len(), 4);
    bench.assert_idle();
    assert_eq!(bench.manager.delete_l1_keys(&keys, false), (4, 0));
}

#[test]
fn a_read_that_names_no_l1_finds_the_one_where_its_object_is_locked() {
    for compat in Compat::ALL {
        let mut config = config(compat, 4);
        let mut second = config.l1_managers[0].clone();
        second.tag = "second".to_owned();
        second.memory.size_bytes = 8 * PAGE;
        config.l1_managers.push(second);
        let bench = Bench::with(config, 0);
        // Seven do not fit into the first, and two do.
        let (large, small) = (keys(0, 7), keys(50, 2));
        for (owner, keys) in [(1, &large), (0, &small)] {
            let reservation = bench.manager.reserve_write(keys, &layout(PAGE)).unwrap();
            assert_eq!(reservation.owner(0), owner);
            let written = bench.manager.finish_write_by_owner(&[(owner, keys)]).unwrap();
            assert!(written[0].all_succeeded());
        }
        let all: Vec<ObjectKey> = large.into_iter().chain(small).collect();
        let result = bench.prefetch(&spec(&all));
        assert_eq!(hit_keys(&all, &result), all, "{compat}");
        if compat == Compat::Lmcache {
            assert!(bench.manager.read_prefetched_results(&all, None).is_err());
            assert!(bench.manager.finish_read_prefetched(&all, 1, None).is_err());
            continue;
        }
        let context = bench.manager.read_prefetched_results(&all, None).unwrap();
        assert_eq!(context.objects().unwrap().len(), 9);
        drop(context);
        assert!(bench.manager.finish_read_prefetched(&all, 1, None).unwrap().all_succeeded());
        bench.assert_idle();
    }
}

#[test]
fn isolated_lru_evicts_from_every_tenant_of_l1() {
    let mut config = config(Compat::Native, 8);
    config.l1_managers[0].eviction.policy = EvictionPolicyKind::IsolatedLru;
    config.l1_managers[0].eviction.trigger_watermark = 0.5;
    config.l1_managers[0].eviction.eviction_ratio = 0.5;
    let bench = Bench::with(config, 0);
    for salt in ["one", "other"] {
        let scope = Arc::new(KeyScope::new("model", 0x0100_0100, 0, salt).unwrap());
        let key = |number: u32| ObjectKey::new(ChunkHash::new(&number.to_be_bytes()), Arc::clone(&scope));
        bench.write(&(1..5).map(key).collect::<Vec<_>>());
    }
    let pass = bench.manager.evict_l1_once().pop().unwrap();
    let victims = pass.victims.unwrap();
    let of = |salt: &str| victims.iter().filter(|(key, _)| key.scope().cache_salt() == salt).count();
    assert_eq!((of("one"), of("other")), (2, 2));
    assert_eq!(bench.manager.l1_manager().objects().len(), 4);
}

#[test]
fn the_watermark_is_looked_at_once_a_second_in_lmcache() {
    let wait_for = |is_so: &dyn Fn() -> bool| {
        let deadline_ns = monotonic_ns() + 20 * NS_PER_S;
        while !is_so() {
            assert!(monotonic_ns() < deadline_ns, "nothing happened for 20 s");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    };
    let mut config = config(Compat::Lmcache, 8);
    config.l1_managers[0].eviction.trigger_watermark = 0.5;
    let manager = StorageManager::new(config).unwrap();
    let passes = || manager.stats().eviction_passes;
    let started = passes();
    wait_for(&|| passes() > started);
    // The next pass is a second after this one, which was before now.
    let passes_before = passes();
    let looked_ns = monotonic_ns();
    assert!(manager.reserve_write(&keys(0, 8), &layout(PAGE)).unwrap().codes().all_succeeded());
    std::thread::park_timeout(Duration::from_millis(300));
    let passes_after = passes();
    // A machine that stood still meanwhile shows nothing.
    if monotonic_ns() - looked_ns < NS_PER_S / 2 {
        assert_eq!(passes_after, passes_before, "the writer woke nobody");
    }
    wait_for(&|| manager.stats().triggered_eviction_passes > 0);
}

//! Stores that fail, wait, or leave L1.

use std::sync::atomic::Ordering;

use lmcache::clock::NS_PER_S;
use lmcache::storage::config::{Compat, StorePolicy};
use lmcache::storage::store::lane::MAX_TASKS;

use crate::gate::Kind;
use crate::support::{Bench, config, keys, keys_of_group, spec};

const BACKOFF_NS: u64 = 50_000_000;

#[test]
fn a_store_that_fails_is_tried_again_after_a_pause_that_doubles() {
    let bench = Bench::new(Compat::Native, 16);
    let keys = keys(0, 4);
    bench.mocks[0].failures.store(2, Ordering::SeqCst);
    bench.write(&keys);
    let stores = || bench.mocks[0].stores.lock().unwrap().len();
    assert_eq!(stores(), 1);
    for (pause_ns, expected) in [(BACKOFF_NS - 1, 1), (1, 2), (2 * BACKOFF_NS - 1, 2), (1, 3)] {
        bench.hand.advance_ns(pause_ns);
        bench.manager.pump();
        assert_eq!(stores(), expected, "after {pause_ns} ns more");
    }
    let status = bench.manager.report_status().store_controller.unwrap();
    assert_eq!((status.retried_keys, status.lost_keys), (8, 0));
    assert_eq!(bench.mocks[0].mock.stored_keys().len(), 4);
    bench.assert_idle();
}

#[test]
fn a_store_that_never_works_is_given_up_and_counted() {
    let bench = Bench::new(Compat::Native, 16);
    bench.mocks[0].failures.store(u32::MAX, Ordering::SeqCst);
    bench.write(&keys(0, 4));
    for _ in 0..10 {
        bench.hand.advance_ns(NS_PER_S);
        bench.manager.pump();
    }
    let status = bench.manager.report_status().store_controller.unwrap();
    assert_eq!((status.retried_keys, status.lost_keys, status.pending_keys_count), (12, 4, 0));
    assert_eq!(bench.mocks[0].stores.lock().unwrap().len(), 4, "the first time and three more");
    bench.assert_idle();
}

#[test]
fn lmcache_tries_once() {
    let bench = Bench::new(Compat::Lmcache, 16);
    bench.mocks[0].failures.store(1, Ordering::SeqCst);
    bench.write(&keys(0, 4));
    bench.hand.advance_ns(NS_PER_S);
    bench.manager.pump();
    assert_eq!(bench.mocks[0].stores.lock().unwrap().len(), 1);
    assert_eq!(bench.manager.report_status().store_controller.unwrap().lost_keys, 4);
    bench.assert_idle();
}

#[test]
fn tasks_have_objects_of_one_group_where_lmcache_mixes_them() {
    for (compat, tasks) in [(Compat::Native, 2), (Compat::Lmcache, 1)] {
        let bench = Bench::new(compat, 16);
        let mixed: Vec<_> = keys_of_group(0, 0, 2).into_iter().chain(keys_of_group(1, 9, 2)).collect();
        bench.write(&mixed);
        assert_eq!(bench.mocks[0].stores.lock().unwrap().len(), tasks, "{compat}");
    }
}

#[test]
fn what_exceeds_the_queue_of_an_adapter_is_counted_and_stays_in_l1() {
    let mut config = config(Compat::Native, 512);
    config.store.queue_keys = 3;
    let bench = Bench::with(config, 1);
    bench.hold(Kind::Store, true);
    let keys = keys(0, MAX_TASKS as u32 + 5);
    keys.iter().for_each(|key| bench.write(std::slice::from_ref(key)));
    let status = bench.manager.report_status().store_controller.unwrap();
    assert_eq!((status.in_flight_task_count, status.pending_keys_count), (MAX_TASKS, 3));
    assert_eq!(status.dropped_keys, 2);
    bench.hold(Kind::Store, false);
    bench.assert_idle();
    assert_eq!(bench.mocks[0].mock.stored_keys().len(), keys.len() - 2);
    assert_eq!(bench.manager.l1_manager().objects().len(), keys.len());
}

#[test]
fn skip_l1_deletes_after_the_last_adapter() {
    for compat in Compat::ALL {
        let mut config = config(compat, 16);
        config.store_policy = StorePolicy::SkipL1;
        let bench = Bench::with(config, 2);
        bench.gates[1].hold(Kind::Store, true);
        bench.write(&keys(0, 4));
        // LMCache has tried to delete, and met the other store's lock.
        assert_eq!(bench.manager.l1_manager().objects().len(), 4, "{compat}");
        bench.gates[1].hold(Kind::Store, false);
        bench.manager.pump();
        assert_eq!(bench.manager.l1_manager().objects().len(), 0, "{compat}");
        bench.assert_idle();
    }
}

#[test]
fn skip_l1_keeps_what_an_adapter_failed_to_store() {
    for (compat, left) in [(Compat::Native, 4), (Compat::Lmcache, 0)] {
        let mut config = config(compat, 16);
        config.store_policy = StorePolicy::SkipL1;
        config.store.retries = 0;
        let bench = Bench::with(config, 2);
        bench.mocks[1].failures.store(1, Ordering::SeqCst);
        bench.hold(Kind::Store, true);
        bench.write(&keys(0, 4));
        bench.hold(Kind::Store, false);
        assert_eq!(bench.manager.l1_manager().objects().len(), left, "{compat}");
    }
}

#[test]
fn skip_l1_comes_back_to_what_was_locked_where_lmcache_leaves_it() {
    for (compat, left) in [(Compat::Native, 0), (Compat::Lmcache, 4)] {
        let mut config = config(compat, 16);
        config.store_policy = StorePolicy::SkipL1;
        let bench = Bench::with(config, 1);
        let keys = keys(0, 4);
        bench.hold(Kind::Store, true);
        bench.write(&keys);
        let handle = bench.manager.submit_prefetch_task(&spec(&keys), "", true).unwrap();
        assert_eq!(bench.manager.query_prefetch_status(&handle).unwrap().hit_count(), 4);
        bench.hold(Kind::Store, false);
        assert_eq!(bench.manager.l1_manager().objects().len(), 4);
        bench.manager.finish_read_prefetched(&keys, 1, None).unwrap();
        bench.hand.advance_ns(NS_PER_S);
        bench.manager.pump();
        assert_eq!(bench.manager.l1_manager().objects().len(), left, "{compat}");
    }
}

#[test]
fn an_object_that_is_deleted_by_force_under_its_store_keeps_its_bytes_until_the_adapter_lets_go() {
    let bench = Bench::new(Compat::Native, 4);
    let keys = keys(0, 4);
    bench.hold(Kind::Store, true);
    bench.write(&keys);
    // The mock has done its work: nothing is pinned any more, and the memory comes back at once.
    bench.manager.delete_l1_keys(&keys, true);
    assert_eq!(bench.manager.get_l1_usage().0, 0);
    bench.hold(Kind::Store, false);
    bench.assert_idle();
    let result = bench.prefetch(&spec(&keys));
    assert_eq!(result.hit_count(), 4);
    bench.assert_readable(&keys);
}

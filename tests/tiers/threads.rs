//! A manager that works by itself.

use std::time::Duration;

use lmcache::clock::monotonic_ns;
use lmcache::storage::StorageManager;
use lmcache::storage::config::{Compat, L2AdapterConfig};

use crate::support::{PAGE, config, keys, layout, spec};

fn slow_mock() -> L2AdapterConfig {
    let json = r#"{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":100,"latency_ms":2,"jitter_ms":1}"#;
    L2AdapterConfig::from_json(json).expect("a mock")
}

#[test]
fn what_is_written_is_stored_and_comes_back() {
    for compat in Compat::ALL {
        let mut config = config(compat, 64);
        config.l2_adapters = vec![slow_mock()];
        let manager = StorageManager::new(config).unwrap();
        let keys = keys(0, 32);
        for batch in keys.chunks(8) {
            manager.reserve_write(batch, &layout(PAGE)).unwrap();
            manager.finish_write(batch).unwrap();
        }
        assert!(manager.flush_stores(Duration::from_secs(20)));
        manager.clear(false);
        assert_eq!(manager.get_l1_usage().0, 0);
        let begun_ns = monotonic_ns();
        let handle = manager.submit_prefetch_task(&spec(&keys), "", false).unwrap();
        assert!(manager.query_prefetch_status(&handle).is_none());
        assert!(manager.wait_prefetch_status(&handle, Duration::from_secs(20)));
        assert!(monotonic_ns() - begun_ns >= 4_000_000, "a lookup and a load of 2 ms each");
        let result = manager.query_prefetch_status(&handle).unwrap();
        assert_eq!(result.l2_hit_cells[0].popcount(), 32);
        manager.finish_read_prefetched(&keys, 1, None).unwrap();
        let status = manager.report_status();
        assert!(status.is_healthy && status.prefetch_controller.thread_alive);
        manager.close().unwrap();
        assert!(!manager.report_status().prefetch_controller.thread_alive);
    }
}

#[test]
fn many_threads_prefetch_the_same_objects() {
    let mut config = config(Compat::Native, 16);
    config.l2_adapters = vec![slow_mock()];
    let manager = StorageManager::new(config).unwrap();
    let keys = keys(0, 8);
    manager.reserve_write(&keys, &layout(PAGE)).unwrap();
    manager.finish_write(&keys).unwrap();
    assert!(manager.flush_stores(Duration::from_secs(20)));
    manager.clear(false);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let handle = manager.submit_prefetch_task(&spec(&keys), "", false).unwrap();
                    assert!(manager.wait_prefetch_status(&handle, Duration::from_secs(20)));
                    assert_eq!(manager.query_prefetch_status(&handle).unwrap().hit_count(), 8);
                    manager.finish_read_prefetched(&keys, 1, None).unwrap();
                }
            });
        }
    });
    assert_eq!(manager.report_status().l1_managers["_default"].read_locked_count, 0);
    assert!(manager.memcheck());
}

#[test]
fn a_cancellation_that_comes_too_late_leaves_no_lock() {
    let mut config = config(Compat::Native, 16);
    let mock = r#"{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":1000000}"#;
    config.l2_adapters = vec![L2AdapterConfig::from_json(mock).unwrap()];
    let manager = StorageManager::new(config).unwrap();
    let keys = keys(0, 8);
    manager.reserve_write(&keys, &layout(PAGE)).unwrap();
    manager.finish_write(&keys).unwrap();
    assert!(manager.flush_stores(Duration::from_secs(20)));
    manager.clear(false);
    let spec = spec(&keys);
    for round in 0..500 {
        let handle = manager.submit_prefetch_task(&spec, "", false).unwrap();
        manager.wait_prefetch_status(&handle, Duration::from_micros(round % 100));
        manager.cancel_prefetch(&handle, &spec);
        assert!(manager.wait_prefetch_status(&handle, Duration::from_secs(20)));
    }
    let begun_ns = monotonic_ns();
    let locked = || manager.report_status().l1_managers["_default"].read_locked_count;
    while (locked() > 0 || manager.outstanding_tasks() > 0) && monotonic_ns() - begun_ns < 5_000_000_000 {
        std::thread::yield_now();
    }
    assert_eq!(locked(), 0);
    assert!(manager.memcheck());
}

#[test]
fn the_watermark_evicts_at_once_where_lmcache_waits_for_its_second() {
    let mut config = config(Compat::Native, 10);
    config.l1_managers[0].eviction.trigger_watermark = 0.5;
    let manager = StorageManager::new(config).unwrap();
    let begun_ns = monotonic_ns();
    let keys = keys(0, 9);
    manager.reserve_write(&keys, &layout(PAGE)).unwrap();
    manager.finish_write(&keys).unwrap();
    let one_more = crate::support::keys(50, 1);
    while manager.stats().evicted_keys == 0 && monotonic_ns() - begun_ns < 20_000_000_000 {
        manager.reserve_write(&one_more, &layout(PAGE)).unwrap();
        manager.finish_write(&one_more).unwrap();
        manager.delete_l1_keys(&one_more, false);
        std::thread::yield_now();
    }
    assert!(manager.stats().evicted_keys > 0);
    assert!(monotonic_ns() - begun_ns < 900_000_000, "within less than a second");
}

#[test]
fn closing_in_the_middle_of_everything_ends_everything() {
    for round in 0..20 {
        let mut config = config(Compat::Native, 64);
        config.l2_adapters = vec![slow_mock(), slow_mock()];
        let manager = StorageManager::new(config).unwrap();
        let keys = keys(0, 32);
        manager.reserve_write(&keys, &layout(PAGE)).unwrap();
        manager.finish_write(&keys).unwrap();
        let more = crate::support::keys(10, 40);
        let handles: Vec<_> =
            (0..4).map(|_| manager.submit_prefetch_task(&spec(&more), "", false).unwrap()).collect();
        manager.wait_prefetch_status(&handles[0], Duration::from_micros(300 * round));
        manager.close().unwrap();
        assert!(handles.iter().all(|handle| handle.is_done()));
        drop(manager);
    }
}

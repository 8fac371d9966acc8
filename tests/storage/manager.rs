//! The whole manager: limits, memory, closing, the background thread.

use std::sync::Barrier;
use std::time::Duration;

use lmcache::clock::{Clock, monotonic_ns};
use lmcache::error::ErrorKind;
use lmcache::storage::config::{EvictionPolicyKind, GIB_BYTES, StorageManagerConfig};
use lmcache::storage::{L1Error, PrefetchHandle, ReadContext, StorageManager, WriteReservation};

use crate::support::{PAGE, keys, layout, manager, names, store};

/// Resident memory of this process, in bytes.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * PAGE
}

#[test]
fn a_manager_and_what_it_hands_out_can_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<StorageManager>();
    crosses::<WriteReservation>();
    crosses::<ReadContext>();
    crosses::<PrefetchHandle>();
}

#[test]
fn a_hundred_gib_are_there_and_cost_what_is_written() {
    let before = resident_bytes();
    let config = StorageManagerConfig::l1_only(100 * GIB_BYTES, EvictionPolicyKind::Lru);
    let manager = StorageManager::with_clock(config, Clock::system()).unwrap();
    let keys = keys(0, 200);
    let reservation = manager.reserve_write(&keys, &layout(GIB_BYTES / 2)).unwrap();
    assert!(reservation.codes().all_succeeded());
    let last = reservation.buffers().last().unwrap();
    last.write(b"the end").unwrap();
    assert_eq!(last.span().offset_bytes, 199 * (GIB_BYTES / 2));
    assert_eq!(manager.get_l1_usage(), (100 * GIB_BYTES, 100 * GIB_BYTES));
    // Other tests of this process take memory too, but none of them gigabytes.
    assert!(resident_bytes() - before.min(resident_bytes()) < GIB_BYTES);
}

#[test]
fn bytes_come_back_until_the_manager_is_gone_and_after() {
    let (manager, _hand) = manager(8, EvictionPolicyKind::Lru);
    let keys = keys(0, 2);
    let reservation = manager.reserve_write(&keys, &layout(11)).unwrap();
    for (buffer, text) in reservation.buffers().zip([b"hello world", b"and another"]) {
        assert_eq!((buffer.span().size_bytes, buffer.span().phy_size_bytes), (11, PAGE));
        buffer.write(text).unwrap();
        assert!(buffer.write(&[0; 12]).is_err(), "one byte more than the object");
    }
    manager.finish_write(&keys).unwrap();
    manager.l1_manager().reserve_read(&keys, 1);
    let read = manager.unsafe_read(&keys, None).unwrap();
    drop(manager);
    let mut bytes = [0; 11];
    let texts: Vec<_> = read.objects().map(|object| (object.read_into(&mut bytes), bytes)).collect();
    assert_eq!(texts, [(11, *b"hello world"), (11, *b"and another")]);
}

#[test]
fn a_batch_fits_whole_or_not_at_all() {
    let (manager, _hand) = manager(8, EvictionPolicyKind::Lru);
    let keys = keys(0, 9);
    let refused = manager.reserve_write(&keys, &layout(PAGE)).unwrap();
    assert_eq!(refused.codes().count(L1Error::OutOfMemory), 9);
    assert!(refused.buffer(0).is_none() && refused.buffer(99).is_none());
    assert_eq!((manager.get_l1_usage().0, manager.stats().allocation_failures), (0, 9));
    assert!(manager.reserve_write(&keys[..8], &layout(PAGE)).unwrap().codes().all_succeeded());
    let error = manager.reserve_write(&keys[8..], &layout(0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(
        names(manager.reserve_write(&keys[8..], &layout(u64::MAX)).unwrap().codes()),
        ["OUT_OF_MEMORY"]
    );
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let config = |change: fn(&mut StorageManagerConfig)| {
        let mut config = StorageManagerConfig::l1_only(PAGE, EvictionPolicyKind::Lru);
        change(&mut config);
        StorageManager::with_clock(config, Clock::system()).map(|_| ()).map_err(|error| error.kind())
    };
    assert_eq!(config(|_| ()), Ok(()));
    assert_eq!(config(|config| config.l1_managers.clear()), Err(ErrorKind::InvalidArgument));
    let two = |config: &mut StorageManagerConfig| config.l1_managers.push(config.l1_managers[0].clone());
    assert_eq!(config(two), Err(ErrorKind::InvalidArgument), "of one tag");
    assert_eq!(config(|config| config.l1_managers[0].memory.size_bytes = 0), Err(ErrorKind::InvalidArgument));
    assert_eq!(
        config(|config| config.l1_managers[0].memory.align_bytes = 48),
        Err(ErrorKind::InvalidArgument)
    );
    assert_eq!(
        config(|config| config.l1_managers[0].memory.size_bytes = u64::MAX),
        Err(ErrorKind::InvalidArgument)
    );
    let devdax = |config: &mut StorageManagerConfig| {
        config.l1_managers[0].memory.devdax_path = Some("/dev/dax0.0".to_owned());
    };
    assert_eq!(config(devdax), Err(ErrorKind::Unsupported));
}

#[test]
fn a_completion_for_an_l1_that_does_not_exist_finishes_nothing() {
    let (manager, _hand) = manager(8, EvictionPolicyKind::Lru);
    let keys = keys(0, 2);
    manager.reserve_write(&keys, &layout(PAGE)).unwrap();
    assert!(manager.finish_write_by_owner(&[(0, &keys[..1]), (1, &keys[1..])]).is_err());
    assert_eq!(manager.report_status().l1_manager.unwrap().write_locked_count, 2);
    let codes = manager.finish_write_by_owner(&[(0, &keys)]).unwrap();
    assert!(codes.len() == 1 && codes[0].all_succeeded());
}

#[test]
fn a_closed_manager_takes_nothing_and_has_nothing() {
    let config = StorageManagerConfig::l1_only(8 * PAGE, EvictionPolicyKind::Lru);
    let manager = StorageManager::new(config).unwrap();
    let keys = keys(0, 2);
    store(&manager, &keys);
    assert!(manager.report_status().l1_eviction_controller.unwrap().thread_alive);
    let started_ns = monotonic_ns();
    manager.close().unwrap();
    manager.close().unwrap();
    assert!(monotonic_ns() - started_ns < 500_000_000, "stopping does not wait for the next pass");
    assert!(!manager.report_status().is_healthy);
    assert_eq!(manager.reserve_write(&keys, &layout(PAGE)).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(manager.finish_write(&keys).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(names(&manager.finish_read_prefetched(&keys, 1, None).unwrap()), ["KEY_NOT_EXIST"; 2]);
    assert_eq!(manager.get_l1_usage().0, 0);
}

#[test]
fn a_call_that_meets_the_closing_leaves_nothing_behind() {
    const ROUNDS: u32 = 200;
    const BATCH: u32 = 64;
    let layout = layout(PAGE);
    for round in 0..ROUNDS {
        let (manager, _hand) = manager(100_000, EvictionPolicyKind::Lru);
        let writers: Vec<_> = (0..4).map(|i| keys(i * 100 * BATCH, 100 * BATCH)).collect();
        let writing = Barrier::new(writers.len() + 1);
        std::thread::scope(|scope| {
            for keys in &writers {
                scope.spawn(|| {
                    writing.wait();
                    let refusal = keys
                        .chunks(BATCH as usize)
                        .find_map(|batch| manager.reserve_write(batch, &layout).err());
                    assert!(refusal.is_none_or(|error| error.kind() == ErrorKind::Closed));
                });
            }
            writing.wait();
            manager.close().unwrap();
        });
        assert_eq!(manager.get_l1_usage().0, 0, "round {round}");
    }
}

#[test]
fn the_thread_evicts_once_a_second() {
    let config = StorageManagerConfig::l1_only(10 * PAGE, EvictionPolicyKind::Lru);
    let manager = StorageManager::new(config).unwrap();
    store(&manager, &keys(0, 10));
    let deadline_ns = monotonic_ns() + 20_000_000_000;
    while manager.stats().evicted_keys == 0 && monotonic_ns() < deadline_ns {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let stats = manager.stats();
    assert!(stats.eviction_passes >= 1 && stats.triggered_eviction_passes >= 1);
    assert!(stats.evicted_keys >= 2, "20 % of 10");
}

#[test]
fn a_policy_that_cannot_choose_is_reported_and_survived() {
    let (manager, _hand) = manager(10, EvictionPolicyKind::IsolatedLru);
    let keys = keys(0, 9);
    store(&manager, &keys);
    for pass in 1..=2 {
        let outcome = manager.evict_l1_once().pop().unwrap();
        assert!(outcome.triggered);
        assert_eq!(outcome.victims.unwrap_err().kind(), ErrorKind::Policy);
        let status = manager.report_status();
        let eviction = status.l1_eviction_controller.unwrap();
        assert_eq!((eviction.triggered_passes, eviction.failed_passes), (pass, pass));
        assert!(!status.is_healthy && eviction.last_error.is_some());
    }
    assert_eq!(manager.delete_l1_keys(&keys, false), (9, 0));
    assert!(!manager.evict_l1_once()[0].triggered);
}

#[test]
fn status_has_the_names_of_lmcache() {
    let (manager, _hand) = manager(10, EvictionPolicyKind::Arc);
    store(&manager, &keys(0, 3));
    let status = serde_json::to_value(manager.report_status()).unwrap();
    assert_eq!(status["l1_manager"], status["l1_managers"]["_default"]);
    assert_eq!(status["l1_manager"]["total_object_count"], 3);
    assert_eq!(status["l1_manager"]["capacity_bytes_by_backend"]["dram"], 10 * PAGE);
    assert_eq!(status["l1_usage"], serde_json::json!([3 * PAGE, 10 * PAGE]));
    assert_eq!(status["l1_eviction_controller"]["eviction_policy"], "ARC");
    assert_eq!(status["prefetch_controller"]["max_in_flight"], 8);
    assert_eq!(status["is_healthy"], true);
}

//! Threads that store, retrieve, delete and lose at once.

use std::sync::atomic::{AtomicU64, Ordering};

use lmcache::device::EngineKvFormat as F;
use lmcache::storage::StorageManager;
use lmcache::storage::config::Compat;
use lmcache::storage::device::ObjectOutcome as O;

use crate::support::{Engine, PATIENCE, config, keys, locks, prefetch, table};

/// Every engine has the same bytes, so an object is the same whoever stored it: what is retrieved can be checked, whatever
/// the others did meanwhile.
#[test]
fn threads_at_once_never_see_an_object_torn() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 150;
    let mut config = config(12, Compat::Native);
    config.l1_managers[0].write_ttl_seconds = 600;
    config.l1_managers[0].read_ttl_seconds = 600;
    let manager = StorageManager::new(config).unwrap();
    let (stored, retrieved) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (manager, stored, retrieved) = (&manager, &stored, &retrieved);
            scope.spawn(move || {
                let truth = Engine::new(F::NL_X_NB_TWO_BS_NH_HS, 7);
                let mut engine = Engine::with_thread(F::NL_X_NB_TWO_BS_NH_HS, 7);
                let reading = Engine::with_thread(F::NB_NL_TWO_NH_BS_HS, thread);
                for round in 0..ROUNDS {
                    // Object `i` is always the same two blocks.
                    let first = ((thread * 5 + round * 3) % 24) as u32;
                    let table_of = |first: u32| [0, 1, 2, 3].map(|i| (i64::from(first) * 2 + i) % 64);
                    let ticket = engine.store(manager, &keys(first, 2), &table_of(first));
                    if round % 16 == 7 {
                        engine.device.lose("it is part of the test");
                        engine = Engine::with_thread(F::NL_X_NB_TWO_BS_NH_HS, 7);
                    }
                    let second = (first + round as u32) % 24;
                    let found = prefetch(manager, &keys(second, 2));
                    let to = &table(2, round as i64 % 64)[..found * 2];
                    let read = reading.retrieve(manager, &keys(second, 2)[..found], to);
                    if round % 5 == 1 {
                        manager.delete_l1_keys(&keys(second, 2), round % 2 == 0);
                    }
                    let outcome = read.wait(PATIENCE).expect("it is told");
                    if outcome.is_good() {
                        let truth = truth.objects(&table_of(second)[..found * 2]);
                        assert_eq!(reading.objects(to), truth, "object {second}");
                        retrieved.fetch_add(found as u64, Ordering::Relaxed);
                    } else {
                        // Deleted by force between the prefetch and the retrieve.
                        assert!(outcome.count(O::NotReadable) > 0, "{outcome:?}");
                    }
                    let outcome = ticket.wait(PATIENCE).expect("it is told");
                    stored.fetch_add(outcome.count(O::Moved) as u64, Ordering::Relaxed);
                }
            });
        }
    });
    assert!(stored.into_inner() > 100 && retrieved.into_inner() > 100);
    let status = manager.report_status().device_transfers;
    assert_eq!((status.in_flight_count, status.completion_queue_size, status.is_healthy), (0, 0, true));
    let (read_locked, staged, _) = locks(&manager);
    assert_eq!((read_locked, staged), (0, 0));
    manager.clear(false);
    // What was released under a transfer is freed at the next allocation.
    let engine = Engine::with_thread(F::NL_X_NB_TWO_BS_NH_HS, 7);
    let outcome = engine.store(&manager, &keys(90, 1), &table(1, 0)).wait(PATIENCE).unwrap();
    assert!(outcome.is_good() && locks(&manager).2 == crate::support::PAGE);
    assert!(manager.memcheck());
}

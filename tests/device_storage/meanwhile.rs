//! What others do while a transfer is under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lmcache::device::{Device, EngineKvFormat as F};
use lmcache::error::ErrorKind;
use lmcache::storage::StorageManager;
use lmcache::storage::config::Compat;
use lmcache::storage::device::{DeviceRetrieve, ObjectOutcome as O};

use crate::support::{
    Engine, OBJECT_BYTES, PAGE, PATIENCE, all, config, in_l1, keys, layout, locks, manager, prefetch, table,
};

#[test]
fn what_is_deleted_while_it_is_stored_is_not_stored_and_its_bytes_wait_for_the_device() {
    let (manager, _hand) = manager(4);
    let engine = Engine::new(F::NL_X_NB_TWO_BS_NH_HS, 1);
    let (doomed, next) = (keys(0, 4), keys(10, 1));
    let ticket = engine.store(&manager, &doomed, &table(4, 0));
    assert_eq!(manager.delete_l1_keys(&doomed, false), (0, 4), "they are being written");
    assert_eq!(manager.delete_l1_keys(&doomed, true), (4, 0));
    assert_eq!(locks(&manager), (0, 0, 4 * PAGE), "no object is left, and no byte is free");
    // So nobody gets them, though L1 is empty.
    let refused = engine.store(&manager, &next, &table(1, 50)).poll().expect("at once");
    assert_eq!(refused.objects, [O::OutOfMemory]);
    let outcome = engine.finish(&manager, &ticket);
    assert_eq!((&outcome.objects, outcome.is_good()), (&all(O::Lost, 4), false));
    assert_eq!(manager.report_status().device_transfers.lost_objects, 4);
    engine.stored(&manager, &next, &table(1, 50));
    assert_eq!(in_l1(&manager, &next).unwrap(), engine.objects(&table(1, 50)));
    assert_eq!(locks(&manager).2, PAGE);
}

#[test]
fn what_is_deleted_while_it_is_retrieved_comes_whole() {
    let (manager, _hand) = manager(4);
    let engine = Engine::new(F::NL_X_NB_TWO_BS_NH_HS, 1);
    let keys = keys(0, 4);
    engine.stored(&manager, &keys, &table(4, 0));
    let stored = engine.objects(&table(4, 0));
    assert_eq!(prefetch(&manager, &keys), 4);
    let reading = Engine::new(F::NB_NL_TWO_BS_NH_HS, 2);
    let ticket = reading.retrieve(&manager, &keys, &table(4, 9));
    manager.clear(true);
    // A writer that would take the place of what is read finds none.
    let writer = engine.store(&manager, &crate::support::keys(20, 4), &table(4, 32));
    assert_eq!(writer.poll().unwrap().objects, all(O::OutOfMemory, 4));
    assert!(reading.finish(&manager, &ticket).is_good());
    assert_eq!(reading.objects(&table(4, 9)), stored);
    engine.stored(&manager, &crate::support::keys(20, 4), &table(4, 32));
}

#[test]
fn locks_that_run_out_take_nothing_away_from_a_retrieve() {
    let (manager, hand) = manager(4);
    let engine = Engine::new(F::NL_X_NB_TWO_BS_NH_HS, 1);
    let keys = keys(0, 4);
    engine.stored(&manager, &keys, &table(4, 0));
    let stored = engine.objects(&table(4, 0));
    assert_eq!(prefetch(&manager, &keys), 4);
    let reading = Engine::new(F::NB_NL_TWO_BS_NH_HS, 2);
    let ticket = reading.retrieve(&manager, &keys, &table(4, 9));
    hand.advance_ns(11_000_000_000);
    // Evicted, since nobody holds them.
    manager.reserve_write(&crate::support::keys(20, 2), &layout()).unwrap();
    manager.evict_l1_once();
    assert!(reading.finish(&manager, &ticket).is_good());
    assert_eq!(reading.objects(&table(4, 9)), stored);
}

#[test]
fn a_reservation_that_runs_out_on_the_way_is_no_object_and_hurts_no_other_writer() {
    let (manager, hand) = manager(8);
    let (late, other) = (Engine::new(F::NL_X_NB_TWO_BS_NH_HS, 1), Engine::new(F::NL_X_NB_TWO_BS_NH_HS, 2));
    let keys = keys(0, 1);
    let first = late.store(&manager, &keys, &table(1, 0));
    hand.advance_ns(11_000_000_000);
    let second = other.store(&manager, &keys, &table(1, 0));
    // The late one fails: it must not give up what the other reserved.
    late.device.lose("");
    assert_eq!(manager.wait_transfer(&first, Duration::ZERO).unwrap().objects, [O::Failed]);
    assert!(other.finish(&manager, &second).is_good());
    assert_eq!(in_l1(&manager, &keys).unwrap(), other.objects(&table(1, 0)));
    // And one that comes after all is lost.
    let key = crate::support::keys(1, 1);
    let ticket = other.store(&manager, &key, &table(1, 0));
    hand.advance_ns(11_000_000_000);
    assert_eq!(other.finish(&manager, &ticket).objects, [O::Lost]);
    assert!(manager.memcheck());
}

#[test]
fn closing_does_not_wait_and_what_is_under_way_ends_when_the_device_is_done() {
    let (manager, _hand) = manager(8);
    let engine = Engine::new(F::NL_X_NB_TWO_BS_NH_HS, 1);
    let keys = keys(0, 2);
    engine.stored(&manager, &keys, &table(2, 0));
    let stored = engine.objects(&table(2, 0));
    assert_eq!(prefetch(&manager, &keys), 2);
    let reading = Engine::new(F::NB_NL_TWO_BS_NH_HS, 2);
    let retrieve = reading.retrieve(&manager, &keys, &table(2, 9));
    let store = engine.store(&manager, &crate::support::keys(5, 2), &table(2, 30));
    let told = Arc::new(AtomicU64::new(0));
    for ticket in [&retrieve, &store] {
        let told = Arc::clone(&told);
        ticket.on_done(move |_| {
            told.fetch_add(1, Ordering::SeqCst);
        });
    }
    manager.close().unwrap();
    assert!(retrieve.poll().is_none() && store.poll().is_none(), "the device may still use the pages");
    drop(manager);
    while reading.device.pump() || engine.device.pump() {}
    assert_eq!(told.load(Ordering::SeqCst), 2);
    assert_eq!(retrieve.poll().unwrap().objects, all(O::Moved, 2));
    assert_eq!(reading.objects(&table(2, 9)), stored);
    let outcome = store.poll().unwrap();
    assert_eq!(outcome.objects, all(O::Failed, 2));
    assert_eq!(outcome.error.as_ref().unwrap().kind(), ErrorKind::Closed);
}

#[test]
fn a_manager_that_is_closed_takes_no_transfer() {
    let (unthreaded, _hand) = manager(8);
    let threaded = StorageManager::new(config(8, Compat::Native)).unwrap();
    for manager in [unthreaded, threaded] {
        let engine = Engine::new(F::NL_X_NB_TWO_BS_NH_HS, 1);
        manager.close().unwrap();
        let (keys, layout, table) = (keys(0, 1), layout(), table(1, 0));
        let parts = [engine.part(&table)];
        let store = lmcache::storage::device::DeviceStore {
            keys: &keys,
            layout: &layout,
            parts: &parts,
            null_block: None,
        };
        let error = manager.store_from_device(&store, &*engine.stream).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        let retrieve = DeviceRetrieve { keys: &keys, parts: &parts, owners: None };
        let error = manager.retrieve_to_device(&retrieve, &*engine.stream).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
    }
}

#[test]
fn a_callback_may_store_more_and_drop_the_last_handle_of_the_manager() {
    let manager = Arc::new(StorageManager::new(config(8, Compat::Native)).unwrap());
    let engine = Arc::new(Engine::with_thread(F::NL_X_NB_TWO_BS_NH_HS, 1));
    let ticket = engine.store(&manager, &keys(0, 1), &table(1, 0));
    let (sender, receiver) = std::sync::mpsc::channel();
    let (of_callback, engine_of_callback) = (Arc::clone(&manager), Arc::clone(&engine));
    ticket.on_done(move |outcome| {
        assert_eq!(outcome.bytes, OBJECT_BYTES);
        let second = engine_of_callback.store(&of_callback, &keys(1, 1), &table(1, 8));
        drop(of_callback);
        sender.send(second).unwrap();
    });
    drop(manager);
    let second = receiver.recv_timeout(PATIENCE).unwrap();
    // Stored or closed before: told in any case.
    assert!(second.wait(PATIENCE).is_some());
}

#[test]
fn callbacks_that_store_more_do_not_hold_up_a_close() {
    for round in 0..20 {
        let manager = Arc::new(StorageManager::new(config(64, Compat::Native)).unwrap());
        let engine = Arc::new(Engine::with_thread(F::NL_X_NB_TWO_BS_NH_HS, 1));
        let (told, hears) = std::sync::mpsc::channel();
        for i in 0..4 {
            let ticket = engine.store(&manager, &keys(i, 1), &table(1, 0));
            let (manager, engine, told) = (Arc::clone(&manager), Arc::clone(&engine), told.clone());
            ticket.on_done(move |_| {
                let (layout, table) = (layout(), table(1, 8));
                let parts = [engine.part(&table)];
                let keys = keys(100 + i, 1);
                let request = lmcache::storage::device::DeviceStore {
                    keys: &keys,
                    layout: &layout,
                    parts: &parts,
                    null_block: None,
                };
                if let Err(error) = manager.store_from_device(&request, &*engine.stream) {
                    assert_eq!(error.kind(), ErrorKind::Closed);
                }
                told.send(()).unwrap();
            });
        }
        (0..50 * round).for_each(|_| std::thread::yield_now());
        manager.close().unwrap();
        // Whoever was not told by the manager is told by the device.
        (0..4).for_each(|_| hears.recv_timeout(PATIENCE).unwrap());
    }
}

#[test]
fn a_device_that_goes_before_its_manager_tells_every_ticket() {
    let (manager, _hand) = manager(8);
    let engine = Engine::new(F::NL_X_NB_TWO_BS_NH_HS, 1);
    let keys = keys(0, 2);
    let ticket = engine.store(&manager, &keys, &table(2, 0));
    drop(engine);
    let outcome = manager.wait_transfer(&ticket, Duration::ZERO).unwrap();
    assert_eq!(outcome.error.as_ref().unwrap().kind(), ErrorKind::Closed);
    assert_eq!((outcome.objects.clone(), locks(&manager)), (all(O::Failed, 2), (0, 0, 0)));
    assert!(Engine::new(F::NL_X_NB_TWO_BS_NH_HS, 1).device.open_stream().is_ok());
}

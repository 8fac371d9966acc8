//! What a failure leaves behind: nothing torn, nothing locked, nothing lost that was there.

use std::time::Duration;

use lmcache::clock::Clock;
use lmcache::device::EngineKvFormat as F;
use lmcache::device::host::STEP_RUNS;
use lmcache::error::ErrorKind;
use lmcache::storage::StorageManager;
use lmcache::storage::config::Compat;
use lmcache::storage::device::{DeviceStore, ObjectOutcome as O};

use crate::support::{Engine, PAGE, all, config, in_l1, keys, layout, locks, manager, prefetch, table};

#[test]
fn keys_that_are_there_or_being_written_are_left_alone() {
    let (manager, _hand) = manager(16);
    let engine = Engine::new(F::NL_X_NB_TWO_BS_NH_HS, 1);
    let keys = keys(0, 5);
    engine.stored(&manager, &keys[..2], &table(2, 0));
    manager.reserve_write(&keys[3..4], &layout()).unwrap();
    let before = in_l1(&manager, &keys[..2]).unwrap();
    let outcome = engine.finish(&manager, &engine.store(&manager, &keys, &table(5, 20)));
    let expected = [O::AlreadyThere, O::AlreadyThere, O::Moved, O::AlreadyThere, O::Moved];
    assert_eq!((&outcome.objects[..], outcome.is_good()), (&expected[..], true));
    assert_eq!(in_l1(&manager, &keys[..2]).unwrap(), before);
    assert_eq!(in_l1(&manager, &keys[2..3]).unwrap(), engine.objects(&table(5, 20)[4..6]));
    assert_eq!(in_l1(&manager, &keys[3..4]), None, "it is the other writer's");
}

#[test]
fn if_l1_has_no_room_for_all_none_is_stored() {
    let (manager, _hand) = manager(4);
    let engine = Engine::new(F::NL_X_NB_TWO_BS_NH_HS, 1);
    let (held, more) = (keys(0, 3), keys(10, 2));
    engine.stored(&manager, &held, &table(3, 0));
    assert_eq!(prefetch(&manager, &held), 3);
    let ticket = engine.store(&manager, &more, &table(2, 30));
    let outcome = ticket.poll().expect("there is nothing to wait for");
    assert_eq!(outcome.objects, all(O::OutOfMemory, 2));
    assert!(outcome.error.is_none() && outcome.bytes == 0 && !outcome.is_good());
    assert!(!engine.device.pump(), "nothing was submitted");
    // Nobody holds them any more: room is made.
    manager.finish_read_prefetched(&held, 1, None).unwrap();
    engine.stored(&manager, &more, &table(2, 30));
}

#[test]
fn objects_of_null_blocks_are_not_stored() {
    let (manager, _hand) = manager(16);
    let engine = Engine::new(F::NL_X_NB_TWO_BS_NH_HS, 1);
    let (keys, layout, table) = (keys(0, 3), layout(), [0, 0, 0, 5, 6, 7]);
    let parts = [engine.part(&table)];
    let request = DeviceStore { keys: &keys, layout: &layout, parts: &parts, null_block: Some(0) };
    let ticket = manager.store_from_device(&request, &*engine.stream).unwrap();
    let outcome = engine.finish(&manager, &ticket);
    assert_eq!(outcome.objects, [O::NullBlocks, O::Moved, O::Moved]);
    assert_eq!(in_l1(&manager, &keys[1..]).unwrap(), engine.objects(&table[2..]));
    assert_eq!(in_l1(&manager, &keys[..1]), None);
    // All of them: nothing is submitted.
    let parts = [engine.part(&[0; 6])];
    let request = DeviceStore { keys: &keys, layout: &layout, parts: &parts, null_block: Some(0) };
    let ticket = manager.store_from_device(&request, &*engine.stream).unwrap();
    assert_eq!(ticket.poll().unwrap().objects, all(O::NullBlocks, 3));
}

#[test]
fn a_device_that_is_lost_before_between_or_in_a_store_leaves_nothing_behind() {
    // Heads first: three objects take three steps.
    let count = 3 * 2 * 3 * 8 * 2_usize;
    let steps = count.div_ceil(STEP_RUNS);
    for pumps in 0..=steps {
        let (manager, _hand) = manager(16);
        let engine = Engine::new(F::NL_X_NB_TWO_NH_BS_HS, 1);
        let there = keys(50, 2);
        engine.stored(&manager, &there, &table(2, 0));
        let before = in_l1(&manager, &there);
        let (keys, used) = (keys(0, 3), locks(&manager).2);
        let ticket = engine.store(&manager, &keys, &table(3, 8));
        assert_eq!(locks(&manager).1, 3, "reserved");
        (0..pumps).for_each(|_| assert!(engine.device.pump()));
        engine.device.lose("it fell off the bus");
        let outcome = manager.wait_transfer(&ticket, Duration::ZERO).expect("it is over");
        if pumps < steps {
            assert_eq!((&outcome.objects, outcome.bytes), (&all(O::Failed, 3), 0));
            assert!(outcome.error.as_ref().unwrap().to_string().contains("fell off the bus"));
            assert_eq!(in_l1(&manager, &keys), None);
            assert_eq!(locks(&manager), (0, 0, used), "all is given back");
            // Another device can store them at once.
            let other = Engine::new(F::NL_X_NB_TWO_NH_BS_HS, 1);
            other.stored(&manager, &keys, &table(3, 8));
        }
        assert_eq!(in_l1(&manager, &there), before, "L1 is as it was");
        let status = manager.report_status().device_transfers;
        assert_eq!((status.in_flight_count, status.failed_transfers), (0, u64::from(pumps < steps)));
        // What comes after is told so at once.
        let late = engine.store(&manager, &crate::support::keys(70, 1), &table(1, 0));
        let outcome = manager.wait_transfer(&late, Duration::ZERO).expect("at once");
        assert_eq!(outcome.error.as_ref().map(lmcache::error::Error::kind), Some(ErrorKind::Io));
        assert!(manager.memcheck());
    }
}

#[test]
fn a_device_that_is_lost_in_a_retrieve_costs_no_lock_and_no_object() {
    let (manager, _hand) = manager(16);
    let engine = Engine::new(F::NL_X_NB_TWO_NH_BS_HS, 1);
    let keys = keys(0, 3);
    engine.stored(&manager, &keys, &table(3, 0));
    let before = in_l1(&manager, &keys);
    assert_eq!(prefetch(&manager, &keys), 3);
    let ticket = engine.retrieve(&manager, &keys, &table(3, 20));
    assert_eq!(locks(&manager).0, 3);
    engine.device.lose("it fell off the bus");
    let outcome = manager.wait_transfer(&ticket, Duration::ZERO).unwrap();
    assert_eq!((&outcome.objects, outcome.bytes), (&all(O::Failed, 3), 0));
    assert_eq!(locks(&manager).0, 0);
    assert_eq!(in_l1(&manager, &keys), before);
}

#[test]
fn a_retrieve_of_what_is_not_there_or_not_locked_moves_nothing_and_releases_the_rest() {
    let (manager, _hand) = manager(16);
    let engine = Engine::new(F::NL_X_NB_TWO_BS_NH_HS, 1);
    let keys = keys(0, 4);
    engine.stored(&manager, &keys[..3], &table(3, 0));
    assert_eq!(prefetch(&manager, &keys[..2]), 2);
    let before = engine.objects(&table(4, 30));
    let outcome = engine.retrieve(&manager, &keys, &table(4, 30)).poll().expect("at once");
    assert_eq!(outcome.objects, [O::Failed, O::Failed, O::NotReadable, O::NotReadable]);
    let error = outcome.error.as_ref().unwrap();
    assert_eq!(
        error.to_string(),
        "objects that were to be retrieved are not there, or not locked for reading (objects 2)"
    );
    assert!(!engine.device.pump() && engine.objects(&table(4, 30)) == before);
    assert_eq!(locks(&manager).0, 0);
}

#[test]
fn like_lmcache_a_store_that_failed_stays_reserved_until_its_reservation_runs_out() {
    let (clock, hand) = Clock::manual(1);
    let manager = StorageManager::with_clock(config(16, Compat::Lmcache), clock).unwrap();
    let engine = Engine::new(F::NL_X_NB_TWO_BS_NH_HS, 1);
    let keys = keys(0, 2);
    let ticket = engine.store(&manager, &keys, &table(2, 0));
    engine.device.lose("");
    assert_eq!(manager.wait_transfer(&ticket, Duration::ZERO).unwrap().objects, all(O::Failed, 2));
    assert_eq!(locks(&manager), (0, 2, 2 * PAGE));
    let other = Engine::new(F::NL_X_NB_TWO_BS_NH_HS, 1);
    let outcome = other.store(&manager, &keys, &table(2, 0)).poll().expect("at once");
    assert_eq!(outcome.objects, all(O::AlreadyThere, 2));
    hand.advance_ns(11_000_000_000);
    other.stored(&manager, &keys, &table(2, 0));
}

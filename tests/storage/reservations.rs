//! Reservations that name a key twice, or that fail as a whole.

use lmcache::clock::{NS_PER_S, monotonic_ns};
use lmcache::error::ErrorKind;
use lmcache::format::model::{ObjectKey, WriteMode};
use lmcache::storage::config::EvictionPolicyKind;
use lmcache::storage::{StorageManager, WriteReservation};

use crate::support::{PAGE, keys, layout, manager, names, store};

/// Where the buffer of each position starts.
fn offsets(reservation: &WriteReservation, positions: usize) -> Vec<Option<u64>> {
    let offset = |position| reservation.buffer(position).map(|buffer| buffer.span().offset_bytes);
    (0..positions).map(offset).collect()
}

/// What locks, policy and memory look like.
fn state(manager: &StorageManager) -> String {
    let l1 = manager.l1_manager();
    format!("{:?} {:?} {:?}", l1.objects(), l1.policy_state(), manager.report_status().l1_manager)
}

#[test]
fn all_occurrences_of_a_key_name_the_buffer_of_the_last() {
    let (manager, _hand) = manager(8, EvictionPolicyKind::Lru);
    let keys = keys(0, 3);
    let twice = [0, 1, 0, 2, 1, 0].map(|i: usize| keys[i].clone());
    let reservation = manager.reserve_write(&twice, &layout(PAGE)).unwrap();
    assert!(reservation.codes().all_succeeded());
    assert_eq!(offsets(&reservation, 6), [5, 4, 5, 3, 4, 5].map(|page| Some(page * PAGE)));
    assert_eq!(manager.get_l1_usage().0, 3 * PAGE);
    assert_eq!(manager.l1_manager().get_staging_memory_usage(), 3 * PAGE);
    assert!(manager.memcheck());
}

/// How long it takes to reserve two keys that are named so often.
fn reserve_duplicates_ns(duplicates: usize) -> u64 {
    let (manager, _hand) = manager(duplicates as u64, EvictionPolicyKind::Lru);
    let pair = keys(0, 2);
    let twice: Vec<ObjectKey> = pair.iter().cycle().take(duplicates).cloned().collect();
    let started_ns = monotonic_ns();
    let reservation = manager.reserve_write(&twice, &layout(PAGE)).unwrap();
    let spent_ns = monotonic_ns() - started_ns;
    let last = [duplicates - 2, duplicates - 1].map(|page| Some(page as u64 * PAGE));
    assert_eq!(offsets(&reservation, 2), last);
    assert_eq!(manager.get_l1_usage().0, 2 * PAGE);
    assert!(manager.memcheck());
    spent_ns
}

/// Ten times as many take ten times as long, and not a hundred times, whatever the machine and its sanitizer.
#[test]
fn a_hundred_thousand_duplicates_do_not_hold_everybody_up() {
    let best_ns = |duplicates| (0..3).map(|_| reserve_duplicates_ns(duplicates)).min().unwrap();
    let (few_ns, many_ns) = (best_ns(10_000), best_ns(100_000));
    assert!(many_ns < 40 * few_ns, "{few_ns} ns for 10,000, {many_ns} ns for 100,000");
}

#[test]
fn an_expired_reservation_that_one_call_asks_for_twice_is_refused_the_second_time() {
    let (manager, hand) = manager(8, EvictionPolicyKind::Lru);
    let keys = keys(0, 2);
    manager.reserve_write(&keys[..1], &layout(PAGE)).unwrap();
    hand.advance_ns(20 * NS_PER_S);
    let twice = [0, 1, 0].map(|i: usize| keys[i].clone());
    let reservation = manager.reserve_write(&twice, &layout(PAGE)).unwrap();
    assert_eq!(names(reservation.codes()), ["SUCCESS", "SUCCESS", "KEY_NOT_WRITABLE"]);
    assert_eq!(offsets(&reservation, 3), [None, Some(PAGE), None], "the last outcome of a key is the one");
    assert!(manager.finish_write(&keys).unwrap().all_succeeded(), "the reservation lives again all the same");
}

#[test]
fn an_update_that_names_a_key_twice_is_refused_the_second_time() {
    for mode in [WriteMode::Update, WriteMode::All] {
        let (manager, _hand) = manager(8, EvictionPolicyKind::Lru);
        let keys = keys(0, 1);
        store(&manager, &keys);
        let twice = [keys[0].clone(), keys[0].clone()];
        let reservation = manager.reserve_write_with_mode(&twice, &layout(PAGE), mode).unwrap();
        assert_eq!(names(reservation.codes()), ["SUCCESS", "KEY_NOT_WRITABLE"]);
        assert_eq!(reservation.buffers().count(), 0);
    }
}

#[test]
fn a_reservation_without_bytes_changes_nothing() {
    let (manager, hand) = manager(8, EvictionPolicyKind::Lru);
    let keys = keys(0, 3);
    manager.reserve_write(&keys[1..2], &layout(PAGE)).unwrap();
    hand.advance_ns(20 * NS_PER_S);
    store(&manager, &keys[..1]);
    let before = state(&manager);
    for mode in [WriteMode::New, WriteMode::All] {
        let error = manager.reserve_write_with_mode(&keys, &layout(0), mode).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(state(&manager), before);
    }
    assert_eq!(names(&manager.l1_manager().reserve_read(&keys[..1], 1)), ["SUCCESS"], "still readable");
}

#[test]
fn a_reservation_without_bytes_that_needs_none_is_served() {
    let (manager, hand) = manager(8, EvictionPolicyKind::Lru);
    let keys = keys(0, 3);
    manager.reserve_write(&keys[1..2], &layout(PAGE)).unwrap();
    hand.advance_ns(20 * NS_PER_S);
    store(&manager, &keys[..1]);
    let reserve = |keys, mode| {
        let reservation = manager.reserve_write_with_mode(keys, &layout(0), mode).unwrap();
        names(reservation.codes())
    };
    assert_eq!(reserve(&[], WriteMode::New), [""; 0]);
    assert_eq!(reserve(&keys[..2], WriteMode::New), ["KEY_NOT_WRITABLE", "SUCCESS"]);
    assert_eq!(reserve(&keys, WriteMode::Update), ["SUCCESS", "KEY_NOT_WRITABLE", "KEY_NOT_WRITABLE"]);
}

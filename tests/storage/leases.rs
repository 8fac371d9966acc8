//! Who holds what for how long, where ours differs from LMCache's known defects. LMCache's side is in `ttl` and in
//! the oracle.

use lmcache::clock::{Clock, ManualClock, NS_PER_S};
use lmcache::format::model::WriteMode;
use lmcache::storage::StorageManager;
use lmcache::storage::config::{Compat, EvictionConfig, EvictionPolicyKind, L1ManagerConfig};
use lmcache::storage::events::Events;
use lmcache::storage::eviction::PolicyState;
use lmcache::storage::l1::{L1Manager, WriteRequest, WriterTag};

use crate::support::{PAGE, keys, layout, manager_like, names, store};

const TTL_NS: u64 = 10 * NS_PER_S;

fn native(objects: u64) -> (StorageManager, ManualClock) {
    manager_like(Compat::Native, objects, EvictionPolicyKind::Lru)
}

#[test]
fn a_reader_from_before_expiry_leaves_the_next_his_lock() {
    let (manager, hand) = native(8);
    let keys = keys(0, 1);
    store(&manager, &keys);
    let l1 = manager.l1_manager();
    assert!(l1.reserve_read(&keys, 1).all_succeeded());
    hand.advance_ns(TTL_NS);
    assert_eq!(names(&l1.unsafe_read(&keys).0), ["KEY_NOT_READABLE"]);
    assert!(l1.reserve_read(&keys, 1).all_succeeded());
    assert!(l1.finish_read(&keys, 1).all_succeeded(), "the old reader's release");
    assert!(l1.unsafe_read(&keys).0.all_succeeded(), "the new reader's lock");
    assert!(l1.finish_read(&keys, 1).all_succeeded());
    assert_eq!(names(&l1.finish_read(&keys, 1)), ["KEY_IN_WRONG_STATE"]);
}

#[test]
fn a_lock_that_nobody_releases_ends_though_others_come_and_go() {
    let (manager, hand) = native(8);
    let keys = keys(0, 1);
    store(&manager, &keys);
    let l1 = manager.l1_manager();
    assert!(l1.reserve_read(&keys, 1).all_succeeded());
    for _ in 0..10 {
        hand.advance_ns(TTL_NS / 2);
        assert!(l1.reserve_read(&keys, 1).all_succeeded());
        assert!(l1.finish_read(&keys, 1).all_succeeded());
    }
    assert_eq!(manager.delete_l1_keys(&keys, false), (1, 0));
}

#[test]
fn locks_are_counted_past_128() {
    let (manager, _hand) = native(8);
    let keys = keys(0, 1);
    store(&manager, &keys);
    let l1 = manager.l1_manager();
    assert!(l1.reserve_read(&keys, 1000).all_succeeded());
    assert!(l1.finish_read(&keys, 999).all_succeeded());
    assert!(l1.finish_read(&keys, -5).all_succeeded(), "less than one is one");
    assert_eq!(names(&l1.finish_read(&keys, 1)), ["KEY_IN_WRONG_STATE"]);
}

#[test]
fn who_takes_over_a_reservation_gets_a_buffer_of_his_own() {
    let (manager, hand) = native(8);
    let (abandoned, later) = (keys(0, 1), keys(1, 1));
    let first = manager.reserve_write(&abandoned, &layout(PAGE)).unwrap();
    store(&manager, &later);
    hand.advance_ns(2 * TTL_NS);
    let second = manager.reserve_write(&abandoned, &layout(2 * PAGE)).unwrap();
    let spans = [&first, &second].map(|reservation| reservation.buffer(0).unwrap().span());
    assert_ne!(spans[0].offset_bytes, spans[1].offset_bytes);
    assert_eq!(spans[1].size_bytes, 2 * PAGE);
    assert_eq!(manager.get_l1_usage().0, 3 * PAGE, "the old one was freed");
    let PolicyState::Lru { order } = manager.l1_manager().policy_state() else { panic!("an LRU order") };
    assert_eq!(order, [later[0].clone(), abandoned[0].clone()], "the policy hears of it");
    assert!(manager.finish_write(&abandoned).unwrap().all_succeeded(), "nobody waits for the old writer");
    assert!(manager.memcheck());
}

#[test]
fn a_late_writer_does_not_publish_what_the_next_is_writing() {
    let (manager, hand) = native(8);
    let keys = keys(0, 1);
    manager.reserve_write(&keys, &layout(PAGE)).unwrap();
    hand.advance_ns(2 * TTL_NS - 1);
    assert!(manager.reserve_write(&keys, &layout(PAGE)).unwrap().codes().all_succeeded());
    assert_eq!(names(&manager.finish_write(&keys).unwrap()), ["KEY_IN_WRONG_STATE"], "the late one");
    assert_eq!(names(&manager.l1_manager().reserve_read(&keys, 1)), ["KEY_NOT_EXIST"]);
    assert!(manager.finish_write(&keys).unwrap().all_succeeded(), "the next one");
}

#[test]
fn a_key_that_is_named_twice_is_one_key() {
    let (manager, _hand) = native(8);
    let mut twice = keys(0, 8);
    twice.push(twice[0].clone());
    let reservation = manager.reserve_write(&twice, &layout(PAGE)).unwrap();
    assert!(reservation.codes().all_succeeded(), "eight buffers are enough");
    let offset = |position| reservation.buffer(position).unwrap().span().offset_bytes;
    assert_eq!(offset(0), offset(8));
    let status = manager.report_status().l1_manager.unwrap();
    assert_eq!((status.memory_used_bytes, status.staging_bytes), (8 * PAGE, 8 * PAGE));
    assert!(manager.finish_write(&twice).unwrap().all_succeeded());
    assert_eq!(names(&manager.finish_write(&twice).unwrap()), ["KEY_NOT_EXIST"; 9]);
}

#[test]
fn a_temporary_object_leaves_with_its_last_reader_however_late() {
    let config = L1ManagerConfig::dram(16 * PAGE, EvictionConfig::default());
    let (clock, hand) = Clock::manual(1);
    let l1 = L1Manager::new(config.clone(), clock, Compat::Native, Events::default()).unwrap();
    let tag = WriterTag::Prefetch(7);
    let request = WriteRequest { size_bytes: PAGE, is_temporary: true, tag, mode: WriteMode::New };
    let keys = keys(0, 1);
    l1.reserve_write(&keys, request).unwrap();
    assert!(l1.finish_write_and_reserve_read(&keys, 2, tag).all_succeeded());
    hand.advance_ns(ttl_ns(&config));
    assert_eq!(names(&l1.finish_read(&keys, 1)), ["KEY_IN_WRONG_STATE"]);
    assert_eq!(l1.get_memory_usage().0, PAGE);
    assert_eq!(names(&l1.finish_read(&keys, 1)), ["KEY_IN_WRONG_STATE"]);
    assert_eq!(l1.get_memory_usage().0, 0);
}

fn ttl_ns(config: &L1ManagerConfig) -> u64 {
    config.read_ttl_seconds as u64 * NS_PER_S
}

#[test]
fn isolated_lru_evicts_from_l1() {
    let (manager, _hand) = manager_like(Compat::Native, 8, EvictionPolicyKind::IsolatedLru);
    let keys = keys(0, 8);
    store(&manager, &keys);
    let victims = manager.evict_l1_once()[0].victims.as_ref().unwrap().len();
    assert_eq!(victims, 1, "20 % of 8");
}

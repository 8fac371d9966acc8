//! Locks that expire, on a clock that moves by hand.

use lmcache::clock::NS_PER_S;
use lmcache::storage::config::EvictionPolicyKind;
use lmcache::storage::eviction::PolicyState;

use crate::support::{PAGE, keys, layout, manager, names, store};

const TTL_NS: u64 = 10 * NS_PER_S;

#[test]
fn an_expired_reservation_is_handed_over_with_its_buffer_as_it_is() {
    let (manager, hand) = manager(8, EvictionPolicyKind::Lru);
    let (abandoned, later) = (keys(0, 1), keys(1, 1));
    let first = manager.reserve_write(&abandoned, &layout(PAGE)).unwrap();
    store(&manager, &later);
    assert_eq!(
        names(manager.reserve_write(&abandoned, &layout(PAGE)).unwrap().codes()),
        ["KEY_NOT_WRITABLE"]
    );
    hand.advance_ns(TTL_NS - 1);
    assert_eq!(manager.report_status().l1_manager.unwrap().write_locked_count, 1);
    hand.advance_ns(1);
    assert_eq!(manager.report_status().l1_manager.unwrap().write_locked_count, 0);
    assert_eq!(names(&manager.finish_write(&abandoned).unwrap()), ["KEY_IN_WRONG_STATE"]);

    let second = manager.reserve_write(&abandoned, &layout(2 * PAGE)).unwrap();
    assert!(second.codes().all_succeeded());
    let spans = [&first, &second].map(|reservation| reservation.buffer(0).unwrap().span());
    assert_eq!(spans[0], spans[1], "the buffer keeps its size, whatever the layout");
    let PolicyState::Lru { order } = manager.l1_manager().policy_state() else { panic!("an LRU order") };
    assert_eq!(order, [abandoned[0].clone(), later[0].clone()], "the policy does not hear of it");
    assert!(manager.finish_write(&abandoned).unwrap().all_succeeded());
}

#[test]
fn an_expired_reservation_is_evicted_deleted_or_cleared() {
    for remove in 0..3 {
        let (manager, hand) = manager(8, EvictionPolicyKind::Lru);
        let keys = keys(0, 8);
        assert!(manager.reserve_write(&keys, &layout(PAGE)).unwrap().codes().all_succeeded());
        assert_eq!(manager.delete_l1_keys(&keys, false), (0, 8));
        manager.clear(false);
        assert_eq!(
            manager.evict_l1_once().pop().unwrap().victims.unwrap(),
            [],
            "a live reservation is no victim"
        );
        hand.advance_ns(TTL_NS);
        match remove {
            0 => assert_eq!(manager.delete_l1_keys(&keys, false), (8, 0)),
            1 => manager.clear(false),
            _ => assert_eq!(manager.evict_l1_once().pop().unwrap().victims.unwrap().len(), 1, "20 % of 8"),
        }
        let left = if remove == 2 { 7 } else { 0 };
        assert_eq!(manager.get_l1_usage().0, left * PAGE);
        assert_eq!(manager.l1_manager().get_staging_memory_usage(), left * PAGE);
        assert!(manager.memcheck());
    }
}

#[test]
fn every_reader_prolongs_the_lock_of_all() {
    let (manager, hand) = manager(8, EvictionPolicyKind::Lru);
    let keys = keys(0, 1);
    store(&manager, &keys);
    let l1 = manager.l1_manager();
    assert!(l1.reserve_read(&keys, 2).all_succeeded());
    hand.advance_ns(TTL_NS - 1);
    assert!(l1.reserve_read(&keys, 1).all_succeeded());
    hand.advance_ns(TTL_NS - 1);
    assert!(manager.finish_read_prefetched(&keys, 3, None).unwrap().all_succeeded());
    assert_eq!(names(&manager.finish_read_prefetched(&keys, 1, None).unwrap()), ["KEY_IN_WRONG_STATE"]);
}

#[test]
fn a_reader_from_before_expiry_releases_the_lock_of_the_next() {
    let (manager, hand) = manager(8, EvictionPolicyKind::Lru);
    let keys = keys(0, 1);
    store(&manager, &keys);
    let l1 = manager.l1_manager();
    assert!(l1.reserve_read(&keys, 3).all_succeeded());
    hand.advance_ns(TTL_NS);
    assert_eq!(names(&l1.unsafe_read(&keys).0), ["KEY_NOT_READABLE"]);
    assert_eq!(names(&manager.finish_read_prefetched(&keys, 1, None).unwrap()), ["KEY_IN_WRONG_STATE"]);
    assert!(l1.reserve_read(&keys, 1).all_succeeded());
    assert!(
        manager.finish_read_prefetched(&keys, 1, None).unwrap().all_succeeded(),
        "the old reader's release"
    );
    assert_eq!(names(&l1.unsafe_read(&keys).0), ["KEY_NOT_READABLE"]);
}

#[test]
fn counts_of_locks_end_at_128() {
    let (manager, _hand) = manager(8, EvictionPolicyKind::Lru);
    let keys = keys(0, 1);
    store(&manager, &keys);
    assert!(manager.l1_manager().reserve_read(&keys, 1000).all_succeeded());
    assert!(manager.finish_read_prefetched(&keys, 127, None).unwrap().all_succeeded());
    assert!(manager.finish_read_prefetched(&keys, -5, None).unwrap().all_succeeded(), "less than one is one");
    assert_eq!(names(&manager.finish_read_prefetched(&keys, 1, None).unwrap()), ["KEY_IN_WRONG_STATE"]);
}

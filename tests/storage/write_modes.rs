//! The modes of `reserve_write` in traces of LMCache 0.4.4 to 0.5.5.

use lmcache::format::model::WriteMode;
use lmcache::storage::config::{Compat, EvictionPolicyKind};

use crate::support::{PAGE, keys, layout, manager, manager_like, names, store};

#[test]
fn update_takes_only_what_is_there_and_free_and_all_takes_both() {
    let (manager, _hand) = manager(8, EvictionPolicyKind::Lru);
    let keys = keys(0, 3);
    store(&manager, &keys[..2]);
    manager.l1_manager().reserve_read(&keys[1..2], 1);
    let outcome = |mode| {
        let reservation = manager.reserve_write_with_mode(&keys, &layout(PAGE), mode).unwrap();
        let codes = names(reservation.codes());
        manager.finish_write(&keys).unwrap();
        codes
    };
    assert_eq!(outcome(WriteMode::Update), ["SUCCESS", "KEY_NOT_WRITABLE", "KEY_NOT_WRITABLE"]);
    assert_eq!(outcome(WriteMode::All), ["SUCCESS", "KEY_NOT_WRITABLE", "SUCCESS"]);
    assert_eq!(outcome(WriteMode::New), ["KEY_NOT_WRITABLE"; 3]);
    assert_eq!(manager.report_status().l1_manager.unwrap().total_object_count, 3);
    assert!(manager.memcheck());
}

#[test]
fn an_update_writes_the_same_buffer_out_of_sight() {
    let (manager, _hand) = manager(8, EvictionPolicyKind::Lru);
    let keys = keys(0, 1);
    let first = manager.reserve_write(&keys, &layout(PAGE)).unwrap();
    manager.finish_write(&keys).unwrap();
    let update = manager.reserve_write_with_mode(&keys, &layout(9 * PAGE), WriteMode::Update).unwrap();
    assert_eq!(update.buffer(0).unwrap().span(), first.buffer(0).unwrap().span());
    assert_eq!(names(&manager.l1_manager().reserve_read(&keys, 1)), ["KEY_NOT_EXIST"]);
    assert_eq!(manager.l1_manager().get_staging_memory_usage(), PAGE);
    let again = manager.reserve_write_with_mode(&keys, &layout(PAGE), WriteMode::All).unwrap();
    assert_eq!(names(again.codes()), ["KEY_NOT_WRITABLE"]);
    assert!(manager.finish_write(&keys).unwrap().all_succeeded());
    assert!(manager.l1_manager().reserve_read(&keys, 1).all_succeeded());
    assert_eq!(manager.l1_manager().get_staging_memory_usage(), 0);
}

#[test]
fn an_update_whose_writer_died_can_be_made_by_the_next() {
    for compat in Compat::ALL {
        let (manager, hand) = manager_like(compat, 8, EvictionPolicyKind::Lru);
        let keys = keys(0, 2);
        store(&manager, &keys);
        let update = || manager.reserve_write_with_mode(&keys, &layout(PAGE), WriteMode::Update).unwrap();
        assert!(update().codes().all_succeeded(), "{compat}");
        hand.advance_ns(3600 * lmcache::clock::NS_PER_S);
        assert!(update().codes().all_succeeded(), "{compat}");
        assert!(manager.finish_write(&keys).unwrap().all_succeeded(), "{compat}");
        assert!(manager.memcheck(), "{compat}");
    }
}

//! Several requests for the same objects.

use lmcache::format::model::{LockMode, ObjectKey};
use lmcache::storage::PrefetchHandle;
use lmcache::storage::config::Compat;
use lmcache::storage::l2::L2Adapter;

use crate::gate::Kind;
use crate::support::{Bench, hit_keys, hits, keys, spec, spec_of_rows};

fn six_requests(compat: Compat) -> (Bench, Vec<ObjectKey>, Vec<PrefetchHandle>) {
    let bench = Bench::new(compat, 16);
    let keys = keys(0, 8);
    bench.write_to_l2(&keys);
    bench.hold(Kind::Load, true);
    let handles = (0..6).map(|_| bench.submit(&spec(&keys))).collect();
    bench.hold(Kind::Load, false);
    (bench, keys, handles)
}

#[test]
fn six_requests_share_one_load_where_lmcache_serves_two() {
    let (bench, keys, handles) = six_requests(Compat::Native);
    assert_eq!(*bench.mocks[0].loads.lock().unwrap(), [8]);
    for handle in &handles {
        let result = bench.manager.query_prefetch_status(handle).unwrap();
        assert_eq!((hits(&result), result.l2_hit_cells[0].popcount()), (vec!["11111111".to_owned()], 8));
        bench.assert_readable(&keys);
        bench.manager.finish_read_prefetched(&keys, 1, None).unwrap();
    }
    assert_eq!(bench.manager.get_l1_usage().0, 0, "temporary objects left with the last reader");
    assert_eq!(bench.manager.report_status().prefetch_controller.shared_loads, 40);
    bench.assert_idle();

    let (bench, _, handles) = six_requests(Compat::Lmcache);
    let results = handles.iter().map(|handle| bench.manager.query_prefetch_status(handle).unwrap());
    let hits: Vec<usize> = results.map(|result| result.hit_count()).collect();
    assert_eq!(hits, [8, 8, 0, 0, 0, 0]);
}

#[test]
fn who_shares_a_load_is_served_when_its_owner_gave_up() {
    let bench = Bench::new(Compat::Native, 16);
    let keys = keys(0, 4);
    let spec = spec(&keys);
    bench.write_to_l2(&keys);
    bench.hold(Kind::Load, true);
    let (owner, other) = (bench.submit(&spec), bench.submit(&spec));
    bench.manager.cancel_prefetch(&owner, &spec);
    bench.manager.pump();
    assert!(owner.is_done() && !other.is_done());
    bench.hold(Kind::Load, false);
    let result = bench.manager.query_prefetch_status(&other).unwrap();
    assert_eq!(result.hit_count(), 4);
    bench.assert_readable(&keys);
    bench.manager.finish_read_prefetched(&keys, 1, None).unwrap();
    bench.assert_idle();
    assert_eq!(bench.manager.get_l1_usage().0, 0);
}

#[test]
fn who_gave_up_while_it_shared_a_load_leaves_no_lock() {
    let bench = Bench::new(Compat::Native, 16);
    let keys = keys(0, 4);
    let spec = spec(&keys);
    bench.write_to_l2(&keys);
    bench.hold(Kind::Load, true);
    let (owner, other) = (bench.submit(&spec), bench.submit(&spec));
    bench.manager.cancel_prefetch(&other, &spec);
    bench.hold(Kind::Load, false);
    assert_eq!(bench.manager.query_prefetch_status(&owner).unwrap().hit_count(), 4);
    bench.manager.finish_read_prefetched(&keys, 1, None).unwrap();
    bench.assert_idle();
}

#[test]
fn a_load_that_fails_is_a_miss_for_all_who_share_it() {
    let bench = Bench::new(Compat::Native, 16);
    let keys = keys(0, 4);
    bench.write_to_l2(&keys);
    bench.hold(Kind::Lookup, true);
    let handles = [bench.submit(&spec(&keys)), bench.submit(&spec(&keys))];
    // They vanish between lookup and load: somebody unlocks what is not his, and deletes it.
    let mock = &bench.mocks[0].mock;
    (0..2).for_each(|_| mock.submit_unlock(&keys));
    assert_eq!(mock.delete(&keys[1..]), 3);
    bench.hold(Kind::Lookup, false);
    for handle in &handles {
        let result = bench.manager.query_prefetch_status(handle).unwrap();
        assert_eq!(hits(&result), ["1000"]);
        bench.manager.finish_read_prefetched(&hit_keys(&keys, &result), 1, None).unwrap();
    }
    bench.assert_idle();
}

#[test]
fn a_warm_request_does_not_share_a_load_of_what_leaves_with_its_readers() {
    let bench = Bench::new(Compat::Native, 16);
    let keys = keys(0, 4);
    bench.write_to_l2(&keys);
    bench.hold(Kind::Load, true);
    let locking = bench.submit(&spec(&keys));
    let mut warm = spec(&keys);
    warm.lock_mode = LockMode::NoLock;
    let warming = bench.submit(&warm);
    bench.hold(Kind::Load, false);
    assert_eq!(bench.manager.query_prefetch_status(&locking).unwrap().hit_count(), 4);
    assert_eq!(bench.manager.query_prefetch_status(&warming).unwrap().hit_count(), 4);
    bench.manager.finish_read_prefetched(&keys, 1, None).unwrap();
    bench.assert_idle();
}

#[test]
fn who_shares_a_load_is_served_though_a_warm_request_loads_the_same() {
    let bench = Bench::new(Compat::Native, 16);
    let keys = keys(0, 4);
    bench.write_to_l2(&keys);
    bench.hold(Kind::Load, true);
    let mut warm = spec(&keys);
    warm.lock_mode = LockMode::NoLock;
    let (owner, sharing) = (bench.submit(&spec(&keys)), bench.submit(&spec(&keys)));
    let (warming, also_warming) = (bench.submit(&warm), bench.submit(&warm));
    bench.hold(Kind::Load, false);
    assert_eq!(*bench.mocks[0].loads.lock().unwrap(), [4, 4]);
    for handle in [&owner, &sharing, &warming, &also_warming] {
        assert_eq!(bench.manager.query_prefetch_status(handle).expect("a result").hit_count(), 4);
    }
    (0..2).for_each(|_| drop(bench.manager.finish_read_prefetched(&keys, 1, None).unwrap()));
    bench.assert_idle();
}

#[test]
fn a_key_that_stands_in_two_rows_is_loaded_once_and_hit_twice() {
    let bench = Bench::new(Compat::Native, 16);
    let keys = keys(0, 3);
    bench.write_to_l2(&keys);
    let result = bench.prefetch(&spec_of_rows(&[(keys.clone(), -1), (keys.clone(), -1)]));
    assert_eq!(hits(&result), ["111", "111"]);
    assert_eq!(*bench.mocks[0].loads.lock().unwrap(), [3]);
    bench.manager.finish_read_prefetched(&keys, 2, None).unwrap();
    bench.assert_idle();
    assert_eq!(bench.manager.get_l1_usage().0, 0);
}

#[test]
fn a_key_that_stands_twice_in_a_row_is_loaded_once_and_locked_twice() {
    let bench = Bench::new(Compat::Native, 16);
    let keys = keys(0, 3);
    bench.write_to_l2(&keys);
    let twice = [keys[0].clone(), keys[1].clone(), keys[0].clone(), keys[2].clone()];
    let result = bench.prefetch(&spec(&twice));
    assert_eq!(hits(&result), ["1111"]);
    assert_eq!(*bench.mocks[0].loads.lock().unwrap(), [3]);
    bench.manager.finish_read_prefetched(&twice[1..], 1, None).unwrap();
    bench.assert_readable(&keys[..1]);
    bench.manager.finish_read_prefetched(&twice[..1], 1, None).unwrap();
    bench.assert_idle();
    assert_eq!(bench.manager.get_l1_usage().0, 0);
}

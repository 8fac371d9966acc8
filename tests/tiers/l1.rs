//! L1 under pressure, and several of them.

use lmcache::storage::config::{Compat, EvictionMeasure, StorageManagerConfig};
use lmcache::storage::{L1Error, L1Owners};

use crate::support::{Bench, PAGE, config, hit_keys, keys, layout, spec};

#[test]
fn an_allocation_evicts_what_it_needs_where_lmcache_refuses_the_writer() {
    for (compat, code) in [(Compat::Native, L1Error::Success), (Compat::Lmcache, L1Error::OutOfMemory)] {
        let bench = Bench::with(config(compat, 8), 0);
        bench.write(&keys(0, 8));
        let reservation = bench.manager.reserve_write(&keys(50, 3), &layout(PAGE)).unwrap();
        assert_eq!(reservation.codes().as_slice(), [code; 3], "{compat}");
    }
}

#[test]
fn an_allocation_evicts_the_least_recently_used_and_no_more_than_it_needs() {
    let bench = Bench::with(config(Compat::Native, 8), 0);
    let keys = keys(0, 8);
    keys.iter().for_each(|key| bench.write(std::slice::from_ref(key)));
    bench.manager.touch_l1_keys(&keys[..1]);
    bench.write(&crate::support::keys(50, 2));
    let resident: Vec<_> =
        bench.manager.l1_manager().objects().into_iter().map(|object| object.key).collect();
    assert_eq!(resident.len(), 8);
    assert!(!resident.contains(&keys[1]) && !resident.contains(&keys[2]));
    assert!(resident.contains(&keys[0]));
    assert_eq!(bench.manager.stats().evicted_keys, 2);
}

#[test]
fn an_allocation_evicts_nothing_that_is_read_and_nothing_in_vain() {
    let bench = Bench::with(config(Compat::Native, 8), 0);
    let keys = keys(0, 8);
    bench.write(&keys);
    bench.prefetch(&spec(&keys[..6]));
    let none = bench.manager.reserve_write(&crate::support::keys(50, 9), &layout(PAGE)).unwrap();
    assert_eq!(none.codes().count(L1Error::OutOfMemory), 9, "more than L1 has");
    assert_eq!(bench.manager.l1_manager().objects().len(), 8);
    let two = bench.manager.reserve_write(&crate::support::keys(50, 2), &layout(PAGE)).unwrap();
    assert!(two.codes().all_succeeded());
    let three = bench.manager.reserve_write(&crate::support::keys(60, 1), &layout(PAGE)).unwrap();
    assert_eq!(three.codes().count(L1Error::OutOfMemory), 1, "all others are read or written");
}

#[test]
fn a_pass_evicts_by_keys_or_by_bytes() {
    for (by, left) in [(EvictionMeasure::Keys, 4), (EvictionMeasure::Bytes, 3)] {
        let mut config = config(Compat::Native, 16);
        config.l1_managers[0].eviction.by = by;
        config.l1_managers[0].eviction.trigger_watermark = 0.5;
        config.l1_managers[0].eviction.eviction_ratio = 0.3;
        let bench = Bench::with(config, 0);
        // Four small ones, the oldest, and one that is as large as eight.
        bench.write(&keys(0, 4));
        let large = keys(50, 1);
        assert!(bench.manager.reserve_write(&large, &layout(8 * PAGE)).unwrap().codes().all_succeeded());
        bench.manager.finish_write(&large).unwrap();
        bench.manager.evict_l1_once();
        // 30 % of 5 keys is one; of 12 pages it is 3.6, which four small ones make.
        let expected = match by {
            EvictionMeasure::Keys => left,
            EvictionMeasure::Bytes => 1,
        };
        assert_eq!(bench.manager.l1_manager().objects().len(), expected, "{by:?}");
    }
}

fn two_l1s(compat: Compat) -> StorageManagerConfig {
    let mut config = config(compat, 4);
    let mut second = config.l1_managers[0].clone();
    second.tag = "second".to_owned();
    second.memory.size_bytes = 8 * PAGE;
    config.l1_managers.push(second);
    config
}

#[test]
fn what_does_not_fit_into_one_l1_goes_to_the_next_and_is_read_by_its_owner() {
    for compat in Compat::ALL {
        let bench = Bench::with(two_l1s(compat), 0);
        let keys = keys(0, 7);
        let reservation = bench.manager.reserve_write(&keys, &layout(PAGE)).unwrap();
        assert!(reservation.codes().all_succeeded());
        assert!((0..7).all(|position| reservation.owner(position) == 1), "a batch is not split");
        assert!(bench.manager.finish_write(&keys).is_err(), "LMCache, and ours: a write has an owner");
        let finished = bench.manager.finish_write_by_owner(&[(1, &keys)]).unwrap();
        assert!(finished[0].all_succeeded());
        let result = bench.prefetch(&spec(&keys));
        let held = hit_keys(&keys, &result);
        assert_eq!((held.len(), result.l1_owners.len()), (7, 7));
        let owners: L1Owners = result.l1_owners.into_iter().collect();
        assert!(bench.manager.unsafe_read(&keys, Some(&owners)).unwrap().codes().all_succeeded());
        // Who does not say which L1 is refused by LMCache; ours looks for it.
        assert_eq!(bench.manager.unsafe_read(&keys, None).is_ok(), compat == Compat::Native);
        bench.manager.finish_read_prefetched(&keys, 1, Some(&owners)).unwrap();
        bench.assert_idle();
        let wrong: L1Owners = keys.iter().map(|key| (key.clone(), 2)).collect();
        assert!(bench.manager.unsafe_read(&keys, Some(&wrong)).is_err());
    }
}

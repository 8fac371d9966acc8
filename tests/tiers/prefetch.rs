//! Requests that LMCache serves worse than it could.

use lmcache::clock::NS_PER_S;
use lmcache::format::model::{FetchingPolicy, LockMode};
use lmcache::storage::config::Compat;

use crate::gate::Kind;
use crate::support::{Bench, config, hit_keys, hits, keys, keys_of_group, spec, spec_of_rows};

#[test]
fn the_longest_prefix_that_fits_is_loaded_where_lmcache_loads_nothing() {
    let keys = keys(0, 20);
    for (compat, hit_chunks) in [(Compat::Native, 16), (Compat::Lmcache, 0)] {
        let bench = Bench::new(compat, 16);
        bench.write_to_l2(&keys);
        let result = bench.prefetch(&spec(&keys));
        assert_eq!(result.hit_count(), hit_chunks, "{compat}");
        let held = hit_keys(&keys, &result);
        bench.assert_readable(&held);
        bench.manager.finish_read_prefetched(&held, 1, None).unwrap();
        bench.assert_idle();
    }
}

#[test]
fn every_length_that_fits_is_found() {
    let keys = keys(0, 9);
    for pages in 1..=10 {
        let bench = Bench::new(Compat::Native, 12);
        bench.write_to_l2(&keys);
        // The rest of L1 is taken by what cannot be evicted.
        let blocked = crate::support::keys(100, 12 - pages);
        bench.write(&blocked);
        bench.prefetch(&spec(&blocked));
        let result = bench.prefetch(&spec(&keys));
        assert_eq!(result.hit_count(), pages.min(9) as usize, "{pages} pages are free");
        bench.assert_readable(&hit_keys(&keys, &result));
    }
}

#[test]
fn a_shorter_prefix_needs_the_cells_that_its_own_window_covers() {
    let (full, windowed) = (keys_of_group(0, 0, 6), keys_of_group(1, 50, 6));
    let bench = Bench::new(Compat::Native, 6);
    bench.write_to_l2(&full);
    bench.write_to_l2(&windowed);
    let result = bench.prefetch(&spec_of_rows(&[(full, -1), (windowed, 2)]));
    assert_eq!(hits(&result), ["111100", "001100"], "four chunks of one row and their last two of the other");
}

#[test]
fn as_many_common_columns_as_fit_are_loaded_by_the_full_policy() {
    let (one, other) = (keys_of_group(0, 0, 6), keys_of_group(1, 50, 6));
    let bench = Bench::new(Compat::Native, 7);
    bench.write_to_l2(&one);
    bench.write_to_l2(&other);
    let mut spec = spec_of_rows(&[(one, -1), (other, -1)]);
    spec.fetching_policy = FetchingPolicy::Full;
    let result = bench.prefetch(&spec);
    assert_eq!(hits(&result), ["111000", "111000"]);
    assert_eq!(result.found_cells.unwrap().iter().map(|row| row.popcount()).sum::<usize>(), 12);
}

#[test]
fn what_became_resident_after_the_lookup_is_a_hit() {
    let keys = keys(0, 4);
    for (compat, expected) in [(Compat::Native, "1111"), (Compat::Lmcache, "1100")] {
        let bench = Bench::new(compat, 16);
        bench.write_to_l2(&keys);
        bench.hold(Kind::Lookup, true);
        let handle = bench.submit(&spec(&keys));
        bench.write(&keys[2..3]);
        bench.hold(Kind::Lookup, false);
        let result = bench.manager.query_prefetch_status(&handle).unwrap();
        assert_eq!(hits(&result), [expected], "{compat}");
        bench.manager.finish_read_prefetched(&hit_keys(&keys, &result), 1, None).unwrap();
        bench.assert_idle();
    }
}

#[test]
fn what_was_deleted_by_force_meanwhile_is_no_hit() {
    let keys = keys(0, 4);
    for (compat, expected) in [(Compat::Native, "0000"), (Compat::Lmcache, "1111")] {
        let bench = Bench::new(compat, 16);
        bench.write_to_l2(&keys);
        bench.write(&keys[..1]);
        bench.hold(Kind::Load, true);
        let handle = bench.submit(&spec(&keys));
        bench.manager.delete_l1_keys(&keys[..1], true);
        bench.hold(Kind::Load, false);
        let result = bench.manager.query_prefetch_status(&handle).unwrap();
        assert_eq!(hits(&result), [expected], "{compat}");
    }
}

#[test]
fn a_load_that_outlived_its_reservation_is_a_miss() {
    let keys = keys(0, 4);
    for (compat, expected) in [(Compat::Native, "0000"), (Compat::Lmcache, "1111")] {
        let bench = Bench::new(compat, 16);
        bench.write_to_l2(&keys);
        bench.hold(Kind::Load, true);
        let handle = bench.submit(&spec(&keys));
        bench.hand.advance_ns(11 * NS_PER_S);
        bench.hold(Kind::Load, false);
        let result = bench.manager.query_prefetch_status(&handle).unwrap();
        assert_eq!(hits(&result), [expected], "{compat}");
        assert_eq!(bench.manager.l1_manager().objects_of(&keys[0]).iter().filter(|o| o.is_locked).count(), 0);
        if compat == Compat::Native {
            assert_eq!(bench.manager.get_l1_usage().0, 0, "what came too late is dropped");
            bench.assert_idle();
        }
    }
}

#[test]
fn only_what_l1_lacks_is_looked_up_and_a_whole_hit_asks_nobody() {
    let bench = Bench::new(Compat::Native, 16);
    let keys = keys(0, 6);
    bench.write_to_l2(&keys);
    bench.write(&keys[..2]);
    bench.hold(Kind::Lookup, true);
    let whole = bench.submit(&spec(&keys[..2]));
    assert_eq!(bench.manager.query_prefetch_status(&whole).unwrap().hit_count(), 2);
    assert!(bench.mocks[0].lookups.lock().unwrap().is_empty());
    let part = bench.submit(&spec(&keys));
    assert!(bench.manager.query_prefetch_status(&part).is_none());
    bench.hold(Kind::Lookup, false);
    let result = bench.manager.query_prefetch_status(&part).unwrap();
    assert_eq!(result.l1_hit_cells[0].to_string(), "110000");
    assert_eq!(result.l2_hit_cells[0].to_string(), "001111");
    assert_eq!(*bench.mocks[0].lookups.lock().unwrap(), [4]);
}

#[test]
fn a_request_that_takes_too_long_ends_with_what_l1_has() {
    let mut config = config(Compat::Native, 16);
    config.prefetch.timeout_ms = Some(500);
    let bench = Bench::with(config, 1);
    let keys = keys(0, 4);
    bench.write_to_l2(&keys);
    bench.write(&keys[..2]);
    for kind in [Kind::Lookup, Kind::Load] {
        bench.hold(kind, true);
        let handle = bench.submit(&spec(&keys));
        bench.hand.advance_ns(NS_PER_S / 2 - 1);
        bench.manager.pump();
        assert!(!handle.is_done());
        bench.hand.advance_ns(1);
        bench.manager.pump();
        let result = bench.manager.query_prefetch_status(&handle).expect("what L1 has");
        assert_eq!(hits(&result), ["1100"]);
        let status = bench.manager.report_status().prefetch_controller;
        assert_eq!((status.in_flight_request_count, status.given_up_request_count), (1, 1));
        bench.manager.finish_read_prefetched(&hit_keys(&keys, &result), 1, None).unwrap();
        bench.hold(kind, false);
        bench.assert_idle();
    }
    assert_eq!(bench.manager.report_status().prefetch_controller.timed_out_requests, 2);
}

/// Requests give up after half a second, and only one is under way.
fn impatient_bench_of_one_place() -> Bench {
    let mut config = config(Compat::Native, 16);
    config.prefetch_max_in_flight = 1;
    config.prefetch.timeout_ms = Some(500);
    Bench::with(config, 1)
}

#[test]
fn what_was_deleted_by_force_is_no_hit_of_a_request_that_takes_too_long() {
    let bench = impatient_bench_of_one_place();
    let keys = keys(0, 4);
    bench.write_to_l2(&keys);
    bench.write(&keys[..2]);
    bench.hold(Kind::Lookup, true);
    let handles = [bench.submit(&spec(&keys)), bench.submit(&spec(&keys))];
    bench.manager.delete_l1_keys(&keys[1..2], true);
    bench.hand.advance_ns(NS_PER_S);
    bench.manager.pump();
    for handle in &handles {
        let result = bench.manager.query_prefetch_status(handle).unwrap();
        assert_eq!(hits(&result), ["1000"]);
        bench.manager.finish_read_prefetched(&keys[..1], 1, None).unwrap();
    }
    bench.hold(Kind::Lookup, false);
    bench.assert_idle();
}

#[test]
fn a_request_that_waits_for_a_place_times_out_too() {
    let bench = impatient_bench_of_one_place();
    let keys = keys(0, 4);
    bench.write_to_l2(&keys);
    bench.hold(Kind::Lookup, true);
    let (first, second) = (bench.submit(&spec(&keys)), bench.submit(&spec(&keys)));
    assert_eq!(bench.manager.report_status().prefetch_controller.pending_queue_size, 1);
    bench.hand.advance_ns(NS_PER_S);
    bench.manager.pump();
    assert!(first.is_done() && second.is_done());
    bench.hold(Kind::Lookup, false);
    bench.assert_idle();
}

#[test]
fn a_request_that_times_out_in_the_queue_locks_each_hit_once() {
    let bench = impatient_bench_of_one_place();
    let keys = keys(0, 4);
    bench.write_to_l2(&keys);
    bench.write(&keys[..2]);
    bench.hold(Kind::Lookup, true);
    let handles = [bench.submit(&spec(&keys)), bench.submit(&spec(&keys))];
    assert_eq!(bench.manager.report_status().prefetch_controller.pending_queue_size, 1);
    bench.hand.advance_ns(NS_PER_S);
    bench.manager.pump();
    for handle in &handles {
        let result = bench.manager.query_prefetch_status(handle).unwrap();
        assert_eq!(hits(&result), ["1100"]);
        bench.manager.finish_read_prefetched(&hit_keys(&keys, &result), 1, None).unwrap();
    }
    bench.hold(Kind::Lookup, false);
    bench.assert_idle();
}

#[test]
fn a_cancelled_request_gives_everything_back_at_any_point() {
    let keys = keys(0, 4);
    let spec = spec(&keys);
    for held in [Some(Kind::Lookup), Some(Kind::Load), None] {
        let bench = Bench::new(Compat::Native, 16);
        bench.write_to_l2(&keys);
        bench.write(&keys[..1]);
        if let Some(kind) = held {
            bench.hold(kind, true);
        }
        let handle = bench.submit(&spec);
        bench.manager.cancel_prefetch(&handle, &spec);
        bench.manager.pump();
        assert!(handle.is_done());
        let result = bench.manager.query_prefetch_status(&handle);
        assert_eq!(result.map(|result| result.hit_count()), held.map(|_| 0));
        if let Some(kind) = held {
            bench.hold(kind, false);
        }
        bench.assert_idle();
    }
}

#[test]
fn a_warm_request_keeps_what_it_loads_and_locks_nothing() {
    let bench = Bench::new(Compat::Native, 16);
    let keys = keys(0, 4);
    bench.write_to_l2(&keys);
    let mut warm = spec(&keys);
    warm.lock_mode = LockMode::NoLock;
    assert_eq!(bench.prefetch(&warm).hit_count(), 4);
    bench.assert_idle();
    let result = bench.prefetch(&spec(&keys));
    assert_eq!(result.l1_hit_cells[0].popcount(), 4);
}

#[test]
fn a_closed_manager_answers_every_request_and_adapters_may_still_write() {
    for kind in [Kind::Lookup, Kind::Load] {
        let bench = Bench::new(Compat::Native, 16);
        let keys = keys(0, 4);
        bench.write_to_l2(&keys);
        bench.hold(kind, true);
        let handle = bench.submit(&spec(&keys));
        bench.manager.close().unwrap();
        assert_eq!(bench.manager.query_prefetch_status(&handle).unwrap().hit_count(), 0);
        bench.gates[0].hold(kind, false);
        assert!(bench.manager.submit_prefetch_task(&spec(&keys), "", false).is_err());
    }
}

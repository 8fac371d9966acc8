//! Prefetches that the recordings do not have: those of old traces, and results that nobody asks for.

use std::time::Duration;

use lmcache::format::model::call::GroupedObjectKeys;
use lmcache::format::model::{FetchingPolicy, LockMode, ObjectKey, PrefetchTaskSpec};
use lmcache::storage::config::EvictionPolicyKind;
use lmcache::storage::prefetch::validate_spec;

use crate::support::{PAGE, keys, layout, manager, names, store};

fn spec(rows: &[&[ObjectKey]]) -> PrefetchTaskSpec {
    let row = |keys: &&[ObjectKey]| GroupedObjectKeys {
        keys: keys.to_vec(),
        object_group_id: 0,
        layout: layout(PAGE),
        sliding_window_size: -1,
    };
    PrefetchTaskSpec {
        key_groups: rows.iter().map(row).collect(),
        num_kv_readers: 1,
        fetching_policy: FetchingPolicy::Prefix,
        lock_mode: LockMode::Lock,
    }
}

#[test]
fn a_shorter_row_counts_as_absent_from_there_on() {
    let (manager, _hand) = manager(16, EvictionPolicyKind::Lru);
    let keys = keys(0, 7);
    store(&manager, &keys);
    let ragged = spec(&[&keys[..4], &keys[4..]]);
    assert!(validate_spec(&ragged).is_err());
    let handle = manager.submit_prefetch_task(&ragged, "request", false).unwrap();
    assert_eq!((handle.total_requested_keys, handle.external_request_id.as_str()), (7, "request"));
    let result = manager.query_prefetch_status(&handle).unwrap();
    let hits: Vec<_> = result.hit_cells.iter().map(ToString::to_string).collect();
    assert_eq!(hits, ["1110", "1110"]);
    assert_eq!(result.hit_count(), 6);
    let locked = manager.report_status().l1_manager.unwrap().read_locked_count;
    assert_eq!(locked, 6, "the cell that is no hit was released");
}

#[test]
fn a_request_without_rows_or_readers_is_refused_by_name_and_survived() {
    let (manager, _hand) = manager(16, EvictionPolicyKind::Lru);
    let keys = keys(0, 2);
    store(&manager, &keys);
    let no_rows = spec(&[]);
    let no_readers = PrefetchTaskSpec { num_kv_readers: 0, ..spec(&[&keys]) };
    let mut no_window = spec(&[&keys]);
    no_window.key_groups[0].sliding_window_size = 0;
    for (spec, hits) in [(&no_rows, 0), (&no_readers, 2), (&no_window, 2)] {
        assert!(validate_spec(spec).is_err());
        let handle = manager.submit_prefetch_task(spec, "", true).unwrap();
        assert_eq!(manager.query_prefetch_status(&handle).unwrap().hit_count(), hits);
    }
    assert!(validate_spec(&spec(&[&keys])).is_ok());
}

#[test]
fn a_result_is_given_once_and_goes_with_its_handle() {
    let (manager, _hand) = manager(16, EvictionPolicyKind::Lru);
    let unclaimed = || manager.report_status().prefetch_controller.completed_results_count;
    let keys = keys(0, 1);
    let first = manager.submit_prefetch_task(&spec(&[&keys]), "", false).unwrap();
    let second = manager.submit_prefetch_task(&spec(&[&keys]), "", false).unwrap();
    assert_eq!((first.prefetch_request_id, second.prefetch_request_id, unclaimed()), (0, 1, 2));
    assert!(manager.wait_prefetch_status(&first, Duration::MAX));
    assert!(manager.query_prefetch_status(&first.clone()).is_some());
    assert!(manager.query_prefetch_status(&first).is_none());
    assert!(manager.wait_prefetch_status(&first, Duration::MAX), "it is done all the same");
    assert_eq!(unclaimed(), 1);
    drop(second);
    assert_eq!(unclaimed(), 0);
}

#[test]
fn a_context_that_is_dropped_releases_what_its_exit_would() {
    let (manager, _hand) = manager(16, EvictionPolicyKind::Lru);
    let (present, absent) = (keys(0, 2), keys(9, 1));
    store(&manager, &present);
    let fetch = || manager.submit_prefetch_task(&spec(&[&present]), "", false).unwrap();
    let locked = || manager.report_status().l1_manager.unwrap().read_locked_count;

    fetch();
    drop(manager.read_prefetched_results(&present, None).unwrap());
    assert_eq!(locked(), 2, "the caller releases what it could read");
    let failed = manager.read_prefetched_results(&present, None).unwrap();
    assert_eq!(failed.exit(true).len(), 2);
    assert_eq!(locked(), 0);

    fetch();
    let incomplete = [present.clone(), absent].concat();
    let context = manager.read_prefetched_results(&incomplete, None).unwrap();
    assert_eq!(names(context.codes()), ["SUCCESS", "SUCCESS", "KEY_NOT_EXIST"]);
    assert!(context.objects().is_none());
    drop(context);
    assert_eq!(locked(), 0);
}

//! Our own storage manager, recorded.

use std::sync::Arc;

use lmcache::capture;
use lmcache::clock::Clock;
use lmcache::format::model::{
    FetchingPolicy, GroupedObjectKeys, LockMode, MemoryLayoutDesc, ObjectKey, PrefetchTaskSpec, StorageCall,
    WriteMode,
};
use lmcache::format::native::Outcome;
use lmcache::storage::StorageManager;
use lmcache::storage::config::{EvictionPolicyKind, StorageManagerConfig};
use lmcache::trace::recorder::TraceRecorder;

use super::support::{ReadBack, keys, layout, read, scope};

fn prefetch_of(prompt: &[ObjectKey], layout: &MemoryLayoutDesc) -> PrefetchTaskSpec {
    let row = GroupedObjectKeys {
        keys: prompt.to_vec(),
        object_group_id: 0,
        layout: layout.clone(),
        sliding_window_size: -1,
    };
    PrefetchTaskSpec {
        key_groups: vec![row],
        num_kv_readers: 1,
        fetching_policy: FetchingPolicy::Prefix,
        lock_mode: LockMode::Lock,
    }
}

#[test]
fn the_calls_of_our_manager_are_recorded_with_what_came_of_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.lct");
    let config = StorageManagerConfig::l1_only(1 << 20, EvictionPolicyKind::Lru);
    let recorder = Arc::new(TraceRecorder::open(capture::options_for(&config, &path)).expect("a recorder"));
    let manager = StorageManager::with_clock(config.clone(), Clock::system()).expect("a manager");
    capture::attach(&manager, Arc::clone(&recorder)).expect("no hook yet");
    assert!(capture::attach(&manager, Arc::clone(&recorder)).is_err(), "one hook");

    let layout = layout(1_000);
    let prompt = keys(&scope("tenant"), 0..6);
    let (stored, missing) = prompt.split_at(4);
    let spec = prefetch_of(&prompt, &layout);
    manager.reserve_write(stored, &layout).expect("room");
    manager.finish_write_by_owner(&[(0, &stored[..1]), (0, &stored[1..])]).expect("reserved");
    manager.submit_prefetch_task(&spec, "request", false).expect("open");
    manager.read_prefetched_results(stored, None).unwrap().exit(false);
    drop(manager.read_prefetched_results(missing, None).unwrap());
    manager.finish_read_prefetched(stored, 1, None).unwrap();
    recorder.set_enabled(false);
    manager.finish_read_prefetched(stored, 1, None).unwrap();
    manager.close().expect("closed");
    let stats = recorder.close().expect("closed");
    assert_eq!((stats.calls, stats.completions, stats.lost), (8, 8, 0));

    let read = read(&path);
    let calls: Vec<_> = read.calls.iter().map(|call| call.3.clone()).collect();
    let (stored, missing) = (stored.to_vec(), missing.to_vec());
    let expected = [
        StorageCall::ReserveWrite { keys: stored.clone(), layout, mode: WriteMode::New },
        StorageCall::FinishWrite { keys: stored.clone() },
        StorageCall::SubmitPrefetch { spec, external_request_id: "request".to_owned(), skip_l2: false },
        StorageCall::ReadEnter { keys: stored.clone() },
        StorageCall::ReadExit { keys: stored.clone() },
        StorageCall::ReadEnter { keys: missing.clone() },
        StorageCall::ReadExit { keys: missing },
        StorageCall::FinishRead { keys: stored, read_locks: 1 },
    ];
    assert_eq!(calls, expected);
    check_completions(&read);
    let trace = lmcache::trace::native::NativeTrace::from_bytes(&path, &std::fs::read(&path).expect("there"))
        .expect("a trace");
    assert_eq!(trace.header().facts().sm_config_digest, config.digest());
    assert_eq!(trace.header().facts().sm_config_json, config.to_json());
}

fn check_completions(read: &ReadBack) {
    let ends: Vec<_> = read
        .completions
        .iter()
        .map(|end| (end.call_sequence, end.outcome, end.hit_keys, end.bytes))
        .collect();
    let (done, partly, failed) = (Outcome::Done as u8, Outcome::Partly as u8, Outcome::Failed as u8);
    let object_bytes = 4_000;
    assert_eq!(
        ends[..6],
        [
            (0, done, 4, 4 * object_bytes),
            (1, done, 4, 0),
            (2, partly, 4, 4 * object_bytes),
            (3, done, 4, 4 * object_bytes),
            (4, done, 0, 0),
            (5, failed, 0, 0),
        ]
    );
    assert!(read.completions.iter().all(|end| end.duration_ns > 0));
}

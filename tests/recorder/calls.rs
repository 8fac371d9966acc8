//! Every call comes back as it was made, in the order of time.

use std::sync::Arc;

use lmcache::format::model::{
    ChunkHash, FetchingPolicy, GroupedObjectKeys, LockMode, ObjectKey, PrefetchTaskSpec, StorageCall,
    WriteMode,
};
use lmcache::format::native::Outcome;
use lmcache::trace::recorder::{Completion, HashedCall, RecorderOptions, TraceRecorder};

use super::support::{keys, layout, read, scope};

fn spec(rows: &[&[ObjectKey]]) -> PrefetchTaskSpec {
    let row = |keys: &&[ObjectKey]| GroupedObjectKeys {
        keys: keys.to_vec(),
        object_group_id: 0,
        layout: layout(7),
        sliding_window_size: -1,
    };
    PrefetchTaskSpec {
        key_groups: rows.iter().map(row).collect(),
        num_kv_readers: 3,
        fetching_policy: FetchingPolicy::Full,
        lock_mode: LockMode::NoLock,
    }
}

#[test]
fn each_call_comes_back_with_its_arguments() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.lct");
    let recorder = TraceRecorder::open(RecorderOptions::new(&path)).expect("a recorder");
    let (plain, salted) = (scope(""), scope("tenant"));
    let prompt = keys(&plain, 0..20);
    let mut mixed = keys(&salted, 5..8);
    mixed.push(ObjectKey::new(ChunkHash::new(&[9; 100]), Arc::clone(&plain)));
    let mut thread = recorder.thread().expect("a ring");
    let reserve = thread.reserve_write(&prompt, &layout(4)).expect("recorded");
    thread.finish_write(&prompt);
    let prefetch = spec(&[&prompt, &mixed, &[]]);
    thread.submit_prefetch_task(&prefetch, "a request of more than eight bytes", true);
    thread.read_enter(&mixed);
    thread.read_exit(&mixed);
    thread.finish_read_prefetched(&mixed, 1 << 33);
    thread.finish_read_prefetched(&[], 1);
    thread.host_call("engine.step", b"17");
    let completion = Completion {
        outcome: Outcome::Done,
        duration_ns: 1_000,
        data_ready_ns: Some(2_000),
        requested_keys: 20,
        hit_keys: 20,
        bytes: 640,
    };
    thread.complete(reserve, &completion);
    let number = thread.scope(&plain);
    thread.record_hashes(HashedCall::FinishWrite, number, &[[3; 32]]);
    drop(thread);
    let stats = recorder.close().expect("closed");
    assert_eq!((stats.calls, stats.lost, stats.completions), (9, 0, 1));
    assert_eq!(stats.late, 0, "what a call refers to is sent before it, and is not stamped after it");

    let read = read(&path);
    let calls: Vec<_> = read.calls.iter().map(|call| call.3.clone()).collect();
    let expected = [
        StorageCall::ReserveWrite { keys: prompt.clone(), layout: layout(4), mode: WriteMode::New },
        StorageCall::FinishWrite { keys: prompt },
        StorageCall::SubmitPrefetch {
            spec: prefetch,
            external_request_id: "a request of more than eight bytes".to_owned(),
            skip_l2: true,
        },
        StorageCall::ReadEnter { keys: mixed.clone() },
        StorageCall::ReadExit { keys: mixed.clone() },
        StorageCall::FinishRead { keys: mixed, read_locks: 1 << 33 },
        StorageCall::FinishRead { keys: Vec::new(), read_locks: 1 },
        StorageCall::FinishWrite { keys: vec![ObjectKey::new(ChunkHash::new(&[3; 32]), plain)] },
    ];
    assert_eq!(calls, expected);
    assert_eq!(read.host_calls, [("engine.step".to_owned(), b"17".to_vec())]);
    assert_eq!((read.completions[0].call_sequence, read.completions[0].data_ready_ns), (0, 2_000));
    assert!(read.calls.is_sorted_by_key(|call| call.0), "in the order of time");
    assert!(read.is_closed);
}

#[test]
fn threads_come_and_go_and_their_calls_are_merged_by_time() {
    const THREADS: u64 = 8;
    const CALLS: u64 = 3_000;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.lct");
    let recorder = TraceRecorder::open(RecorderOptions::new(&path)).expect("a recorder");
    for _ in 0..2 {
        std::thread::scope(|threads| {
            for thread in 0..THREADS {
                let recorder = &recorder;
                let work = move || {
                    let scope = scope(&format!("tenant{thread}"));
                    for call in 0..CALLS {
                        let keys = keys(&scope, call..call + 1 + call % 3);
                        recorder.with_thread(|recorder| recorder.finish_write(&keys)).expect("room");
                        if call % 64 == 0 {
                            std::thread::yield_now();
                        }
                    }
                };
                std::thread::Builder::new()
                    .name(format!("worker{thread}"))
                    .spawn_scoped(threads, work)
                    .expect("a thread");
            }
        });
    }
    recorder.flush().expect("written");
    let open = read(&path);
    assert!(!open.is_closed);
    assert_eq!(open.calls.len() as u64, 2 * THREADS * CALLS, "flushed is readable, though nothing is closed");
    let stats = recorder.close().expect("closed");
    assert_eq!((stats.calls, stats.lost, stats.threads), (2 * THREADS * CALLS, 0, 2 * THREADS));
    let read = read(&path);
    assert_eq!(read.thread_names.len() as u64, 2 * THREADS);
    assert!(read.thread_names.values().all(|name| name.starts_with("worker")));
    for thread in 1..=2 * THREADS as u32 {
        assert_eq!(read.account(thread), (CALLS, 0));
        let own: Vec<_> = read.calls.iter().filter(|call| call.1 == thread).collect();
        assert!(own.is_sorted_by_key(|call| call.0) && own.is_sorted_by_key(|call| call.2));
    }
    if read.late == 0 {
        assert!(read.calls.is_sorted_by_key(|call| call.0));
    }
}

#[test]
fn nothing_is_recorded_while_the_gate_is_shut() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.lct");
    let mut options = RecorderOptions::new(&path);
    options.is_enabled = false;
    let recorder = TraceRecorder::open(options).expect("a recorder");
    let keys = keys(&scope(""), 0..2);
    let mut thread = recorder.thread().expect("a ring");
    assert_eq!(thread.finish_write(&keys), None);
    recorder.set_enabled(true);
    assert!(thread.finish_write(&keys).is_some());
    recorder.set_enabled(false);
    assert_eq!(thread.finish_write(&keys), None);
    assert_eq!(recorder.with_thread(|thread| thread.finish_write(&keys)), None);
    assert_eq!(thread.attempted(), 1);
    drop(thread);
    recorder.close().expect("closed");
    recorder.set_enabled(true);
    assert!(!recorder.is_enabled(), "a closed recorder stays shut");
    assert_eq!(read(&path).account(1), (1, 0));
}

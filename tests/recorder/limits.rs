//! What does not fit is counted, with its place in the file.

use std::time::Duration;

use lmcache::trace::recorder::options::MIN_TOTAL_BYTES;
use lmcache::trace::recorder::{FullPolicy, RecorderOptions, Rotation, TraceRecorder};
use lmcache::trace::ring::MIN_RING_BYTES;

use super::support::{keys, read, scope};

#[test]
fn what_was_attempted_is_written_or_counted_exactly() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.lct");
    let options = RecorderOptions { ring_bytes: MIN_RING_BYTES, ..RecorderOptions::new(&path) };
    let recorder = TraceRecorder::open(options).expect("a recorder");
    let attempted: Vec<u64> = std::thread::scope(|threads| {
        let recorder = &recorder;
        let work = move |thread: u64| {
            let keys = keys(&scope(""), 0..1 + thread * 8);
            let mut own = recorder.thread().expect("a ring");
            for _ in 0..20_000 {
                own.finish_write(&keys);
            }
            own.attempted()
        };
        let workers: Vec<_> = (0..4).map(|thread| threads.spawn(move || work(thread))).collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).collect()
    });
    let stats = recorder.close().expect("closed");
    let read = read(&path);
    assert_eq!(attempted, [20_000; 4]);
    assert_eq!(stats.calls + stats.lost, 80_000);
    assert!(stats.lost > 0, "rings of a page must overflow");
    for thread in 1..=4 {
        let (calls, lost) = read.account(thread);
        assert_eq!(calls + lost, 20_000);
    }
    assert_eq!(read.losses.iter().map(|(_, loss)| loss.count).sum::<u64>(), stats.lost);
}

#[test]
fn a_caller_that_waits_loses_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.lct");
    let mut options = RecorderOptions { ring_bytes: MIN_RING_BYTES, ..RecorderOptions::new(&path) };
    options.full_policy = FullPolicy::Wait;
    let recorder = TraceRecorder::open(options).expect("a recorder");
    let keys = keys(&scope(""), 0..10);
    let mut thread = recorder.thread().expect("a ring");
    for _ in 0..5_000 {
        assert!(thread.finish_write(&keys).is_some());
    }
    drop(thread);
    assert_eq!(recorder.close().expect("closed").lost, 0);
    assert_eq!(read(&path).account(1), (5_000, 0));
}

#[test]
fn a_call_too_large_for_the_ring_is_counted_as_such() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.lct");
    let options = RecorderOptions { ring_bytes: MIN_RING_BYTES, ..RecorderOptions::new(&path) };
    let recorder = TraceRecorder::open(options).expect("a recorder");
    let scope = scope("");
    let mut thread = recorder.thread().expect("a ring");
    // A quarter of the ring is 1,024 bytes: a prefix and 25 rows fit, 26 rows do not.
    assert!(thread.finish_write(&keys(&scope, 0..25)).is_some());
    assert!(thread.finish_write(&keys(&scope, 0..26)).is_none());
    assert!(thread.finish_write(&keys(&scope, 0..1)).is_some());
    drop(thread);
    let stats = recorder.close().expect("closed");
    assert_eq!((stats.calls, stats.lost), (2, 1));
    assert_eq!(read(&path).account(1), (2, 1));
}

#[test]
fn more_tenants_than_numbers_come_back_right() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.lct");
    let mut options = RecorderOptions::new(&path);
    options.full_policy = FullPolicy::Wait;
    let recorder = TraceRecorder::open(options).expect("a recorder");
    let mut thread = recorder.thread().expect("a ring");
    let scopes: Vec<_> = (0..1_000).map(|tenant| scope(&format!("tenant{tenant}"))).collect();
    let call = |number: usize| keys(&scopes[(number * 7) % scopes.len()], [number as u64]);
    for number in 0..3_000 {
        thread.finish_write(&call(number)).expect("room");
    }
    let all: Vec<_> = scopes.iter().flat_map(|scope| keys(scope, [1])).collect();
    assert!(thread.finish_write(&all[..256]).is_some());
    assert!(thread.finish_write(&all[..257]).is_none(), "more scopes in a call than there are numbers");
    drop(thread);
    assert_eq!(recorder.close().expect("closed").lost, 1);
    let read = read(&path);
    for (number, (_, _, _, found)) in read.calls.iter().take(3_000).enumerate() {
        let expected = lmcache::format::model::StorageCall::FinishWrite { keys: call(number) };
        assert_eq!(*found, expected);
    }
}

#[test]
fn files_follow_each_other_and_the_oldest_go() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.lct");
    let mut options = RecorderOptions { chunk_bytes: 1 << 16, ..RecorderOptions::new(&path) };
    options.full_policy = FullPolicy::Wait;
    options.rotation = Rotation {
        max_file_bytes: Some(1 << 19),
        max_total_bytes: Some(MIN_TOTAL_BYTES),
        ..Rotation::default()
    };
    options.sync_interval = Some(Duration::from_millis(5));
    let recorder = TraceRecorder::open(options).expect("a recorder");
    let mut thread = recorder.thread().expect("a ring");
    let scope = scope("tenant");
    for number in 0..40_000_u64 {
        thread.finish_write(&keys(&scope, number * 4..number * 4 + 4)).expect("room");
    }
    drop(thread);
    let stats = recorder.close().expect("closed");
    assert_eq!((stats.calls, stats.lost), (40_000, 0));
    assert!(stats.deleted_files > 0 && stats.files > stats.deleted_files);
    let mut paths: Vec<_> = std::fs::read_dir(directory.path())
        .expect("listed")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert_eq!(paths.len() as u64, stats.files - stats.deleted_files);
    let kept_bytes: u64 = paths.iter().map(|path| path.metadata().expect("there").len()).sum();
    assert!(kept_bytes <= MIN_TOTAL_BYTES, "{kept_bytes}");
    let files: Vec<_> = paths.iter().map(|path| read(path)).collect();
    let sequences: Vec<u32> = files.iter().flat_map(|file| file.calls.iter().map(|call| call.2)).collect();
    assert!(files.iter().all(|file| file.is_closed));
    assert_eq!(sequences.last(), Some(&39_999));
    assert!(sequences.windows(2).all(|pair| pair[1] == pair[0] + 1), "nothing is missing between files");
}

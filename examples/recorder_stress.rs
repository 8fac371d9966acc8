//! Threads that come and go record into one recorder, while the gate is switched and the files rotate: to be run under
//! a sanitizer.
//!
//! ```text
//! cargo run --release --example recorder_stress
//! ```
//!
//! Ends with what was attempted, written and lost; an account that does not balance is a panic.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lmcache::clock::{Waiter, monotonic_ns};
use lmcache::format::model::{ChunkHash, Dtype, KeyScope, MemoryLayoutDesc, ObjectKey};
use lmcache::trace::recorder::{
    FullPolicy, RecorderOptions, RecorderStats, Rotation, ThreadRecorder, TraceRecorder,
};

const ROUNDS: u64 = 8;
const THREADS: u64 = 6;
const CALLS: u64 = 400;

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    for policy in [FullPolicy::Drop, FullPolicy::Wait] {
        let (attempted, stats) = record(&directory.path().join("stress.lct"), policy);
        println!("{policy:?}: {attempted} calls attempted, {stats:?}");
        assert_eq!(attempted, stats.calls + stats.lost, "every call is written or counted");
    }
}

fn record(path: &Path, policy: FullPolicy) -> (u64, RecorderStats) {
    let mut options =
        RecorderOptions { ring_bytes: 1 << 14, chunk_bytes: 1 << 16, ..RecorderOptions::new(path) };
    options.full_policy = policy;
    options.rotation =
        Rotation { max_file_bytes: Some(1 << 20), max_total_bytes: Some(1 << 22), max_file_age: None };
    options.sync_interval = Some(Duration::from_millis(3));
    let recorder = TraceRecorder::open(options).expect("a recorder");
    let attempted = AtomicU64::new(0);
    for round in 0..ROUNDS {
        std::thread::scope(|threads| {
            for thread in 0..THREADS {
                let (recorder, attempted) = (&recorder, &attempted);
                threads.spawn(move || {
                    let calls = match thread % 2 {
                        0 => owned(recorder, round, thread),
                        _ => thread_local(recorder, thread),
                    };
                    // Relaxed: summed after the threads are joined.
                    attempted.fetch_add(calls, Ordering::Relaxed);
                });
            }
            recorder.flush().expect("the disk is not full");
        });
    }
    let stats = recorder.close().expect("the disk is not full");
    // Relaxed: the threads are joined.
    (attempted.load(Ordering::Relaxed), stats)
}

/// A recorder that the thread holds, moved into it.
fn owned(recorder: &TraceRecorder, round: u64, thread: u64) -> u64 {
    let mut own = recorder.thread().expect("a ring");
    calls(&mut own, thread);
    if round.is_multiple_of(3) {
        Waiter::default().wait_until_ns(monotonic_ns() + 200_000, || false);
    }
    own.attempted()
}

/// The recorder that the thread finds by itself; it is dropped when the thread ends.
fn thread_local(recorder: &TraceRecorder, thread: u64) -> u64 {
    let attempted = recorder.with_thread(|own| {
        calls(own, thread);
        Some(own.attempted())
    });
    attempted.expect("recording is on")
}

fn calls(own: &mut ThreadRecorder, thread: u64) {
    let scope = Arc::new(KeyScope::new("org/model", 1, 0, &format!("tenant{thread}")).expect("a scope"));
    let bf16 = Dtype::from_name("torch.bfloat16").expect("torch has it");
    let layout = MemoryLayoutDesc::new(vec![(Box::new([16, 2]), bf16)]).expect("a small layout");
    for call in 0..CALLS {
        let key = |number: u64| ObjectKey::new(ChunkHash::new(&[number as u8; 32]), Arc::clone(&scope));
        let keys: Vec<_> = (call..call + 1 + call % 5).map(key).collect();
        own.reserve_write(&keys, &layout);
        own.finish_write(&keys);
    }
}

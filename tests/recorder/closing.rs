//! What happens to calls and callers while a recording is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lmcache::error::ErrorKind;
use lmcache::trace::recorder::{RecorderOptions, TraceRecorder};

use super::support::{keys, pause_us, read, scope};

#[test]
fn whoever_closes_second_waits_until_the_file_is_closed() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.lct");
    let mut options = RecorderOptions::new(&path);
    // The writer sleeps while the second one comes.
    options.poll_interval = Duration::from_millis(200);
    let recorder = Arc::new(TraceRecorder::open(options).expect("a recorder"));
    let keys = keys(&scope(""), 0..2);
    recorder.with_thread(|thread| thread.finish_write(&keys)).expect("recorded");
    let close = |recorder: &TraceRecorder| {
        let stats = recorder.close().expect("closed");
        (stats.calls, read(&path).is_closed)
    };
    std::thread::scope(|threads| {
        let first = threads.spawn(|| close(&recorder));
        pause_us(20_000);
        assert_eq!(close(&recorder), (1, true));
        assert_eq!(first.join().expect("no panic"), (1, true));
    });
    assert_eq!(recorder.thread().expect_err("no more threads").kind(), ErrorKind::Closed);
    assert_eq!(recorder.check_open().expect_err("closed").kind(), ErrorKind::Closed);
}

/// Threads record for as long as they are let, which is longer than the recording is open.
#[test]
fn what_is_attempted_while_a_recording_is_closed_is_in_the_file_or_lost() {
    let directory = tempfile::tempdir().expect("a directory");
    for round in 0..60 {
        let path = directory.path().join(format!("{round}.lct"));
        let recorder = TraceRecorder::open(RecorderOptions::new(&path)).expect("a recorder");
        let is_over = AtomicBool::new(false);
        let attempted: u64 = std::thread::scope(|threads| {
            let work = || {
                let keys = keys(&scope(""), 0..1);
                let Ok(mut own) = recorder.thread() else { return 0 };
                while !is_over.load(Ordering::Relaxed) {
                    own.finish_write(&keys);
                }
                own.attempted()
            };
            let workers: Vec<_> = (0..4).map(|_| threads.spawn(work)).collect();
            pause_us(1_000 + round * 37);
            recorder.close().expect("closed");
            is_over.store(true, Ordering::Relaxed);
            workers.into_iter().map(|worker| worker.join().expect("no panic")).sum()
        });
        let stats = recorder.stats();
        assert_eq!(stats.calls + stats.lost, attempted, "round {round}: {stats:?}");
        assert_eq!(read(&path).calls.len() as u64, stats.calls);
    }
}

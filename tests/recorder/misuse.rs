//! Hosts that do what they should not: the recording may suffer, the host must not.

use std::sync::{Arc, Mutex};

use lmcache::error::ErrorKind;
use lmcache::trace::native::NativeTrace;
use lmcache::trace::recorder::{HashedCall, RecorderOptions, TraceRecorder};
use lmcache::trace::recover::verify;
use lmcache::trace::ring::MIN_RING_BYTES;

use super::support::{keys, pause_us, read, scope};

#[test]
fn two_recorders_do_not_share_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.lct");
    let first = TraceRecorder::open(RecorderOptions::new(&path)).expect("a recorder");
    let keys = keys(&scope(""), 0..2);
    first.with_thread(|thread| thread.finish_write(&keys)).expect("recorded");
    first.flush().expect("written");
    let error = TraceRecorder::open(RecorderOptions::new(&path)).expect_err("the path is taken");
    assert!(error.to_string().contains("somebody is recording"), "{error}");
    first.close().expect("closed");
    assert_eq!(read(&path).calls.len(), 1, "what the first recorded is there");
    TraceRecorder::open(RecorderOptions::new(&path)).expect("the path is free again");
}

#[test]
fn a_number_of_another_thread_names_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.lct");
    let recorder = TraceRecorder::open(RecorderOptions::new(&path)).expect("a recorder");
    let (mut one, mut two) = (recorder.thread().expect("a ring"), recorder.thread().expect("a ring"));
    let of_one = one.scope(&scope("tenant-a"));
    two.scope(&scope("tenant-b"));
    assert_eq!(two.record_hashes(HashedCall::FinishWrite, of_one, &[[1; 32]]), None);
    assert!(one.record_hashes(HashedCall::FinishRead { read_locks: 2 }, of_one, &[[1; 32]]).is_some());
    drop((one, two));
    let stats = recorder.close().expect("closed");
    assert_eq!((stats.calls, stats.lost), (1, 1));
}

#[test]
fn a_call_within_a_call_is_counted_and_no_panic() {
    let directory = tempfile::tempdir().expect("a directory");
    let open = |name: &str| {
        TraceRecorder::open(RecorderOptions::new(directory.path().join(name))).expect("a recorder")
    };
    let (outer, inner) = (open("a.lct"), open("b.lct"));
    let keys = keys(&scope(""), 0..2);
    let recorded = outer.with_thread(|thread| {
        assert!(inner.with_thread(|thread| thread.read_enter(&keys)).is_none());
        thread.finish_write(&keys)
    });
    assert!(recorded.is_some());
    assert_eq!((outer.close().expect("closed").calls, inner.close().expect("closed").lost), (1, 1));
}

/// Stops a recording by deleting its file, and runs `then` in the callback, with the recorder.
fn stop_and(then: impl Fn(&TraceRecorder) + Send + 'static) -> Arc<TraceRecorder> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.lct");
    let slot = Arc::new(Mutex::new(None::<Arc<TraceRecorder>>));
    let mut options = RecorderOptions::new(&path);
    let theirs = Arc::clone(&slot);
    options.on_stop = Some(Box::new(move |_| {
        let recorder = theirs.lock().expect("no panic").take();
        then(&recorder.expect("set before the file is deleted"));
    }));
    let recorder = Arc::new(TraceRecorder::open(options).expect("a recorder"));
    *slot.lock().expect("no panic") = Some(Arc::clone(&recorder));
    std::fs::remove_file(&path).expect("deleted");
    while recorder.is_enabled() {
        pause_us(1_000);
    }
    recorder
}

#[test]
fn a_callback_may_flush_close_and_even_panic() {
    let recorder = stop_and(|recorder| {
        assert!(recorder.flush().is_err());
        assert!(recorder.close().is_err());
    });
    assert!(recorder.close().expect_err("it stopped").to_string().contains("deleted"));
    let recorder = stop_and(|_| panic!("a callback of the host"));
    assert!(recorder.close().expect_err("it stopped").to_string().contains("deleted"));
    assert!(recorder.flush().is_err());
}

#[test]
#[expect(unsafe_code, reason = "there is no fork without it")]
fn a_forked_child_is_told_and_nothing_hangs() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.lct");
    let recorder = TraceRecorder::open(RecorderOptions::new(&path)).expect("a recorder");
    let keys = keys(&scope(""), 0..2);
    recorder.with_thread(|thread| thread.finish_write(&keys)).expect("recorded");
    recorder.flush().expect("written");
    // SAFETY: the child makes no call but those below, and ends without running destructors.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let is_told = |error: lmcache::error::Error| error.kind() == ErrorKind::Closed;
        let is_right = recorder.flush().is_err_and(is_told) && recorder.close().is_err_and(is_told);
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(if is_right { 0 } else { 1 }) };
    }
    let mut status = -1;
    // SAFETY: the child is ours, and the pointer is to an integer that lives through the call.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child was told, and ended by itself");
    assert_eq!(recorder.close().expect("the parent goes on").calls, 1);
}

#[test]
fn overload_leaves_a_file_in_which_nothing_but_losses_is_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.lct");
    let options =
        RecorderOptions { ring_bytes: MIN_RING_BYTES, chunk_bytes: 1 << 16, ..RecorderOptions::new(&path) };
    let recorder = TraceRecorder::open(options).expect("a recorder");
    std::thread::scope(|threads| {
        for thread in 0..6 {
            let recorder = &recorder;
            threads.spawn(move || {
                let keys = keys(&scope(&format!("tenant{thread}")), 0..40);
                for call in 0..5_000 {
                    recorder.with_thread(|own| own.finish_write(&keys[..1 + call % 40]));
                    if call % 512 == 0 {
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    let stats = recorder.close().expect("closed");
    assert!(stats.lost > 0 && stats.calls > 0, "{stats:?}");
    let trace = NativeTrace::from_bytes(&path, &std::fs::read(&path).expect("there")).expect("a trace");
    let report = verify(&trace);
    assert_eq!(report.total(), report.count("calls_lost"), "{:?}", report.counts());
}

#[test]
fn rings_of_threads_that_ended_are_let_go_of_under_load() {
    let directory = tempfile::tempdir().expect("a directory");
    let recorder =
        TraceRecorder::open(RecorderOptions::new(directory.path().join("a.lct"))).expect("a recorder");
    let keys = keys(&scope(""), 0..2);
    let resident_kib = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line");
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
    };
    let before_kib = resident_kib();
    for _ in 0..150 {
        std::thread::scope(|threads| {
            threads.spawn(|| recorder.with_thread(|thread| thread.finish_write(&keys)));
        });
        recorder.with_thread(|thread| thread.finish_write(&keys));
    }
    recorder.flush().expect("written");
    let grown_kib = resident_kib().saturating_sub(before_kib);
    assert!(grown_kib < 60 << 10, "150 rings of a MiB each came and went, {grown_kib} KiB stayed");
    recorder.close().expect("closed");
}

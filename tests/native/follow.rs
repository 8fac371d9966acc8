//! A file that is read while it is written.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;

use lmcache::clock::{Clock, NS_PER_S, monotonic_ns};
use lmcache::error::ErrorKind;
use lmcache::format::native::pod::MIN_CHUNK_BYTES;
use lmcache::trace::ReadMode;
use lmcache::trace::follow::{Polled, TraceFollower};
use lmcache::trace::native::NativeTrace;
use lmcache::trace::store::FileStore;
use lmcache::trace::writer::TraceWriter;

use super::support::{CLOCK, Workload, line, live_writer, reading};

fn file_writer(path: &Path) -> TraceWriter<FileStore> {
    live_writer(FileStore::create(path).expect("a file"), MIN_CHUNK_BYTES)
}

/// Commits of random sizes, new chunks, records longer than a chunk, and a clean end.
fn record(mut writer: TraceWriter<FileStore>, seed: u64, records: usize) {
    let mut workload = Workload::new(seed, 40);
    while workload.records < records {
        workload.most_keys = if workload.dice.below(40) == 0 { 4_000 } else { 40 };
        workload.push(&mut writer);
        match workload.dice.below(30) {
            0..=9 => writer.commit(CLOCK).expect("room for a file"),
            10 => writer.sync(CLOCK).expect("room for a file"),
            11 => writer.next_chunk(CLOCK).expect("room for a file"),
            12 => thread::yield_now(),
            _ => {}
        }
    }
    writer.finish(CLOCK, None).expect("room for a file");
}

/// Polls until the file is closed.
fn follow(mut follower: TraceFollower) -> Vec<String> {
    let (mut lines, deadline_ns) = (Vec::new(), monotonic_ns() + 60 * NS_PER_S);
    loop {
        match follower.poll().expect("a file that is written as it should be") {
            Polled::Records(records) => lines.extend(records.iter().filter_map(|record| line(&record))),
            Polled::Nothing => thread::yield_now(),
            Polled::Closed => return lines,
        }
        assert!(monotonic_ns() < deadline_ns, "the file was never closed");
    }
}

fn whole_reading(path: &Path) -> Vec<String> {
    let trace = NativeTrace::open(path, ReadMode::buffered()).expect("a good file");
    reading(&trace).into_iter().map(|(_, line)| line).collect()
}

#[test]
fn a_follower_meets_every_record_once_and_in_order() {
    for seed in 0..4 {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("live.lct");
        let writer = file_writer(&path);
        let from_the_start = TraceFollower::open(&path).expect("its header is there");
        let followers = [from_the_start].map(|follower| thread::spawn(move || follow(follower)));
        let recorder = thread::spawn(move || record(writer, seed, 1_500));
        let met = followers.map(|follower| follower.join().expect("no panic"));
        recorder.join().expect("no panic");
        assert!(met[0] == whole_reading(&path), "seed {seed}: {} records were met", met[0].len());
    }
}

#[test]
fn a_follower_may_come_late_and_want_only_what_is_to_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("live.lct");
    let (mut writer, mut workload) = (file_writer(&path), Workload::new(5, 40));
    for _ in 0..410 {
        workload.push(&mut writer);
    }
    writer.commit(CLOCK).expect("room for a file");
    let seen = workload.records;
    let mut follower = TraceFollower::open(&path).expect("its header is there");
    follower.skip_to_end().expect("a good file");
    assert!(matches!(follower.poll(), Ok(Polled::Nothing)));
    // What is pushed and not committed is not there yet.
    let chunk = writer.chunk_number();
    workload.push(&mut writer);
    assert_eq!(writer.chunk_number(), chunk, "the chunk has room for it");
    assert!(matches!(follower.poll(), Ok(Polled::Nothing)));
    for _ in 0..400 {
        workload.push(&mut writer);
    }
    writer.finish(CLOCK, None).expect("room for a file");
    let all = whole_reading(&path);
    assert_eq!(follow(follower), all[seen..]);
    assert_eq!(follow(TraceFollower::open(&path).expect("a good file")), all);
    let mut late = TraceFollower::open(&path).expect("a good file");
    late.skip_to_time(u64::MAX).expect("a good file");
    let rest = follow(late);
    assert!(!rest.is_empty() && rest.len() < all.len() && all.ends_with(&rest));
}

#[test]
fn a_file_that_is_cut_or_taken_over_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("live.lct");
    let (mut writer, mut workload) = (file_writer(&path), Workload::new(5, 40));
    workload.push(&mut writer);
    writer.commit(CLOCK).expect("room for a file");
    let mut cut = TraceFollower::open(&path).expect("its header is there");
    let mut taken_over = TraceFollower::open(&path).expect("its header is there");
    for follower in [&mut cut, &mut taken_over] {
        assert!(matches!(follower.poll(), Ok(Polled::Records(_))));
        assert!(matches!(follower.poll(), Ok(Polled::Nothing)));
    }
    let file = OpenOptions::new().write(true).open(&path).expect("it is there");
    let bytes = file.metadata().expect("it is there").len();
    file.write_all_at(&[9; 8], 72).expect("room for a file");
    assert_eq!(taken_over.poll().expect_err("another recording").kind(), ErrorKind::Corrupt);
    file.set_len(bytes - 1).expect("it is ours");
    let error = cut.poll().expect_err("a cut file");
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert!(error.to_string().contains("live.lct"), "{error}");
}

#[test]
fn records_that_do_not_match_their_slot_are_never_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("live.lct");
    let (mut writer, mut workload) = (file_writer(&path), Workload::new(5, 40));
    workload.push(&mut writer);
    writer.commit(CLOCK).expect("room for a file");
    let file = OpenOptions::new().write(true).read(true).open(&path).expect("it is there");
    let end = file.metadata().expect("it is there").len();
    let mut last = [0; 1];
    file.read_exact_at(&mut last, end - 1).expect("it is there");
    file.write_all_at(&[!last[0]], end - 1).expect("room for a file");
    let mut follower = TraceFollower::open(&path).expect("its header is there");
    assert!(matches!(follower.poll(), Ok(Polled::Nothing)), "it may be in the middle of a write");
    file.write_all_at(&last, end - 1).expect("room for a file");
    assert!(matches!(follower.poll(), Ok(Polled::Records(_))), "the write is done");
    file.write_all_at(&[!last[0]], end - 1).expect("room for a file");
    let (clock, hands) = Clock::manual(0);
    let mut follower = TraceFollower::open(&path).expect("its header is there").with_clock(clock);
    for _ in 0..100 {
        assert!(matches!(follower.poll(), Ok(Polled::Nothing)), "no time has passed");
    }
    hands.advance_ns(10 * NS_PER_S);
    let error = follower.poll().expect_err("it is damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

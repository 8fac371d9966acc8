//! What a close look finds in files that are sound, and in files that are not.

use lmcache::format::model::Op;
use lmcache::format::native::index::write_index;
use lmcache::format::native::kind::LossReason;
use lmcache::format::native::pod::{
    CHUNK_HEADER_BYTES, CHUNK_MAGIC, ChunkHeader, CommitSlot, FLAG_LATE, MIN_CHUNK_BYTES,
};
use lmcache::format::native::schema::ThreadFacts;
use lmcache::format::native::{KeysToPush, NewFile, Stamp};
use lmcache::trace::native::NativeTrace;
use lmcache::trace::recover::{VerifyReport, verify};
use lmcache::trace::writer::TraceWriter;

use super::support::{
    CLOCK, MemoryStore, Workload, live_writer, new_file, rows, stamp, writer, writer_with_chunks,
};

fn look_at(bytes: &[u8]) -> VerifyReport {
    verify(&NativeTrace::from_bytes("memory", bytes).expect("a good header"))
}

fn call(writer: &mut TraceWriter<MemoryStore>, stamp: Stamp) {
    let facts = ThreadFacts::default();
    writer
        .push(CLOCK, |chunk| {
            chunk.thread(stamp.thread, &facts)?;
            let keys = rows(chunk, 0..2)?;
            chunk.push_call(Op::ReadEnter, &stamp, 0, KeysToPush::Rows(&keys), true)
        })
        .expect("memory does not fail");
}

fn kinds(bytes: &[u8]) -> Vec<(&'static str, u64)> {
    look_at(bytes).counts().iter().map(|(kind, count)| (*kind, *count)).collect()
}

fn finished(writer: TraceWriter<MemoryStore>) -> Vec<u8> {
    writer.finish(CLOCK, None).expect("memory does not fail").1.0
}

#[test]
fn a_sound_file_has_nothing_but_what_its_recorder_lost() {
    let (mut writer, mut workload) = (writer_with_chunks(MIN_CHUNK_BYTES), Workload::new(1, 200));
    for _ in 0..300 {
        workload.push(&mut writer);
        if workload.dice.below(4) == 0 {
            writer.sync(CLOCK).expect("memory does not fail");
        }
    }
    let report = look_at(&finished(writer));
    let lost: Vec<_> = report.counts().iter().collect();
    assert_eq!(lost, [(&"calls_lost", &report.count("calls_lost"))], "{:?}", report.findings());
    assert!(report.chunks > 10 && report.good_chunks == report.chunks && report.is_closed);
    assert_eq!((report.threads, report.lost), (3, report.count("calls_lost") * 5));
    assert!(report.completions > 0 && report.calls > 0);
}

#[test]
fn a_killed_recorder_leaves_a_file_that_is_not_closed_and_nothing_else() {
    let (mut writer, mut workload) =
        (live_writer(MemoryStore::default(), MIN_CHUNK_BYTES), Workload::new(9, 100));
    for _ in 0..60 {
        workload.push(&mut writer);
    }
    writer.commit(CLOCK).expect("memory does not fail");
    let report = look_at(&writer.store().0);
    let others: Vec<_> = report.counts().keys().filter(|kind| **kind != "calls_lost").collect();
    assert_eq!(others, [&"not_closed"], "{:?}", report.findings());
}

#[test]
fn numbers_of_a_thread_are_wanted_once_each() {
    let mut writer = writer();
    for (t_ns, sequence) in [(1, 0), (2, 1), (3, 4), (4, 4)] {
        call(&mut writer, stamp(t_ns, 1, sequence));
    }
    assert_eq!(kinds(&finished(writer)), [("calls_missing", 1), ("calls_repeated", 1)]);
}

#[test]
fn a_loss_fills_the_gap_and_is_named_as_a_loss() {
    let mut writer = writer();
    call(&mut writer, stamp(1, 1, 0));
    let loss = stamp(2, 1, 1);
    writer.push(CLOCK, |chunk| chunk.push_loss(&loss, LossReason::TooLarge, 3, 0..9)).expect("it fits");
    call(&mut writer, stamp(10, 1, 4));
    let report = look_at(&finished(writer));
    assert_eq!(report.findings().len(), 1);
    assert_eq!(
        report.findings()[0].to_string(),
        "the recorder lost 3 calls of thread 1: a call was too large for the ring"
    );
}

#[test]
fn an_earlier_record_must_say_that_it_is_late() {
    for (flags, expected) in [(FLAG_LATE, &[][..]), (0, &[("out_of_order", 1)][..])] {
        let mut writer = writer();
        call(&mut writer, stamp(10, 1, 0));
        call(&mut writer, Stamp { flags, ..stamp(9, 1, 1) });
        assert_eq!(kinds(&finished(writer)), expected);
    }
}

#[test]
fn a_later_file_of_a_recording_begins_with_any_number() {
    let file = NewFile { file_number: 3, ..new_file(MIN_CHUNK_BYTES) };
    let mut writer =
        TraceWriter::create(MemoryStore::default(), file, Default::default()).expect("a file in memory");
    call(&mut writer, stamp(1, 1, 77));
    assert_eq!(kinds(&finished(writer)), []);
}

/// Changes the first chunk's slot and makes its checksum right again.
fn with_slot(bytes: &mut [u8], change: impl FnOnce(&mut CommitSlot)) {
    let start =
        bytes.windows(4).position(|four| four == CHUNK_MAGIC).expect("a chunk") + size_of::<ChunkHeader>();
    let raw = &mut bytes[start..][..size_of::<CommitSlot>()];
    let mut slot: CommitSlot = bytemuck::pod_read_unaligned(raw);
    change(&mut slot);
    raw.copy_from_slice(bytemuck::bytes_of(&slot.sealed()));
}

#[test]
fn a_slot_and_the_index_must_count_what_is_there() {
    let mut writer = writer();
    call(&mut writer, stamp(1, 1, 0));
    let mut bytes = finished(writer);
    with_slot(&mut bytes, |slot| (slot.calls, slot.first_ns) = (2, 0));
    assert_eq!(kinds(&bytes), [("wrong_count", 2), ("wrong_index", 2)]);
}

#[test]
fn an_index_that_names_a_chunk_twice_is_not_followed() {
    let mut writer = writer();
    call(&mut writer, stamp(1, 1, 0));
    let (mut index, MemoryStore(mut bytes)) = writer.finish(CLOCK, None).expect("memory does not fail");
    let trace = NativeTrace::from_bytes("memory", &bytes).expect("a good file");
    let chunk = trace.open_chunk(&trace.chunks()[0], None).expect("a good chunk");
    let end = chunk.header().offset as usize + chunk.bytes().len();
    index.chunks.push(index.chunks[0]);
    bytes.truncate(end);
    bytes.extend_from_slice(&write_index(&index, end as u64, trace.header().fixed().recording_id));
    let trace = NativeTrace::from_bytes("memory", &bytes).expect("a good header");
    assert!(trace.index().is_some());
    assert_eq!(trace.chunks().len(), 1);
    assert_eq!(kinds(&bytes), [("wrong_index", 1)]);
}

#[test]
fn bytes_behind_the_last_commit_are_said() {
    let mut writer = writer();
    call(&mut writer, stamp(1, 1, 0));
    writer.commit(CLOCK).expect("memory does not fail");
    let mut bytes = writer.store().0.clone();
    let end = bytes.len();
    bytes.extend_from_slice(&[1; 24]);
    let report = look_at(&bytes);
    assert_eq!(report.count("bytes_not_vouched_for"), 1);
    assert_eq!(report.findings()[0].offset(), Some(end as u64));
    assert!(end > CHUNK_HEADER_BYTES);
}

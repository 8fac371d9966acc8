//! Copies of files that were not closed or are damaged.

use lmcache::error::Error;
use lmcache::format::native::pod::{
    CHUNK_HEADER_BYTES, ChunkHeader, CommitSlot, MIN_CHUNK_BYTES, SLOT_BYTES, crc32,
};
use lmcache::trace::native::{NativeEnding, NativeTrace};
use lmcache::trace::recover::{RepairReport, repair, verify};

use super::support::{CLOCK, MemoryStore, Workload, live_writer, reading};

/// A file of a recorder that was killed after some chunks.
fn killed() -> Vec<u8> {
    let (mut writer, mut workload) =
        (live_writer(MemoryStore::default(), MIN_CHUNK_BYTES), Workload::new(4, 300));
    for _ in 0..80 {
        workload.push(&mut writer);
    }
    writer.commit(CLOCK).expect("memory does not fail");
    writer.store().0.clone()
}

fn repaired(bytes: &[u8]) -> (RepairReport, NativeTrace) {
    let trace = NativeTrace::from_bytes("damaged", bytes).expect("a good header");
    let (report, MemoryStore(copy)) =
        repair(&trace, MemoryStore::default(), &mut |_| Ok(())).expect("it can be copied");
    assert_eq!(report.file_bytes, copy.len() as u64);
    (report, NativeTrace::from_bytes("copy", &copy).expect("a good file"))
}

fn note(trace: &NativeTrace) -> &str {
    let metadata = &trace.header().facts().metadata;
    metadata.iter().find(|(name, _)| name == "repaired").map_or("", |(_, value)| value)
}

#[test]
fn the_open_end_is_sealed() {
    let bytes = killed();
    let original = NativeTrace::from_bytes("killed", &bytes).expect("a good header");
    let (report, copy) = repaired(&bytes);
    assert!(report.is_complete() && !report.was_closed, "{report:?}");
    assert_eq!((copy.ending(), reading(&copy)), (NativeEnding::Closed, reading(&original)));
    assert_eq!(note(&copy), "the original was not closed; nothing that was committed is missing");
    let found = verify(&copy);
    assert!(found.counts().keys().all(|kind| *kind == "calls_lost"), "{:?}", found.findings());
}

#[test]
fn chunks_are_renumbered_around_one_that_is_missing() {
    let mut bytes = killed();
    let (whole, _) = repaired(&bytes);
    let trace = NativeTrace::from_bytes("killed", &bytes).expect("a good header");
    let lost = trace.open_chunk(&trace.chunks()[1], None).expect("a good chunk");
    let (offset, calls) = (trace.chunks()[1].offset as usize, lost.slot().calls);
    assert!(trace.chunks().len() > 3 && calls > 0);
    bytes[offset] ^= 1;
    let (report, copy) = repaired(&bytes);
    assert_eq!((report.hole_count, report.missing_calls), (1, u64::from(calls)));
    let hole = &report.holes[0];
    assert_eq!((hole.offset, hole.first_chunk, hole.chunks), (offset as u64, 1, Some(1)));
    assert!(hole.after_ns < hole.before_ns);
    assert_eq!(report.calls + u64::from(calls), whole.calls);
    let numbers: Vec<_> = copy.chunks().iter().map(|place| place.unverified.header().number).collect();
    assert_eq!(numbers, (0..copy.chunks().len() as u64).collect::<Vec<_>>());
    assert!(note(&copy).contains("missing in 1 place:"), "{}", note(&copy));
    let missing = verify(&copy).count("calls_missing");
    assert!(missing > 0 && missing <= 3, "at most once for each thread: {missing}");
}

/// `bytes` with another kind of chunk at `offset`, whose records are none that this build can read.
fn of_a_later_version(bytes: &mut [u8], offset: usize) {
    let (head, records) = bytes[offset..].split_at_mut(CHUNK_HEADER_BYTES);
    let (header_bytes, slots) = head.split_at_mut(size_of::<ChunkHeader>());
    let header: ChunkHeader = bytemuck::pod_read_unaligned(header_bytes);
    let mut slot: CommitSlot = bytemuck::pod_read_unaligned(&slots[..SLOT_BYTES]);
    records[..64].fill(0xff);
    slot.data_crc = crc32(&records[..slot.committed_bytes as usize]);
    header_bytes.copy_from_slice(bytemuck::bytes_of(&ChunkHeader { kind: 9, ..header }.sealed()));
    slots[..SLOT_BYTES].copy_from_slice(bytemuck::bytes_of(&slot.sealed()));
}

#[test]
fn a_chunk_of_a_kind_of_a_later_version_is_no_damage_and_is_copied() {
    let mut bytes = killed();
    let places = NativeTrace::from_bytes("killed", &bytes).expect("a good header").chunks().to_vec();
    of_a_later_version(&mut bytes, places[1].offset as usize);
    let found = verify(&NativeTrace::from_bytes("later", &bytes).expect("a good header"));
    assert_eq!((found.unknown_chunks, found.good_chunks), (1, found.chunks));
    let kinds: Vec<_> = found.counts().keys().copied().collect();
    // The calls of the chunk that was made unknown are gone, and the recorder was killed.
    assert_eq!(kinds, ["calls_lost", "calls_missing", "not_closed"], "{:?}", found.findings());

    let (report, copy) = repaired(&bytes);
    assert!(report.is_complete() && report.unknown_chunks == 1, "{report:?}");
    let copied = &copy.chunks()[1];
    assert_eq!((copied.unverified.header().kind, copied.offset), (9, places[1].offset));
    let records = places[1].offset as usize + CHUNK_HEADER_BYTES;
    let end = records + copied.unverified.latest().expect("a slot").committed_bytes as usize;
    assert!(copy.bytes()[records..end] == bytes[records..end]);
    let found = verify(&copy);
    let kinds: Vec<_> = found.counts().keys().copied().collect();
    assert_eq!(
        (kinds, found.unknown_chunks),
        (vec!["calls_lost", "calls_missing"], 1),
        "{:?}",
        found.findings()
    );

    // Its checksum is what there is to go by.
    bytes[records] ^= 1;
    let found = verify(&NativeTrace::from_bytes("later", &bytes).expect("a good header"));
    assert_eq!((found.unknown_chunks, found.count("chunk_damaged")), (0, 1));
    assert_eq!(repaired(&bytes).0.hole_count, 1);
}

#[test]
fn a_copy_can_be_given_up() {
    let trace = NativeTrace::from_bytes("killed", &killed()).expect("a good header");
    let mut steps = Vec::new();
    let mut step = |done_bytes| {
        steps.push(done_bytes);
        if steps.len() > trace.chunks().len() { Err(Error::invalid("enough")) } else { Ok(()) }
    };
    let given_up = repair(&trace, MemoryStore::default(), &mut step).expect_err("it was given up");
    assert_eq!(given_up.message(), "enough");
    assert!(steps.is_sorted() && steps.iter().all(|done_bytes| *done_bytes <= trace.size_bytes()));
}

//! Copies of files that were not closed or are damaged.

use lmcache::format::native::pod::MIN_CHUNK_BYTES;
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
    let (report, MemoryStore(copy)) = repair(&trace, MemoryStore::default()).expect("it can be copied");
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
    assert!(note(&copy).contains("missing in 1 places"), "{}", note(&copy));
    let missing = verify(&copy).count("calls_missing");
    assert!(missing > 0 && missing <= 3, "at most once for each thread: {missing}");
}

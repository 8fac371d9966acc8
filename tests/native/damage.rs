//! A file that is cut or changed at any of its bytes: nothing is read that was not written, and nothing else is lost.

use std::collections::HashSet;
use std::ops::Range;

use lmcache::format::native::pod::{FILE_HEADER_BYTES, MIN_CHUNK_BYTES};
use lmcache::trace::native::NativeTrace;
use lmcache::trace::recover::{repair, verify};

use super::support::{CLOCK, MemoryStore, Workload, reading, writer_with_chunks};

/// A file of four chunks that are nearly empty, and where in it something stands.
struct Small {
    bytes: Vec<u8>,
    lines: Vec<(u64, String)>,
    /// File header and facts.
    head: Range<usize>,
    /// Header and records of each chunk.
    chunks: Vec<Range<usize>>,
    /// Index and end mark.
    tail: Range<usize>,
}

fn small() -> Small {
    let (mut writer, mut workload) = (writer_with_chunks(MIN_CHUNK_BYTES), Workload::new(3, 3));
    for chunk in 0..4 {
        for _ in 0..6 {
            workload.push(&mut writer);
        }
        // In the second chunk all three slots are used.
        if chunk == 1 {
            writer.sync(CLOCK).expect("memory does not fail");
            workload.push(&mut writer);
            writer.sync(CLOCK).expect("memory does not fail");
        }
        if chunk < 3 {
            workload.push(&mut writer);
            writer.next_chunk(CLOCK).expect("memory does not fail");
        }
    }
    let (_, MemoryStore(bytes)) = writer.finish(CLOCK, None).expect("memory does not fail");
    let trace = NativeTrace::from_bytes("small", &bytes).expect("a good file");
    let chunks: Vec<Range<usize>> = trace
        .chunks()
        .iter()
        .map(|place| {
            let used_bytes = trace.open_chunk(place, None).expect("a good chunk").bytes().len();
            place.offset as usize..place.offset as usize + used_bytes
        })
        .collect();
    let tail = chunks[3].end..bytes.len();
    let head = 0..FILE_HEADER_BYTES + trace.header().fixed().facts_bytes as usize;
    let lines = reading(&trace);
    assert_eq!((lines.len(), chunks.len()), (workload.records, 4));
    Small { bytes, lines, head, chunks, tail }
}

impl Small {
    /// Every byte at which something stands, and some of those between.
    fn places(&self) -> Vec<usize> {
        let is_used = |place: &usize| {
            self.head.contains(place)
                || self.tail.contains(place)
                || self.chunks.iter().any(|chunk| chunk.contains(place))
        };
        (0..self.bytes.len()).filter(|place| is_used(place) || place % 997 == 0).collect()
    }

    /// Nothing but what was written is read, and all of the chunks for which `is_intact`.
    fn check(&self, damaged: &NativeTrace, is_intact: impl Fn(usize) -> bool, what: &str) {
        let read: HashSet<_> = reading(damaged).into_iter().collect();
        let written: HashSet<_> = self.lines.iter().cloned().collect();
        assert!(read.is_subset(&written), "{what}: a record that was not written");
        for line in &self.lines {
            assert!(!is_intact(line.0 as usize) || read.contains(line), "{what}: {line:?} is lost");
        }
    }
}

#[test]
fn a_changed_byte_costs_its_chunk_and_is_found() {
    let small = small();
    let mut bytes = small.bytes.clone();
    for place in small.places() {
        let flipped = bytes[place] ^ (1 << (place % 8));
        let good = std::mem::replace(&mut bytes[place], flipped);
        match NativeTrace::from_bytes("flipped", &bytes) {
            Ok(trace) => {
                small.check(&trace, |chunk| !small.chunks[chunk].contains(&place), &format!("byte {place}"));
                assert!(!verify(&trace).is_clean(), "byte {place} is changed, and nobody notices");
            }
            Err(error) => assert!(small.head.contains(&place), "byte {place}: {error}"),
        }
        bytes[place] = good;
    }
}

#[test]
fn a_file_may_end_anywhere() {
    let small = small();
    for end in small.places() {
        match NativeTrace::from_bytes("cut", &small.bytes[..end]) {
            Ok(trace) => {
                small.check(&trace, |chunk| small.chunks[chunk].end <= end, &format!("cut at {end}"));
                assert!(verify(&trace).count("not_closed") == 1, "cut at {end}, and nobody notices");
            }
            Err(error) => assert!(end < small.head.end, "cut at {end}: {error}"),
        }
    }
}

#[test]
fn a_copy_has_what_could_be_read_and_is_sound() {
    let small = small();
    for place in small.places().into_iter().step_by(53) {
        let mut bytes = small.bytes.clone();
        bytes[place] ^= 0x10;
        let Ok(flipped) = NativeTrace::from_bytes("flipped", &bytes) else { continue };
        let Ok(cut) = NativeTrace::from_bytes("cut", &small.bytes[..place]) else { continue };
        for damaged in [flipped, cut] {
            let (_, MemoryStore(copy)) =
                repair(&damaged, MemoryStore::default(), &mut |_| Ok(())).expect("it can be copied");
            let copy = NativeTrace::from_bytes("copy", &copy).expect("a good file");
            let lines = |trace| reading(trace).into_iter().map(|(_, line)| line).collect::<Vec<_>>();
            assert_eq!(lines(&copy), lines(&damaged), "byte {place}");
            let report = verify(&copy);
            for kind in report.counts().keys() {
                let is_missing = ["calls_missing", "calls_lost", "completion_without_call"].contains(kind);
                assert!(is_missing, "byte {place}: {:?}", report.findings());
            }
        }
    }
}

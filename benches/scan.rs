//! How fast a trace is summarised: keys, distinct keys and all.
//!
//! `cargo bench --bench scan` repeats the records of a real trace in memory to 512 MiB and summarises them
//! several times, on one thread and on all. A walk that only hops from frame to frame, and one that only adds
//! up the bytes, run in turn with it: what the format and the memory allow.

use std::io::Read;
use std::path::Path;
use std::thread::available_parallelism;

use lmcache::analyze::summarize;
use lmcache::clock::monotonic_ns;
use lmcache::format::lct::FrameCursor;
use lmcache::trace::TraceReader;

const TARGET_BYTES: usize = 512 << 20;
const ROUNDS: usize = 7;

fn fixture() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traces/medium.lct.zst");
    let packed = std::fs::read(path).expect("the fixture is there");
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed.as_slice()).expect("a zstd frame");
    let mut bytes = Vec::new();
    decoder.read_to_end(&mut bytes).expect("an intact zstd frame");
    bytes
}

/// The fixture's header, and its records again and again.
fn repeated(target_bytes: usize) -> Vec<u8> {
    let mut bytes = fixture();
    let mut frames = FrameCursor::new(&bytes, 0);
    frames.next_frame().expect("a header");
    let (header_bytes, whole_bytes) = (frames.position(), bytes.len());
    while bytes.len() < target_bytes {
        bytes.extend_from_within(header_bytes..whole_bytes);
    }
    bytes
}

fn gigabytes_per_s(bytes: usize, work: impl FnOnce()) -> f64 {
    let start_ns = monotonic_ns();
    work();
    bytes as f64 / (monotonic_ns() - start_ns) as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn hop(bytes: &[u8]) {
    let mut frames = FrameCursor::new(bytes, 0);
    while let Ok(frame) = frames.next_frame() {
        std::hint::black_box(frame);
    }
}

fn main() {
    let is_smoke =
        std::env::args().any(|word| word == "--test") || !std::env::args().any(|word| word == "--bench");
    let (target_bytes, rounds) = if is_smoke { (0, 1) } else { (TARGET_BYTES, ROUNDS) };
    let reader = TraceReader::from_bytes("bench", repeated(target_bytes)).expect("a trace");
    let bytes = reader.bytes().len();
    let threads = available_parallelism().map_or(1, usize::from);
    let mut rows = [const { Vec::new() }; 4];
    for _ in 0..rounds {
        rows[0]
            .push(gigabytes_per_s(bytes, || drop(std::hint::black_box(summarize(&reader, threads, |_| {})))));
        rows[1].push(gigabytes_per_s(bytes, || drop(std::hint::black_box(summarize(&reader, 1, |_| {})))));
        rows[2].push(gigabytes_per_s(bytes, || hop(reader.bytes())));
        rows[3].push(gigabytes_per_s(bytes, || {
            std::hint::black_box(
                reader.bytes().chunks_exact(8).fold(0_u64, |sum, word| sum ^ u64::from(word[0])),
            );
        }));
    }
    println!("{} MiB of real records, median of {rounds}, GB/s:", bytes >> 20);
    let names = ["summary, all threads", "summary, 1 thread", "frames only", "bytes only"];
    for (name, row) in names.into_iter().zip(rows) {
        println!("{name:<24} {:>7.2}", median(row));
    }
}

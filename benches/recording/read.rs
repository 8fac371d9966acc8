//! Reading a file that was recorded: verified as a whole, walked, and asked what it is.

use lmcache::clock::monotonic_ns;
use lmcache::format::model::Op;
use lmcache::format::native::tally::FileTally;
use lmcache::trace::native::NativeTrace;
use lmcache::trace::recorder::{FullPolicy, Interning, RecorderOptions, TraceRecorder};

use crate::{Effort, median, row};

pub(crate) fn run(effort: Effort) {
    println!("reading a file of {} MB", effort.read_bytes >> 20);
    let bytes = recorded(effort.read_bytes);
    let trace = NativeTrace::from_bytes("bench", &bytes).expect("a trace");
    drop(bytes);
    let verify_ns = median(effort.runs, || timed(|| chunks(&trace, |_| ())));
    row("verified: checksums and every record, 1 thread", trace.size_bytes() as f64 / verify_ns, "GB/s");
    let chunks: Vec<_> =
        trace.chunks().iter().map(|place| trace.open_chunk(place, None).expect("good")).collect();
    let (mut records, mut sum) = (0_u64, 0);
    let walk_ns = median(effort.runs, || {
        records = 0;
        timed(|| {
            for record in chunks.iter().flat_map(|chunk| chunk.records()) {
                records += 1;
                sum ^= record.prefix().t_ns;
            }
        })
    });
    std::hint::black_box(sum);
    row("walk over verified records, prefixes only", walk_ns / records as f64, "ns/record");
    let mut keys = 0;
    let keys_ns = median(effort.runs, || {
        keys = 0;
        timed(|| {
            for record in chunks.iter().flat_map(|chunk| chunk.records()) {
                if let lmcache::format::native::Body::Call(call) = record.body() {
                    keys += call.keys().as_rows().map_or(0, <[_]>::len);
                }
            }
        })
    });
    row("walk over calls with their key slices", keys_ns / records as f64, "ns/record");
    let tally_ns = median(effort.runs, || {
        timed(|| {
            let mut tally = FileTally::default();
            chunks.iter().for_each(|chunk| tally.add_read(chunk));
            std::hint::black_box(tally.calls());
        })
    });
    row("recount of the index", tally_ns / records as f64, "ns/record");
}

fn timed(work: impl FnOnce()) -> f64 {
    let start_ns = monotonic_ns();
    work();
    (monotonic_ns() - start_ns) as f64
}

fn chunks(trace: &NativeTrace, visit: impl Fn(&lmcache::format::native::Chunk<'_>)) {
    for place in trace.chunks() {
        visit(&trace.open_chunk(place, None).expect("a good chunk"));
    }
}

/// A file of calls of one key and of sixteen, about `file_bytes` long.
fn recorded(file_bytes: u64) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("bench.lct");
    let mut options = RecorderOptions::new(&path);
    (options.full_policy, options.interning) = (FullPolicy::Wait, Interning::Always);
    let recorder = TraceRecorder::open(options).expect("a recorder");
    let mut thread = recorder.thread().expect("a ring");
    let scope = std::sync::Arc::new(
        lmcache::format::model::KeyScope::new("org/model", 0x0100_0100, 0, "").expect("a scope"),
    );
    let scope = thread.scope(&scope);
    let mut hashes = [[7; 32]; 16];
    for call in 0..file_bytes / 380 {
        for (key, hash) in hashes.iter_mut().enumerate() {
            hash[..8]
                .copy_from_slice(&(call * 16 + key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        }
        let count = if call % 2 == 0 { 16 } else { 1 };
        thread.record_hashes(Op::FinishWrite, 0, scope, &hashes[..count]);
    }
    drop(thread);
    recorder.close().expect("closed");
    std::fs::read(&path).expect("the file")
}

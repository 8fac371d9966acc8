//! Reading a file that was recorded: verified as a whole, walked, and asked what it is.

use std::sync::Arc;

use lmcache::clock::monotonic_ns;
use lmcache::format::model::KeyScope;
use lmcache::format::native::tally::FileTally;
use lmcache::format::native::{Body, Chunk, RecordView};
use lmcache::trace::native::NativeTrace;
use lmcache::trace::recorder::{FullPolicy, HashedCall, Interning, RecorderOptions, TraceRecorder};

use crate::{Effort, median, row};

pub(crate) fn run(effort: Effort) {
    for (name, keys) in [("1 key", [1, 1]), ("1 and 16 keys in turn", [1, 16])] {
        let bytes = recorded(effort.read_bytes, keys);
        println!("reading a file of {} MB, calls of {name}", bytes.len() >> 20);
        let trace = NativeTrace::from_bytes("bench", &bytes).expect("a trace");
        drop(bytes);
        read(&trace, effort);
    }
}

fn read(trace: &NativeTrace, effort: Effort) {
    let records = trace.index().map_or(0, |index| index.records) as f64;
    let verify_ns = median(effort.runs, || timed(|| each_chunk(trace, |_| ())));
    row("verified: checksums and every record, 1 thread", trace.size_bytes() as f64 / verify_ns, "GB/s");
    row("  the same", verify_ns / records, "ns/record");
    let walk = |visit: &dyn Fn(&Chunk<'_>)| {
        // Each chunk is walked when it was verified, as a scan does: it is in the cache by then.
        let walk_ns = median(effort.runs, || {
            let mut walk_ns = 0.0;
            each_chunk(trace, |chunk| walk_ns += timed(|| visit(chunk)));
            walk_ns
        });
        walk_ns / records
    };
    let prefixes = walk(&|chunk| {
        std::hint::black_box(chunk.records().fold(0, |sum, record| sum ^ record.prefix().t_ns));
    });
    row("walk over a verified chunk, prefixes", prefixes, "ns/record");
    let slices = walk(&|chunk| {
        let keys = |record: RecordView<'_>| match record.body() {
            Body::Call(call) => call.keys().as_rows().map_or(0, <[_]>::len),
            _ => 0,
        };
        std::hint::black_box(chunk.records().map(keys).sum::<usize>());
    });
    row("walk over a verified chunk, key slices", slices, "ns/record");
    let recount = walk(&|chunk| {
        let mut tally = FileTally::default();
        tally.add_read(chunk);
        std::hint::black_box(tally.calls());
    });
    row("recount of the index", recount, "ns/record");
}

fn timed(work: impl FnOnce()) -> f64 {
    let start_ns = monotonic_ns();
    work();
    (monotonic_ns() - start_ns) as f64
}

fn each_chunk(trace: &NativeTrace, mut visit: impl FnMut(&Chunk<'_>)) {
    for place in trace.chunks() {
        visit(&trace.open_chunk(place, None).expect("a good chunk"));
    }
}

/// A file of calls with `keys` keys in turn, about `file_bytes` long.
fn recorded(file_bytes: u64, keys: [usize; 2]) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("bench.lct");
    let mut options = RecorderOptions::new(&path);
    (options.full_policy, options.interning) = (FullPolicy::Wait, Interning::Never);
    let recorder = TraceRecorder::open(options).expect("a recorder");
    let mut thread = recorder.thread().expect("a ring");
    let scope = Arc::new(KeyScope::new("org/model", 0x0100_0100, 0, "").expect("a scope"));
    let scope = thread.scope(&scope);
    let mut hashes = [[7; 32]; 16];
    let pair_bytes = (48 + 40 * keys.iter().sum::<usize>()) as u64;
    for call in 0..2 * file_bytes / pair_bytes {
        for (key, hash) in hashes.iter_mut().enumerate() {
            hash[..8]
                .copy_from_slice(&(call * 16 + key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        }
        let count = keys[(call % 2) as usize];
        thread.record_hashes(HashedCall::FinishWrite, scope, &hashes[..count]);
    }
    drop(thread);
    recorder.close().expect("closed");
    std::fs::read(&path).expect("the file")
}

//! Calls a second into a target that does nothing, as fast as they are taken: what decoding and dispatching cost.

use lmcache::clock::monotonic_ns;
use lmcache::format::model::{ChunkHash, KeyInterner, KeyScope, ObjectKey, StorageCall};
use lmcache::replay::copies::Looped;
use lmcache::replay::{
    Pace, RecordBody, RecordSource, ReplayOptions, Step, StopFlag, TimedRecord, TraceSource, replay,
};
use lmcache::sync::Arc;
use lmcache::trace::NativeTrace;
use lmcache::trace::recorder::{FullPolicy, HashedCall, Interning, RecorderOptions, TraceRecorder};

use crate::{ROUNDS, Sink, real_reader};

const CALLS: u64 = 2_000_000;

const TITLE: &str =
    "as fast as it can, a target that does nothing, million calls/s, median (lowest, highest):";

/// Our file by one worker, who decodes it himself.
pub(crate) fn inline() {
    println!("{TITLE}");
    of_our_file(1, &[1]);
}

pub(crate) fn run() {
    println!("{TITLE}");
    of_our_file(1, &[1, 2]);
    of_our_file(16, &[1, 2]);
    let reader = real_reader("rate_5000.lct");
    let loops = (CALLS / 4 / 25_000) as u32;
    decoded_alone("LMCache's file, 4 keys a call, decoded alone", || {
        Looped::new(|| TraceSource::new(&reader), loops)
    });
    row("LMCache's file, 4 keys a call, 1 workers", 1, || Looped::new(|| TraceSource::new(&reader), loops));
    for workers in [1, 2] {
        row(&format!("calls of one key made before, {workers} workers"), workers, made_calls);
    }
}

fn of_our_file(keys: usize, workers: &[usize]) {
    let trace = NativeTrace::from_bytes("bench", &recorded(keys)).expect("a trace");
    decoded_alone(&format!("our file, {keys} keys a call, decoded alone"), || {
        TraceSource::native(&trace, None)
    });
    for workers in workers.iter().copied() {
        row(&format!("our file, {keys} keys a call, {workers} workers"), workers, || {
            TraceSource::native(&trace, None)
        });
    }
}

fn row<S: RecordSource + Send>(name: &str, workers: usize, source: impl Fn() -> S) {
    let mut rates = [0.0; ROUNDS];
    let mut decode_waits = 0;
    for rate in &mut rates {
        let mut targets: Vec<Sink> = (0..workers).map(|_| Sink).collect();
        let options = ReplayOptions { pace: Pace::Asap, ..ReplayOptions::default() };
        let run = replay(source(), &mut targets, &options, &StopFlag::default(), &mut ())
            .expect("the threads of a replay start");
        *rate = run.records_replayed as f64 * 1e3 / run.duration_ns.max(1) as f64;
        decode_waits = run.decode_waits;
    }
    rates.sort_unstable_by(f64::total_cmp);
    let [lowest, median, highest] = [rates[0], rates[ROUNDS / 2], rates[ROUNDS - 1]];
    println!(
        "{name:<44} {median:>6.2} ({lowest:.2}, {highest:.2}); waited for the decoder {decode_waits} times"
    );
}

/// What the decoder does at least: every call is written over the one before.
fn decoded_alone<S: RecordSource>(name: &str, source: impl Fn() -> S) {
    let mut rates: [f64; ROUNDS] = std::array::from_fn(|_| {
        let (mut source, mut keys, mut calls) = (source(), KeyInterner::default(), 0_u64);
        let mut place = TimedRecord::default();
        let begun_ns = monotonic_ns();
        loop {
            match source.step(&mut place, &mut keys) {
                Step::Record => {
                    std::hint::black_box(&mut place);
                    calls += 1;
                }
                Step::LeftOut => {}
                Step::End => break,
            }
        }
        calls as f64 * 1e3 / (monotonic_ns() - begun_ns) as f64
    });
    rates.sort_unstable_by(f64::total_cmp);
    println!("{name:<44} {:>6.2} ({:.2}, {:.2})", rates[ROUNDS / 2], rates[0], rates[ROUNDS - 1]);
}

/// Calls of one key, each with a list of its own, in a memory that is read for the first time.
fn made_calls() -> impl Iterator<Item = TimedRecord> + Send {
    let scope = Arc::new(KeyScope::new("m", 0, 0, "").expect("a valid scope"));
    let record = |seq: u64| {
        let hash = ChunkHash::new(&seq.to_le_bytes());
        let keys = vec![ObjectKey::new(hash, Arc::clone(&scope))];
        TimedRecord { seq, t_mono_s: 0.0, body: RecordBody::Call(StorageCall::FinishWrite { keys }) }
    };
    (0..CALLS).map(record).collect::<Vec<_>>().into_iter()
}

/// A file of calls with so many keys.
fn recorded(keys: usize) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("bench.lct");
    let mut options = RecorderOptions::new(&path);
    (options.full_policy, options.interning) = (FullPolicy::Wait, Interning::Never);
    let recorder = TraceRecorder::open(options).expect("a recorder");
    let mut thread = recorder.thread().expect("a ring");
    let scope = Arc::new(KeyScope::new("org/model", 0x0100_0100, 0, "").expect("a scope"));
    let scope = thread.scope(&scope);
    let mut hashes = vec![[7; 32]; keys];
    for call in 0..CALLS / keys as u64 {
        for (key, hash) in hashes.iter_mut().enumerate() {
            let number = (call * 16 + key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            hash[..8].copy_from_slice(&number.to_le_bytes());
        }
        thread.record_hashes(HashedCall::FinishWrite, scope, &hashes);
    }
    drop(thread);
    recorder.close().expect("closed");
    std::fs::read(&path).expect("the file")
}

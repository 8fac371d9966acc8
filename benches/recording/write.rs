//! Producers at full speed, bursts, and a minute at a steady rate.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use hdrhistogram::Histogram;
use lmcache::clock::{TickSource, Waiter, monotonic_ns};
use lmcache::format::model::{KeyScope, Op};
use lmcache::trace::recorder::{FullPolicy, Interning, RecorderOptions, ThreadRecorder, TraceRecorder};

use crate::{Effort, median, row};

/// Rows of a call that takes 64 bytes, and of one that takes 664.
const ONE_KEY: usize = 1;
const SIXTEEN_KEYS: usize = 16;

pub(crate) fn run(effort: Effort) {
    println!("recording to fresh files in {}", std::env::temp_dir().display());
    for interning in [Interning::WhenIdle, Interning::Never] {
        let one = median(effort.runs, || sustained::<ONE_KEY>(effort.records, interning));
        row(&format!("sustained, 1 key, nothing lost, interning {interning:?}"), one / 1e6, "M records/s");
        let sixteen = median(effort.runs, || sustained::<SIXTEEN_KEYS>(effort.records / 8, interning));
        row(
            &format!("sustained, 16 keys, nothing lost, interning {interning:?}"),
            sixteen * 664.0 / 1e9,
            "GB/s",
        );
    }
    for (name, poll) in
        [("writer asleep", Duration::from_secs(1)), ("beside the writer", Duration::from_micros(100))]
    {
        let alone = median(effort.runs, || callers(1, effort.records, poll));
        let two = median(effort.runs, || callers(2, effort.records, poll));
        row(&format!("callers at full speed, 1 thread, {name}"), alone / 1e6, "M calls/s");
        row(&format!("callers at full speed, 2 threads, {name}"), two / alone, "x of 1");
    }
    bursts(effort);
    idle(if effort.runs > 1 { 5 } else { 1 });
    if effort.is_long {
        steady(60, 1_000_000);
    }
}

struct Recording {
    recorder: TraceRecorder,
    _directory: tempfile::TempDir,
}

fn open(change: impl FnOnce(&mut RecorderOptions)) -> Recording {
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = RecorderOptions::new(directory.path().join("bench.lct"));
    change(&mut options);
    Recording { recorder: TraceRecorder::open(options).expect("a recorder"), _directory: directory }
}

/// Hashes that no two calls share, made from a counter.
fn fill<const KEYS: usize>(hashes: &mut [[u8; 32]; KEYS], call: u64) {
    for (key, hash) in hashes.iter_mut().enumerate() {
        let number = (call * KEYS as u64 + key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash[..8].copy_from_slice(&number.to_le_bytes());
    }
}

fn record<const KEYS: usize>(thread: &mut ThreadRecorder, calls: u64) {
    let scope = thread.scope(&Arc::new(KeyScope::new("org/model", 0x0100_0100, 0, "").expect("a scope")));
    let mut hashes = [[7; 32]; KEYS];
    for call in 0..calls {
        fill(&mut hashes, call);
        thread.record_hashes(Op::FinishWrite, 0, scope, &hashes);
    }
}

/// Calls per second that reach the file when the caller waits for room.
fn sustained<const KEYS: usize>(calls: u64, interning: Interning) -> f64 {
    let recording = open(|options| {
        options.full_policy = FullPolicy::Wait;
        options.interning = interning;
    });
    let mut thread = recording.recorder.thread().expect("a ring");
    let start_ns = monotonic_ns();
    record::<KEYS>(&mut thread, calls);
    recording.recorder.flush().expect("written");
    let took_ns = monotonic_ns() - start_ns;
    drop(thread);
    let stats = recording.recorder.close().expect("closed");
    assert_eq!((stats.calls, stats.lost), (calls, 0));
    calls as f64 * 1e9 / took_ns as f64
}

/// Calls per second of `threads` together, in bursts that fit into their rings. Asleep, the writer takes no CPU from them.
fn callers(threads: usize, calls: u64, poll: Duration) -> f64 {
    let recording = open(|options| (options.ring_bytes, options.poll_interval) = (1 << 26, poll));
    let calls = (calls / threads as u64).min(1 << 19);
    let barrier = Barrier::new(threads);
    let rates: f64 = std::thread::scope(|scope| {
        let work = || {
            let mut thread = recording.recorder.thread().expect("a ring");
            record::<ONE_KEY>(&mut thread, 1);
            barrier.wait();
            let start_ns = monotonic_ns();
            record::<ONE_KEY>(&mut thread, calls);
            calls as f64 * 1e9 / (monotonic_ns() - start_ns) as f64
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).sum()
    });
    recording.recorder.close().expect("closed");
    rates
}

/// The burst under which LMCache's own recorder loses most: 60,000 calls of 16 keys. LMCache's callers make one in 9 us,
/// its recorder's cost; ours are paced at 1 us, and then not at all.
fn bursts(effort: Effort) {
    const BURST_CALLS: u64 = 60_000;
    for pace_ns in [1_000, 0] {
        let mut lost = 0;
        let ns = median(effort.runs, || {
            let recording = open(|_| ());
            let mut thread = recording.recorder.thread().expect("a ring");
            let start_ns = monotonic_ns();
            burst(&mut thread, BURST_CALLS, pace_ns);
            let took_ns = monotonic_ns() - start_ns;
            drop(thread);
            let stats = recording.recorder.close().expect("closed");
            assert_eq!(stats.calls + stats.lost, BURST_CALLS);
            lost += stats.lost;
            took_ns as f64 / BURST_CALLS as f64
        });
        row(&format!("60,000 calls of 16 keys, one in {pace_ns} ns"), ns, "ns/call");
        row("  of them lost, all runs together", lost as f64, "calls");
    }
}

fn burst(thread: &mut ThreadRecorder, calls: u64, pace_ns: u64) {
    let scope = thread.scope(&Arc::new(KeyScope::new("org/model", 0x0100_0100, 0, "").expect("a scope")));
    let (mut hashes, start_ns) = ([[7; 32]; SIXTEEN_KEYS], monotonic_ns());
    for call in 0..calls {
        fill(&mut hashes, call);
        thread.record_hashes(Op::FinishWrite, 0, scope, &hashes);
        while pace_ns > 0 && monotonic_ns() < start_ns + call * pace_ns {
            std::hint::spin_loop();
        }
    }
}

/// What an open recorder costs while nobody records.
fn idle(seconds: u64) {
    let recording = open(|_| ());
    let start_ticks = cpu_ticks();
    Waiter::new(0).wait_until_ns(monotonic_ns() + seconds * 1_000_000_000, || false);
    // The kernel counts in hundredths of a second.
    let percent = (cpu_ticks() - start_ticks) / seconds as f64;
    recording.recorder.close().expect("closed");
    row("idle recorder", percent, "% of a CPU");
}

/// CPU time of this process, in the kernel's hundredths of a second.
fn cpu_ticks() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum()
}

/// `seconds` at `rate` calls a second, in ticks of a millisecond; what each call cost.
fn steady(seconds: u64, rate: u64) {
    let recording = open(|_| ());
    let source = TickSource::detect();
    let mut thread = recording.recorder.thread().expect("a ring");
    let scope = thread.scope(&Arc::new(KeyScope::new("org/model", 0x0100_0100, 0, "").expect("a scope")));
    let (mut hashes, mut costs) = ([[7; 32]; ONE_KEY], Histogram::<u64>::new(3).expect("a histogram"));
    let pair = lmcache::clock::TickPair::take(source);
    let (start_ns, mut call) = (monotonic_ns(), 0);
    for millisecond in 0..seconds * 1_000 {
        Waiter::default().wait_until_ns(start_ns + millisecond * 1_000_000, || false);
        for _ in 0..rate / 1_000 {
            call += 1;
            fill(&mut hashes, call);
            let before = source.now_after();
            thread.record_hashes(Op::FinishWrite, 0, scope, &hashes);
            costs.saturating_record(source.now_after() - before);
        }
    }
    let later = lmcache::clock::TickPair::take(source);
    let ns_per_tick = (later.monotonic_ns - pair.monotonic_ns) as f64 / (later.ticks - pair.ticks) as f64;
    drop(thread);
    let memory_kib = resident_kib();
    let stats = recording.recorder.close().expect("closed");
    for quantile in [0.5, 0.99, 0.999, 0.9999, 1.0] {
        let name = format!("{seconds} s at {rate} calls/s, caller's cost, p{}", quantile * 100.0);
        row(&name, costs.value_at_quantile(quantile) as f64 * ns_per_tick / 1e3, "us");
    }
    row("  written", stats.file_bytes as f64 / 1e9, "GB");
    row("  lost", stats.lost as f64, "calls");
    row("  resident at its end", memory_kib / 1024.0, "MiB");
}

fn resident_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
}

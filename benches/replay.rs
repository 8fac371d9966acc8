//! How late the dispatcher is, beside a loop that only sleeps and a loop that only spins.
//!
//! `cargo bench --bench replay` plays 10,000 calls a second into a target that does nothing, for a few
//! seconds a round. The three ways of waiting take turns within one run, because a machine's mood changes
//! from one run to the next; the first round warms up and is not counted. Then come bursts by four workers, calls as fast as
//! they are taken, which is what the dispatcher itself costs, and a real trace into L1.
//!
//! Sleeping is what LMCache's replay does. Spinning is what the machine allows at best.

use std::io::Read;
use std::path::Path;

use hdrhistogram::Histogram;

use lmcache::clock::{Waiter, monotonic_ns};
use lmcache::error::Result;
use lmcache::format::model::{ChunkHash, KeyScope, ObjectKey, StorageCall};
use lmcache::os::time::sleep_until_ns;
use lmcache::replay::manager_target::ManagerTarget;
use lmcache::replay::{
    Order, Pace, ReadSlot, RecordBody, ReplayOptions, ReplayTarget, StopFlag, TimedRecord, TraceSource,
    replay,
};
use lmcache::storage::config::{Compat, EvictionPolicyKind, StorageManagerConfig};
use lmcache::sync::Arc;
use lmcache::trace::TraceReader;

const CALLS_PER_S: u64 = 10_000;
const ROUNDS: usize = 5;
const KEYS_PER_CALL: u8 = 16;
const MAX_RATE_CALLS: u64 = 2_000_000;

/// Takes every call and does nothing.
struct Sink;

impl ReplayTarget for Sink {
    fn dispatch(&mut self, call: &StorageCall, _slot: Option<ReadSlot>) -> Result<()> {
        std::hint::black_box(call);
        Ok(())
    }
}

/// Calls at an even pace, decoded one by one as a trace would be.
fn paced(calls: u64, interval_s: f64) -> impl Iterator<Item = TimedRecord> + Send {
    let scope = Arc::new(KeyScope::new("m", 0, 0, "").expect("a valid scope"));
    let keys: Vec<ObjectKey> = (0..KEYS_PER_CALL)
        .map(|name| ObjectKey::new(ChunkHash::new(&[name; 32]), Arc::clone(&scope)))
        .collect();
    (0..calls).map(move |seq| TimedRecord {
        seq,
        t_mono_s: seq as f64 * interval_s,
        body: RecordBody::Call(StorageCall::FinishWrite { keys: keys.clone() }),
    })
}

/// Lags in nanoseconds: p50, p99, p99.9, max.
type Lags = [u64; 4];

/// A way of waiting, run for so many seconds.
type Way = fn(u64) -> Lags;

fn dispatcher(seconds: u64) -> Lags {
    let calls = paced(seconds * CALLS_PER_S, 1.0 / CALLS_PER_S as f64);
    let run = replay(calls, &mut [Sink], &ReplayOptions::default(), &StopFlag::default(), &mut ())
        .expect("the threads of a replay start");
    [run.lag.p50_ns, run.lag.p99_ns, run.lag.p999_ns, run.lag.max_ns]
}

/// The same schedule in a plain loop that reaches each deadline by `wait`.
fn plain_loop(seconds: u64, wait: impl Fn(u64) -> u64) -> Lags {
    let mut lags = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds");
    let origin_ns = monotonic_ns() + 1_000_000;
    for number in 0..seconds * CALLS_PER_S {
        let deadline_ns = origin_ns + number * 1_000_000_000 / CALLS_PER_S;
        lags.saturating_record(wait(deadline_ns).saturating_sub(deadline_ns));
    }
    [lags.value_at_quantile(0.5), lags.value_at_quantile(0.99), lags.value_at_quantile(0.999), lags.max()]
}

fn sleeping(seconds: u64) -> Lags {
    plain_loop(seconds, |deadline_ns| {
        if monotonic_ns() < deadline_ns {
            sleep_until_ns(deadline_ns);
        }
        monotonic_ns()
    })
}

fn spinning(seconds: u64) -> Lags {
    let waiter = Waiter::new(u64::MAX / 2);
    plain_loop(seconds, |deadline_ns| waiter.wait_until_ns(deadline_ns, || false).unwrap_or(deadline_ns))
}

/// The median of each column.
fn median(mut rounds: Vec<Lags>) -> Lags {
    std::array::from_fn(|column| {
        rounds.sort_unstable_by_key(|lags| lags[column]);
        rounds[rounds.len() / 2][column]
    })
}

fn print_row(name: &str, lags: Lags) {
    let [p50, p99, p999, max] = lags.map(|lag_ns| lag_ns as f64 / 1000.0);
    println!("{name:<40} p50 {p50:>9.3} us  p99 {p99:>9.3} us  p99.9 {p999:>9.3} us  max {max:>10.3} us");
}

/// Calls of one key, made before they are asked for, so that the dispatcher is what is measured.
fn made_calls(calls: u64) -> impl Iterator<Item = TimedRecord> + Send {
    let scope = Arc::new(KeyScope::new("m", 0, 0, "").expect("a valid scope"));
    let record = |seq: u64| {
        let hash = ChunkHash::new(&seq.to_le_bytes());
        let keys = vec![ObjectKey::new(hash, Arc::clone(&scope))];
        TimedRecord { seq, t_mono_s: 0.0, body: RecordBody::Call(StorageCall::FinishWrite { keys }) }
    };
    (0..calls).map(record).collect::<Vec<_>>().into_iter()
}

/// Calls a second into a target that does nothing, as fast as they are taken.
fn max_rate(workers: usize) {
    let mut targets: Vec<Sink> = (0..workers).map(|_| Sink).collect();
    let options = ReplayOptions { pace: Pace::Asap, ..ReplayOptions::default() };
    let source = made_calls(MAX_RATE_CALLS);
    let run = replay(source, &mut targets, &options, &StopFlag::default(), &mut ())
        .expect("the threads of a replay start");
    let rate = run.records_replayed as f64 * 1e9 / run.duration_ns.max(1) as f64;
    println!(
        "as fast as it can, {workers} workers, a target that does nothing: {:.2} million calls/s of one key (waited for the \
         decoder {} times)",
        rate / 1e6,
        run.decode_waits
    );
}

/// The records of a real trace, decoded.
fn real_trace(name: &str) -> Vec<TimedRecord> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/traces/{name}.zst"));
    let packed = std::fs::read(path).expect("a fixture");
    let mut bytes = Vec::new();
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed.as_slice()).expect("a zstd frame");
    decoder.read_to_end(&mut bytes).expect("an intact zstd frame");
    let reader = TraceReader::from_bytes(name, bytes).expect("a trace");
    TraceSource::new(&reader).collect()
}

/// A real trace into L1, as fast as it goes: what `replay --asap` does, its file decoded before.
fn into_l1(records: &[TimedRecord]) {
    let mut rates: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let config = StorageManagerConfig::l1_only(1 << 30, EvictionPolicyKind::Lru);
            let mut targets = ManagerTarget::of_all(config, Order::Causal, 1).expect("memory");
            let options =
                ReplayOptions { pace: Pace::Asap, order: Order::Causal, ..ReplayOptions::default() };
            let source = records.iter().cloned();
            let run = replay(source, &mut targets, &options, &StopFlag::default(), &mut ())
                .expect("the threads of a replay start");
            run.records_replayed as f64 * 1e9 / run.duration_ns.max(1) as f64
        })
        .collect();
    rates.sort_unstable_by(f64::total_cmp);
    println!(
        "a real trace into L1, as fast as it can: {:.0} calls/s (median of {ROUNDS}, {:.0} to {:.0})",
        rates[ROUNDS / 2],
        rates[0],
        rates[ROUNDS - 1]
    );
}

/// A real trace at 200,000 calls a second on the average, in bursts, by four workers.
fn bursts(records: &[TimedRecord]) {
    const BURST_CALLS: usize = 100;
    let burst_s = BURST_CALLS as f64 / 200_000.0;
    let bursty = |(number, record): (usize, TimedRecord)| {
        // The calls of a burst come within a tenth of its time.
        let (burst, place) = ((number / BURST_CALLS) as f64, (number % BURST_CALLS) as f64);
        let t_mono_s = (burst + place / BURST_CALLS as f64 / 10.0) * burst_s;
        TimedRecord { t_mono_s, ..record }
    };
    for (name, waiter) in [("sleeping and spinning", Waiter::measured()), ("sleeping", Waiter::new(0))] {
        let mut lags: Vec<Lags> = Vec::new();
        let mut late = Vec::new();
        for _ in 0..ROUNDS {
            let mut targets = [(); 4].map(|()| Sink);
            let options = ReplayOptions { waiter, ..ReplayOptions::default() };
            let source: Vec<_> = records.iter().cloned().enumerate().map(bursty).collect();
            let run = replay(source.into_iter(), &mut targets, &options, &StopFlag::default(), &mut ())
                .expect("the threads of a replay start");
            lags.push([run.lag.p50_ns, run.lag.p99_ns, run.lag.p999_ns, run.lag.max_ns]);
            late.push(run.lag.late_calls);
        }
        print_row(&format!("bursts, 4 workers, {name}"), median(lags));
        println!("  calls more than 1 ms late, round by round: {late:?} of {}", records.len());
    }
}

/// How far hits depend on where in a second the eviction passes fall, which a trace does not say: the trace of an L1 that
/// evicts, begun so much later. The real manager served 85,745 blocks.
fn phases() {
    const REAL_HITS: f64 = 85_745.0;
    let records = real_trace("mooncake_conv_30k.lct");
    for later_s in [0.0, 0.25, 0.499_999_999, 0.75] {
        let mut config = StorageManagerConfig::l1_only(122_880_000, EvictionPolicyKind::Lru);
        config.compat = Compat::Lmcache;
        let mut targets = ManagerTarget::of_all(config, Order::Causal, 1).expect("memory");
        let options = ReplayOptions { pace: Pace::Asap, order: Order::Causal, ..ReplayOptions::default() };
        let source = records
            .iter()
            .cloned()
            .map(|record| TimedRecord { t_mono_s: record.t_mono_s + later_s, ..record });
        replay(source, &mut targets, &options, &StopFlag::default(), &mut ())
            .expect("the threads of a replay start");
        let served = ManagerTarget::close_all(targets).expect("no thread panicked").storage.served_chunks;
        let difference = (served as f64 / REAL_HITS - 1.0) * 100.0;
        println!(
            "begun {later_s:.2} s later: {served} blocks served, {difference:+.3} % of the real manager's"
        );
    }
}

/// The parts of this benchmark, by the words that ask for one alone.
const PARTS: [&str; 5] = ["lag", "bursts", "rate", "l1", "phases"];

fn main() {
    // `cargo test --benches` and `cargo bench -- --test` only want to know that this runs.
    let is_smoke =
        std::env::args().any(|word| word == "--test") || !std::env::args().any(|word| word == "--bench");
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_asked = |part: &str| asked.is_empty() || asked.iter().any(|word| word == part);
    assert!(asked.iter().all(|word| PARTS.contains(&word.as_str())), "the parts are {PARTS:?}");
    if is_asked("lag") {
        lags(if is_smoke { (0, 1) } else { (3, ROUNDS) });
    }
    if is_smoke {
        return;
    }
    if is_asked("bursts") {
        bursts(&real_trace("rate_5000.lct"));
    }
    if is_asked("rate") {
        max_rate(1);
        max_rate(2);
    }
    if is_asked("l1") {
        into_l1(&real_trace("rate_5000.lct"));
    }
    if is_asked("phases") {
        phases();
    }
}

/// The three ways of waiting in turns, so many seconds a round.
fn lags((seconds, rounds): (u64, usize)) {
    let ways: [(&str, Way); 3] =
        [("dispatcher", dispatcher), ("sleep only (LMCache)", sleeping), ("spin only", spinning)];
    let mut results = [const { Vec::new() }; 3];
    for round in 0..=rounds {
        for ((_, way), result) in ways.iter().zip(&mut results) {
            let lags = way(seconds);
            if round > 0 {
                result.push(lags);
            }
        }
    }
    println!("lag at {CALLS_PER_S} calls/s, median of {rounds} rounds of {seconds} s:");
    for ((name, _), result) in ways.iter().zip(results) {
        print_row(name, median(result));
    }
}

//! The dispatcher: how late it is, and how fast.
//!
//! `cargo bench --bench replay` plays 10,000 calls a second into a target that does nothing, for a few
//! seconds a round. The three ways of waiting take turns within one run, because a machine's mood changes
//! from one run to the next; the first round warms up and is not counted. Then come bursts by four workers, calls as fast as
//! they are taken, which is what decoding and dispatching cost, and a real trace into L1. A word behind it asks for one part alone.

mod bursts;
mod lag;
mod rate;

use std::io::Read;
use std::path::Path;

use lmcache::error::Result;
use lmcache::format::model::StorageCall;
use lmcache::replay::manager_target::ManagerTarget;
use lmcache::replay::{
    Order, Pace, ReadSlot, ReplayOptions, ReplayTarget, StopFlag, TimedRecord, TraceSource, replay,
};
use lmcache::storage::config::{Compat, EvictionPolicyKind, StorageManagerConfig};
use lmcache::trace::TraceReader;

const ROUNDS: usize = 5;

/// Takes every call and does nothing.
struct Sink;

impl ReplayTarget for Sink {
    fn dispatch(&mut self, call: &StorageCall, _slot: Option<ReadSlot>) -> Result<()> {
        std::hint::black_box(call);
        Ok(())
    }
}

/// Lags in nanoseconds: p50, p99, p99.9, max.
type Lags = [u64; 4];

fn lags_of(mut lags_ns: Vec<u64>) -> Lags {
    lags_ns.sort_unstable();
    let at = |per_mille: usize| lags_ns[(lags_ns.len() * per_mille / 1000).min(lags_ns.len() - 1)];
    [at(500), at(990), at(999), at(1000)]
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

/// The records of a real trace, decoded.
fn real_trace(name: &str) -> Vec<TimedRecord> {
    TraceSource::new(&real_reader(name)).records().collect()
}

fn real_reader(name: &str) -> TraceReader {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/traces/{name}.zst"));
    let packed = std::fs::read(path).expect("a fixture");
    let mut bytes = Vec::new();
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed.as_slice()).expect("a zstd frame");
    decoder.read_to_end(&mut bytes).expect("an intact zstd frame");
    TraceReader::from_bytes(name, bytes).expect("a trace")
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
const PARTS: [&str; 6] = ["lag", "bursts", "inline", "rate", "l1", "phases"];

fn main() {
    // `cargo test --benches` and `cargo bench -- --test` only want to know that this runs.
    let is_smoke =
        std::env::args().any(|word| word == "--test") || !std::env::args().any(|word| word == "--bench");
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_asked = |part: &str| asked.is_empty() || asked.iter().any(|word| word == part);
    assert!(asked.iter().all(|word| PARTS.contains(&word.as_str())), "the parts are {PARTS:?}");
    if is_asked("lag") {
        lag::run(if is_smoke { (0, 1) } else { (3, ROUNDS) });
    }
    if is_smoke {
        return;
    }
    if is_asked("bursts") {
        bursts::run(&real_trace("rate_5000.lct"));
    }
    // What it says is part of the next.
    if !asked.is_empty() && is_asked("inline") {
        rate::inline();
    }
    if is_asked("rate") {
        rate::run();
    }
    if is_asked("l1") {
        into_l1(&real_trace("rate_5000.lct"));
    }
    if is_asked("phases") {
        phases();
    }
}

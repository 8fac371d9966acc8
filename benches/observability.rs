//! What metrics cost a replay.
//!
//! `cargo bench --bench observability` replays a real trace (Mooncake's, recorded from LMCache) into L1 as fast as it goes: with
//! nobody told, with a sink that looks away (what gathering events costs), with metrics attached, and with metrics
//! that are scraped all the time. The ways take turns within one run, because a machine's mood changes from one run to the
//! next; the first round warms up and is not counted.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use lmcache::replay::manager_target::ManagerTarget;
use lmcache::replay::telemetry::TelemetryOptions;
use lmcache::replay::{ReplayOptions, StopFlag, TimedRecord, TraceSource, replay};
use lmcache::storage::config::{EvictionPolicyKind, StorageManagerConfig};
use lmcache::storage::events::{Event, EventSink};
use lmcache::sync::Arc;
use lmcache::trace::TraceReader;

#[path = "../tests/common/mod.rs"]
mod common;

const ROUNDS: usize = 9;

/// Everything of the trace fits into this L1.
const L1_BYTES: u64 = 245_760_000;

#[derive(Debug)]
struct LookAway;

impl EventSink for LookAway {
    fn on_event(&self, event: &Event<'_>) {
        black_box(event);
    }
}

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nobody,
    LookAway,
    Metrics,
    Scraped,
}

/// Calls a second, and nanoseconds within a call on average.
type Cost = [f64; 2];

fn play(records: &[TimedRecord], told: Told) -> Cost {
    let config = StorageManagerConfig::l1_only(L1_BYTES, EvictionPolicyKind::Lru);
    let mut target = ManagerTarget::new(config).expect("memory");
    let any_port = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let prometheus = any_port.filter(|_| matches!(told, Told::Metrics | Told::Scraped));
    let options = TelemetryOptions { prometheus, ..TelemetryOptions::default() };
    let telemetry = options.prepare().expect("a port").start(target.manager()).expect("threads");
    if told == Told::LookAway {
        target.manager().attach_events(Arc::new(LookAway)).expect("no other sink");
    }
    let done = StopFlag::default();
    let run = std::thread::scope(|scope| {
        if told == Told::Scraped {
            let (address, done) = (telemetry.address().expect("it is served"), &done);
            scope.spawn(move || {
                while !done.is_set() {
                    scrape(address);
                }
            });
        }
        let records = records.iter().cloned();
        let run = replay(
            records,
            std::slice::from_mut(&mut target),
            &ReplayOptions::default(),
            &StopFlag::default(),
            &mut (),
        );
        done.set();
        run.expect("the threads of a replay start")
    });
    telemetry.close();
    target.close().expect("no thread panicked");
    let in_calls_ns: f64 = run.ops.iter().map(|row| row.mean_ns * row.count as f64).sum();
    let calls = run.records_replayed as f64;
    [calls * 1e9 / run.duration_ns as f64, in_calls_ns / calls]
}

fn scrape(address: SocketAddr) {
    let mut text = String::new();
    let scraped = TcpStream::connect(address).and_then(|mut stream| {
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n")?;
        stream.read_to_string(&mut text)
    });
    black_box(scraped.is_ok());
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    // `cargo test --benches` and `cargo bench -- --test` only want to know that this runs.
    let is_smoke =
        std::env::args().any(|word| word == "--test") || !std::env::args().any(|word| word == "--bench");
    let rounds = if is_smoke { 1 } else { ROUNDS };
    let name = "traces/mooncake_syn_all_fits.lct";
    let reader = TraceReader::from_bytes(name, common::unpack(name)).expect("a trace");
    let records: Vec<_> =
        TraceSource::new(&reader).records().map(|record| TimedRecord { t_mono_s: 0.0, ..record }).collect();
    let ways = [
        ("nobody is told", Told::Nobody),
        ("a sink that looks away", Told::LookAway),
        ("metrics", Told::Metrics),
        ("metrics, scraped always", Told::Scraped),
    ];
    let mut costs = ways.map(|_| Vec::new());
    for round in 0..=rounds {
        for ((_, told), costs) in ways.iter().zip(&mut costs) {
            let cost = play(&records, *told);
            if round > 0 {
                costs.push(cost);
            }
        }
    }
    println!("{} calls of {name} into L1 as fast as it goes, median of {rounds} rounds:", records.len());
    for ((way, _), costs) in ways.iter().zip(costs) {
        let column = |column: usize| median(costs.iter().map(|cost: &Cost| cost[column]).collect());
        println!("{way:<26} {:>10.0} calls/s  {:>7.0} ns within a call", column(0), column(1));
    }
}

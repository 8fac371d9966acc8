//! How late calls are at an even pace: the dispatcher, a loop that only sleeps, which is LMCache's way, and one that only spins, which is
//! what the machine allows at best.

use hdrhistogram::Histogram;
use lmcache::clock::{Waiter, monotonic_ns};
use lmcache::format::model::{ChunkHash, KeyScope, ObjectKey, StorageCall};
use lmcache::os::time::sleep_until_ns;
use lmcache::replay::{RecordBody, ReplayOptions, StopFlag, TimedRecord, replay};
use lmcache::sync::Arc;

use crate::{Lags, Sink, median, print_row};

const CALLS_PER_S: u64 = 10_000;
const KEYS_PER_CALL: u8 = 16;

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

/// The three ways of waiting in turns, so many seconds a round.
pub(crate) fn run((seconds, rounds): (u64, usize)) {
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

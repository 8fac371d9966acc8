//! A real trace at 200,000 calls a second on the average, in bursts, by four workers; beside it the same deadlines without a
//! dispatcher, which is what the machine allows at best.

use lmcache::clock::{Waiter, monotonic_ns};
use lmcache::replay::{ReplayOptions, StopFlag, TimedRecord, replay};

use crate::{Lags, ROUNDS, Sink, lags_of, median, print_row};

const WORKERS: usize = 4;
const BURST_CALLS: usize = 100;
const BURST_S: f64 = BURST_CALLS as f64 / 200_000.0;

/// When a call is due, in seconds: those of a burst come within a tenth of its time.
fn due_s(number: usize) -> f64 {
    let (burst, place) = ((number / BURST_CALLS) as f64, (number % BURST_CALLS) as f64);
    (burst + place / BURST_CALLS as f64 / 10.0) * BURST_S
}

pub(crate) fn run(records: &[TimedRecord]) {
    let ways = [("sleeping and spinning", Waiter::measured()), ("sleeping", Waiter::new(0))];
    let mut rounds = [const { Vec::new() }; 3];
    let mut late = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (way, (_, waiter)) in ways.iter().enumerate() {
            let (lags, late_calls) = dispatched(records, *waiter);
            rounds[way].push(lags);
            late[way].push(late_calls);
        }
        let (lags, late_calls) = bare(records.len());
        rounds[2].push(lags);
        late[2].push(late_calls);
    }
    let names =
        ways.map(|(name, _)| name).into_iter().chain(["no dispatcher: four threads that sleep and spin"]);
    println!("200,000 calls/s in bursts of {BURST_CALLS}, {WORKERS} workers, median of {ROUNDS} rounds:");
    for ((name, lags), late) in names.zip(rounds).zip(late) {
        print_row(name, median(lags));
        println!("  calls more than 1 ms late, round by round: {late:?} of {}", records.len());
    }
}

fn dispatched(records: &[TimedRecord], waiter: Waiter) -> (Lags, u64) {
    let mut targets = [(); WORKERS].map(|()| Sink);
    let options = ReplayOptions { waiter, ..ReplayOptions::default() };
    let bursty = |(number, record): (usize, TimedRecord)| TimedRecord { t_mono_s: due_s(number), ..record };
    let source: Vec<_> = records.iter().cloned().enumerate().map(bursty).collect();
    let run = replay(source.into_iter(), &mut targets, &options, &StopFlag::default(), &mut ())
        .expect("the threads of a replay start");
    ([run.lag.p50_ns, run.lag.p99_ns, run.lag.p999_ns, run.lag.max_ns], run.lag.late_calls)
}

/// Every fourth deadline for each of four threads, which wait for nothing else.
fn bare(calls: usize) -> (Lags, u64) {
    let waiter = Waiter::measured().yielding();
    let origin_ns = monotonic_ns() + 10_000_000;
    let lags = std::thread::scope(|scope| {
        let thread = |worker: usize| {
            scope.spawn(move || {
                lmcache::os::time::request_exact_wakeups();
                lmcache::os::thread::request_short_slices();
                let late = |number: usize| {
                    let deadline_ns = origin_ns + (due_s(number) * 1e9) as u64;
                    waiter.wait_until_ns(deadline_ns, || false).unwrap_or(deadline_ns) - deadline_ns
                };
                (worker..calls).step_by(WORKERS).map(late).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = (0..WORKERS).map(thread).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    let late_calls = lags.iter().filter(|lag_ns| **lag_ns > 1_000_000).count();
    (lags_of(lags), late_calls as u64)
}

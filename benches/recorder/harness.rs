//! How a call of some tens of nanoseconds is timed, beside others, so that the figures can be compared.
//!
//! Contenders take turns in one process, round by round, so that a change of the machine's mood meets all of
//! them. Each round gives three looks at a contender:
//! * `burst`: the time of 1000 calls in a row, divided by 1000. The call's cost when everything is warm and the
//!   processor overlaps calls. Half of the bursts took less (so for the other columns: quantiles of a round).
//! * `batch`: the time of 20 calls after a pause, divided by 20.
//! * `single`: each of those 20 calls on its own, between two reads of the counter that wait for the instructions
//!   before them. One in twenty is the first after a pause, so p99 and p99.9 are about cold calls.
//!
//! Between two batches the other side drains, and the thread sleeps. What is printed is the median of the rounds.
//! Nothing is subtracted: the row `empty call` is what the reading costs each of the three looks. Where the counter
//! moves in steps (some processors': 10 ns), single calls are known to a step, and the other two looks decide.

use lmcache::clock::{TickPair, TickSource, Waiter, monotonic_ns};

use hdrhistogram::Histogram;

const CALLS_PER_BATCH: u64 = 20;
const CALLS_PER_BURST: u64 = 1_000;
/// Single calls are counted up to this many ticks, some milliseconds.
const MAX_TICKS: u64 = 1 << 24;

/// What is timed.
pub(crate) trait Contender {
    /// The call.
    fn call(&mut self);

    /// What happens to the records between batches, unless a thread of the contender's own does it.
    fn drain(&mut self) {}
}

/// How much of it.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    rounds: usize,
    batches: u64,
    bursts: u64,
    pause_ns: u64,
}

impl Effort {
    /// One quick pass with `--test` or without `--bench`, as cargo calls a bench that it tests; else enough.
    pub(crate) fn from_arguments() -> Self {
        let has = |flag: &str| std::env::args().any(|word| word == flag);
        if has("--test") || !has("--bench") {
            return Self { rounds: 1, batches: 3, bursts: 2, pause_ns: 10_000 };
        }
        Self { rounds: 9, batches: 300, bursts: 30, pause_ns: 1_000_000 }
    }
}

/// One round, in nanoseconds per call.
#[derive(Clone, Copy)]
struct Figures {
    burst: f64,
    batch: f64,
    single: [f64; 3],
}

/// The quantiles of `Figures::single`.
const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];

/// A contender and what was seen of it.
pub(crate) struct Row {
    name: &'static str,
    bytes: usize,
    /// The contender, behind a function that was compiled for it: the call itself is not a virtual one.
    round: Box<dyn FnMut(Effort) -> Figures>,
    rounds: Vec<Figures>,
}

impl Row {
    /// A row for records of `bytes`.
    pub(crate) fn new(name: &'static str, bytes: usize, mut contender: impl Contender + 'static) -> Self {
        let round = Box::new(move |effort| round(&mut contender, effort));
        Self { name, bytes, round, rounds: Vec::new() }
    }

    fn median(&self, figure: impl Fn(&Figures) -> f64) -> f64 {
        let mut values: Vec<f64> = self.rounds.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    fn print(&self) {
        let [p50, p99, p999] = [0, 1, 2].map(|quantile| self.median(|round| round.single[quantile]));
        let (burst, batch) = (self.median(|round| round.burst), self.median(|round| round.batch));
        let mean_bytes_per_ns = self.bytes as f64 / burst;
        println!(
            "{:<34}{:>6}{burst:>9.2}{batch:>9.1}{p50:>12.1}{p99:>8.1}{p999:>8.1}{mean_bytes_per_ns:>9.2}",
            self.name, self.bytes
        );
    }
}

/// Times all rows in turn and prints them.
pub(crate) fn run(rows: &mut [Row], effort: Effort) {
    let source = TickSource::detect();
    for _ in 0..effort.rounds {
        for row in &mut *rows {
            let figures = (row.round)(effort);
            row.rounds.push(figures);
        }
    }
    println!("ns per call, median of {} rounds; stamps from {source:?}", effort.rounds);
    println!(
        "{:<34}{:>6}{:>9}{:>9}{:>12}{:>8}{:>8}{:>9}",
        "", "bytes", "burst", "batch", "single p50", "p99", "p99.9", "GB/s"
    );
    for row in rows {
        row.print();
    }
}

fn round<C: Contender>(contender: &mut C, effort: Effort) -> Figures {
    let source = TickSource::detect();
    let started = TickPair::take(source);
    let bursts = rows_of_calls(contender, source, effort, (effort.bursts, CALLS_PER_BURST));
    let batches = rows_of_calls(contender, source, effort, (effort.batches, CALLS_PER_BATCH));
    let singles = single_calls(contender, source, effort);
    let ended = TickPair::take(source);
    let ns = (ended.monotonic_ns - started.monotonic_ns) as f64;
    let ns_per_tick = ns / (ended.ticks - started.ticks) as f64;
    let quantile = |of: &Histogram<u64>, quantile| of.value_at_quantile(quantile) as f64 * ns_per_tick;
    Figures {
        burst: quantile(&bursts, 0.5) / CALLS_PER_BURST as f64,
        batch: quantile(&batches, 0.5) / CALLS_PER_BATCH as f64,
        single: QUANTILES.map(|of_calls| quantile(&singles, of_calls)),
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_TICKS, 3).expect("the bounds are in order")
}

fn pause<C: Contender>(contender: &mut C, effort: Effort) {
    contender.drain();
    Waiter::new(0).wait_until_ns(monotonic_ns() + effort.pause_ns, || false);
}

/// Ticks of `calls` calls in a row, `repeats` times.
fn rows_of_calls<C: Contender>(
    contender: &mut C,
    source: TickSource,
    effort: Effort,
    (repeats, calls): (u64, u64),
) -> Histogram<u64> {
    let mut ticks = histogram();
    for _ in 0..repeats {
        pause(contender, effort);
        let before = source.now_after();
        for _ in 0..calls {
            contender.call();
        }
        ticks.saturating_record(source.now_after() - before);
    }
    ticks
}

/// Ticks of each call of a batch on its own.
fn single_calls<C: Contender>(contender: &mut C, source: TickSource, effort: Effort) -> Histogram<u64> {
    let mut ticks = histogram();
    let mut batch = [0; CALLS_PER_BATCH as usize];
    for _ in 0..effort.batches {
        pause(contender, effort);
        for single in &mut batch {
            let before = source.now_after();
            contender.call();
            *single = source.now_after() - before;
        }
        batch.iter().for_each(|single| ticks.saturating_record(*single));
    }
    ticks
}

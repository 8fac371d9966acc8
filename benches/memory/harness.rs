//! Rows that take turns, round by round, so that a change of the machine's mood meets all of them.
//!
//! A row is timed for some milliseconds a round. What is printed is the best round, which is the machine's when nobody
//! disturbs it, and the median.

use lmcache::clock::monotonic_ns;

/// How many rounds, and how long a row is timed in each.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    rounds: usize,
    repeats: u64,
}

impl Effort {
    /// One quick pass with `--test` or without `--bench`, as cargo calls a bench that it tests; else enough.
    pub(crate) fn from_arguments() -> Self {
        let has = |flag: &str| std::env::args().any(|word| word == flag);
        if has("--test") || !has("--bench") {
            return Self { rounds: 1, repeats: 1 };
        }
        Self { rounds: 25, repeats: 20 }
    }

    /// Whether this is the quick pass.
    pub(crate) fn is_quick(self) -> bool {
        self.rounds == 1
    }
}

/// What a figure is.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// Nanoseconds for one of so many calls.
    NsPerCall(u64),
    /// Bytes per nanosecond, of so many bytes.
    GbPerSecond(u64),
}

impl Unit {
    fn figure(self, ns: f64) -> f64 {
        match self {
            Self::NsPerCall(calls) => ns / calls as f64,
            Self::GbPerSecond(bytes) => bytes as f64 / ns,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::NsPerCall(_) => "ns",
            Self::GbPerSecond(_) => "GB/s",
        }
    }
}

/// Something that is timed, and how long it took in each round.
pub(crate) struct Row<'a> {
    name: String,
    unit: Unit,
    work: Box<dyn FnMut() + 'a>,
    rounds_ns: Vec<f64>,
}

impl<'a> Row<'a> {
    /// A row whose `work` does as much as `unit` says.
    pub(crate) fn new(name: impl Into<String>, unit: Unit, work: impl FnMut() + 'a) -> Self {
        Self { name: name.into(), unit, work: Box::new(work), rounds_ns: Vec::new() }
    }

    fn time(&mut self, repeats: u64) {
        let started_ns = monotonic_ns();
        for _ in 0..repeats {
            (self.work)();
        }
        self.rounds_ns.push((monotonic_ns() - started_ns) as f64 / repeats as f64);
    }

    fn print(&mut self) {
        self.rounds_ns.sort_by(f64::total_cmp);
        let (best, median) = (self.rounds_ns[0], self.rounds_ns[self.rounds_ns.len() / 2]);
        let [best, median] = [best, median].map(|ns| self.unit.figure(ns));
        println!("{:<44}{best:>10.2}{median:>10.2} {}", self.name, self.unit.name());
    }
}

/// Times all rows in turn and prints them.
pub(crate) fn run(title: &str, effort: Effort, mut rows: Vec<Row<'_>>) {
    for _ in 0..effort.rounds {
        rows.iter_mut().for_each(|row| row.time(effort.repeats));
    }
    println!("{title:<44}{:>10}{:>10}", "best", "median");
    rows.iter_mut().for_each(Row::print);
    println!();
}

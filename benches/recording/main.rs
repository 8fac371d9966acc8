//! What recording sustains, and what reading costs: whole files, on the file system of the temporary directory.
//!
//! Each figure is the median of the runs; files are fresh in each run, and their pages were in the page cache once
//! before (the first run warms and does not count). `--long` adds the run of a minute.

mod read;
mod write;

/// How much of it.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) runs: usize,
    /// Records of a run, and bytes of a file that is read.
    pub(crate) records: u64,
    pub(crate) read_bytes: u64,
    pub(crate) is_long: bool,
}

impl Effort {
    fn from_arguments() -> Self {
        let has = |flag: &str| std::env::args().any(|word| word == flag);
        if has("--test") || !has("--bench") {
            return Self { runs: 1, records: 20_000, read_bytes: 1 << 22, is_long: false };
        }
        Self { runs: 7, records: 8_000_000, read_bytes: 1 << 30, is_long: has("--long") }
    }
}

/// The median of `runs` measurements, the first of which does not count.
pub(crate) fn median(runs: usize, mut measure: impl FnMut() -> f64) -> f64 {
    measure();
    let mut values: Vec<f64> = (0..runs).map(|_| measure()).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub(crate) fn row(name: &str, value: f64, unit: &str) {
    println!("{name:<58}{value:>12.2} {unit}");
}

fn main() {
    let effort = Effort::from_arguments();
    write::run(effort);
    read::run(effort);
}

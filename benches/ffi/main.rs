//! What the C interface adds to a call: the same calls through it and beside it, in turns.
//!
//! `cargo bench --bench ffi [-- ROUNDS]`. Functions are called through pointers that the compiler cannot see through, as a host calls a library,
//! with a list of keys that is made for each call; a call in Rust has its keys from before, as the storage manager wants them.

mod record;
mod storage;

use lmcache::ffi::border::status::Status;

const ROUNDS: usize = 60;

fn ok(status: Status) {
    assert_eq!(status, Status::LMCACHE_STATUS_OK);
}

fn best_and_median(mut rounds: Vec<f64>) -> (f64, f64) {
    rounds.sort_unstable_by(f64::total_cmp);
    (rounds[0], rounds[rounds.len() / 2])
}

/// Nanoseconds a call, of each round.
fn print_row(name: &str, in_rust: Vec<f64>, through_c: Vec<f64>) {
    let ((rust_best, rust), (c_best, c)) = (best_and_median(in_rust), best_and_median(through_c));
    println!(
        "{name:<32} in Rust {rust_best:>7.1} ns at best, {rust:>7.1} median; through C {c_best:>7.1} and {c:>7.1}; C adds {:>6.1} and {:>6.1}",
        c_best - rust_best,
        c - rust
    );
}

fn main() {
    // `cargo test --benches` and `cargo bench -- --test` only want to know that this runs.
    let is_smoke =
        std::env::args().any(|word| word == "--test") || !std::env::args().any(|word| word == "--bench");
    let asked = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let rounds = if is_smoke { 1 } else { asked.unwrap_or(ROUNDS) };
    for keys in [1, 16] {
        record::run(keys, rounds);
        storage::run(keys, rounds);
    }
}

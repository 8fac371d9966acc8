//! What a recorded call costs its caller, beside the least that it can cost.
//!
//! `cargo bench --bench recorder`; peers are in `benches/compare`, a workspace of its own. What the columns mean
//! is at the top of `harness.rs`.

mod contenders;
mod harness;

fn main() {
    harness::run(&mut contenders::rows(), harness::Effort::from_arguments());
}

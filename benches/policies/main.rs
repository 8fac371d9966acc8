//! What an access costs in a cache under each eviction policy.
//!
//! `cargo bench --bench policies`; peers are in `benches/compare`, a workspace of its own. What is timed is at the top of
//! `workload.rs`.

mod workload;

fn main() {
    workload::run(&mut workload::rows());
}

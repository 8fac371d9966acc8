//! What the calls of a storage manager cost, and its metadata.
//!
//! `cargo bench --bench storage`; `cargo bench --bench storage -- metadata` fills L1 with ten million objects, which
//! takes 2 GB of memory. What is timed is at the top of `rows.rs`. Peers are in `benches/compare`.

mod metadata;
mod rows;

fn main() {
    if std::env::args().any(|argument| argument == "metadata") {
        metadata::run();
    } else {
        rows::run(&mut rows::rows());
    }
}

//! What the calls of a storage manager cost, and its metadata.
//!
//! `cargo bench --bench storage`; `cargo bench --bench storage -- metadata` fills L1 with ten million objects, which
//! takes 2 GB of memory; `cargo bench --bench storage -- "read + finish, LRU"` measures only the rows with that in their
//! names. What is timed is at the top of `rows.rs`. Peers are in `benches/compare`.

mod metadata;
mod rows;

fn main() {
    // Cargo adds options of its own.
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    if wanted == "metadata" {
        metadata::run();
    } else {
        rows::run(&mut rows::rows(&wanted));
    }
}

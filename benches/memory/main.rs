//! The memory of L1: what an allocation costs, what a pin costs, and how fast bytes move in and out.
//!
//! `cargo bench --bench memory`; the rival of the allocators is in `benches/compare`, a workspace of its own.

mod copies;
mod harness;
mod pairs;

use std::hint::black_box;
use std::sync::Arc;

use lmcache::storage::config::L1AllocatorKind;
use lmcache::storage::memory::{Allocator, Arena, Span};

use harness::{Effort, Row, Unit, run};
use pairs::{ALIGN, Load, Ours};

fn allocator(kind: L1AllocatorKind, load: Load) -> Ours<Allocator> {
    Ours::new(Allocator::new(kind, load.space_units() * ALIGN, ALIGN).expect("a space"))
}

fn pins(effort: Effort) {
    const CALLS: u64 = 1_000;
    let arena = Arc::new(Arena::new(1 << 30, ALIGN).expect("address space"));
    let span = |page: u64| Span { offset_bytes: page * ALIGN, phy_size_bytes: ALIGN, size_bytes: ALIGN };
    let busy = Arc::new(Arena::new(1 << 30, ALIGN).expect("address space"));
    let _held: Vec<_> = (0..64).map(|page| busy.pin(span(page))).collect();
    let release = |arena: Arc<Arena>| {
        move || {
            for page in 0..CALLS {
                let _ = black_box(arena.release(span(100 + page)));
            }
        }
    };
    let pinned = Arc::clone(&arena);
    let pin = move || (0..CALLS).for_each(|page| drop(black_box(pinned.pin(span(page)))));
    run(
        "pins",
        effort,
        vec![
            Row::new("release, nothing is pinned", Unit::NsPerCall(CALLS), release(arena)),
            Row::new("release, 64 others are pinned", Unit::NsPerCall(CALLS), release(busy)),
            Row::new("pin and unpin", Unit::NsPerCall(CALLS), pin),
        ],
    );
}

fn main() {
    let effort = Effort::from_arguments();
    pairs::run_loads(effort, |load| {
        let mut rows = Vec::new();
        rows.extend(pairs::rows("first fit", |load| allocator(L1AllocatorKind::FirstFit, load), load));
        rows.extend(pairs::rows("TLSF", |load| allocator(L1AllocatorKind::Tlsf, load), load));
        rows
    });
    pins(effort);
    copies::run_all(effort);
}

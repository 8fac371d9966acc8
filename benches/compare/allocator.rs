//! Our allocators beside the crate `offset-allocator`, an allocator in the manner of Sebastian Aaltonen's. It is given
//! back a handle, where ours find the block by its address.
//!
//! ```text
//! cd benches/compare && cargo bench --bench allocator
//! ```

#[path = "../memory/harness.rs"]
mod harness;
#[path = "../memory/pairs.rs"]
mod pairs;

use lmcache::storage::config::L1AllocatorKind;
use lmcache::storage::memory::Allocator;
use pairs::{ALIGN, Load, Ours, Space};

struct Rival(offset_allocator::Allocator);

impl Space for Rival {
    type Block = offset_allocator::Allocation;

    fn take(&mut self, units: u32) -> Self::Block {
        self.0.allocate(units).expect("there is room")
    }

    fn give(&mut self, block: Self::Block) {
        self.0.free(block);
    }
}

fn ours(kind: L1AllocatorKind, load: Load) -> Ours<Allocator> {
    Ours::new(Allocator::new(kind, load.space_units() * ALIGN, ALIGN).expect("a space"))
}

fn rival(load: Load) -> Rival {
    let units = u32::try_from(load.space_units()).expect("as many units as the rival counts");
    Rival(offset_allocator::Allocator::new(units))
}

fn main() {
    pairs::run_loads(harness::Effort::from_arguments(), |load| {
        let mut rows = Vec::new();
        rows.extend(pairs::rows("first fit", |load| ours(L1AllocatorKind::FirstFit, load), load));
        rows.extend(pairs::rows("TLSF", |load| ours(L1AllocatorKind::Tlsf, load), load));
        rows.extend(pairs::rows("offset-allocator", rival, load));
        rows
    });
}

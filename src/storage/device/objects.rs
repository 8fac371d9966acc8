//! L1 as the host's side of a transfer.

use crate::device::HostSide;
use crate::os::region::Region;
use crate::storage::memory::{Arena, PinnedSpan};
use crate::sync::Arc;

/// Objects of one L1, for as long as a device may read or write them. Their bytes are given to nobody else meanwhile, though they
/// may be deleted or evicted, and the arena stays mapped, though its manager may be closed.
#[derive(Debug)]
pub(super) struct PinnedObjects {
    arena: Arc<Arena>,
    /// Held, not used.
    _pins: Vec<PinnedSpan>,
    is_registered: bool,
}

impl PinnedObjects {
    pub(super) fn new(arena: Arc<Arena>, pins: Vec<PinnedSpan>) -> Self {
        let is_registered = pins.iter().all(|pin| arena.is_registered(pin.span()));
        Self { arena, _pins: pins, is_registered }
    }
}

impl HostSide for PinnedObjects {
    fn region(&self) -> &Region {
        self.arena.region()
    }

    fn len_bytes(&self) -> u64 {
        self.arena.len_bytes()
    }

    /// Of the objects, which are all that a plan names.
    fn is_registered(&self) -> bool {
        self.is_registered
    }
}

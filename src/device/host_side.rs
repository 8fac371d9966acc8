//! The host's side of a transfer.

use super::memory::{HostMemory, Memory};
use crate::os::region::Region;

/// Memory of this process in which the objects of a transfer lie. Whoever moves bytes from or to it holds it until the
/// last one is moved; that nobody else uses the objects meanwhile is a matter of who made it.
pub trait HostSide: std::fmt::Debug + Send + Sync {
    /// The memory. The host offsets of a plan count from its first byte.
    fn region(&self) -> &Region;

    /// How many bytes of the region a plan may name, from the first on.
    fn len_bytes(&self) -> u64;

    /// Whether all pages are known to the device's driver, so that a kernel may read and write them, and a copy goes on
    /// while the caller does something else.
    fn is_registered(&self) -> bool {
        false
    }

    /// Whether the driver is called when it is dropped, which may take as long as all that is under way on the device. Then the thread of the
    /// device does it last.
    fn is_unregistered_at_the_end(&self) -> bool {
        false
    }
}

impl HostSide for HostMemory {
    fn region(&self) -> &Region {
        self.memory_region()
    }

    fn len_bytes(&self) -> u64 {
        Memory::len_bytes(self)
    }
}

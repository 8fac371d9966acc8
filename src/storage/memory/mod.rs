//! The memory of L1: where its bytes come from, which address an object gets, and who is working on it.
//!
//! * [`manager`]: what L1 has of all this, under the allocator's mutex.
//! * [`arena`]: the bytes. [`source`] says where they come from, [`growth`] makes them more and more. A [`span`] says
//!   where an object lies in them; [`bytes`] is what can be done with a stretch of them, [`batch`] with several. They are copied
//!   while others may write them: [`crate::os::copy`] says how.
//! * [`registration`]: which of them a device knows of.
//! * [`allocator`]: the addresses. [`first_fit`] gives those that LMCache would, [`tlsf`] leaves fewer holes; `either` is
//!   whichever was configured.
//! * [`pins`]: who is doing I/O on which span, so that nothing is given away under it. [`pinned`] is the buffer
//!   that the I/O gets.
//!
//! Addresses and pins are kept by offset, outside the bytes: no stray write of an object reaches them.

pub mod allocator;
pub mod arena;
pub mod batch;
pub mod bytes;
mod either;
pub mod first_fit;
pub mod growth;
pub mod manager;
pub mod pinned;
pub mod pins;
pub mod registration;
pub mod source;
pub mod span;
pub mod tlsf;

pub use allocator::{AddressAllocator, check_object_bytes};
pub use arena::Arena;
pub use batch::{Gather, Scatter};
pub use bytes::ArenaBytes;
pub use either::Allocator;
pub use first_fit::AddressManager;
pub use growth::{GrowthState, HeapSize};
pub use manager::L1MemoryManager;
pub use pinned::PinnedSpan;
pub use pins::{PinCounts, Released};
pub use registration::{PinWarning, Pinning, RegistrationState, RegistrationStatus};
pub use source::{ArenaOptions, ArenaSource};
pub use span::Span;
pub use tlsf::Tlsf;

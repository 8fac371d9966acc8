//! The memory of L1: where its bytes come from, which address an object gets, and who is working on it.
//!
//! * [`arena`]: the bytes. A [`span`] says where an object lies in them; [`bytes`] is what can be done with a
//!   stretch of them, [`copy`] how they are copied while others may write them.
//! * [`first_fit`]: the addresses, which are those that LMCache would give.
//! * [`pins`]: who is doing I/O on which span, so that nothing is given away under it. [`pinned`] is the buffer
//!   that the I/O gets.
//!
//! Addresses and pins are kept by offset, outside the bytes: no stray write of an object reaches them.

pub mod arena;
pub mod bytes;
mod copy;
pub mod first_fit;
pub mod pinned;
pub mod pins;
pub mod span;

pub use arena::Arena;
pub use bytes::ArenaBytes;
pub use first_fit::AddressManager;
pub use pinned::PinnedSpan;
pub use pins::{PinCounts, Released};
pub use span::Span;

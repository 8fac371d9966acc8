//! An engine's paged KV cache, and how its bytes become those of an object in L1. `docs/device.md` teaches it, and says
//! what is not there yet: no byte goes to or comes from a GPU.
//!
//! * [`format`](mod@format): the layouts, by LMCache's names. [`layout`]: one with its sizes and tensors. [`paged`]: which
//!   blocks are which objects. [`plan`]: the same as runs of bytes.

pub mod format;
pub mod layout;
pub mod paged;
pub mod plan;

pub use format::EngineKvFormat;
pub use layout::{PageBufferShape, PagedLayout, Tensor};
pub use paged::{ObjectSpan, PagedTransfer};
pub use plan::{Plan, Run};

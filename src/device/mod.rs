//! An engine's paged KV cache, and how its bytes become those of an object in L1. `docs/device.md` teaches it, and says
//! what is not there yet: no byte goes to or comes from a GPU.
//!
//! * [`format`](mod@format): the layouts, by LMCache's names. [`layout`]: one with its sizes and tensors. [`planes`]: one whose
//!   rows are in several tensors. [`paged`]: which blocks are which objects. [`plan`]: the same as runs of bytes.
//! * [`memory`]: where bytes live; [`pinned`]: in pages that stay where they are; [`registrar`]: in pages that a device is told
//!   of. [`host_side`]: where the objects of a transfer lie, whoever they belong to.
//! * [`stream`]: what every device can do. [`host`]: a device without a GPU, the reference.
//! * [`cuda`]: whether this machine has a CUDA device.

pub mod cuda;
pub mod format;
pub mod host;
pub mod host_side;
pub mod layout;
pub mod memory;
pub mod paged;
pub mod pinned;
pub mod plan;
pub mod planes;
pub mod registrar;
pub mod stream;

pub use format::EngineKvFormat;
pub use host::HostDevice;
pub use host_side::HostSide;
pub use layout::{PageBufferShape, PagedLayout, Tensor};
pub use memory::{HostMemory, HostMemoryOptions, Memory, MemoryKind};
pub use paged::{ObjectSpan, PagedTransfer};
pub use pinned::{PageLock, PageLocker};
pub use plan::{Plan, Run};
pub use planes::PlaneShape;
pub use registrar::{PageRegistrar, Registration, RegistrationKind};
pub use stream::{Device, Direction, Done, EngineStream, Event, Moved, Pending, Stream, Transfer, pending};

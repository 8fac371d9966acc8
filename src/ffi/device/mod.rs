//! Devices, as hosts in C see them.
//!
//! * [`memory`]: opening a device, and its memory. [`gpu`]: memory and streams of an engine's on a GPU. * [`stream`]: its streams. * [`paged`]: an engine's paged cache in it.
//!
//! What is moved between them and a storage manager is in [`storage::transfers`](super::storage::transfers).

pub mod gpu;
pub mod memory;
pub mod paged;
pub mod stream;

//! System calls: everything that goes to the kernel through libc or memmap2 is in this folder.
//!
//! * [`map`]: read-only maps of files, and anonymous memory for the L1 arena and the rings.
//! * [`block`]: block devices.
//! * [`affinity`]: which CPUs a thread runs on; [`thread`]: its number and its signals; [`host`]: names of host and
//!   process.
//! * [`time`]: clocks and absolute sleeps.
//! * [`stdio`]: whether anybody reads what is printed.
//! * [`transfer`]: reading and writing raw memory.
//! * [`ticks`]: the processor's own counter, where the kernel trusts it.
//!
//! One of the few rooms where `unsafe` is allowed; each function here is safe to call, or is an `unsafe fn`
//! that says what its caller promises.
#![expect(unsafe_code, reason = "the room of the system calls")]

pub mod affinity;
pub mod block;
pub mod host;
pub mod map;
pub mod stdio;
pub mod thread;
pub mod ticks;
pub mod time;
pub mod transfer;

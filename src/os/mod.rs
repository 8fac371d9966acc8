//! System calls: everything that goes to the kernel through libc or memmap2 is in this folder.
//!
//! * [`map`]: read-only maps of files, and anonymous memory for the rings.
//! * [`region`]: memory for the L1 arena, from small pages, huge pages or a segment of [`shm`]; [`numa`] chooses
//!   the node.
//! * [`page_lock`]: pages that stay in memory.
//! * [`copy`]: copies of memory that others may be writing.
//! * [`block`]: block devices.
//! * [`affinity`]: which CPUs a thread runs on; [`thread`]: its number and its signals; [`thread_end`]: when
//!   it ends; [`host`]: names of host and
//!   process.
//! * [`event`]: eventfds of others.
//! * [`barrier`]: fences of which one side is free.
//! * [`signal`]: what the process ignores, and how a child is asked to end.
//! * [`time`]: clocks and absolute sleeps.
//! * [`stdio`]: whether anybody reads what is printed.
//! * [`transfer`]: reading and writing raw memory; [`request`] and [`uring`]: the same, many at once.
//! * [`file`](mod@file): direct I/O, attributes, and what else std's files do not have.
//! * [`ticks`]: the processor's own counter, where the kernel trusts it.
//!
//! One of the few rooms where `unsafe` is allowed; each function here is safe to call, or is an `unsafe fn`
//! that says what its caller promises.
#![expect(unsafe_code, reason = "the room of the system calls")]

pub mod affinity;
pub mod barrier;
pub mod block;
pub mod copy;
pub mod event;
pub mod file;
pub mod host;
pub mod map;
pub mod numa;
pub mod page_lock;
pub mod region;
pub mod request;
pub mod shm;
pub mod signal;
pub mod stdio;
pub mod thread;
// For the C interface, which no model takes in.
#[cfg(not(loom))]
pub mod thread_end;
pub mod ticks;
pub mod time;
pub mod transfer;
pub mod uring;

//! The C ABI. Its header is `include/lmcache.h`, generated from this folder and kept beside it; the contract is `docs/ffi.md`.
//!
//! * [`boundary`]: what every call goes through: no panic leaves, and what went wrong is kept as the [`last_error`] of the thread, with a
//!   [`status`] for the caller. [`args`]: strings, lists and structs from C. [`growing_output`]: structs to C
//!   that may grow.
//! * [`slots`]: which handles there are; a handle is looked up, never followed. [`handle`]: what stands behind one, and who may use it.
//!   [`hazards`]: which of them calls are in. [`threads`]: what a thread leaves behind.
//! * [`version`], [`log`]: which library this is, and what it has to say by itself.
//! * [`keys`] and [`prefetch_spec`]: what calls are about.
//! * [`callbacks`]: functions of the host, while they run. [`forks`]: what a child of `fork` must not inherit.
//! * [`storage`]: the storage manager.
//! * [`recorder`] and [`producer`]: recording; [`gates`]: whether it is on, for hosts that look by themselves. [`reader`]: reading what was recorded. [`replay`]: replaying it.
//!   [`convert`]: traces in other forms, verified and repaired.
#![expect(unsafe_code, reason = "exported names are declared here, and pointers of C are looked at")]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("liblmcache is for 64-bit systems: handles are 64-bit numbers in pointers");

mod args;
mod boundary;
mod callbacks;
pub mod convert;
mod forks;
mod gates;
mod growing_output;
mod handle;
mod hazards;
pub mod keys;
pub mod last_error;
pub mod log;
pub mod prefetch_spec;
pub mod producer;
pub mod reader;
pub mod recorder;
pub mod replay;
mod slots;
pub mod status;
pub mod storage;
mod threads;
pub mod version;

//! The C ABI. Its header is `include/lmcache.h`, generated from this folder and kept beside it; the contract is `docs/ffi.md`.
//!
//! * [`border`]: what comes in is looked at, no panic goes out, and what went wrong is kept.
//! * `handles`: which there are; a handle is looked up, never followed.
//! * [`version`], [`log`]: which library this is, and what it has to say by itself. `callbacks`: functions of the host, while they run.
//! * [`keys`] and [`prefetch_spec`]: what calls are about.
//! * [`storage`]: the storage manager. [`device`]: devices, and engines' caches in them.
//! * [`recorder`]: recording. [`reader`]: reading what was recorded. [`replay`]: replaying it. [`convert`]: traces in other forms,
//!   verified and repaired.
#![expect(unsafe_code, reason = "exported names are declared here, and pointers of C are looked at")]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("liblmcache is for 64-bit systems: handles are 64-bit numbers in pointers");

pub mod border;
mod callbacks;
pub mod convert;
pub mod device;
mod handles;
pub mod keys;
pub mod log;
pub mod prefetch_spec;
pub mod reader;
pub mod recorder;
pub mod replay;
pub mod storage;
pub mod version;

//! Records, reads, replays and explains traces of LMCache's storage calls, and holds the storage manager they drive.
//!
//! LMCache keeps the KV cache of LLM inference servers in tiers. Its servers can record every call on their
//! storage manager to a `.lct` file.
//!
//! * [`trace`] opens such files and native ones ([`trace::Trace`]), reads them in place, follows a file that is being
//!   recorded, and finds and repairs damage. [`trace::recorder`] records the calls of a running process.
//! * [`analyze`] says what is in a trace. [`replay`] plays it against a manager. [`convert`] writes it in another form.
//! * [`storage::StorageManager`] answers every call as LMCache 0.5.6 would; [`capture`] records the calls on it.
//! * [`device`] says which bytes of an engine's paged KV cache are which bytes of an object, and moves them; no GPU yet.
//!
//! The house has layers, and a file uses only what stands below it:
//!
//! ```text
//!       ffi      cli                       two faces; neither knows the other
//!         \      /
//!  replay  analyze  convert  capture       what one does with a trace
//!         |      |
//!     storage  trace                       the storage manager | recorder, readers, recovery
//!          \    /
//!     format  device                       bytes <-> values, pure | pages of an engine <-> objects
//!          \   /
//!  error  sync  clock  os                  the ground
//! ```

pub mod analyze;
pub mod capture;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
pub mod compare;
pub mod convert;
pub mod device;
pub mod error;
#[cfg(not(loom))]
pub mod ffi;
pub mod format;
pub mod os;
pub mod replay;
pub mod storage;
pub mod sync;
pub mod trace;

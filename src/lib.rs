//! Reads, replays and explains traces of LMCache's storage calls, and holds the storage manager they drive.
//!
//! LMCache keeps the KV cache of LLM inference servers in tiers. Its servers can record every call on their
//! storage manager to a `.lct` file. This crate reads those files in place ([`trace::TraceReader`]), says
//! what is in them ([`analyze`]), and replays them ([`replay`]) against a storage manager of its own
//! ([`storage::StorageManager`]) that answers every call as LMCache 0.5.6 would.
//!
//! The house has layers, and a file uses only what stands below it:
//!
//! ```text
//!       ffi      cli              two faces; neither knows the other
//!         \      /
//!      replay  analyze  capture   what one does with a trace
//!         |       |        |
//!      storage  trace             the storage manager | recorder and reader
//!          \     /
//!          format                 bytes <-> values, pure
//!            |
//!  error  sync  clock  os         the ground
//! ```

pub mod analyze;
pub mod capture;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
pub mod error;
pub mod ffi;
pub mod format;
pub mod os;
pub mod replay;
pub mod storage;
pub mod sync;
pub mod trace;

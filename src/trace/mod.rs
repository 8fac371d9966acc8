//! Trace files as files: opened, mapped, walked.
//!
//! [`reader`] opens LMCache's `.lct` files and yields their records in place. The bytes themselves are the
//! business of [`format`](crate::format).

pub mod follow;
pub mod native;
pub mod reader;
pub mod recover;
pub mod store;
pub mod writer;

pub use reader::{Entry, ReadMode, Record, Records, TraceReader};

//! Trace files as files: opened, mapped, walked.
//!
//! [`reader`] opens LMCache's `.lct` files and yields their records in place. The bytes themselves are the
//! business of [`format`](crate::format).
//!
//! [`ring`] is how a record leaves the thread that made it.

pub mod reader;
pub mod ring;

pub use reader::{Entry, ReadMode, Record, Records, TraceReader};

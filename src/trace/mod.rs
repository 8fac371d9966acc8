//! Trace files as files: recorded, opened, walked.
//!
//! * [`reader`] opens LMCache's `.lct` files and yields their records in place. [`native`] opens native files.
//! * [`ring`]: how a record leaves the thread that made it.
//! * [`writer`] writes native files, whose bytes go to a [`store`].
//!
//! The bytes themselves are the business of [`format`](crate::format).

pub mod native;
pub mod reader;
pub mod ring;
pub mod store;
pub mod writer;

pub use reader::{Entry, ReadMode, Record, Records, TraceReader};

//! Trace files as files: recorded, opened, walked.
//!
//! * [`reader`] opens LMCache's `.lct` files and yields their records in place. [`native`] opens native files.
//! * [`recorder`] records the calls of a running process: a [`ring`] per thread, one thread that drains them, and
//!   the [`writer`] of native files, whose bytes go to a [`store`].
//!
//! The bytes themselves are the business of [`format`](crate::format).

pub mod native;
pub mod reader;
pub mod recorder;
pub mod ring;
pub mod store;
pub mod writer;

pub use reader::{Entry, ReadMode, Record, Records, TraceReader};
pub use recorder::{RecorderOptions, ThreadRecorder, TraceRecorder};

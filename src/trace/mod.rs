//! Trace files as files: recorded, opened, walked.
//!
//! * [`Trace`] opens a file of either kind. [`reader`] yields the records of LMCache's `.lct` files in place, [`native`]
//!   the chunks of native files; both have their bytes from `bytes`, which maps or reads.
//! * [`recorder`] records the calls of a running process: a [`ring`] per thread, one thread that drains them, and
//!   the [`writer`] of native files, whose bytes go to a [`store`].
//! * [`follow`] reads a native file while it is written; [`recover`] looks closely at one, and mends it. [`partial_file`]:
//!   how a file is written that is there whole or not at all.
//!
//! The bytes themselves are the business of [`format`](crate::format).

mod bytes;
mod compression;
mod file;
pub mod follow;
pub mod native;
pub mod partial_file;
pub mod reader;
pub mod recorder;
pub mod recover;
pub mod ring;
pub mod store;
pub mod writer;

pub use bytes::ReadMode;
pub use file::Trace;
pub use native::NativeTrace;
pub use reader::{Entry, Record, Records, TraceReader};
pub use recorder::{RecorderOptions, ThreadRecorder, TraceRecorder};

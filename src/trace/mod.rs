//! Trace files as files: recorded, opened, walked.
//!
//! * [`Trace`] opens a file of either kind. [`reader`] yields the records of LMCache's `.lct` files in place, [`native`]
//!   the chunks of native files; both have their bytes from `bytes`, which maps or reads.
//! * [`ring`]: how a record leaves the thread that made it.
//! * [`writer`] writes native files, whose bytes go to a [`store`].
//!
//! The bytes themselves are the business of [`format`](crate::format).

mod bytes;
mod file;
pub mod native;
pub mod reader;
pub mod ring;
pub mod store;
pub mod writer;

pub use bytes::ReadMode;
pub use file::Trace;
pub use native::NativeTrace;
pub use reader::{Entry, Record, Records, TraceReader};

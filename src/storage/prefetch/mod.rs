//! Prefetch: finding out how much of a prompt is there, and holding on to it until its readers come.
//!
//! A request is a grid: one row per (object group, rank), one column per chunk of the prompt. It read-locks
//! every cell that L1 has, plans which of them are of use ([`fold`] for a prefix, common columns for the full
//! policy), releases the others, and leaves the hits locked for their readers. The hits count as used.
//!
//! * [`controller`]: the request. * [`handle`]: what its caller holds, and gets.
//! * [`bitmap`]: the rows of the grid. * [`fold`]: how long a prefix they can serve.
//!
//! This build has no L2 to load from, so a request is complete when its submission returns.

pub mod bitmap;
pub mod controller;
pub mod fold;
pub mod handle;

pub use bitmap::Bitmap;
pub use controller::{PrefetchController, validate_spec};
pub use handle::{PrefetchHandle, PrefetchResult};

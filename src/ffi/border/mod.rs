//! What every call goes through.
//!
//! * [`boundary`]: no panic leaves, and what went wrong is kept as the [`last_error`] of the thread, with a [`status`] for the caller.
//! * [`args`]: strings, lists and structs from C. [`growing_output`]: structs to C that may grow.

pub(super) mod args;
pub(super) mod boundary;
pub(super) mod growing_output;
pub mod last_error;
pub mod status;

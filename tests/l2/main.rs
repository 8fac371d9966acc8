//! The adapters of L2: each against the suite that all have to pass, and by itself.

#![allow(clippy::unwrap_used, reason = "a test may end at an unwrap, in what it shares with others as well")]
#![allow(
    clippy::disallowed_methods,
    reason = "what other processes do is waited for by the clock on the wall"
)]

mod conformance;
mod fault_inject;
mod fs;
mod mock;
mod plugin;
mod raw_block;
mod redis_server;
mod resp;
mod resp_faults;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "s3")]
mod s3_server;
mod serde_wrapper;
mod support;
mod uring;

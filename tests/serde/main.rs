//! What L2 keeps of an object: byte for byte what LMCache writes, and errors for everything that it did not.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, in its helpers as in itself")]

#[cfg(feature = "aesgcm")]
mod aesgcm;
#[path = "../common/mod.rs"]
mod common;
mod config;
mod float8;
mod fp8;
mod support;

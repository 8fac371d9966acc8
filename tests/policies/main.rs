//! The eviction policies: what all keep to, what each does, and how often each misses.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, in its helpers as in itself")]

#[path = "../common/mod.rs"]
mod common;
mod conformance;
mod each;
mod models;
mod properties;
mod reference;
mod support;

//! The memory of L1: arenas, allocators, pins.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, in its helpers as in itself")]

mod allocators;
mod arenas;
mod pinning;
mod pins;
mod support;
mod transfers;
mod utilisation;

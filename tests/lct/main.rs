//! LMCache's `.lct` files: our reading against what LMCache's own reader yields, and hostile bytes.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, in its helpers as in itself")]

#[path = "../common/calls.rs"]
mod calls;
#[path = "../common/mod.rs"]
mod common;
mod encode;
mod encode_any;
mod expected;
mod hostile;
mod old_releases;

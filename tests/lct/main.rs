//! LMCache's `.lct` files: our reading against what LMCache's own reader yields, and hostile bytes.

#[path = "../common/mod.rs"]
mod common;
mod expected;
mod hostile;
mod old_releases;

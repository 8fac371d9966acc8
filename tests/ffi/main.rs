//! The C interface, as programs in C and C++ use it: compiled here against the committed header, linked with the library that
//! this build has made, and run.

mod callbacks;
mod checkers;
#[path = "../common/mod.rs"]
mod common;
mod compile;
mod convert;
mod device;
#[cfg(feature = "cuda")]
#[path = "../device/fake.rs"]
#[allow(dead_code, reason = "another test binary uses the rest")]
mod fake;
mod guard;
mod guide;
mod interface;
mod layer;
mod layout;
mod misuse;
mod misuse_reader;
mod misuse_recorder;
mod others;
mod packaging;
mod read;
mod record;
mod replay;
mod storage;
mod symbols;

//! The C interface, as programs in C and C++ use it: compiled here against the committed header, linked with the library that
//! this build has made, and run.

mod checkers;
#[path = "../common/mod.rs"]
mod common;
mod compile;
mod layout;
mod misuse;
mod others;
mod packaging;
mod record;
mod storage;
mod symbols;

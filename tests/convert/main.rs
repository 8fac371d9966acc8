//! Conversions: nothing of an LMCache file is lost on the way to a native one, a compact one, and back.

mod any_calls;
#[path = "../common/calls.rs"]
mod calls;
#[cfg(feature = "cli")]
mod command;
#[path = "../common/mod.rs"]
mod common;
mod from_native;
mod real_traces;
mod sizes;
mod support;

//! Comparisons: what the statistics find and do not find, gates and baselines, and the command that people type.

#[cfg(feature = "cli")]
#[path = "../common/mod.rs"]
mod common;

#[cfg(feature = "cli")]
mod command;
mod gates;
#[cfg(feature = "cli")]
mod namespaces;
#[cfg(feature = "cli")]
mod planted;
mod simulated;
#[cfg(feature = "cli")]
mod told;

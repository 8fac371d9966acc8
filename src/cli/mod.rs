//! The command line `lmcache-trace`: one file or folder per verb.
//!
//! A verb parses its arguments into plain values, resolves them into values of the library, calls it, and
//! prints. What the world sees is decided here: [`exit`] has the exit codes and the one place that prints an
//! error, [`output`] writes to standard output or to a file, [`text`] has the forms of numbers and names.

mod args;
mod dump;
mod exit;
mod info;
mod output;
mod pages;
mod replay;
mod storage_flags;
mod text;

pub use args::Cli;
pub use exit::{Finding, main};

//! The command line `lmcache-trace`: one file or folder per verb.
//!
//! [`program`] lists the verbs. A verb parses its arguments into plain values, resolves them into values of the
//! library, calls it, and prints. What verbs share lies below them: [`options`], [`storage_flags`]; [`output`] for lines as
//! they come and [`files`] for results that are whole or not there; [`exit`] with the exit codes and the one place that prints an error;
//! [`following`] for files that grow; [`numbers`] for flags that are such; [`long_work`] with progress, and [`signals`] that end it; [`text`] with the forms of numbers and names.

mod compare;
mod completions;
mod convert;
mod dump;
mod exit;
mod files;
mod following;
mod info;
mod long_work;
mod man;
mod numbers;
mod options;
mod output;
mod program;
mod repair;
mod replay;
mod signals;
mod storage_flags;
mod text;
mod verify;

pub use exit::Finding;
pub use program::{Cli, main};

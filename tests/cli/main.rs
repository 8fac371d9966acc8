//! `lmcache-trace info` and `dump` as people and programs use them.

#[path = "../common/mod.rs"]
mod common;
mod completions;
mod dump;
mod examples;
mod failures;
mod flags;
mod follow;
mod info;
mod made_native;
mod native;
mod native_damage;
mod numbers;
mod pages;
mod recording;
mod recover;
#[path = "../native/support.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod support;

use std::path::Path;
use std::process::{Command, Output};

/// A command of the program; add arguments that may hold blanks to it.
fn command(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lmcache-trace"));
    command.args(words.split_whitespace());
    command
}

/// Runs the program on a file.
fn run(words: &str, file: &Path) -> Output {
    command(words).arg(file).output().expect("the program starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

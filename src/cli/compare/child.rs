//! One run: `lmcache-trace replay` in a process of its own, which prints its summary.
//!
//! A process for each run, because what a run leaves behind in a process is not the next one's to find: the allocator's
//! arenas, pages of L1 that were touched, threads that were placed on CPUs. Where code and memory come to lie is drawn
//! anew for each, too: it alone makes programs some percent faster or slower (Mytkowicz et al., "Producing wrong data
//! without doing anything obviously wrong!", ASPLOS 2009), and has to be in the spread of the runs. And a configuration
//! that dies takes its run with it, and nothing else.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;

use super::configuration::Configuration;
use crate::clock::{Waiter, monotonic_ns};
use crate::error::{Error, Result};
use crate::os::signal;
use crate::replay::StopFlag;

/// The program itself, whatever became of its file since.
const PROGRAM: &str = "/proc/self/exe";

/// How often a run is looked at.
const LOOK_NS: u64 = 50_000_000;

/// The longest summary that is read; one has some ten KiB.
const MAX_SUMMARY_BYTES: u64 = 64 << 20;

/// How much of what a run says on standard error is kept.
const MAX_NOTES_BYTES: u64 = 1 << 20;

/// Replays `trace`, and returns the summary; nothing if `stop` was set before it was done. `tick` is called while it runs.
///
/// # Errors
/// If the process cannot be started, is killed, or ends with an error: that is the message.
pub(super) fn replay(
    trace: &Path,
    configuration: &Configuration,
    is_buffered: bool,
    stop: &StopFlag,
    tick: impl FnMut(),
) -> Result<Option<Value>> {
    let mut command = Command::new(PROGRAM);
    command.arg0("lmcache-trace").arg("replay").args(&configuration.words);
    command.args(["--no-csv", "--format", "json"]);
    if is_buffered {
        command.arg("--no-mmap");
    }
    // A path that begins with a dash is no flag.
    command.arg("--").arg(trace);
    // A group of its own: Ctrl-C on the terminal is for us, who pass it on once. The second one would end the run before
    // it has put away what it stored to L2.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    signal::end_with_this_thread(&mut command);
    let child = command.spawn().map_err(|error| Error::io("cannot start a replay", error))?;
    let (status, summary, notes) = wait(child, stop, tick)?;
    if stop.is_set() {
        return Ok(None);
    }
    match status.code() {
        // 1: records failed, which is one of the numbers that are compared.
        Some(0 | 1) => serde_json::from_slice(&summary)
            .map(Some)
            .map_err(|error| Error::invalid("the summary of a replay is no JSON").with_source(error)),
        _ => Err(failed(status, &notes)),
    }
}

/// Waits for a run while both of its outputs are read, and asks it to end once `stop` is set.
fn wait(mut child: Child, stop: &StopFlag, mut tick: impl FnMut()) -> Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let summary = scope.spawn(move || read(stdout, MAX_SUMMARY_BYTES));
        let notes = scope.spawn(move || read(stderr, MAX_NOTES_BYTES));
        let mut is_told = false;
        let status = loop {
            let ended = child.try_wait().map_err(|error| Error::io("cannot wait for a replay", error))?;
            if let Some(status) = ended {
                break status;
            }
            if stop.is_set() && !is_told {
                is_told = true;
                // One that has just ended by itself has nothing to be told.
                let _ = signal::terminate(child.id());
            }
            tick();
            Waiter::new(0).wait_until_ns(monotonic_ns() + LOOK_NS, || false);
        };
        // A thread that only reads does not panic.
        let read = |thread: std::thread::ScopedJoinHandle<'_, Vec<u8>>| thread.join().unwrap_or_default();
        Ok((status, read(summary), read(notes)))
    })
}

/// Everything that comes, as far as it is wanted. The rest is taken in and forgotten: a full pipe would stop the run.
fn read(from: Option<impl Read>, most_bytes: u64) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut from) = from {
        // A pipe that breaks has said what it had to say.
        let _ = (&mut from).take(most_bytes).read_to_end(&mut kept);
        let _ = std::io::copy(&mut from, &mut std::io::sink());
    }
    kept
}

/// What a run that failed said itself, or how it ended.
fn failed(status: ExitStatus, notes: &[u8]) -> Error {
    let notes = String::from_utf8_lossy(notes);
    let said =
        |tag: &str| notes.lines().find_map(|line| line.strip_prefix(tag)).map(|line| line.trim().to_owned());
    if let Some(sentence) = said("error:") {
        let error = Error::invalid(sentence);
        return match said("hint:") {
            Some(hint) => error.with_hint(hint),
            None => error,
        };
    }
    let last = notes.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing").to_owned();
    match status.signal() {
        Some(9) => Error::invalid("the replay was killed (signal 9)")
            .with_hint("the kernel kills what takes too much memory: give a smaller --l1-size-gb, or keep_bytes false to a mock"),
        Some(number) => Error::invalid("the replay was ended by a signal").with_context("signal", number),
        None => Error::invalid("the replay failed").with_context("status", status),
    }
    .with_context("last_words", last)
}

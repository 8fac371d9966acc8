//! Files that are followed while they are recorded: which can be, and how to wait for more.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::files::is_device;
use super::long_work::LongWork;
use crate::clock::{Waiter, monotonic_ns};
use crate::error::{Error, ErrorKind, Result};
use crate::format::native::is_native;
use crate::format::native::pod::FILE_MAGIC;
use crate::trace::follow::TraceFollower;

/// How long to wait before looking again.
const POLL_NS: u64 = 100_000_000;

/// Opens a file to be followed. Nothing if it is a native file that does not grow, and is read like any other.
///
/// # Errors
/// If it is not there, or of a kind that cannot be followed.
pub(super) fn open(path: &Path) -> Result<Option<TraceFollower>> {
    check_kind(path).map_err(|error| error.with_context("path", path.display()))?;
    match TraceFollower::open(path) {
        Ok(follower) => Ok((!follower.is_closed()?).then_some(follower)),
        // Compact files never grow. Files of another version cannot be read either, and whoever tries says so.
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits until it is time to look again, or somebody wants the work to end.
pub(super) fn pause(work: &LongWork) {
    // Without a guard it sleeps to the end.
    Waiter::new(0).wait_until_ns(monotonic_ns() + POLL_NS, || work.is_interrupted());
}

fn check_kind(path: &Path) -> Result<()> {
    if path.as_os_str() == "-" || is_device(path) {
        return Err(Error::unsupported("a stream cannot be followed, only a native trace file can")
            .with_hint(
                "name the file that the recorder writes; without --follow a stream is read to its end",
            ));
    }
    if path.is_dir() {
        return Err(Error::invalid("a folder is not a trace file"));
    }
    let file = File::open(path).map_err(|error| {
        let hint = "it can be followed as soon as its recorder has made it";
        let is_missing = error.kind() == std::io::ErrorKind::NotFound;
        let error = Error::io("cannot open trace file", error);
        if is_missing { error.with_hint(hint) } else { error }
    })?;
    let mut magic = Vec::new();
    file.take(FILE_MAGIC.len() as u64)
        .read_to_end(&mut magic)
        .map_err(|error| Error::io("cannot read trace file", error))?;
    if is_native(&magic) {
        return Ok(());
    }
    if magic.is_empty() {
        return Err(Error::new(ErrorKind::Truncated, "the trace file is empty: it has no header yet"));
    }
    Err(Error::unsupported("only a native trace file can be followed, and this is none")
        .with_hint("LMCache's own files cannot be read while they are written; leave out --follow"))
}

//! A file that is written as the replay goes. If it cannot be written any more (a full disk) that is said at once, and
//! again when it is closed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::clock::monotonic_ns;
use crate::error::{Error, Result};

use super::NS_PER_MS;
use crate::cli::exit::print_warning;

/// How long something waits in memory at most before it goes to the file.
const FLUSH_EVERY_NS: u64 = 200 * NS_PER_MS;

/// The file, and what became of it.
pub(super) struct StreamFile {
    path: PathBuf,
    /// What is missing if it fails, for the warning.
    what: &'static str,
    out: BufWriter<File>,
    /// When it is to be flushed; nothing if nothing waits.
    due_ns: Option<u64>,
    failure: Option<std::io::Error>,
}

impl StreamFile {
    pub(super) fn create(path: &Path, what: &'static str) -> Result<Self> {
        let file = File::create(path)
            .map_err(|error| Error::io("cannot create file", error).with_context("path", path.display()))?;
        Ok(Self { path: path.to_owned(), what, out: BufWriter::new(file), due_ns: None, failure: None })
    }

    /// Lets `write` write, unless the file has failed.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) {
        if self.failure.is_some() {
            return;
        }
        let written = write(&mut self.out);
        self.due_ns.get_or_insert_with(|| monotonic_ns() + FLUSH_EVERY_NS);
        self.note(written);
    }

    pub(super) fn flush_if_due(&mut self, now_ns: u64) {
        if self.failure.is_none() && self.due_ns.take_if(|due_ns| *due_ns <= now_ns).is_some() {
            let written = self.out.flush();
            self.note(written);
        }
    }

    fn note(&mut self, written: std::io::Result<()>) {
        if let Err(error) = written {
            print_warning(&format!("no more {} go to {}: {error}", self.what, self.path.display()));
            self.failure = Some(error);
        }
    }

    /// Closes the file.
    ///
    /// # Errors
    /// The sentence `is_not_whole`, if anything could not be written.
    pub(super) fn close(mut self, is_not_whole: &'static str) -> Result<()> {
        let written = self.failure.map_or_else(|| self.out.flush(), Err);
        written.map_err(|error| Error::io(is_not_whole, error).with_context("path", self.path.display()))
    }
}

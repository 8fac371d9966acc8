//! Where a report goes: standard output, a file, or nowhere.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::options::ReportArgs;
use crate::error::{Error, Result};

/// An open destination. Call [`Sink::finish`]: a full disk shows only when the last bytes are written.
pub(super) struct Sink {
    writer: Box<dyn Write>,
    path: Option<PathBuf>,
}

impl Sink {
    /// Opens what the arguments say.
    pub(super) fn open(args: &ReportArgs) -> Result<Self> {
        match &args.output {
            Some(path) => Self::create(path),
            None if args.quiet => Ok(Self { writer: Box::new(std::io::sink()), path: None }),
            None => Ok(Self::stdout()),
        }
    }

    /// Standard output.
    pub(super) fn stdout() -> Self {
        Self { writer: Box::new(BufWriter::with_capacity(1 << 16, std::io::stdout().lock())), path: None }
    }

    /// A file, emptied if it is there.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|error| {
            Error::io("cannot create output file", error).with_context("path", path.display())
        })?;
        Ok(Self { writer: Box::new(BufWriter::new(file)), path: Some(path.to_owned()) })
    }

    /// Writes all of `bytes`.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).map_err(|error| self.error(error))
    }

    /// Writes what is still buffered.
    pub(super) fn finish(mut self) -> Result<()> {
        self.writer.flush().map_err(|error| self.error(error))
    }

    fn error(&self, cause: std::io::Error) -> Error {
        match &self.path {
            Some(path) => Error::io("cannot write output file", cause).with_context("path", path.display()),
            None => Error::io("cannot write to standard output", cause),
        }
    }
}

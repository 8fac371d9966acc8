//! Where a report goes: standard output, a file, both, or nowhere.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::options::ReportArgs;
use crate::error::{Error, Result};

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 1 << 16;

/// Open destinations. Call [`Sink::finish`]: a full disk shows only when the last bytes are written.
pub(super) struct Sink(Vec<Destination>);

struct Destination {
    writer: BufWriter<Box<dyn Write>>,
    path: Option<PathBuf>,
}

impl Sink {
    /// Opens what the arguments say.
    pub(super) fn open(args: &ReportArgs) -> Result<Self> {
        let file = args.output.as_deref().map(Destination::create).transpose()?;
        let stdout = (!args.quiet).then(Destination::stdout);
        Ok(Self(file.into_iter().chain(stdout).collect()))
    }

    /// Standard output.
    pub(super) fn stdout() -> Self {
        Self(vec![Destination::stdout()])
    }

    /// A file, emptied if it is there.
    pub(super) fn create(path: &Path) -> Result<Self> {
        Ok(Self(vec![Destination::create(path)?]))
    }

    /// Writes all of `bytes`.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.iter_mut().try_for_each(|destination| {
            destination.writer.write_all(bytes).map_err(|error| destination.error(error))
        })
    }

    /// Writes what is still buffered.
    pub(super) fn finish(mut self) -> Result<()> {
        self.0
            .iter_mut()
            .try_for_each(|destination| destination.writer.flush().map_err(|error| destination.error(error)))
    }
}

impl Destination {
    fn new(writer: Box<dyn Write>, path: Option<PathBuf>) -> Self {
        Self { writer: BufWriter::with_capacity(BUFFER_BYTES, writer), path }
    }

    fn stdout() -> Self {
        Self::new(Box::new(std::io::stdout().lock()), None)
    }

    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|error| {
            Error::io("cannot create output file", error).with_context("path", path.display())
        })?;
        Ok(Self::new(Box::new(file), Some(path.to_owned())))
    }

    fn error(&self, cause: std::io::Error) -> Error {
        match &self.path {
            Some(path) => Error::io("cannot write output file", cause).with_context("path", path.display()),
            None => Error::io("cannot write to standard output", cause),
        }
    }
}

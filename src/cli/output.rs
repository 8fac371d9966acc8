//! Where lines go: standard output, or a file that is written as they come.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::files::write_whole;
use super::options::ReportArgs;
use crate::error::{Error, Result};
use crate::os::stdio::is_output_abandoned;

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 1 << 16;

/// Columns of what is not read on a terminal.
pub(super) const PIPED_WIDTH: usize = 100;

/// The least columns that sentences are broken to.
const MIN_WIDTH: usize = 40;

/// How many columns there are on standard output.
pub(super) fn width() -> usize {
    let size = terminal_size::terminal_size_of(std::io::stdout());
    size.map_or(PIPED_WIDTH, |(width, _)| usize::from(width.0).max(MIN_WIDTH))
}

/// An open destination. Call [`Sink::finish`]: a full disk shows only when the last bytes are written.
///
/// Whoever reads our standard output and leaves has seen enough: from then on it swallows what it is given, and
/// the verb ends as it would have (`lmcache-trace dump F | head` is no error, and no success of a failed replay).
pub(super) struct Sink {
    writer: BufWriter<Box<dyn Write>>,
    path: Option<PathBuf>,
    is_abandoned: bool,
}

impl Sink {
    /// Standard output.
    pub(super) fn stdout() -> Self {
        Self::new(Box::new(std::io::stdout()), None)
    }

    /// A file, emptied if it is there.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|error| {
            Error::io("cannot create output file", error).with_context("path", path.display())
        })?;
        Ok(Self::new(Box::new(file), Some(path.to_owned())))
    }

    fn new(writer: Box<dyn Write>, path: Option<PathBuf>) -> Self {
        Self { writer: BufWriter::with_capacity(BUFFER_BYTES, writer), path, is_abandoned: false }
    }

    /// Whether nobody reads standard output any more: there is no use in going on.
    pub(super) fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }

    /// Finds out whether somebody still reads standard output, which otherwise shows at the next write only.
    pub(super) fn look_for_reader(&mut self) {
        self.is_abandoned |= self.path.is_none() && is_output_abandoned();
    }

    /// Writes all of `bytes`, some of it later.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.carry_out(|writer| writer.write_all(bytes))
    }

    /// Writes what is still buffered.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.carry_out(BufWriter::flush)
    }

    /// Writes what is still buffered and closes.
    pub(super) fn finish(mut self) -> Result<()> {
        self.flush()
    }

    fn carry_out(
        &mut self,
        work: impl FnOnce(&mut BufWriter<Box<dyn Write>>) -> std::io::Result<()>,
    ) -> Result<()> {
        if self.is_abandoned {
            return Ok(());
        }
        let Err(cause) = work(&mut self.writer) else { return Ok(()) };
        if cause.kind() == ErrorKind::BrokenPipe && self.path.is_none() {
            self.is_abandoned = true;
            return Ok(());
        }
        Err(match &self.path {
            Some(path) => Error::io("cannot write output file", cause).with_context("path", path.display()),
            None => Error::io("cannot write to standard output", cause),
        })
    }
}

/// Delivers a finished report: to the file that the arguments name, and to standard output unless they are quiet.
/// Both are tried; the first error is returned.
pub(super) fn deliver(args: &ReportArgs, report: &str) -> Result<()> {
    let to_file = args.output.as_deref().map_or(Ok(()), |path| write_whole(path, report.as_bytes()));
    let to_stdout = match args.quiet {
        true => Ok(()),
        false => print(report),
    };
    to_file.and(to_stdout)
}

/// Prints to standard output, all of it at once.
pub(super) fn print(report: &str) -> Result<()> {
    let mut stdout = Sink::stdout();
    stdout.write(report.as_bytes())?;
    stdout.finish()
}

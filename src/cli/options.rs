//! The options that several verbs share.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use crate::trace::ReadMode;

/// How a trace file is read, and what counts as a finding in it.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ReadArgs {
    /// Read the file into memory instead of mapping it. A file that somebody shortens while it is mapped kills
    /// the process; use this for files that are not finished, or on file systems that map badly
    #[arg(long)]
    no_mmap: bool,
    /// Exit with 1 if the trace is cut short or holds frames that are no records; of a native file, if it was not
    /// closed, lost calls or has damage
    #[arg(long)]
    pub(crate) strict: bool,
}

impl ReadArgs {
    pub(crate) fn mode(self) -> ReadMode {
        if self.no_mmap {
            return ReadMode::buffered();
        }
        // SAFETY: nobody can promise this for a file that a user names; the help of --no-mmap says what happens
        // to a process whose file is shortened, and how to be safe from it.
        #[expect(unsafe_code, reason = "mapping is the documented default of the command line")]
        unsafe {
            ReadMode::mapped()
        }
    }
}

/// Where a report goes, as in LMCache's commands.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReportArgs {
    /// Save the report to PATH too, in the form that --format chooses
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Print nothing on standard output; the exit code tells
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

impl ReportArgs {
    /// The files that the report goes to: one or none.
    pub(crate) fn files(&self) -> Vec<&Path> {
        self.output.as_deref().into_iter().collect()
    }
}

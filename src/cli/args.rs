//! The command line as clap sees it. Help, completions and man pages all come from here.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};

use crate::cli::dump::DumpArgs;
use crate::cli::info::InfoArgs;
use crate::cli::pages::{CompletionsArgs, ManArgs};
use crate::cli::replay::ReplayArgs;
use crate::trace::ReadMode;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  lmcache-trace info server.lct                    what is in a trace
  lmcache-trace dump server.lct -n 20              its first 20 records, readable
  lmcache-trace dump server.lct --format jsonl     all of them, for a program
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU
                                                   play it against a storage manager

Exit codes: 0 fine; 1 a finding (a record failed, or the trace is incomplete under --strict);
2 wrong usage or unreadable input; 130 interrupted.";

/// Inspects and replays traces of LMCache's storage calls.
#[derive(Debug, Parser)]
#[command(name = "lmcache-trace", version, about, after_help = EXAMPLES, styles = STYLES, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Says what is in a trace: calls, keys, models, rates, and whether it is whole
    Info(InfoArgs),
    /// Prints the records of a trace, one a line
    Dump(DumpArgs),
    /// Plays a trace against a storage manager, at its recorded pace, and says how it went
    Replay(Box<ReplayArgs>),
    /// Prints the completion script of a shell
    Completions(CompletionsArgs),
    /// Writes the man pages
    Man(ManArgs),
}

/// How a trace file is read.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ReadArgs {
    /// Read the file into memory instead of mapping it. A file that somebody shortens while it is mapped kills
    /// the process; use this for files that are not finished, or on file systems that map badly
    #[arg(long)]
    pub(crate) no_mmap: bool,
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
    /// Save the report to PATH instead of printing it
    #[arg(long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// Print nothing; the exit code tells
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

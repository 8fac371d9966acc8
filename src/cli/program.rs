//! The command line as clap sees it. Help, completions and man pages all come from here.

use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{CommandFactory, Parser, Subcommand};

use crate::cli::compare::CompareArgs;
use crate::cli::completions::CompletionsArgs;
use crate::cli::convert::{CompactArgs, ConvertArgs};
use crate::cli::dump::DumpArgs;
use crate::cli::exit::{self, Finding};
use crate::cli::info::InfoArgs;
use crate::cli::man::ManArgs;
use crate::cli::repair::RepairArgs;
use crate::cli::replay::ReplayArgs;
use crate::cli::verify::VerifyArgs;
use crate::error::Result;

/// What the program is called.
pub(super) const NAME: &str = "lmcache-trace";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  lmcache-trace info server.lct                # what is in a trace
  lmcache-trace dump server.lct -n 20          # its first 20 records
  lmcache-trace dump server.lct --format jsonl # all, for a program
  # play it against a storage manager
  lmcache-trace replay server.lct --l1-size-gb 4 --eviction-policy LRU
  lmcache-trace convert server.lct small.lct   # LMCache's form and ours
  lmcache-trace verify server.lct              # is it as it should be?
  lmcache-trace repair killed.lct whole.lct    # a copy of what is left
  lmcache-trace compare --help                 # which one is slower?

Exit codes: 0 fine; 1 a finding (a record failed, a gate is broken, or the trace is incomplete under --strict);
2 wrong usage or unreadable input; 130 interrupted.";

/// Inspects and replays traces of LMCache's storage calls
#[derive(Debug, Parser)]
#[command(name = NAME, version, after_help = EXAMPLES, styles = STYLES, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Says what is in a trace: calls, keys, models, rates, and whether it is whole
    Info(InfoArgs),
    /// Prints the records of a trace, one a line
    Dump(DumpArgs),
    /// Plays a trace against a storage manager, at its recorded pace, and says how it went
    Replay(Box<ReplayArgs>),
    /// Replays a trace under two configurations in turn, and says what differs and how sure that is
    Compare(Box<CompareArgs>),
    /// Writes a trace in another form: LMCache's as a native one, or back, byte for byte
    Convert(ConvertArgs),
    /// Writes a trace as a native file in which each distinct key stands once
    Compact(CompactArgs),
    /// Checks a trace: structure, checksums, order, losses, and which completion belongs to which call
    Verify(VerifyArgs),
    /// Makes a sealed copy of a trace that was not closed or is damaged
    Repair(RepairArgs),
    /// Prints the completion script of a shell
    Completions(CompletionsArgs),
    /// Prints a man page, or writes all of them
    Man(ManArgs),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    exit::code(run(Cli::parse().verb))
}

fn run(verb: Verb) -> Result<Finding> {
    match verb {
        Verb::Info(args) => args.run(),
        Verb::Dump(args) => args.run(),
        Verb::Replay(args) => args.run(),
        Verb::Compare(args) => args.run(),
        Verb::Convert(args) => args.run(),
        Verb::Compact(args) => args.run(),
        Verb::Verify(args) => args.run(),
        Verb::Repair(args) => args.run(),
        Verb::Completions(args) => args.run(Cli::command()),
        Verb::Man(args) => args.run(Cli::command()),
    }
}

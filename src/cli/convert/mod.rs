//! `convert` and `compact`: a trace in another form.
//!
//! * This file: `convert`, and what both do: open the input, write beside the output, say how it went.
//! * [`compact`] has its flags. [`report`] is what is said.

mod compact;
mod report;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

pub(crate) use compact::CompactArgs;

use super::exit::{Finding, print_warning};
use super::files::{PartialFile, check_apart};
use super::long_work::LongWork;
use super::options::ReadArgs;
use super::output::print;
use crate::convert::{Conversion, ExportOptions, to_compact, to_lmcache_file, to_native};
use crate::error::{Error, Result};
use crate::format::lct::SaltPolicy;
use crate::trace::Trace;
use crate::trace::store::FileStore;
use report::{Kind, Report};

const EXAMPLES: &str = "\
Examples:
  # LMCache's file, a fifth of its size or less; and back, byte for byte
  lmcache-trace convert server.lct server.native.lct
  lmcache-trace convert server.native.lct server.copy.lct
  # a recording of ours, for LMCache's tools
  lmcache-trace convert node.lct for-lmcache.lct --omit-salts
  zstd -dc server.lct.zst | lmcache-trace convert - server.native.lct";

/// Arguments of `convert`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConvertArgs {
    #[command(flatten)]
    files: FileArgs,
    /// The form of OUT [default: the one that IN does not have]
    #[arg(long, value_enum)]
    to: Option<Target>,
    /// To lmcache: leave out the tenants of keys, as LMCache's recorder does
    #[arg(long)]
    omit_salts: bool,
    /// To lmcache: write no record (lmcache_trace.loss) where the recorder lost calls
    #[arg(long)]
    no_extras: bool,
    /// To lmcache: write a record (lmcache_trace.completion) for each completion, too
    #[arg(long)]
    with_completions: bool,
}

/// What both verbs are given.
#[derive(Debug, Args)]
struct FileArgs {
    /// The trace file; - is the standard input
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The file to write; what was there is replaced once the new file is whole
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// What was done: some lines, or one JSON object
    #[arg(long, value_enum, default_value_t = ReportFormat::Terminal)]
    format: ReportFormat,
    /// Print nothing on standard output; the exit code tells
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    read: ReadArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// A native file
    Native,
    /// LMCache's msgpack frames
    Lmcache,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// For people
    Terminal,
    /// One object, for programs
    Json,
}

impl ConvertArgs {
    pub(super) fn run(self) -> Result<Finding> {
        self.files.check_apart()?;
        let file = self.files.open()?;
        let target = self.to.unwrap_or(match &file {
            Trace::Lct(_) => Target::Native,
            Trace::Native(_) => Target::Lmcache,
        });
        if target == Target::Native && (self.omit_salts || self.no_extras || self.with_completions) {
            return Err(Error::invalid(
                "--omit-salts, --no-extras and --with-completions go with --to lmcache",
            ));
        }
        match target {
            Target::Native => self.files.convert(&file, Kind::Native, |path, work| {
                let store = FileStore::create(path)?;
                to_native(&file, store, &mut |done_bytes| work.step(done_bytes)).map(|(report, _)| report)
            }),
            Target::Lmcache => self.files.convert(&file, Kind::Lmcache, |path, work| {
                to_lmcache_file(&file, path, self.export_options(), &mut |done_bytes| work.step(done_bytes))
            }),
        }
    }

    fn export_options(&self) -> ExportOptions {
        ExportOptions {
            salts: if self.omit_salts { SaltPolicy::Omitted } else { SaltPolicy::Written },
            with_losses: !self.no_extras,
            with_completions: self.with_completions,
        }
    }
}

impl FileArgs {
    fn check_apart(&self) -> Result<()> {
        if self.output.as_os_str() == "-" {
            return Err(Error::invalid("a trace cannot be written to the standard output")
                .with_hint("the report goes there; name a file"));
        }
        check_apart(&[&self.output], &[&self.input])
    }

    fn open(&self) -> Result<Trace> {
        Trace::open(&self.input, self.read.mode())
    }

    /// Has `convert` write a file beside the output, moves it there, and reports.
    fn convert(
        &self,
        file: &Trace,
        to: Kind,
        convert: impl FnOnce(&Path, &LongWork) -> Result<Conversion>,
    ) -> Result<Finding> {
        let partial = PartialFile::beside(&self.output)?;
        let work = LongWork::begin(report::size_bytes(file))?;
        let conversion = match convert(partial.place(), &work) {
            Ok(conversion) => conversion,
            Err(_) if work.is_interrupted() => {
                print_warning("interrupted: nothing was written");
                return Ok(Finding::Interrupted);
            }
            Err(error) => return Err(error.with_context("output", self.output.display())),
        };
        drop(work);
        partial.keep()?;
        let report =
            Report { input: &self.input, output: &self.output, from: Kind::of(file), to, conversion };
        report.warnings().iter().for_each(|sentence| print_warning(sentence));
        if !self.quiet {
            print(&match self.format {
                ReportFormat::Terminal => report.lines(),
                ReportFormat::Json => report.json(),
            })?;
        }
        let is_found = report.conversion.is_damaged()
            || (self.read.strict && (report.conversion.is_incomplete() || report.conversion.lost_calls > 0));
        Ok(if is_found { Finding::Found } else { Finding::None })
    }
}

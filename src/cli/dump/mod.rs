//! `dump`: the records of a trace, one a line.
//!
//! * This file: the flags, and LMCache's files. [`native`]: native files; [`follow`]: those that are being recorded.
//! * [`mod@line`]: what a line looks like; [`native_line`]: those of native files.

mod follow;
mod line;
mod native;
mod native_line;

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::exit::{Finding, print_warning};
use super::files::check_apart;
use super::following;
use super::numbers::{count, number};
use super::options::ReadArgs;
use super::output::Sink;
use crate::error::{Error, Result};
use crate::format::model::Op;
use crate::trace::{Entry, Record, Records, Trace, TraceReader};

const EXAMPLES: &str = "\
Examples:
  lmcache-trace dump server.lct -n 20
  lmcache-trace dump server.lct --op reserve_write,finish_write \\
      --from 1.5 --to 2
  lmcache-trace dump server.lct --format jsonl \\
      | jq -c '[.t_mono, .qualname]'
  lmcache-trace dump live.lct --follow --op loss
  zstd -dc server.lct.zst | lmcache-trace dump -";

/// Arguments of `dump`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DumpArgs {
    /// The trace file; - is the standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// One readable line a record, or one JSON object a line
    #[arg(long, value_enum, default_value_t = DumpFormat::Text)]
    format: DumpFormat,
    /// Only records of this operation: a method name (reserve_write), a short name
    /// (read_prefetched_results.enter) or a whole qualified name; of a native file also the name of a call of the
    /// host, "completion" or "loss". Separate several by commas, or repeat the flag
    #[arg(long, value_name = "OP", value_delimiter = ',')]
    op: Vec<String>,
    /// Only records from this time on, in seconds since the recording began
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = number("1.5"))]
    from: Option<f64>,
    /// Only records before this time
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = number("1.5"))]
    to: Option<f64>,
    /// Only the first N records that pass the other filters
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true, value_parser = count)]
    first: Option<u64>,
    #[command(flatten)]
    read: ReadArgs,
    /// Go on with what a recorder adds to a native file, until it closes the file, Ctrl-C, -n or --to; "new" leaves
    /// out what is there already. A recorder that was killed never closes its file
    #[arg(long, value_enum, value_name = "WHAT", num_args = 0..=1, require_equals = true,
        default_missing_value = "all")]
    follow: Option<FollowFrom>,
    /// Write to PATH instead of standard output
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DumpFormat {
    /// One readable line a record
    Text,
    /// One JSON object a line: seq, t_mono, t_wall, qualname, args; or loss, or completion
    Jsonl,
}

/// Where following begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FollowFrom {
    /// With the records that are there
    All,
    /// With the next records that are added
    New,
}

impl DumpArgs {
    pub(super) fn run(self) -> Result<Finding> {
        self.check_filters()?;
        check_apart(self.output.as_deref().as_slice(), &[&self.file])?;
        if let Some(from) = self.follow
            && let Some(follower) = following::open(&self.file)?
        {
            return follow::dump(&self, follower, from);
        }
        let trace = Trace::open(&self.file, self.read.mode())?;
        let mut sink = self.sink()?;
        let is_incomplete = match &trace {
            Trace::Lct(reader) => self.dump_lct(reader, &mut sink)?,
            Trace::Native(trace) => native::dump(&self, trace, &mut sink)?,
        };
        sink.finish()?;
        Ok(if self.read.strict && is_incomplete { Finding::Found } else { Finding::None })
    }

    fn sink(&self) -> Result<Sink> {
        self.output.as_deref().map_or_else(|| Ok(Sink::stdout()), Sink::create)
    }

    /// Prints an LMCache file and returns whether something is missing in it.
    fn dump_lct(&self, reader: &TraceReader, sink: &mut Sink) -> Result<bool> {
        let mut records = reader.records();
        let printed = self.print_records(&mut records, sink)?;
        // What is said on standard error comes behind the lines.
        sink.flush()?;
        if self.read.strict {
            // What lies behind the last record that was asked for counts too.
            (&mut records).for_each(drop);
        }
        self.report_losses(&records, printed);
        Ok(records.skipped() > 0 || records.ending().is_some_and(|ending| ending.is_truncated()))
    }

    fn check_filters(&self) -> Result<()> {
        let is_nan = |time: Option<f64>| time.is_some_and(f64::is_nan);
        if is_nan(self.from) || is_nan(self.to) {
            return Err(Error::invalid("--from and --to take a number of seconds"));
        }
        match (self.from, self.to) {
            (Some(from), Some(to)) if from >= to => Err(Error::invalid("--from must be before --to")
                .with_context("--from", from)
                .with_context("--to", to)),
            _ => Ok(()),
        }
    }

    /// Prints what is wanted and returns how many records that were.
    fn print_records(&self, records: &mut Records<'_>, sink: &mut Sink) -> Result<u64> {
        let (mut printed, mut line) = (0, Vec::new());
        while self.first.is_none_or(|first| printed < first) && !sink.is_abandoned() {
            let Some(entry) = records.next() else { break };
            let Entry::Record(record) = entry else { continue };
            if self.is_wanted(&record) {
                line.clear();
                line::write_record(self.format, &record, &mut line);
                sink.write(&line)?;
                printed += 1;
            }
        }
        Ok(printed)
    }

    fn is_wanted(&self, record: &Record<'_>) -> bool {
        self.is_wanted_time(record.t_mono_s) && self.is_wanted_op(record.qualname)
    }

    fn is_wanted_time(&self, t_mono_s: f64) -> bool {
        self.from.is_none_or(|from| t_mono_s >= from) && self.to.is_none_or(|to| t_mono_s < to)
    }

    fn is_wanted_op(&self, qualname: &str) -> bool {
        self.op.is_empty() || self.op.iter().any(|op| is_op(qualname, op))
    }

    /// Says on standard error what the lines on standard output cannot say.
    fn report_losses(&self, records: &Records<'_>, printed: u64) {
        warn_of_frames(records.skipped());
        if let Some(ending) = records.ending().filter(|ending| ending.is_truncated()) {
            print_warning(&format!("the trace is {ending}"));
        }
        self.warn_if_nothing_passed(printed);
    }

    fn warn_if_nothing_passed(&self, printed: u64) {
        let is_filtered = !self.op.is_empty() || self.from.is_some() || self.to.is_some();
        if printed == 0 && is_filtered && self.first != Some(0) {
            print_warning(
                "no record passes the filters; `lmcache-trace info` lists the operations of a trace",
            );
        }
    }
}

/// Says how many frames of an LMCache file were no records.
fn warn_of_frames(skipped: u64) {
    match skipped {
        0 => {}
        1 => print_warning("1 frame was no record and was skipped"),
        count => print_warning(&format!("{count} frames were no records and were skipped")),
    }
}

fn is_op(qualname: &str, wanted: &str) -> bool {
    let is_suffix = |rest: &str| rest.is_empty() || rest.ends_with('.');
    qualname.strip_suffix(wanted).is_some_and(is_suffix)
        || Op::from_qualname(qualname).is_some_and(|op| op.short_name() == wanted)
}

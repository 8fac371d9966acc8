//! `dump`: the records of a trace, one a line.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::exit::{Finding, print_warning};
use super::files::check_apart;
use super::options::ReadArgs;
use super::output::Sink;
use super::text::{printable, short};
use crate::error::{Error, Result};
use crate::format::lct::{WireKey, for_each_key, json};
use crate::format::model::Op;
use crate::format::model::key::Hex;
use crate::trace::{Entry, Record, Records, TraceReader};

/// How many bytes of a chunk hash a readable line shows.
const SHOWN_HASH_BYTES: usize = 6;

const EXAMPLES: &str = "\
Examples:
  lmcache-trace dump server.lct -n 20
  lmcache-trace dump server.lct --op reserve_write --op finish_write --from 1.5 --to 2
  lmcache-trace dump server.lct --format jsonl | jq -c '[.t_mono, .qualname]'
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
    /// (read_prefetched_results.enter) or a whole qualified name. Repeat for several
    #[arg(long, value_name = "OP")]
    op: Vec<String>,
    /// Only records from this time on, in seconds since the recording began
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    from: Option<f64>,
    /// Only records before this time
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    to: Option<f64>,
    /// Only the first N records that pass the other filters
    #[arg(short = 'n', long, value_name = "N")]
    first: Option<u64>,
    #[command(flatten)]
    read: ReadArgs,
    /// Write to PATH instead of standard output
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DumpFormat {
    /// One readable line a record
    Text,
    /// One JSON object a line: seq, t_mono, t_wall, qualname, args
    Jsonl,
}

impl DumpArgs {
    pub(super) fn run(self) -> Result<Finding> {
        self.check_filters()?;
        check_apart(self.output.as_deref().as_slice(), &[&self.file])?;
        let reader = TraceReader::open(&self.file, self.read.mode())?;
        let mut sink = self.output.as_deref().map_or_else(|| Ok(Sink::stdout()), Sink::create)?;
        let mut records = reader.records();
        let printed = self.print_records(&mut records, &mut sink)?;
        sink.finish()?;
        if self.read.strict {
            // What lies behind the last record that was asked for counts too.
            (&mut records).for_each(drop);
        }
        self.report_losses(&records, printed);
        let is_incomplete =
            records.skipped() > 0 || records.ending().is_some_and(|ending| ending.is_truncated());
        Ok(if self.read.strict && is_incomplete { Finding::Found } else { Finding::None })
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
                self.format.write_record(&record, &mut line);
                sink.write(&line)?;
                printed += 1;
            }
        }
        Ok(printed)
    }

    fn is_wanted(&self, record: &Record<'_>) -> bool {
        self.from.is_none_or(|from| record.t_mono_s >= from)
            && self.to.is_none_or(|to| record.t_mono_s < to)
            && (self.op.is_empty() || self.op.iter().any(|op| is_op(record.qualname, op)))
    }

    /// Says on standard error what the lines on standard output cannot say.
    fn report_losses(&self, records: &Records<'_>, printed: u64) {
        if records.skipped() > 0 {
            let frames = match records.skipped() {
                1 => "1 frame was no record and was skipped".to_owned(),
                count => format!("{count} frames were no records and were skipped"),
            };
            print_warning(&frames);
        }
        if let Some(ending) = records.ending().filter(|ending| ending.is_truncated()) {
            print_warning(&format!("the trace is {ending}"));
        }
        let is_filtered = !self.op.is_empty() || self.from.is_some() || self.to.is_some();
        if printed == 0 && is_filtered && self.first != Some(0) {
            print_warning(
                "no record passes the filters; `lmcache-trace info` lists the operations of a trace",
            );
        }
    }
}

fn is_op(qualname: &str, wanted: &str) -> bool {
    let is_suffix = |rest: &str| rest.is_empty() || rest.ends_with('.');
    qualname.strip_suffix(wanted).is_some_and(is_suffix)
        || Op::from_qualname(qualname).is_some_and(|op| op.short_name() == wanted)
}

impl DumpFormat {
    fn write_record(self, record: &Record<'_>, line: &mut Vec<u8>) {
        match self {
            Self::Text => write_text(record, line),
            Self::Jsonl => write_jsonl(record, line),
        }
        line.push(b'\n');
    }
}

fn write_jsonl(record: &Record<'_>, line: &mut Vec<u8>) {
    push(line, format_args!("{{\"seq\":{},\"t_mono\":", record.seq));
    json::write_f64(record.t_mono_s, line);
    line.extend_from_slice(b",\"t_wall\":");
    json::write_f64(record.t_wall_s, line);
    line.extend_from_slice(b",\"qualname\":");
    json::write_str(record.qualname, line);
    line.extend_from_slice(b",\"args\":");
    let args_start = line.len();
    if json::write_json(&record.args, line).is_err() {
        // The arguments of a decoded record are well-formed; a line must be JSON whatever happens.
        line.truncate(args_start);
        line.extend_from_slice(b"null");
    }
    line.push(b'}');
}

fn write_text(record: &Record<'_>, line: &mut Vec<u8>) {
    let name = Op::from_qualname(record.qualname).map_or(record.qualname, |op| op.short_name());
    push(line, format_args!("{:>8}  {:>14.6}s  {:<29}", record.seq, record.t_mono_s, short(name)));
    let (mut first, mut last) = (None, None);
    match for_each_key(&record.args, |key| {
        first = first.or(Some(key));
        last = Some(key);
    }) {
        Ok(count) => push(line, format_args!("  {count:>5} keys")),
        Err(error) => push(line, format_args!("  unreadable keys: {error}")),
    }
    if let (Some(first), Some(last)) = (first, last) {
        write_key_range(&first, &last, line);
    }
    if let Ok(Some(Ok(id))) = record.args.get(b"external_request_id").map(|id| id.map(|id| id.as_str())) {
        push(line, format_args!("  request {}", short(id)));
    }
}

fn write_key_range(first: &WireKey<'_>, last: &WireKey<'_>, line: &mut Vec<u8>) {
    line.extend_from_slice(b"  ");
    write_short_hash(first, line);
    if first != last {
        line.extend_from_slice(b"..");
        write_short_hash(last, line);
    }
    let view = &first.view;
    push(
        line,
        format_args!("  {} rank {:08x} group {}", short(view.model_name), view.kv_rank, view.object_group_id),
    );
}

fn write_short_hash(key: &WireKey<'_>, line: &mut Vec<u8>) {
    let hash = key.view.chunk_hash;
    match key.hash_is_hex {
        true => push(
            line,
            format_args!(
                "{}",
                printable(&String::from_utf8_lossy(&hash[..hash.len().min(2 * SHOWN_HASH_BYTES)]))
            ),
        ),
        false => push(line, format_args!("{}", Hex(&hash[..hash.len().min(SHOWN_HASH_BYTES)]))),
    }
}

fn push(line: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _ = line.write_fmt(text);
}

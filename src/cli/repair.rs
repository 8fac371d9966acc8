//! `repair`: a sealed copy of what is left of a trace.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::exit::{Finding, print_warning};
use super::files::{PartialFile, check_apart};
use super::long_work::LongWork;
use super::output::print;
use super::text::{bytes, plural};
use crate::error::{Error, Result};
use crate::format::native::Header;
use crate::trace::native::NativeTrace;
use crate::trace::recover::repair::Hole;
use crate::trace::recover::{RepairReport, repair};
use crate::trace::store::FileStore;
use crate::trace::{ReadMode, Trace};

const EXAMPLES: &str = "\
Examples:
  lmcache-trace repair killed.lct whole.lct

What was committed is copied byte for byte; damaged chunks, and bytes that no checksum covers, are left out.
Exit codes: 0 all that was committed is in OUT; 1 OUT is written, but something is missing; 2 nothing was written.";

/// What a later version of the format may have added.
const UNKNOWN: &str = "chunk of a kind that this build does not know";

/// Arguments of `repair`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RepairArgs {
    /// The trace that was not closed or is damaged; it is only read
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The copy: written beside, and moved here once it is whole and on the disk
    #[arg(value_name = "OUT")]
    output: PathBuf,
}

impl RepairArgs {
    pub(super) fn run(self) -> Result<Finding> {
        check_apart(&[&self.output], &[&self.input])?;
        let trace = self.open()?;
        let partial = PartialFile::beside(&self.output)?;
        let work = LongWork::begin(trace.size_bytes())?;
        let repaired = FileStore::create(partial.place())
            .and_then(|store| repair(&trace, store, &mut |done_bytes| work.step(done_bytes)));
        let report = match repaired {
            Ok((report, _)) => report,
            Err(_) if work.is_interrupted() => {
                print_warning("interrupted: nothing was written");
                return Ok(Finding::Interrupted);
            }
            Err(error) => return Err(error.with_context("output", self.output.display())),
        };
        drop(work);
        partial.keep()?;
        print(&text(&report, trace.header()))?;
        Ok(if report.is_complete() { Finding::None } else { Finding::Found })
    }

    fn open(&self) -> Result<NativeTrace> {
        match Trace::open(&self.input, ReadMode::buffered())? {
            Trace::Native(trace) => Ok(*trace),
            Trace::Lct(_) => Err(Error::invalid(
                "a file in LMCache's format cannot be repaired: it has no checksums to tell what is whole",
            )
            .with_context("path", self.input.display())
            .with_hint("convert reads such a file as far as it goes")),
        }
    }
}

fn text(report: &RepairReport, header: &Header) -> String {
    let mut text = format!(
        "kept     {}, {}, {}; the copy has {}\n",
        plural(report.chunks, "chunk"),
        plural(report.records, "record"),
        plural(report.calls, "call"),
        bytes(report.file_bytes)
    );
    // Writing to a String cannot fail.
    if report.lost > 0 {
        let _ = writeln!(text, "lost     {}, as the recorder says itself", plural(report.lost, "call"));
    }
    if !report.was_closed {
        text.push_str("closed   the original was not; the copy has an index and an end mark\n");
    }
    if report.unknown_chunks > 0 {
        let _ =
            writeln!(text, "unknown  {}, in the copy byte for byte", plural(report.unknown_chunks, UNKNOWN));
    }
    for hole in &report.holes {
        let _ = writeln!(text, "missing  {}", hole_line(hole, header));
    }
    if report.hole_count > report.holes.len() as u64 {
        let _ = writeln!(
            text,
            "missing  {} more",
            plural(report.hole_count - report.holes.len() as u64, "place")
        );
    }
    if report.is_complete() {
        text.push_str("missing  nothing that was committed\n");
    }
    text
}

fn hole_line(hole: &Hole, header: &Header) -> String {
    let mut line = format!("{} at offset {}", bytes(hole.bytes), hole.offset);
    if let Some(chunks) = hole.chunks {
        let _ = write!(line, ", {} from number {}", plural(chunks, "chunk"), hole.first_chunk);
    }
    if let Some(calls) = hole.calls {
        let _ = write!(line, ", {}", plural(calls, "call"));
    }
    let seconds = |t_ns: Option<u64>| t_ns.map(|t_ns| header.t_mono_s(t_ns));
    if let Some(after_s) = seconds(hole.after_ns) {
        let _ = write!(line, ", after {after_s:.6} s");
    }
    if let Some(before_s) = seconds(hole.before_ns) {
        let _ = write!(line, ", before {before_s:.6} s");
    }
    line
}

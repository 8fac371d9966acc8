//! `repair`: a sealed copy of what is left of a trace.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::exit::Finding;
use super::files::{check_apart, check_writable, is_device, replace_with};
use super::output::print;
use super::text::{bytes, plural};
use crate::error::{Error, Result};
use crate::format::native::Header;
use crate::trace::ReadMode;
use crate::trace::native::NativeTrace;
use crate::trace::recover::repair::Hole;
use crate::trace::recover::{RepairReport, repair};
use crate::trace::store::FileStore;

const EXAMPLES: &str = "\
Examples:
  lmcache-trace repair killed.lct whole.lct && lmcache-trace info whole.lct

What was committed is copied byte for byte; damaged chunks, and bytes that no checksum covers, are left out.
Exit codes: 0 all that was committed is in OUT; 1 OUT is written, but something is missing; 2 nothing was written.";

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
        let trace = NativeTrace::open(&self.input, ReadMode::buffered())?;
        check_writable(&self.output)?;
        if is_device(&self.output) {
            return Err(Error::invalid("a trace can be repaired into a regular file only")
                .with_context("path", self.output.display()));
        }
        let (report, _) = replace_with(&self.output, |beside| repair(&trace, FileStore::create(beside)?))?;
        print(&text(&report, trace.header()))?;
        Ok(if report.is_complete() { Finding::None } else { Finding::Found })
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
    for hole in &report.holes {
        let _ = writeln!(text, "missing  {}", hole_line(hole, header));
    }
    if report.hole_count > report.holes.len() as u64 {
        let _ = writeln!(text, "missing  {} more places", report.hole_count - report.holes.len() as u64);
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

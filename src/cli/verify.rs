//! `verify`: whether anything is wrong with a trace.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::exit::{self, print_error};
use super::files::check_apart;
use super::options::ReportArgs;
use super::output::{deliver, print};
use super::text::{bytes, plural, printable};
use crate::error::Result;
use crate::format::lct::json::escape_controls;
use crate::trace::recover::{VerifyReport, verify, verify_frames};
use crate::trace::{ReadMode, Trace};

const EXAMPLES: &str = "\
Examples:
  lmcache-trace verify server.lct
  lmcache-trace verify -q node-*.lct || echo 'not all are whole'
  lmcache-trace verify server.lct --format json | jq '.counts'

A trace that was not closed, and calls that its recorder lost, are findings too.
Exit codes: 0 nothing found; 1 something was; 2 a file cannot be read.";

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// The trace files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// A table for people, or one JSON object per file
    #[arg(long, value_enum, default_value_t = VerifyFormat::Text)]
    format: VerifyFormat,
    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum VerifyFormat {
    /// What was looked at, and a line for each finding
    Text,
    /// One object per file: what was looked at, findings, and how many of each kind
    Json,
}

impl VerifyArgs {
    pub(super) fn run(self) -> Result<exit::Finding> {
        let inputs: Vec<_> = self.files.iter().map(PathBuf::as_path).collect();
        check_apart(&self.report.files(), &inputs)?;
        let (mut reports, mut is_failed, mut is_found) = (String::new(), false, false);
        for file in &self.files {
            match verify_file(file) {
                Ok((kind, report)) => {
                    is_found |= !report.is_clean();
                    let text = self.format.render(file, kind, &report);
                    if !self.report.quiet {
                        print(&text)?;
                    }
                    reports.push_str(&text);
                }
                // The other files are still worth a look.
                Err(error) => {
                    print_error(&error);
                    is_failed = true;
                }
            }
        }
        deliver(&ReportArgs { quiet: true, ..self.report }, &reports)?;
        Ok(match (is_failed, is_found) {
            (true, _) => exit::Finding::Failed,
            (false, true) => exit::Finding::Found,
            (false, false) => exit::Finding::None,
        })
    }
}

/// What kind of file it is, and what was found. A file that may be damaged or at work is read, not mapped.
fn verify_file(file: &Path) -> Result<(&'static str, VerifyReport)> {
    Ok(match Trace::open(file, ReadMode::buffered())? {
        Trace::Native(trace) => ("native", verify(&trace)),
        Trace::Lct(reader) => ("lmcache", verify_frames(&reader)),
    })
}

impl VerifyFormat {
    fn render(self, file: &Path, kind: &str, report: &VerifyReport) -> String {
        match self {
            Self::Text => text(file, report),
            Self::Json => escape_controls(&object(file, kind, report).to_string()).into_owned() + "\n",
        }
    }
}

fn text(file: &Path, report: &VerifyReport) -> String {
    let mut text = format!("{}\n", printable(&file.display().to_string()));
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  {}", looked_at(report));
    if report.is_clean() {
        text.push_str("  nothing found\n");
        return text;
    }
    let _ = writeln!(
        text,
        "  {} found\n  {:>14}  {:<23}  what",
        plural(report.total(), "thing"),
        "offset",
        "kind"
    );
    for finding in report.findings() {
        let offset = finding.offset().map_or_else(|| "-".to_owned(), |offset| offset.to_string());
        let sentence = finding.to_string();
        let _ = writeln!(text, "  {offset:>14}  {:<23}  {}", finding.kind(), printable(&sentence));
    }
    for (kind, count) in report.counts() {
        let shown = report.findings().iter().filter(|finding| finding.kind() == *kind).count() as u64;
        if *count > shown {
            let _ = writeln!(text, "  {:>14}  {kind:<23}  {} more", "", count - shown);
        }
    }
    text
}

/// What a report is about, in a line.
fn looked_at(report: &VerifyReport) -> String {
    let mut parts = vec![bytes(report.file_bytes)];
    if report.chunks > 0 {
        parts.push(plural(report.chunks, "chunk"));
    }
    parts.extend([plural(report.records, "record"), plural(report.calls, "call")]);
    for (count, what) in [
        (report.completions, "completion"),
        (report.threads, "thread"),
        (report.late, "late record"),
        (report.unknown_records, "record of unknown kind"),
        (report.unknown_chunks, "chunk of unknown kind"),
    ] {
        if count > 0 {
            parts.push(plural(count, what));
        }
    }
    parts.join(", ")
}

fn object(file: &Path, kind: &str, report: &VerifyReport) -> Value {
    let findings = report.findings().iter().map(
        |finding| json!({ "kind": finding.kind(), "offset": finding.offset(), "what": finding.to_string() }),
    );
    json!({
        "file": file.display().to_string(),
        "kind": kind,
        "size_bytes": report.file_bytes,
        "closed": report.is_closed,
        "chunks": report.chunks,
        "good_chunks": report.good_chunks,
        "records": report.records,
        "calls": report.calls,
        "completions": report.completions,
        "lost": report.lost,
        "late": report.late,
        "threads": report.threads,
        "first_ns": report.first_ns,
        "last_ns": report.last_ns,
        "unknown_records": report.unknown_records,
        "unknown_chunks": report.unknown_chunks,
        "found": report.total(),
        "counts": report.counts(),
        "findings": findings.collect::<Vec<_>>(),
    })
}

//! What is said of a conversion.

use std::fmt::{Display, Write};
use std::path::Path;

use serde_json::json;

use crate::cli::text;
use crate::convert::Conversion;
use crate::format::lct::json::escape_controls;
use crate::trace::Trace;

/// The column of the values.
const LABEL_WIDTH: usize = 26;

/// The forms of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Lmcache,
    Native,
    Compact,
}

impl Kind {
    pub(super) fn of(file: &Trace) -> Self {
        match file {
            Trace::Lct(_) => Self::Lmcache,
            Trace::Native(trace) if trace.header().is_compact() => Self::Compact,
            Trace::Native(_) => Self::Native,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Lmcache => "lmcache",
            Self::Native => "native",
            Self::Compact => "compact",
        }
    }
}

/// The length of a trace file.
pub(super) fn size_bytes(file: &Trace) -> u64 {
    match file {
        Trace::Lct(reader) => reader.bytes().len() as u64,
        Trace::Native(trace) => trace.size_bytes(),
    }
}

/// A conversion, with the names of its files.
pub(super) struct Report<'a> {
    pub(super) input: &'a Path,
    pub(super) output: &'a Path,
    pub(super) from: Kind,
    pub(super) to: Kind,
    pub(super) conversion: Conversion,
}

impl Report<'_> {
    /// How often the output goes into the input.
    fn ratio(&self) -> f64 {
        self.conversion.bytes_in as f64 / self.conversion.bytes_out.max(1) as f64
    }

    /// The report for people.
    pub(super) fn lines(&self) -> String {
        let counts = &self.conversion;
        let mut lines = Lines(format!("Wrote {}\n", text::printable(&self.output.display().to_string())));
        lines.line("kind", format_args!("{} -> {}", self.from.name(), self.to.name()));
        let (bytes_in, bytes_out) = (text::bytes(counts.bytes_in), text::bytes(counts.bytes_out));
        let (times, comparison) = match self.ratio() {
            ratio if ratio >= 1.0 => (ratio, "smaller"),
            ratio => (ratio.recip(), "larger"),
        };
        lines.line("size", format_args!("{bytes_in} -> {bytes_out}, {times:.2} times {comparison}"));
        lines.line("records", counts.records());
        lines.line("calls", counts.calls);
        let known = counts.distinct_keys.unwrap_or(0);
        let not = &counts.not_expressed;
        let counted = [
            ("kept_as_they_stand", counts.foreign_calls, "records of another shape or time"),
            ("undecodable_frames", counts.undecodable, "kept as they stand"),
            ("cut_short", counts.cut_bytes, "bytes of a last frame, kept as they stand"),
            ("host_calls", counts.host_calls, ""),
            ("completions", counts.completions, ""),
            ("lost_calls", counts.lost_calls, "lost by the recorder"),
            ("distinct_keys", known, ""),
            ("not_written_threads", not.threads, "calls: LMCache's files have no threads"),
            ("not_written_salts", not.salts, "keys with a tenant"),
            ("not_written_losses", not.losses, "records"),
            ("not_written_completions", not.completions, "records"),
        ];
        for (label, count, what) in counted.into_iter().filter(|(_, count, _)| *count > 0) {
            let blank = if what.is_empty() { "" } else { " " };
            lines.line(label, format_args!("{count}{blank}{what}"));
        }
        lines.0
    }

    /// The report for programs.
    pub(super) fn json(&self) -> String {
        let (counts, not) = (&self.conversion, &self.conversion.not_expressed);
        let object = json!({
            "input": self.input.display().to_string(),
            "output": self.output.display().to_string(),
            "from": self.from.name(),
            "to": self.to.name(),
            "bytes_in": counts.bytes_in,
            "bytes_out": counts.bytes_out,
            "ratio": self.ratio(),
            "records": counts.records(),
            "calls": counts.calls,
            "kept_as_they_stand": counts.foreign_calls,
            "undecodable_frames": counts.undecodable,
            "cut_bytes": counts.cut_bytes,
            "host_calls": counts.host_calls,
            "completions": counts.completions,
            "loss_records": counts.losses,
            "lost_calls": counts.lost_calls,
            "distinct_keys": counts.distinct_keys,
            "unfinished": counts.is_unfinished,
            "damaged_chunks": counts.damaged_chunks,
            "gap_bytes": counts.gap_bytes,
            "unknown_records": counts.unknown_records,
            "unknown_layouts": counts.unknown_layouts,
            "not_written": {
                "threads": not.threads,
                "salts": not.salts,
                "losses": not.losses,
                "completions": not.completions,
            },
        });
        escape_controls(&object.to_string()).into_owned() + "\n"
    }

    /// What must not go unsaid, one sentence each.
    pub(super) fn warnings(&self) -> Vec<String> {
        let counts = &self.conversion;
        let mut sentences = Vec::new();
        if counts.is_unfinished {
            sentences
                .push("the input was not closed: it is being written, or its recorder was killed".to_owned());
        }
        let damage = [
            (counts.damaged_chunks, "damaged chunk", ", as far as no checksum vouches for what it holds"),
            (counts.gap_bytes, "byte", " where a chunk should be and is not"),
            (counts.unknown_records, "record", " of a kind that this build does not know"),
            (counts.unknown_layouts, "call", " with a layout that this build does not know"),
        ];
        let met = damage.into_iter().filter(|(count, ..)| *count > 0);
        sentences.extend(
            met.map(|(count, noun, which)| format!("left out: {}{which}", text::plural(count, noun))),
        );
        sentences
    }
}

struct Lines(String);

impl Lines {
    fn line(&mut self, label: &str, value: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "  {:<LABEL_WIDTH$}{value}", format!("{label}:"));
    }
}

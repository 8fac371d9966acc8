//! Native files: calls as those of LMCache's files, and between them what became of calls, and which were lost.
//!
//! Chunks that cannot hold a record of the wanted time are not read: their headers say from when to when they go.

use super::native_line::{Printer, TIME_SLACK_S};
use super::{DumpArgs, warn_of_frames};
use crate::cli::exit::print_warning;
use crate::cli::output::Sink;
use crate::error::Result;
use crate::format::native::{Chunk, KeyTable, RecordKind};
use crate::trace::NativeTrace;
use crate::trace::native::{ChunkPlace, DamagedChunk, NativeEnding};

/// Prints what is wanted of `trace`, says on standard error what is missing in it, and returns whether anything is.
pub(super) fn dump(args: &DumpArgs, trace: &NativeTrace, sink: &mut Sink) -> Result<bool> {
    let keys = trace.key_table().map_err(|error| error.with_context("path", trace.path().display()))?;
    let mut dump = Dump { args, trace, printer: Printer::new(args, trace.header().clone()) };
    let damaged = dump.print_chunks(keys.as_ref(), sink)?;
    // What is said on standard error comes behind the lines.
    sink.flush()?;
    dump.report(&damaged);
    Ok(dump.is_incomplete(&damaged))
}

struct Dump<'a> {
    args: &'a DumpArgs,
    trace: &'a NativeTrace,
    printer: Printer<'a>,
}

impl Dump<'_> {
    /// Prints chunk after chunk and returns those that could not be read. Under --strict all are read.
    fn print_chunks(&mut self, keys: Option<&KeyTable<'_>>, sink: &mut Sink) -> Result<Vec<DamagedChunk>> {
        let places: Vec<_> = self.trace.record_chunks().collect();
        let mut damaged = Vec::new();
        for (place, span) in places.iter().zip(spans(&places)) {
            let is_wanted = !self.printer.is_done(sink) && self.is_wanted_span(span);
            if !is_wanted && !self.args.read.strict {
                continue;
            }
            match self.trace.open_chunk(place, keys) {
                Err(error) => damaged.push(DamagedChunk::new(place, &error)),
                Ok(chunk) => self.print_chunk(&chunk, is_wanted, sink)?,
            }
        }
        Ok(damaged)
    }

    fn print_chunk(&mut self, chunk: &Chunk<'_>, is_wanted: bool, sink: &mut Sink) -> Result<()> {
        let mut seq = chunk.header().calls_before;
        for record in chunk.records() {
            let is_done = self.printer.is_done(sink);
            if is_done && !self.args.read.strict {
                break;
            }
            self.printer.note(&record);
            if is_wanted && !is_done {
                self.printer.print(&record, seq, sink)?;
            }
            let is_call = record.kind().is_some_and(RecordKind::is_call);
            seq = seq.wrapping_add(u64::from(is_call));
        }
        Ok(())
    }

    /// Whether a record from `span` can be of the wanted time.
    fn is_wanted_span(&self, span: (u64, u64)) -> bool {
        let seconds = |t_ns| self.trace.header().t_mono_s(t_ns);
        self.args.from.is_none_or(|from| seconds(span.1) >= from - TIME_SLACK_S)
            && self.args.to.is_none_or(|to| seconds(span.0) < to + TIME_SLACK_S)
    }

    fn lost_calls(&self) -> u64 {
        let slots = self.trace.chunks().iter().filter_map(|place| place.unverified.latest());
        slots.fold(0, |lost: u64, slot| lost.saturating_add(slot.lost))
    }

    fn is_incomplete(&self, damaged: &[DamagedChunk]) -> bool {
        !damaged.is_empty()
            || !self.trace.gaps().is_empty()
            || self.trace.ending() == NativeEnding::Unfinished
            || self.lost_calls() > 0
            || self.printer.undecodable > 0
            || self.printer.is_cut_import
    }

    /// Says what the lines cannot say.
    fn report(&self, damaged: &[DamagedChunk]) {
        damaged.iter().for_each(|chunk| print_warning(&chunk.to_string()));
        for gap in self.trace.gaps() {
            print_warning(&format!("{} bytes at offset {} hold no chunk", gap.bytes, gap.offset));
        }
        let lost = self.lost_calls();
        if lost > 0 {
            print_warning(&format!("the recorder lost {lost} calls; they are not in the file"));
        }
        if self.trace.ending() == NativeEnding::Unfinished {
            print_warning("the trace was not closed; what checksums vouch for was read");
        }
        warn_of_frames(self.printer.undecodable);
        if self.printer.is_cut_import {
            print_warning("the trace is a conversion of one that was cut short");
        }
        self.args.warn_if_nothing_passed(self.printer.printed);
    }
}

/// The times between which all records of each chunk lie. A slot has the times of its chunk's calls; other records lie
/// between the calls of the chunks before and after.
fn spans(places: &[&ChunkPlace]) -> Vec<(u64, u64)> {
    let times = |place: &&ChunkPlace| {
        place.unverified.latest().filter(|slot| slot.calls > 0).map(|slot| (slot.first_ns, slot.last_ns))
    };
    let mut spans: Vec<_> = places.iter().map(|place| times(place).unwrap_or((u64::MAX, 0))).collect();
    let mut before_ns = 0;
    for (span, place) in spans.iter_mut().zip(places) {
        span.0 = span.0.min(before_ns);
        before_ns = times(place).map_or(before_ns, |(_, last_ns)| last_ns);
    }
    let mut after_ns = u64::MAX;
    for (span, place) in spans.iter_mut().zip(places).rev() {
        span.1 = span.1.max(after_ns);
        after_ns = times(place).map_or(after_ns, |(first_ns, _)| first_ns);
    }
    spans
}

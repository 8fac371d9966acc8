//! A native file while it is recorded: each record once, soon after it was committed.

use super::native_line::{Printer, TIME_SLACK_S};
use super::{DumpArgs, FollowFrom, warn_of_frames};
use crate::cli::exit::{Finding, print_note, print_warning};
use crate::cli::following::pause;
use crate::cli::long_work::LongWork;
use crate::cli::output::Sink;
use crate::cli::text::plural;
use crate::clock::wall_ns;
use crate::error::Result;
use crate::format::native::{Header, RecordKind};
use crate::trace::follow::{NewRecords, Polled, TraceFollower};

/// Nanoseconds of a second.
const NS_PER_S: f64 = 1e9;

/// How long after the moment of --to a record from before it may still be committed.
const GRACE_S: f64 = 1.0;

/// Prints what is there, if it is wanted, and then what is added.
pub(super) fn dump(args: &DumpArgs, mut follower: TraceFollower, from: FollowFrom) -> Result<Finding> {
    // Nobody knows how long the work is.
    let work = LongWork::begin(0)?;
    if let Some(from_s) = args.from {
        follower.skip_to_time(moment_ns(follower.header().fixed().mono_start_ns, from_s - TIME_SLACK_S))?;
    }
    if from == FollowFrom::New {
        follower.skip_to_end()?;
    }
    let printer = Printer::new(args, follower.header().clone());
    let mut following = Following { printer, sink: args.sink()?, is_past: false, lost: 0 };
    let ended = following.run(&mut follower, &work)?;
    following.report(ended);
    let is_incomplete = following.is_incomplete();
    following.sink.finish()?;
    Ok(match ended {
        Ended::Interrupted => Finding::Interrupted,
        Ended::Closed | Ended::Done if args.read.strict && is_incomplete => Finding::Found,
        Ended::Closed | Ended::Done => Finding::None,
    })
}

/// Why following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The recorder closed the file.
    Closed,
    /// All that was asked for was printed, or nobody reads it.
    Done,
    Interrupted,
}

struct Following<'a> {
    printer: Printer<'a>,
    sink: Sink,
    /// A call of after --to was met.
    is_past: bool,
    /// Calls that the recorder had lost when it committed what was met last.
    lost: u64,
}

impl Following<'_> {
    fn run(&mut self, follower: &mut TraceFollower, work: &LongWork) -> Result<Ended> {
        loop {
            self.sink.look_for_reader();
            if work.is_interrupted() {
                return Ok(Ended::Interrupted);
            }
            if self.is_past || self.printer.is_done(&self.sink) {
                return Ok(Ended::Done);
            }
            match follower.poll()? {
                Polled::Closed => return Ok(Ended::Closed),
                Polled::Nothing if self.is_time_over() => return Ok(Ended::Done),
                Polled::Nothing => pause(work),
                Polled::Records(records) => {
                    self.print(&records)?;
                    self.sink.flush()?;
                    if !records.is_chunk_sealed() {
                        pause(work);
                    }
                }
            }
        }
    }

    fn print(&mut self, records: &NewRecords<'_>) -> Result<()> {
        let chunk = records.chunk();
        self.lost = chunk.header().lost_before.saturating_add(chunk.slot().lost);
        let mut seq = records.first_seq();
        for record in records.iter() {
            if self.printer.is_done(&self.sink) {
                break;
            }
            self.printer.note(&record);
            self.printer.print(&record, seq, &mut self.sink)?;
            if record.kind().is_some_and(RecordKind::is_call) {
                seq = seq.wrapping_add(1);
                // Late records say nothing about how far the others are.
                self.is_past |= !record.is_late() && self.is_after(record.prefix().t_ns);
            }
        }
        Ok(())
    }

    fn is_after(&self, t_ns: u64) -> bool {
        self.printer.args.to.is_some_and(|to_s| self.printer.header.t_mono_s(t_ns) >= to_s + TIME_SLACK_S)
    }

    /// Whether the moment of --to is past, and a recorder that had records of before it would have committed them.
    fn is_time_over(&self) -> bool {
        let over_ns = |header: &Header, to_s| moment_ns(header.fixed().wall_start_ns, to_s + GRACE_S);
        self.printer.args.to.is_some_and(|to_s| wall_ns() > over_ns(&self.printer.header, to_s))
    }

    fn is_incomplete(&self) -> bool {
        self.lost > 0 || self.printer.undecodable > 0 || self.printer.is_cut_import
    }

    /// Says what the lines cannot say, behind them.
    fn report(&self, ended: Ended) {
        if self.sink.is_abandoned() {
            return;
        }
        if self.lost > 0 {
            print_warning(&format!(
                "the recorder lost {}; they are not in the file",
                plural(self.lost, "call")
            ));
        }
        warn_of_frames(self.printer.undecodable);
        if self.printer.is_cut_import {
            print_warning("the trace is a conversion of one that was cut short");
        }
        if ended != Ended::Interrupted {
            self.printer.args.warn_if_nothing_passed(self.printer.printed);
        }
        if ended == Ended::Closed {
            let printed = plural(self.printer.printed, "record");
            print_note(&format!("the recorder closed the file; {printed} printed"));
        }
    }
}

/// `seconds` after `start_ns`, as far as the clock goes.
fn moment_ns(start_ns: u64, seconds: f64) -> u64 {
    // Casts of floats stop at the ends of the range.
    start_ns.saturating_add_signed((seconds * NS_PER_S) as i64)
}

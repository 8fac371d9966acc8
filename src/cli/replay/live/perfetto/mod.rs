//! `--perfetto`: the replay as a timeline that <https://ui.perfetto.dev> opens.
//!
//! The format is Chrome's trace events in its array form, of which a file that was cut can still be opened ("Trace Event
//! Format", JSON Array Format). Times are microseconds from the start of the replay, to the nanosecond.
//!
//! * This file: which tracks there are and what goes into them.
//! * [`event`]: how an event is written.
//! * [`places`]: where the calls were that later ones go back to. [`lanes`]: prefetches beside each other.

mod event;
mod lanes;
mod places;

use std::path::Path;

use crossbeam::channel::Receiver;

use super::stream::StreamFile;
use crate::cli::exit::print_warning;
use crate::cli::text::short;
use crate::error::Result;
use crate::format::model::Op;
use crate::replay::live_totals::{AnsweredPrefetch, LiveTotals};
use crate::replay::timeline::origin_ns;
use crate::replay::{LiveSample, Outcome, RecordName, Status};

use event::{Slice, Value};
use lanes::Lanes;
use places::{Place, Places};

/// The track of worker 0; the others follow.
const FIRST_WORKER_TRACK: u32 = 1;

/// The first track of prefetches: after those of all workers that an outcome can name.
const FIRST_LANE_TRACK: u32 = FIRST_WORKER_TRACK + u16::MAX as u32 + 1;

/// The file, and what it takes to go on with it.
pub(super) struct PerfettoFile {
    file: StreamFile,
    /// Time 0, on `CLOCK_MONOTONIC`; known from the first record on.
    origin_ns: Option<u64>,
    /// Which workers have a name by now.
    named_workers: Vec<bool>,
    places: Places,
    prefetches: Option<Receiver<AnsweredPrefetch>>,
    lanes: Lanes,
    /// The largest lag since the last sample.
    lag_ns: u64,
    last_sample: Option<(u64, LiveSample)>,
    flows: u64,
    undrawn_flows: u64,
    undrawn_prefetches: u64,
}

impl PerfettoFile {
    pub(super) fn create(path: &Path, trace_name: &str, totals: &LiveTotals) -> Result<Self> {
        let mut file = StreamFile::create(path, "events")?;
        file.write(|out| {
            out.write_all(b"[\n")?;
            event::metadata(out, 0, "process_name", &format!("lmcache-trace replay {}", short(trace_name)))
        });
        Ok(Self {
            file,
            origin_ns: None,
            named_workers: Vec::new(),
            places: Places::default(),
            prefetches: totals.watch(),
            lanes: Lanes::default(),
            lag_ns: 0,
            last_sample: None,
            flows: 0,
            undrawn_flows: 0,
            undrawn_prefetches: 0,
        })
    }

    pub(super) fn record(&mut self, outcome: &Outcome) {
        let origin_ns = *self.origin_ns.get_or_insert_with(|| origin_ns(outcome));
        let track = self.worker_track(outcome.worker);
        let at_ns = outcome.start_ns.saturating_sub(origin_ns);
        self.lag_ns = self.lag_ns.max(outcome.lag_ns.unwrap_or(0));
        let RecordName::Op(op) = outcome.name else {
            let name = match &outcome.name {
                RecordName::Other(name) => short(name),
                RecordName::Op(op) => op.short_name().into(),
            };
            let name = format!("skipped: {name}");
            return self.file.write(|out| event::instant(out, track, at_ns, &name, outcome.seq));
        };
        let name = match outcome.status {
            Status::Failed => format!("{} failed", op.short_name()),
            Status::Replayed | Status::Skipped => op.short_name().to_owned(),
        };
        let lag = outcome.lag_ns.map(|lag_ns| ("lag_us", Value::Microseconds(lag_ns)));
        let args = [Some(("seq", Value::Count(outcome.seq))), lag];
        let slice =
            Slice { track, begin_ns: at_ns, end_ns: at_ns.saturating_add(outcome.latency_ns), name: &name };
        self.file.write(|out| event::slice(out, &slice, "call", args.iter().flatten()));
        let place = Place { track, middle_ns: at_ns.saturating_add(outcome.latency_ns / 2) };
        self.places.put(outcome.seq, place);
        if let Some(earlier) = outcome.follows {
            self.flow(earlier, op, place);
        }
    }

    /// An arrow from an earlier call to the one at `to`.
    fn flow(&mut self, earlier: u64, op: Op, to: Place) {
        let Some(from) = self.places.get(earlier).filter(|from| from.middle_ns <= to.middle_ns) else {
            self.undrawn_flows += 1;
            return;
        };
        self.flows += 1;
        let (number, name) = (self.flows, flow_name(op));
        self.file.write(|out| {
            event::flow_begins(out, number, name, from.track, from.middle_ns)?;
            event::flow_ends(out, number, name, to.track, to.middle_ns)
        });
    }

    /// The track of a worker; names it when it is met for the first time.
    fn worker_track(&mut self, worker: u16) -> u32 {
        let (position, track) = (usize::from(worker), FIRST_WORKER_TRACK + u32::from(worker));
        if position >= self.named_workers.len() {
            self.named_workers.resize(position + 1, false);
        }
        if !std::mem::replace(&mut self.named_workers[position], true) {
            self.file.write(|out| event::track(out, track, &format!("worker {worker}")));
        }
        track
    }

    /// The storage manager was like this at `now_ns` on `CLOCK_MONOTONIC`.
    pub(super) fn sample(&mut self, now_ns: u64, sample: &LiveSample) {
        let Some(origin_ns) = self.origin_ns else { return };
        self.draw_prefetches(origin_ns);
        let at_ns = now_ns.saturating_sub(origin_ns);
        let lag_ns = std::mem::take(&mut self.lag_ns);
        let before = self.last_sample.replace((lag_ns, *sample));
        let now = counters(lag_ns, sample);
        let before = before.map(|(lag_ns, sample)| counters(lag_ns, &sample));
        self.file.write(|out| {
            for (position, (name, unit, value)) in now.iter().enumerate() {
                // What has not changed goes on as it is.
                let is_new = before.as_ref().is_none_or(|before| before[position].2 != *value);
                if let Some(value) = value.filter(|_| is_new) {
                    event::counter(out, at_ns, name, unit, value)?;
                }
            }
            Ok(())
        });
    }

    fn draw_prefetches(&mut self, origin_ns: u64) {
        let Some(prefetches) = self.prefetches.take() else { return };
        for prefetch in prefetches.try_iter() {
            self.draw_prefetch(&prefetch, origin_ns);
        }
        self.prefetches = Some(prefetches);
    }

    /// A prefetch from its submission to its result, in a lane in which it overlaps no other.
    fn draw_prefetch(&mut self, prefetch: &AnsweredPrefetch, origin_ns: u64) {
        let [begin_ns, end_ns] =
            [prefetch.submit_ns, prefetch.ready_ns].map(|ns| ns.saturating_sub(origin_ns));
        let end_ns = end_ns.max(begin_ns);
        let Some(lane) = self.lanes.place(begin_ns, end_ns) else {
            self.undrawn_prefetches += 1;
            return;
        };
        let track = FIRST_LANE_TRACK + lane.number;
        // Whether it hit stands in the name: that is what one sees without a click.
        let (served, requested) = (prefetch.served_chunks, prefetch.requested_chunks);
        let word = match served {
            _ if requested == 0 => "empty",
            0 => "miss",
            _ if served < requested => "part",
            _ => "hit",
        };
        let name = format!("{word} {served}/{requested}");
        let args = [
            ("l1_hit_keys", Value::Count(prefetch.l1_hit_keys)),
            ("l2_hit_keys", Value::Count(prefetch.l2_hit_keys)),
        ];
        self.file.write(|out| {
            if lane.is_new {
                event::track(out, track, &format!("prefetches {}", lane.number + 1))?;
            }
            event::slice(out, &Slice { track, begin_ns, end_ns, name: &name }, "prefetch", args.iter())
        });
    }

    pub(super) fn flush_if_due(&mut self, now_ns: u64) {
        self.file.flush_if_due(now_ns);
    }

    /// Ends the file. What is missing in it is said there, and on standard error.
    ///
    /// # Errors
    /// If something could not be written.
    pub(super) fn close(mut self, unobserved_records: u64, unwatched_prefetches: u64) -> Result<()> {
        let missing = [
            (unobserved_records, "records"),
            (self.undrawn_flows, "arrows from calls that are not known"),
            (self.undrawn_prefetches + unwatched_prefetches, "prefetches"),
        ];
        let missing = missing.iter().filter(|(count, _)| *count > 0);
        let missing: Vec<_> = missing.map(|(count, what)| format!("{count} {what}")).collect();
        let label = match missing.is_empty() {
            true => "complete".to_owned(),
            false => format!("without {}", missing.join(", ")),
        };
        if !missing.is_empty() {
            print_warning(&format!("the timeline for Perfetto is {label}"));
        }
        // The last event has no comma behind it.
        self.file.write(|out| {
            event::last_metadata(out, "process_labels", &label)?;
            out.write_all(b"\n]\n")
        });
        self.file.close("the timeline for Perfetto is not whole")
    }
}

/// What the arrow to a call of `op` says; see [`Outcome::follows`].
fn flow_name(op: Op) -> &'static str {
    match op {
        Op::FinishWrite => "reserved, written",
        Op::SubmitPrefetch => "written, prefetched",
        Op::ReadEnter | Op::FinishRead => "prefetched, read",
        Op::ReadExit => "read, left",
        Op::ReserveWrite => "before",
    }
}

/// Name, unit and value of each counter; no value where there is none.
fn counters(lag_ns: u64, sample: &LiveSample) -> [(&'static str, &'static str, Option<f64>); 5] {
    [
        ("L1 used", "bytes", Some(sample.l1_used_bytes as f64)),
        ("L2 used", "bytes", sample.l2_used_bytes.map(|bytes| bytes as f64)),
        ("chunk hit rate", "percent", sample.hit_rate().map(|rate| rate * 100.0)),
        ("lag", "us", Some(lag_ns as f64 / 1e3)),
        ("evicted", "keys", Some(sample.evicted_keys as f64)),
    ]
}

#[cfg(test)]
mod tests {
    use super::places::PLACES;
    use super::*;
    use serde_json::Value as Json;

    const ORIGIN_NS: u64 = 5_000_000_000;

    fn outcome(seq: u64, op: Op, worker: u16, at_ns: u64, follows: Option<u64>) -> Outcome {
        Outcome {
            seq,
            name: RecordName::Op(op),
            status: Status::Replayed,
            due_ns: Some(at_ns),
            lag_ns: Some(0),
            start_ns: ORIGIN_NS + at_ns,
            latency_ns: 1000,
            worker,
            follows,
        }
    }

    /// Writes a timeline of `outcomes`, and reads it.
    fn written(outcomes: &[Outcome]) -> Vec<Json> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.json");
        let mut file = PerfettoFile::create(&path, "trace", &LiveTotals::default()).unwrap();
        outcomes.iter().for_each(|outcome| file.record(outcome));
        file.close(0, 0).unwrap();
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()
    }

    fn of_phase<'a>(events: &'a [Json], phase: &str) -> Vec<&'a Json> {
        events.iter().filter(|event| event["ph"] == phase).collect()
    }

    #[test]
    fn an_arrow_leads_from_a_write_to_each_prefetch_of_it_across_workers() {
        let events = written(&[
            outcome(0, Op::FinishWrite, 0, 10_000, None),
            outcome(1, Op::SubmitPrefetch, 1, 20_000, Some(0)),
            outcome(2, Op::SubmitPrefetch, 0, 30_000, Some(0)),
        ]);
        let (begins, ends) = (of_phase(&events, "s"), of_phase(&events, "f"));
        let place = |event: &Json| (event["id"].as_u64(), event["tid"].as_u64(), event["ts"].as_f64());
        assert_eq!(
            begins.iter().map(|event| place(event)).collect::<Vec<_>>(),
            [(Some(1), Some(1), Some(10.5)), (Some(2), Some(1), Some(10.5)),]
        );
        assert_eq!(
            ends.iter().map(|event| place(event)).collect::<Vec<_>>(),
            [(Some(1), Some(2), Some(20.5)), (Some(2), Some(1), Some(30.5)),]
        );
        assert!(ends.iter().all(|end| end["bp"] == "e" && end["name"] == begins[0]["name"]));
    }

    #[test]
    fn an_arrow_from_nowhere_is_not_drawn_and_counted() {
        let far = PLACES as u64;
        let events = written(&[
            outcome(0, Op::FinishWrite, 0, 10_000, None),
            outcome(far, Op::FinishWrite, 0, 20_000, None),
            outcome(far + 1, Op::SubmitPrefetch, 0, 30_000, Some(0)),
            // A call cannot go back to one that comes later.
            outcome(far + 2, Op::ReadEnter, 1, 25_000, Some(far + 1)),
        ]);
        assert!(of_phase(&events, "s").is_empty() && of_phase(&events, "f").is_empty());
        let label = events.last().unwrap()["args"]["labels"].as_str().unwrap();
        assert_eq!(label, "without 2 arrows from calls that are not known");
    }

    #[test]
    fn prefetches_and_failures_say_in_their_names_how_they_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.json");
        let totals = LiveTotals::default();
        let mut file = PerfettoFile::create(&path, "trace", &totals).unwrap();
        for (served_chunks, at_ns) in [(0, 0), (1, 0), (2, 5000)] {
            let (submit_ns, ready_ns) = (ORIGIN_NS + at_ns, ORIGIN_NS + at_ns + 5000);
            let asked = AnsweredPrefetch { submit_ns, ready_ns, requested_chunks: 2, ..Default::default() };
            totals.answered(&AnsweredPrefetch { served_chunks, ..asked });
        }
        file.record(&Outcome { status: Status::Failed, ..outcome(0, Op::ReserveWrite, 0, 0, None) });
        file.sample(ORIGIN_NS + 20_000, &LiveSample::default());
        file.close(3, 4).unwrap();
        let events: Vec<Json> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let slice =
            |event: &&Json| (event["name"].as_str().unwrap().to_owned(), event["tid"].as_u64().unwrap());
        let slices: Vec<_> = of_phase(&events, "X").iter().map(slice).collect();
        let lane = |number| u64::from(FIRST_LANE_TRACK + number);
        assert_eq!(
            slices,
            [
                ("reserve_write failed".to_owned(), 1),
                ("miss 0/2".to_owned(), lane(0)),
                ("part 1/2".to_owned(), lane(1)),
                ("hit 2/2".to_owned(), lane(0)),
            ]
        );
        assert_eq!(events.last().unwrap()["args"]["labels"], "without 3 records, 4 prefetches");
    }
}

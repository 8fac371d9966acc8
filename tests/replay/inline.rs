//! A worker that decodes its calls itself makes those that a decoder would have given it.

use std::slice;

use lmcache::format::model::{KeyInterner, Op, StorageCall};
use lmcache::replay::{
    Order, Pace, RecordBody, RecordSource, ReplayOptions, ReplayRun, Step, StopFlag, TimedRecord, replay,
};

use crate::fakes::{Collector, FakeTarget, at, enter, exit, finish_write, skipped};

/// Records, and in between steps that leave something out; decoded by its worker if it says so.
struct Made {
    records: std::vec::IntoIter<TimedRecord>,
    leaves_out: bool,
    is_quick: bool,
}

impl RecordSource for Made {
    fn step(&mut self, place: &mut TimedRecord, keys: &mut KeyInterner) -> Step {
        self.leaves_out = !self.leaves_out;
        if self.leaves_out {
            // What is left out may have been written.
            place.body = skipped("left out");
            return Step::LeftOut;
        }
        self.records.step(place, keys)
    }

    fn is_quick(&self) -> bool {
        self.is_quick
    }
}

fn records() -> Vec<TimedRecord> {
    let bodies =
        (0..500).flat_map(|_| [enter("ab"), finish_write("c"), skipped("odd"), exit("ab"), exit("z")]);
    at(bodies.enumerate().map(|(number, body)| (number as f64, body)))
}

fn run(is_quick: bool, pace: Pace, target: &mut FakeTarget, seen: &mut Collector) -> ReplayRun {
    let source = Made { records: records().into_iter(), leaves_out: false, is_quick };
    let options = ReplayOptions { pace, order: Order::Causal, ..ReplayOptions::default() };
    let stop = target.stop_after.as_ref().map_or_else(StopFlag::default, |(_, stop)| stop.clone());
    replay(source, slice::from_mut(target), &options, &stop, seen).expect("threads")
}

fn what_was_done(is_quick: bool) -> (ReplayRun, FakeTarget, Collector) {
    let (mut target, mut seen) =
        (FakeTarget { fail_calls: vec![7], ..FakeTarget::default() }, Collector::default());
    let run = run(is_quick, Pace::Asap, &mut target, &mut seen);
    (run, target, seen)
}

#[test]
fn the_same_calls_are_made_and_the_same_is_said_of_them() {
    let [(inline, its, saw), (handed, theirs, they_saw)] = [true, false].map(what_was_done);
    let counts =
        |run: &ReplayRun| (run.records_replayed, run.records_skipped, run.records_failed, run.lag.calls);
    assert_eq!(counts(&inline), (1_999, 500, 1, 0));
    assert_eq!(counts(&inline), counts(&handed));
    assert_eq!(its.calls, theirs.calls);
    assert_eq!((its.settled, its.finished_with_open), (theirs.settled, Some(0)));
    let said = |seen: &Collector| {
        seen.0
            .iter()
            .map(|one| (one.seq, format!("{:?}", one.name), one.status, one.follows))
            .collect::<Vec<_>>()
    };
    assert_eq!(said(&saw), said(&they_saw));
    assert!(inline.duration_ns > 0 && !inline.interrupted && inline.unobserved_records == 0);
    // Nobody waits for a decoder that is not there.
    assert_eq!(inline.decode_waits, 0);
}

#[test]
fn a_stop_ends_it_before_its_next_call() {
    let stop = StopFlag::default();
    let mut target = FakeTarget { stop_after: Some((10, stop)), ..FakeTarget::default() };
    let done = run(true, Pace::Asap, &mut target, &mut Collector::default());
    assert_eq!((done.interrupted, target.calls.len()), (true, 11));
    assert!(target.finished_with_open.is_some(), "what is open is closed");
    let mut target = FakeTarget { stop_after: Some((0, StopFlag::default())), ..FakeTarget::default() };
    target.stop_after.as_ref().expect("made above").1.set();
    let done = run(true, Pace::Asap, &mut target, &mut Collector::default());
    assert_eq!((done.interrupted, target.calls.len()), (true, 0));
}

#[test]
fn what_has_a_schedule_is_decoded_ahead() {
    let mut target = FakeTarget::default();
    let done = run(true, Pace::rate(1e6).expect("a rate"), &mut target, &mut Collector::default());
    assert_eq!((done.records_replayed, done.lag.calls), (2_000, 2_000));
}

#[test]
fn a_target_that_panics_is_the_callers_panic() {
    struct Panics;
    impl lmcache::replay::ReplayTarget for Panics {
        fn dispatch(
            &mut self,
            call: &StorageCall,
            _slot: Option<lmcache::replay::ReadSlot>,
        ) -> lmcache::error::Result<()> {
            assert!(call.op() != Op::FinishWrite, "a target that panics, as it is told to");
            Ok(())
        }
    }
    let source = Made { records: records().into_iter(), leaves_out: false, is_quick: true };
    let options = ReplayOptions { pace: Pace::Asap, ..ReplayOptions::default() };
    let run =
        std::panic::catch_unwind(|| replay(source, &mut [Panics], &options, &StopFlag::default(), &mut ()));
    assert!(run.is_err());
    assert!(matches!(records()[1].body, RecordBody::Call(_)));
}

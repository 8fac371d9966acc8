//! A worker that decodes its calls itself makes those that a decoder would have given it.

use std::slice;
use std::sync::{Arc, OnceLock};

use lmcache::clock::{Waiter, monotonic_ns};
use lmcache::format::model::{KeyInterner, Op, StorageCall};
use lmcache::replay::copies::{Looped, Tenants};
use lmcache::replay::nodes::Merged;
use lmcache::replay::{
    Order, Pace, RecordBody, RecordSource, ReplayOptions, ReplayRun, Step, StopFlag, TimedRecord,
    TraceSource, replay,
};
use lmcache::trace::{NativeTrace, TraceReader};

use crate::common;
use crate::fakes::{Collector, FakeTarget, at, enter, exit, finish_write, skipped};

/// Records, and in between steps that leave something out; decoded by its worker if it says so.
struct Made {
    records: std::vec::IntoIter<TimedRecord>,
    leaves_out: bool,
    is_quick: bool,
    /// The thread that took the first step.
    thread: Arc<OnceLock<String>>,
}

impl Made {
    fn new(is_quick: bool) -> Self {
        Self { records: records().into_iter(), leaves_out: false, is_quick, thread: Arc::default() }
    }
}

impl RecordSource for Made {
    fn step(&mut self, place: &mut TimedRecord, keys: &mut KeyInterner) -> Step {
        self.thread.get_or_init(lmcache::os::thread::name);
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
    run_by(is_quick, pace, target, seen).0
}

/// What was done, and which thread decoded it.
fn run_by(is_quick: bool, pace: Pace, target: &mut FakeTarget, seen: &mut Collector) -> (ReplayRun, String) {
    let source = Made::new(is_quick);
    let thread = Arc::clone(&source.thread);
    let options = ReplayOptions { pace, order: Order::Causal, ..ReplayOptions::default() };
    let stop = target.stop_after.as_ref().map_or_else(StopFlag::default, |(_, stop)| stop.clone());
    let run = replay(source, slice::from_mut(target), &options, &stop, seen).expect("threads");
    (run, thread.get().expect("a first step").clone())
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
fn who_waits_for_nothing_and_reads_quickly_decodes_alone() {
    let rate = Pace::rate(1e6).expect("a rate");
    for (is_quick, pace, thread) in [
        (true, Pace::Asap, "lmcache-replay-"),
        (false, Pace::Asap, "lmcache-decode"),
        (true, rate, "lmcache-decode"),
    ] {
        let (done, by) = run_by(is_quick, pace, &mut FakeTarget::default(), &mut Collector::default());
        assert_eq!((by.as_str(), done.records_replayed), (thread, 2_000), "{is_quick} {pace:?}");
    }
}

/// Whether what a session makes of a source is one that a worker decodes.
fn is_quick_wrapped<S: RecordSource>(source: impl Fn() -> S) -> bool {
    Tenants::new(Looped::new(|| Merged::new([(source(), 0.0)]), 2), 1).is_quick()
}

/// What lies around a source passes on whether it is read in place.
#[test]
fn a_native_file_is_decoded_by_its_worker_and_one_of_lmcache_is_not() {
    let lmcache = TraceReader::from_bytes("demo", common::unpack("traces/server_demo.lct")).expect("a trace");
    let native = |name: &str| {
        let bytes = std::fs::read(common::fixtures().join("native/v1").join(name)).expect("a fixture");
        NativeTrace::from_bytes(name, &bytes).expect("a trace")
    };
    let (ours, kinds) = (native("compact.lct"), native("kinds.lct"));
    let of_native = || TraceSource::native(&ours, None);
    assert!(!TraceSource::native(&kinds, None).is_quick(), "most of its calls are as LMCache wrote them");
    assert!(is_quick_wrapped(of_native) && !is_quick_wrapped(|| TraceSource::new(&lmcache)));
    assert!(!Tenants::new(of_native(), 2).is_quick(), "copies are made of each record");
    assert!(!Merged::new([(of_native(), 0.0), (of_native(), 1.0)]).is_quick(), "records are handed on");
}

#[test]
fn what_is_left_out_before_the_first_call_takes_no_time_of_the_replay() {
    struct Late(usize, std::vec::IntoIter<TimedRecord>);
    impl RecordSource for Late {
        fn step(&mut self, place: &mut TimedRecord, keys: &mut KeyInterner) -> Step {
            let is_late = self.0 > 0 || self.1.len() == 0;
            self.0 = self.0.saturating_sub(1);
            if is_late {
                Waiter::new(0).wait_until_ns(monotonic_ns() + 1_000_000, || false);
            }
            if self.0 > 0 { Step::LeftOut } else { self.1.step(place, keys) }
        }

        fn is_quick(&self) -> bool {
            true
        }
    }
    let source = Late(400, at((0..10).map(|number| (f64::from(number), finish_write("a")))).into_iter());
    let options = ReplayOptions { pace: Pace::Asap, ..ReplayOptions::default() };
    let run = replay(source, &mut [FakeTarget::default()], &options, &StopFlag::default(), &mut ());
    let run = run.expect("threads");
    assert!(run.records_replayed == 10 && run.duration_ns < 200_000_000, "{} ns", run.duration_ns);
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
    let source = Made::new(true);
    let options = ReplayOptions { pace: Pace::Asap, ..ReplayOptions::default() };
    let run =
        std::panic::catch_unwind(|| replay(source, &mut [Panics], &options, &StopFlag::default(), &mut ()));
    assert!(run.is_err());
    assert!(matches!(records()[1].body, RecordBody::Call(_)));
}

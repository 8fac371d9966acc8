//! Several workers: who waits for whom, and paces.

use std::sync::{Arc, Mutex};

use lmcache::clock::{Waiter, monotonic_ns};
use lmcache::error::Result;
use lmcache::format::model::StorageCall;
use lmcache::replay::{
    Order, Pace, ReadSlot, RecordBody, ReplayOptions, ReplayRun, ReplayTarget, StopFlag, TimedRecord, replay,
};

use crate::fakes::{Collector, at, at_start, finish_write};

/// Calls in the order in which they began and ended, by the bytes of their keys.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(String, bool)>>>);

/// Takes its time, another one for every call, and notes when it began and ended.
#[derive(Clone)]
struct Slow {
    log: Log,
    random: u64,
    panics_at: Option<&'static str>,
}

impl Slow {
    fn all(log: &Log, workers: usize) -> Vec<Self> {
        let slow = |worker| Self { log: log.clone(), random: worker as u64, panics_at: None };
        (0..workers).map(slow).collect()
    }
}

fn names(call: &StorageCall) -> String {
    call.key_lists().flatten().map(|key| char::from(key.chunk_hash().as_bytes()[0])).collect()
}

impl ReplayTarget for Slow {
    fn dispatch(&mut self, call: &StorageCall, _slot: Option<ReadSlot>) -> Result<()> {
        let names = names(call);
        assert!(
            self.panics_at.is_none_or(|at| !names.contains(at)),
            "a target that panics, as it is told to"
        );
        self.log.0.lock().expect("nobody panicked").push((names.clone(), true));
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Asleep, so that others run beside it where there is one CPU.
        Waiter::new(0).wait_until_ns(monotonic_ns() + (self.random >> 33) % 100_000, || false);
        self.log.0.lock().expect("nobody panicked").push((names, false));
        Ok(())
    }
}

fn run(records: Vec<TimedRecord>, targets: &mut [Slow], pace: Pace, order: Order) -> ReplayRun {
    let options = ReplayOptions { pace, order, ..ReplayOptions::default() };
    replay(records.into_iter(), targets, &options, &StopFlag::default(), &mut ()).expect("threads")
}

const LISTS: [&str; 8] = ["ab", "c", "bd", "e", "fg", "a", "gh", "h"];

fn records() -> Vec<TimedRecord> {
    at_start(LISTS.iter().cycle().take(800).map(|list| finish_write(list)))
}

/// The calls on each key in the order of the trace, none begun before the one before it ended.
fn assert_key_order(log: &Log) {
    let log = log.0.lock().expect("nobody panicked");
    for key in "abcdefgh".chars() {
        let of_key = log.iter().filter(|(names, _)| names.contains(key));
        let expected = LISTS.iter().cycle().take(800).filter(|names| names.contains(key));
        let expected = expected.flat_map(|names| [((*names).to_owned(), true), ((*names).to_owned(), false)]);
        assert!(of_key.cloned().eq(expected), "{key}");
    }
}

#[test]
fn calls_on_a_key_keep_their_order_and_others_run_beside_them() {
    let log = Log::default();
    let done = run(records(), &mut Slow::all(&log, 4), Pace::Asap, Order::Recorded);
    assert_eq!((done.records_replayed, done.lag.calls), (800, 0));
    assert_key_order(&log);
    let log = log.0.lock().expect("nobody panicked");
    assert!(log.windows(2).any(|pair| pair[0].1 && pair[1].1), "two calls at once");
}

#[test]
fn in_causal_order_one_call_follows_the_other() {
    let log = Log::default();
    run(records(), &mut Slow::all(&log, 4), Pace::Asap, Order::Causal);
    let log = log.0.lock().expect("nobody panicked");
    let expected = LISTS.iter().cycle().take(800);
    let expected = expected.flat_map(|names| [((*names).to_owned(), true), ((*names).to_owned(), false)]);
    assert!(log.iter().cloned().eq(expected));
}

#[test]
fn outcomes_say_which_worker_made_the_call() {
    let log = Log::default();
    let mut seen = Collector::default();
    let options = ReplayOptions { pace: Pace::Asap, ..ReplayOptions::default() };
    let mut targets = Slow::all(&log, 3);
    replay(records().into_iter(), &mut targets, &options, &StopFlag::default(), &mut seen).expect("threads");
    let mut seqs: Vec<u64> = seen.0.iter().map(|outcome| outcome.seq).collect();
    seqs.sort_unstable();
    assert!(seqs.into_iter().eq(0..800));
    let mut workers: Vec<u16> = seen.0.iter().map(|outcome| outcome.worker).collect();
    workers.sort_unstable();
    workers.dedup();
    assert!(workers.len() > 1 && workers.iter().all(|worker| *worker < 3), "{workers:?}");
}

/// A panic reaches the caller, and nobody waits for what the worker had still to do.
#[test]
fn a_panic_of_one_worker_ends_the_replay() {
    let log = Log::default();
    let mut targets = Slow::all(&log, 4);
    targets.iter_mut().for_each(|target| target.panics_at = Some("e"));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run(records(), &mut targets, Pace::Asap, Order::Causal)
    }));
    assert!(panicked.is_err());
}

#[test]
fn a_stop_ends_all_workers() {
    struct Stopping(StopFlag);
    impl ReplayTarget for Stopping {
        fn dispatch(&mut self, _call: &StorageCall, _slot: Option<ReadSlot>) -> Result<()> {
            self.0.set();
            Ok(())
        }
    }
    let stop = StopFlag::default();
    let mut targets = [0; 3].map(|_| Stopping(stop.clone()));
    let records = at((0..1000).map(|number| (f64::from(number), finish_write("abc"))));
    let options = ReplayOptions { order: Order::Causal, ..ReplayOptions::default() };
    let done = replay(records.into_iter(), &mut targets, &options, &stop, &mut ()).expect("threads");
    assert!(done.interrupted && done.records_replayed == 1);
}

#[test]
fn no_worker_and_too_many_are_refused() {
    for workers in [0, lmcache::replay::MAX_WORKERS + 1] {
        let mut targets = Slow::all(&Log::default(), workers);
        let options = ReplayOptions::default();
        let refused = replay(std::iter::empty(), &mut targets, &options, &StopFlag::default(), &mut ());
        assert!(refused.is_err(), "{workers}");
    }
    let mut targets = Slow::all(&Log::default(), lmcache::replay::MAX_WORKERS);
    assert!(run(records(), &mut targets, Pace::Asap, Order::Recorded).records_replayed == 800);
}

/// A schedule of absolute deadlines does not drift: two seconds at ten times their speed take a fifth of a second within a
/// thousandth, unless the machine is elsewhere at its end; then another try is not.
#[test]
fn a_speed_is_exact() {
    const PLANNED_NS: u64 = 200_000_000;
    let beyond_ns = || {
        let records = at((0..=200).map(|number| (f64::from(number) * 0.01, finish_write("a"))));
        let options = ReplayOptions { pace: Pace::speed(10.0).unwrap(), ..ReplayOptions::default() };
        let mut targets = [crate::fakes::FakeTarget::default()];
        let run = replay(records.into_iter(), &mut targets, &options, &StopFlag::default(), &mut ());
        run.expect("threads").duration_ns.checked_sub(PLANNED_NS).expect("never early")
    };
    let tries: Vec<u64> = (0..10).map(|_| beyond_ns()).collect();
    assert!(tries.iter().any(|beyond_ns| *beyond_ns <= PLANNED_NS / 1000), "{tries:?}");
}

#[test]
fn a_speed_and_a_rate_are_kept() {
    const MS: u64 = 1_000_000;
    let second = || at((0..=100).map(|number| (f64::from(number) * 0.01, finish_write("a"))));
    let quick = |records: Vec<TimedRecord>, pace| {
        let mut targets = [crate::fakes::FakeTarget::default()];
        let options = ReplayOptions { pace, ..ReplayOptions::default() };
        replay(records.into_iter(), &mut targets, &options, &StopFlag::default(), &mut ()).expect("threads")
    };
    let at_speed = quick(second(), Pace::speed(10.0).unwrap());
    assert!((100 * MS..1000 * MS).contains(&at_speed.duration_ns), "{}", at_speed.duration_ns);
    let at_rate = quick(second(), Pace::rate(1000.0).unwrap());
    assert!((100 * MS..1000 * MS).contains(&at_rate.duration_ns), "{}", at_rate.duration_ns);
    let asap = quick(second(), Pace::Asap);
    assert!(asap.duration_ns < 100 * MS, "{}", asap.duration_ns);
    let stranger = RecordBody::Skipped { qualname: "x".into(), reason: "y".into() };
    assert_eq!(quick(at([(0.0, stranger)]), Pace::Asap).records_skipped, 1);
}

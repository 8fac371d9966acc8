//! Calls begin when they are due, whatever times a file claims.

use lmcache::clock::monotonic_ns;
use lmcache::replay::{ReplayOptions, StopFlag, replay};

use crate::fakes::{Collector, FakeTarget, at, finish_write, run};

const MS: u64 = 1_000_000;

#[test]
fn no_call_begins_before_its_time_and_every_lag_is_counted() {
    let mut target = FakeTarget::default();
    let run = run(at((0..50).map(|number| (f64::from(number) * 1e-3, finish_write("a")))), &mut target);
    assert_eq!(run.records_replayed, 50);
    assert!(run.duration_ns >= 49 * MS, "{}", run.duration_ns);
    assert_eq!(run.lag.calls, 50);
    assert!(run.lag.p50_ns <= run.lag.p99_ns && run.lag.p99_ns <= run.lag.p999_ns);
    assert!(run.lag.p999_ns <= run.lag.max_ns);
    assert!(!run.interrupted);
}

#[test]
fn a_slow_call_makes_the_next_one_late_and_the_schedule_recovers() {
    struct Slow;
    impl lmcache::replay::ReplayTarget for Slow {
        fn dispatch(
            &mut self,
            call: &lmcache::format::model::StorageCall,
            _slot: Option<lmcache::replay::ReadSlot>,
        ) -> lmcache::error::Result<()> {
            if call.op() == lmcache::format::model::Op::ReserveWrite {
                lmcache::clock::Waiter::default().wait_until_ns(monotonic_ns() + 20 * MS, || false);
            }
            Ok(())
        }
    }
    let slow = lmcache::replay::RecordBody::Call(lmcache::format::model::StorageCall::ReserveWrite {
        keys: vec![],
        layout: Default::default(),
        mode: Default::default(),
    });
    let records = at([(0.0, slow), (0.005, finish_write("a")), (0.040, finish_write("b"))]);
    let mut seen = Collector::default();
    let options = ReplayOptions::default();
    let run = replay(records.into_iter(), &mut [Slow], &options, &StopFlag::default(), &mut seen).unwrap();
    let lags: Vec<u64> = seen.0.iter().map(|outcome| outcome.lag_ns.unwrap()).collect();
    assert!(lags[1] >= 15 * MS, "{lags:?}");
    assert!(lags[2] < 15 * MS, "{lags:?}");
    assert!(run.lag.late_calls >= 1);
    assert_eq!(run.lag.max_ns, *lags.iter().max().unwrap());
}

#[test]
fn impossible_times_are_at_once_and_have_no_lag() {
    let hostile = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -5.0, f64::MAX, 1e18];
    let mut target = FakeTarget::default();
    let run = run(at(hostile.map(|t_mono_s| (t_mono_s, finish_write("a")))), &mut target);
    assert_eq!((run.records_replayed, run.impossible_times, run.lag.calls), (6, 6, 0));
    assert!(run.duration_ns < 5_000 * MS);
}

#[test]
fn times_that_go_back_are_no_lag_of_ours() {
    let mut target = FakeTarget::default();
    let run = run(at([(0.05, finish_write("a")), (0.0, finish_write("b"))]), &mut target);
    assert_eq!((run.records_replayed, run.disordered_times), (2, 1));
    assert!(run.lag.max_ns < 49 * MS, "{}", run.lag.max_ns);
}

/// A record that is due in a century is waited for, but not against the stop flag.
#[test]
fn a_stop_ends_the_longest_wait() {
    let stop = StopFlag::default();
    let mut target = FakeTarget { stop_after: Some((0, stop)), ..FakeTarget::default() };
    let begun_ns = monotonic_ns();
    let run = run(at([(0.0, finish_write("a")), (3e8, finish_write("b"))]), &mut target);
    assert!(run.interrupted);
    assert_eq!((run.records_replayed, target.calls.len()), (1, 1));
    assert_eq!(target.finished_with_open, Some(0));
    assert!(monotonic_ns() - begun_ns < 2_000 * MS);
}

#[test]
fn a_stop_from_another_thread_is_seen_while_waiting() {
    let stop = StopFlag::default();
    let mut target = FakeTarget { stop_after: Some((usize::MAX, stop.clone())), ..FakeTarget::default() };
    let waker = std::thread::spawn(move || {
        lmcache::clock::Waiter::new(0).wait_until_ns(monotonic_ns() + 30 * MS, || false);
        stop.set();
    });
    let run = run(at([(1000.0, finish_write("a"))]), &mut target);
    waker.join().unwrap();
    assert!(run.interrupted);
    assert_eq!(run.records_replayed, 0);
}

#[test]
fn an_empty_trace_is_replayed_in_no_time() {
    let mut target = FakeTarget::default();
    let run = run(at([]), &mut target);
    assert_eq!((run.records_replayed, run.lag.calls, run.interrupted), (0, 0, false));
    assert!(run.ops.is_empty());
    assert_eq!(target.finished_with_open, Some(0));
}

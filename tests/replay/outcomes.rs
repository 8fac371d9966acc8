//! What counts as replayed, skipped and failed, and what an observer is told.

use lmcache::format::model::Op;
use lmcache::replay::MAX_NOTES;
use lmcache::replay::observe::OUTCOMES_QUEUED;
use lmcache::replay::{Outcome, RecordName, ReplayObserver, ReplayOptions, Status, StopFlag, replay};

use crate::fakes::{Collector, FakeTarget, at_start, enter, finish_write, run, skipped};

#[test]
fn records_are_counted_by_how_they_ended() {
    let mut target = FakeTarget { fail_calls: vec![1, 2], ..FakeTarget::default() };
    let records =
        at_start([finish_write("a"), skipped("x.y"), finish_write("b"), enter("a"), finish_write("c")]);
    let mut seen = Collector::default();
    let options = ReplayOptions::default();
    let run = replay(
        records.into_iter(),
        std::slice::from_mut(&mut target),
        &options,
        &StopFlag::default(),
        &mut seen,
    )
    .unwrap();
    assert_eq!((run.records_replayed, run.records_skipped, run.records_failed), (2, 1, 2));
    let counts: Vec<_> = run.ops.iter().map(|row| (row.op, row.count, row.errors)).collect();
    assert_eq!(counts, [(Op::FinishWrite, 2, 1), (Op::ReadEnter, 0, 1)]);
    let statuses: Vec<_> = seen.0.iter().map(|outcome| (outcome.seq, outcome.status)).collect();
    assert_eq!(
        statuses,
        [
            (0, Status::Replayed),
            (1, Status::Skipped),
            (2, Status::Failed),
            (3, Status::Failed),
            (4, Status::Replayed)
        ]
    );
    assert_eq!(seen.0[1].name, RecordName::Other("x.y".into()));
    assert_eq!((run.failures.len(), run.failures[0].seq), (2, 2));
    assert!(run.failures[0].reason.contains("told to fail"));
    assert_eq!(run.skips[0].reason, "nobody knows this call");
    // A skipped record has no lag and no latency in the statistics.
    assert_eq!(run.lag.calls, 4);
}

#[test]
fn notes_are_kept_to_the_limit() {
    let mut target = FakeTarget::default();
    let run = run(at_start((0..MAX_NOTES + 1).map(|_| skipped("x"))), &mut target);
    assert_eq!((run.records_skipped, run.skips.len()), (MAX_NOTES as u64 + 1, MAX_NOTES));
}

/// An observer that blocks for as long as the replay runs must not make it late, and what it missed is
/// counted.
#[test]
fn a_blocked_observer_loses_outcomes_and_they_are_counted() {
    struct Blocked {
        seen: u64,
        stop: std::sync::mpsc::Receiver<()>,
    }
    impl ReplayObserver for Blocked {
        fn record(&mut self, _outcome: &Outcome) {
            if self.seen == 0 {
                // Until the target has finished.
                let _ = self.stop.recv();
            }
            self.seen += 1;
        }
    }
    struct Telling(std::sync::mpsc::Sender<()>);
    impl lmcache::replay::ReplayTarget for Telling {
        fn dispatch(
            &mut self,
            _call: &lmcache::format::model::StorageCall,
            _slot: Option<lmcache::replay::ReadSlot>,
        ) -> lmcache::error::Result<()> {
            Ok(())
        }
        fn finish(&mut self, _stop: &StopFlag) {
            self.0.send(()).unwrap();
        }
    }
    let total = OUTCOMES_QUEUED as u64 + 5_000;
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut observer = Blocked { seen: 0, stop: receiver };
    let records = at_start((0..total).map(|_| finish_write("a")));
    let options = ReplayOptions::default();
    let run =
        replay(records.into_iter(), &mut [Telling(sender)], &options, &StopFlag::default(), &mut observer)
            .unwrap();
    assert_eq!(run.records_replayed, total);
    assert!(run.unobserved_records > 0);
    assert_eq!(observer.seen + run.unobserved_records, total);
}

//! Which exit closes which enter.

use lmcache::replay::ReadSlot;

use crate::fakes::{FakeTarget, at_start, enter, exit, finish_write, run};

fn slots(target: &FakeTarget) -> Vec<Option<u32>> {
    target.calls.iter().map(|(_, slot)| slot.map(|ReadSlot(number)| number)).collect()
}

#[test]
fn the_oldest_open_read_of_the_same_keys_is_closed_first() {
    let mut target = FakeTarget::default();
    let records = at_start([
        enter("ab"),
        enter("c"),
        enter("ab"),
        exit("ab"),
        finish_write("ab"),
        exit("c"),
        exit("ab"),
    ]);
    let run = run(records, &mut target);
    assert_eq!(slots(&target), [Some(0), Some(1), Some(2), Some(0), None, Some(1), Some(2)]);
    assert_eq!(run.records_replayed, 7);
    assert_eq!(target.finished_with_open, Some(0));
}

#[test]
fn key_lists_differ_by_order_and_length() {
    let mut target = FakeTarget::default();
    run(at_start([enter("ab"), exit("ba"), exit("a"), exit("abc"), exit("")]), &mut target);
    assert_eq!(slots(&target), [Some(0), None, None, None, None]);
    assert_eq!(target.finished_with_open, Some(1));
}

#[test]
fn an_exit_without_an_enter_is_replayed_like_any_call() {
    let mut target = FakeTarget::default();
    let run = run(at_start([exit("a"), enter("a"), exit("a"), exit("a")]), &mut target);
    assert_eq!(slots(&target), [None, Some(0), Some(0), None]);
    assert_eq!((run.records_replayed, run.records_failed), (4, 0));
}

/// More records than one batch holds, so that pairs span batches; slots are used again.
#[test]
fn pairs_span_batches() {
    let mut target = FakeTarget::default();
    let bodies = (0..1000).flat_map(|_| [enter("xy"), finish_write("z"), exit("xy")]);
    let run = run(at_start(bodies), &mut target);
    assert_eq!(run.records_replayed, 3000);
    assert!(slots(&target).into_iter().flatten().all(|slot| slot == 0));
    assert_eq!(target.settled, 3000);
}

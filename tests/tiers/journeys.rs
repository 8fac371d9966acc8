//! The way of a prefetch that L1 could not answer alone, and what is told of stores and loads.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use lmcache::clock::{NS_PER_S, monotonic_ns};
use lmcache::format::model::ObjectKey;
use lmcache::storage::config::Compat;
use lmcache::storage::events::{Event, EventSink};
use lmcache::storage::prefetch::{JourneyEnd, PrefetchJourney, Rows};

use crate::gate::Kind;
use crate::support::{Bench, PAGE, config, keys, spec};

fn cells(rows: &Rows) -> Vec<String> {
    rows.iter().map(ToString::to_string).collect()
}

fn journey_of(bench: &Bench, keys: &[ObjectKey]) -> Arc<PrefetchJourney> {
    bench.submit(&spec(keys)).journey().expect("it went to L2")
}

/// The clock of the manager stands still; what is measured does not.
#[test]
fn a_prefetch_says_when_it_was_where() {
    for compat in [Compat::Native, Compat::Lmcache] {
        let bench = Bench::new(compat, 16);
        let keys = keys(0, 3);
        bench.write_to_l2(&keys[..2]);
        [Kind::Lookup, Kind::Load].into_iter().for_each(|kind| bench.hold(kind, true));
        let begun_ns = monotonic_ns();
        let handle = bench.submit(&spec(&keys));
        assert_eq!(handle.journey(), None, "it is under way");
        let asked_ns = monotonic_ns();
        bench.hold(Kind::Lookup, false);
        let found_ns = monotonic_ns();
        bench.hold(Kind::Load, false);
        let ended_ns = monotonic_ns();
        let journey = handle.journey().expect("it is done");
        let times = journey.times;
        let in_order = [
            Some(begun_ns),
            Some(times.submitted_ns),
            times.lookup_begun_ns,
            Some(asked_ns),
            times.lookup_ended_ns,
            times.loads_begun_ns,
            Some(found_ns),
            times.loads_ended_ns,
            Some(times.published_ns),
            Some(ended_ns),
        ];
        assert!(in_order.iter().all(Option::is_some) && in_order.is_sorted(), "{compat}: {in_order:?}");
        assert_eq!(handle.ready_time_ns(), Some(handle.submit_time_ns), "the manager's clock stood still");
        assert_eq!((journey.end, cells(&journey.found_cells)), (JourneyEnd::Done, vec!["110".to_owned()]));
        let parts_ns = [times.queue_ns(), times.lookup_ns(), times.load_ns()];
        assert!(parts_ns.iter().flatten().sum::<u64>() <= times.total_ns(), "{times:?}");
    }
}

#[test]
fn who_waits_for_a_place_waits_in_the_queue() {
    let mut config = config(Compat::Native, 16);
    config.prefetch_max_in_flight = 1;
    let bench = Bench::with(config, 1);
    bench.hold(Kind::Lookup, true);
    let first = bench.submit(&spec(&keys(0, 1)));
    let second = bench.submit(&spec(&keys(5, 1)));
    let waited_until_ns = monotonic_ns();
    bench.hold(Kind::Lookup, false);
    let times = [first, second].map(|handle| handle.journey().expect("it is done").times);
    assert!(times[0].lookup_begun_ns < Some(waited_until_ns));
    assert!(times[1].submitted_ns < waited_until_ns && times[1].lookup_begun_ns >= Some(waited_until_ns));
    assert_eq!((times[1].loads_begun_ns, times[1].load_ns()), (None, None), "nothing was there to load");
}

#[test]
fn what_l1_answers_alone_has_no_way() {
    let bench = Bench::new(Compat::Native, 16);
    bench.write(&keys(0, 2));
    let whole = bench.submit(&spec(&keys(0, 2)));
    let partly = bench.manager.submit_prefetch_task(&spec(&keys(0, 3)), "", true).expect("no error");
    assert!(whole.is_done() && partly.is_done());
    assert_eq!((whole.journey(), partly.journey()), (None, None));
}

#[test]
fn cells_without_room_in_l1_are_named() {
    for (compat, crowded) in [(Compat::Native, "00001111"), (Compat::Lmcache, "11111111")] {
        let bench = Bench::new(compat, 4);
        let keys = keys(0, 8);
        bench.write_to_l2(&keys);
        let journey = journey_of(&bench, &keys);
        assert_eq!(cells(&journey.found_cells), ["11111111"]);
        assert_eq!(cells(&journey.crowded_cells), [crowded], "{compat}");
        assert_eq!(cells(&journey.undelivered_cells), ["00000000"]);
    }
}

/// A load that ends after its reservation has run out, and one that waits for it.
#[test]
fn cells_that_do_not_arrive_in_time_are_named_to_all_who_wait() {
    let bench = Bench::new(Compat::Native, 16);
    let keys = keys(0, 2);
    bench.write_to_l2(&keys);
    bench.hold(Kind::Load, true);
    let handles = [bench.submit(&spec(&keys)), bench.submit(&spec(&keys))];
    bench.hand.advance_ns(11 * NS_PER_S);
    bench.hold(Kind::Load, false);
    for handle in handles {
        let journey = handle.journey().expect("it is done");
        assert_eq!(cells(&journey.undelivered_cells), ["11"]);
        assert!(journey.times.loads_ended_ns.is_some());
    }
}

#[test]
fn a_prefetch_that_is_given_up_says_so() {
    let mut config = config(Compat::Native, 16);
    config.prefetch.timeout_ms = Some(500);
    let bench = Bench::with(config, 1);
    let keys = keys(0, 2);
    bench.write_to_l2(&keys);
    bench.hold(Kind::Load, true);
    let (late, cancelled) = (bench.submit(&spec(&keys[..1])), bench.submit(&spec(&keys[1..])));
    bench.manager.cancel_prefetch(&cancelled, &spec(&keys[1..]));
    bench.manager.pump();
    bench.hand.advance_ns(NS_PER_S);
    bench.manager.pump();
    let ends = [late, cancelled].map(|handle| handle.journey().expect("it is done").end);
    assert_eq!(ends, [JourneyEnd::TimedOut, JourneyEnd::Abandoned]);
    bench.hold(Kind::Load, false);
}

/// What events of L2 say, in their order.
#[derive(Debug, Default)]
struct Seen(Mutex<Vec<String>>, Mutex<Vec<u64>>);

impl EventSink for Seen {
    fn on_event(&self, event: &Event<'_>) {
        let said = match event {
            Event::L2StoreCompleted { task, failed_count, written_ns } => {
                assert_eq!(task.keys.len(), written_ns.len());
                self.1.lock().expect("no error").extend(*written_ns);
                format!("stored {} failed {failed_count} bytes {}", task.keys.len(), task.bytes)
            }
            Event::L2StoreGivenUp { keys } => format!("given up {}", keys.len()),
            Event::L2PrefetchLoadCompleted { loaded, failed_count, adapter_index, loaded_bytes, .. } => {
                format!(
                    "loaded {} failed {failed_count} bytes {loaded_bytes} from {adapter_index}",
                    loaded.len()
                )
            }
            Event::L2StoreSubmitted(_) | Event::L2LoadTaskSubmitted(_) => "begun".to_owned(),
            _ => return,
        };
        self.0.lock().expect("no error").push(said);
    }
}

#[test]
fn a_sink_of_l2_hears_what_is_stored_given_up_and_loaded() {
    let bench = Bench::new(Compat::Native, 16);
    let seen = Arc::new(Seen::default());
    bench.manager.attach_l2_events(Arc::clone(&seen) as _).expect("the first one");
    bench.manager.attach_l2_events(Arc::clone(&seen) as _).expect_err("there is one already");
    let take = || std::mem::take(&mut *seen.0.lock().expect("no error"));
    let begun_ns = monotonic_ns();
    bench.mocks[0].failures.store(1, Ordering::SeqCst);
    bench.write(&keys(0, 2));
    let written_ns = monotonic_ns();
    bench.hand.advance_ns(NS_PER_S);
    bench.manager.pump();
    let page = PAGE * 2;
    assert_eq!(
        take(),
        ["begun", "stored 0 failed 2 bytes 0", "begun", &format!("stored 2 failed 0 bytes {page}")]
    );
    let times = seen.1.lock().expect("no error").clone();
    assert_eq!(times.len(), 2, "the time of the write, however often it was tried");
    assert!(times.iter().all(|at_ns| (begun_ns..=written_ns).contains(at_ns)));
    bench.manager.clear(true);
    bench.submit(&spec(&keys(0, 3)));
    assert_eq!(take(), ["begun", &format!("loaded 2 failed 0 bytes {page} from 0")]);
    bench.mocks[0].failures.store(u32::MAX, Ordering::SeqCst);
    bench.write(&keys(9, 1));
    for _ in 0..10 {
        bench.hand.advance_ns(NS_PER_S);
        bench.manager.pump();
    }
    assert_eq!(take().last().map(String::as_str), Some("given up 1"));
}

use std::slice;
use std::sync::{Arc, Weak};

use lmcache::format::model::KeyInterner;
use lmcache::replay::{
    Order, Pace, RecordBody, RecordSource, ReplayOptions, Step, StopFlag, TimedRecord, replay,
};

use crate::fakes::{FakeTarget, at, finish_write};

/// Rounds of 255, 254, 253 ... small records and a big one.
struct Stairs {
    step: usize,
    rounds: usize,
    small_left: usize,
    given: Vec<Weak<str>>,
    most_alive: Arc<std::sync::atomic::AtomicUsize>,
}

impl RecordSource for Stairs {
    fn step(&mut self, place: &mut TimedRecord, _keys: &mut KeyInterner) -> Step {
        place.seq += 1;
        if self.small_left > 0 {
            self.small_left -= 1;
            place.body = finish_write("a");
            return Step::Record;
        }
        if self.step == self.rounds {
            return Step::End;
        }
        self.step += 1;
        self.small_left = 255 - (self.step / 20) % 256;
        let reason: Arc<str> = "x".repeat(1 << 20).into();
        self.given.push(Arc::downgrade(&reason));
        place.body = RecordBody::Skipped { qualname: Arc::from("q"), reason };
        self.given.retain(|weak| weak.strong_count() > 0);
        self.most_alive.fetch_max(self.given.len(), std::sync::atomic::Ordering::Relaxed);
        Step::Record
    }
}

#[test]
fn review_memory_of_places() {
    let most_alive = Arc::default();
    let source = Stairs { step: 0, rounds: 2_000, small_left: 255, given: vec![], most_alive: Arc::clone(&most_alive) };
    let mut target = FakeTarget::default();
    let options = ReplayOptions { pace: Pace::Asap, order: Order::Causal, ..ReplayOptions::default() };
    replay(source, slice::from_mut(&mut target), &options, &StopFlag::default(), &mut ()).expect("threads");
    let most = most_alive.load(std::sync::atomic::Ordering::Relaxed);
    println!("{most} MiB at once");
    assert!(most <= 40, "{most} MiB at once, 16 are promised");
}

struct Late {
    left_out: usize,
    records: std::vec::IntoIter<TimedRecord>,
    is_quick: bool,
}

impl RecordSource for Late {
    fn step(&mut self, place: &mut TimedRecord, keys: &mut KeyInterner) -> Step {
        if self.left_out > 0 {
            self.left_out -= 1;
            std::thread::sleep(std::time::Duration::from_millis(1));
            return Step::LeftOut;
        }
        self.records.step(place, keys)
    }

    fn is_quick(&self) -> bool {
        self.is_quick
    }
}

#[test]
fn review_what_is_left_out_before_the_first_call_belongs_to_no_call() {
    let durations = [true, false].map(|is_quick| {
        let records = at((0..10).map(|number| (number as f64, finish_write("a")))).into_iter();
        let source = Late { left_out: 500, records, is_quick };
        let mut target = FakeTarget::default();
        let options = ReplayOptions { pace: Pace::Asap, order: Order::Causal, ..ReplayOptions::default() };
        replay(source, slice::from_mut(&mut target), &options, &StopFlag::default(), &mut ()).expect("threads").duration_ns
    });
    println!("{durations:?}");
    assert!(durations[0] < 100_000_000, "{durations:?}");
}

//! What stays of records that are done with, in the places that later ones are written to.

use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use lmcache::format::model::KeyInterner;
use lmcache::replay::{
    Order, Pace, RecordBody, RecordSource, ReplayOptions, Step, StopFlag, TimedRecord, replay,
};

use crate::fakes::{FakeTarget, finish_write};

/// A hostile trace: rounds of 255, 254, 253 ... small records, each closed by one of a MiB, which lies at another place than the one before.
struct Stairs {
    rounds: usize,
    small_left: usize,
    /// The large ones.
    given: Vec<Weak<str>>,
    most_alive: Arc<AtomicUsize>,
}

impl RecordSource for Stairs {
    fn step(&mut self, place: &mut TimedRecord, _keys: &mut KeyInterner) -> Step {
        place.seq += 1;
        if self.small_left > 0 {
            self.small_left -= 1;
            place.body = finish_write("a");
            return Step::Record;
        }
        if self.rounds == 0 {
            return Step::End;
        }
        self.rounds -= 1;
        self.small_left = 255 - (self.rounds / 20) % 256;
        let reason: Arc<str> = "x".repeat(1 << 20).into();
        self.given.push(Arc::downgrade(&reason));
        place.body = RecordBody::Skipped { qualname: Arc::from("odd"), reason };
        self.given.retain(|large| large.strong_count() > 0);
        self.most_alive.fetch_max(self.given.len(), Ordering::Relaxed);
        Step::Record
    }
}

/// 16 batches that wait, as many that are done with, and those in hand.
#[test]
fn batches_hold_no_more_than_they_did_on_their_way() {
    let most_alive = Arc::<AtomicUsize>::default();
    let source =
        Stairs { rounds: 1_000, small_left: 255, given: Vec::new(), most_alive: Arc::clone(&most_alive) };
    let mut target = FakeTarget::default();
    let options = ReplayOptions { pace: Pace::Asap, order: Order::Causal, ..ReplayOptions::default() };
    replay(source, slice::from_mut(&mut target), &options, &StopFlag::default(), &mut ()).expect("threads");
    let most = most_alive.load(Ordering::Relaxed);
    assert!((1..=2 * 16 + 4).contains(&most), "{most} MiB at once");
}

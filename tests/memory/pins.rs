//! Pins: what is released under an I/O is put aside, and nothing is given to two at once.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use lmcache::storage::memory::{
    AddressAllocator, AddressManager, Arena, PinCounts, PinnedSpan, Released, Span,
};

use crate::support::Random;

const PAGE: u64 = 4096;

fn span(page: u64) -> Span {
    Span { offset_bytes: page * PAGE, phy_size_bytes: PAGE, size_bytes: PAGE - 1 }
}

fn arena(pages: u64) -> Arc<Arena> {
    Arc::new(Arena::new(pages * PAGE, PAGE).unwrap())
}

#[test]
fn a_span_comes_back_once_and_with_its_last_pin() {
    let arena = arena(4);
    assert_eq!(arena.release(span(0)), Released::Now);
    let pins = [arena.pin(span(1)), arena.pin(span(1)), arena.pin(span(2))];
    assert!(arena.is_pinned(span(1)) && !arena.is_pinned(span(3)));
    assert_eq!(arena.release(span(3)), Released::Now);
    assert_eq!(arena.release(span(1)), Released::WhenUnpinned);
    assert_eq!(arena.take_unpinned(), []);
    assert_eq!(arena.pin_counts(), PinCounts { pins: 3, waiting_spans: 1, waiting_bytes: PAGE });
    let [first, second, other] = pins;
    drop(first);
    assert_eq!(arena.take_unpinned(), []);
    drop(other);
    assert_eq!(arena.take_unpinned(), [], "a span that nobody released stays its owner's");
    drop(second);
    assert_eq!(arena.pin_counts(), PinCounts { pins: 0, waiting_spans: 1, waiting_bytes: PAGE });
    assert_eq!(arena.take_unpinned(), [span(1)]);
    assert_eq!(arena.take_unpinned(), []);
    assert_eq!(arena.pin_counts(), PinCounts::default());
    assert_eq!(arena.release(span(2)), Released::Now);
}

#[test]
fn a_pin_outlives_everybody_else() {
    let arena = arena(2);
    let pinned = arena.pin(span(1));
    assert_eq!(arena.release(span(1)), Released::WhenUnpinned);
    drop(arena);
    pinned.write_from(0, &[7; 4095]).unwrap();
    let mut bytes = [0; 5000];
    assert_eq!(pinned.read_into(4000, &mut bytes), 95);
    assert!(bytes[..95].iter().all(|byte| *byte == 7));
}

#[test]
#[should_panic(expected = "not a span of this arena")]
fn a_span_of_another_arena_cannot_be_pinned() {
    let _ = arena(2).pin(span(2));
}

#[test]
#[should_panic(expected = "not a span of this arena")]
fn an_object_larger_than_its_span_cannot_be_pinned() {
    let _ = arena(2).pin(Span { size_bytes: PAGE + 1, ..span(1) });
}

/// What L1 has under its mutex.
struct Owner {
    allocator: AddressManager,
    spans: Vec<Span>,
}

struct Stress {
    arena: Arc<Arena>,
    owner: Mutex<Owner>,
    waited: AtomicU64,
}

impl Stress {
    fn new(pages: u64) -> Self {
        let owner = Owner { allocator: AddressManager::new(pages * PAGE, PAGE).unwrap(), spans: Vec::new() };
        Self { arena: arena(pages), owner: Mutex::new(owner), waited: AtomicU64::new(0) }
    }

    /// Takes a span and pins it, or lets go of one that somebody may have pinned.
    fn turn(&self, random: &mut Random) -> Option<PinnedSpan> {
        let mut owner = self.owner.lock().unwrap();
        for span in self.arena.take_unpinned() {
            owner.allocator.free(span.offset_bytes, span.phy_size_bytes).unwrap();
        }
        let pages = 1 + random.below(3);
        let mut addresses = Vec::new();
        let fits = owner.allocator.batched_allocate(pages * PAGE, 1, &mut addresses).unwrap();
        if fits && random.below(5) > 0 {
            let phy_size_bytes = pages * PAGE;
            let span = Span { offset_bytes: addresses[0], phy_size_bytes, size_bytes: phy_size_bytes };
            owner.spans.push(span);
            return Some(self.arena.pin(span));
        }
        for address in addresses {
            owner.allocator.free(address, pages * PAGE).unwrap();
        }
        if owner.spans.is_empty() {
            drop(owner);
            std::thread::yield_now();
            return None;
        }
        // The youngest ones, whose I/O is likely to be under way.
        let position = owner.spans.len() - 1 - random.below(owner.spans.len().min(3) as u64) as usize;
        let span = owner.spans.remove(position);
        match self.arena.release(span) {
            Released::Now => owner.allocator.free(span.offset_bytes, span.phy_size_bytes).unwrap(),
            // Relaxed: a count, read after the threads are joined.
            Released::WhenUnpinned => drop(self.waited.fetch_add(1, Ordering::Relaxed)),
        }
        None
    }

    fn owner(&self, seed: u64, rounds: u64, io: &Sender<(PinnedSpan, u64)>) {
        let mut random = Random(seed);
        for round in 0..rounds {
            if let Some(pinned) = self.turn(&mut random) {
                io.send((pinned, seed * rounds + round)).unwrap();
            }
        }
    }
}

fn pattern(pinned: &PinnedSpan, number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(pinned.size_bytes() / 8)
}

/// Writes a number all over each span, and finds it there a few spans later, whoever released it meanwhile.
fn io(pins: &Receiver<(PinnedSpan, u64)>) {
    let verify = |(pinned, number): (PinnedSpan, u64)| {
        let expected = pattern(&pinned, number);
        let mut found = vec![0; expected.len()];
        assert_eq!(pinned.read_into(0, &mut found), expected.len());
        assert!(found == expected, "a span was given to two at once");
    };
    let mut in_flight = VecDeque::new();
    for (pinned, number) in pins {
        pinned.write_from(0, &pattern(&pinned, number)).unwrap();
        in_flight.push_back((pinned, number));
        if in_flight.len() > 2 {
            in_flight.pop_front().into_iter().for_each(verify);
        }
    }
    in_flight.into_iter().for_each(verify);
}

#[test]
fn no_span_is_handed_out_again_under_a_pin() {
    const ROUNDS: u64 = 4_000;
    let stress = Stress::new(64);
    std::thread::scope(|scope| {
        for seed in 1..=3 {
            let (send, receive) = channel();
            let stress = &stress;
            scope.spawn(move || stress.owner(seed * 0x9e37, ROUNDS, &send));
            scope.spawn(move || io(&receive));
        }
    });
    let waited = stress.waited.load(Ordering::Relaxed);
    assert!(waited > 100, "{waited} spans were released under their pins");
    let mut owner = stress.owner.into_inner().unwrap();
    assert_eq!(stress.arena.pin_counts().pins, 0);
    for span in std::mem::take(&mut owner.spans) {
        assert_eq!(stress.arena.release(span), Released::Now);
        owner.allocator.free(span.offset_bytes, span.phy_size_bytes).unwrap();
    }
    for span in stress.arena.take_unpinned() {
        owner.allocator.free(span.offset_bytes, span.phy_size_bytes).unwrap();
    }
    assert_eq!(owner.allocator.used_bytes(), 0);
    assert!(owner.allocator.memcheck());
}

//! A ring and a queue of byte strings go through the same calls in any order; after each, what the ring lets its
//! consumer read is what the queue holds.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, in its helpers as in itself")]

use std::collections::VecDeque;

use lmcache::trace::ring::{self, Consumer, MIN_RING_BYTES, Producer, Refusal};
use proptest::prelude::*;

const CAPACITY: usize = MIN_RING_BYTES;
const MAX_RECORD_BYTES: usize = CAPACITY / 4;

#[derive(Clone, Debug)]
enum Operation {
    Commit {
        len_bytes: usize,
    },
    /// Reserve, write, and let go.
    Abandon {
        len_bytes: usize,
    },
    Refresh,
    /// Release so many of the records that are readable, or all if they are fewer.
    Release {
        records: usize,
    },
    DropProducer,
    DropConsumer,
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        6 => 0..200_usize,
        3 => 0..=MAX_RECORD_BYTES,
        2 => Just(MAX_RECORD_BYTES),
        1 => Just(0),
        1 => prop_oneof![Just(MAX_RECORD_BYTES + 1), Just(MAX_RECORD_BYTES + 8), Just(usize::MAX)],
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        200 => length().prop_map(|len_bytes| Operation::Commit { len_bytes }),
        40 => length().prop_map(|len_bytes| Operation::Abandon { len_bytes }),
        80 => Just(Operation::Refresh),
        80 => (0..20_usize).prop_map(|records| Operation::Release { records }),
        1 => Just(Operation::DropProducer),
        1 => Just(Operation::DropConsumer),
    ]
}

/// A record as it must come out: filled up to words with zeros.
fn filled_up(mut record: Vec<u8>) -> Vec<u8> {
    record.resize(record.len().next_multiple_of(8), 0);
    record
}

struct Model {
    producer: Option<Producer>,
    consumer: Option<Consumer>,
    /// Committed and not released.
    oracle: VecDeque<Vec<u8>>,
    /// How many of them the consumer has seen.
    seen: usize,
    byte: u8,
}

impl Model {
    fn new() -> Self {
        let (producer, consumer) = ring::create(CAPACITY).unwrap();
        assert_eq!(producer.max_record_bytes(), MAX_RECORD_BYTES);
        Self { producer: Some(producer), consumer: Some(consumer), oracle: VecDeque::new(), seen: 0, byte: 0 }
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Commit { len_bytes } => self.write(len_bytes, true),
            Operation::Abandon { len_bytes } => self.write(len_bytes, false),
            Operation::Refresh => self.refresh(),
            Operation::Release { records } => self.release(records),
            Operation::DropProducer => self.producer = None,
            Operation::DropConsumer => self.consumer = None,
        }
        self.check();
    }

    fn write(&mut self, len_bytes: usize, commits: bool) {
        let held_bytes: usize = self.oracle.iter().map(Vec::len).sum();
        let Some(producer) = &mut self.producer else { return };
        match producer.reserve(len_bytes) {
            Ok(mut reserved) => {
                assert!(len_bytes <= MAX_RECORD_BYTES);
                let bytes = reserved.bytes();
                assert!(bytes.len() == len_bytes && bytes.as_ptr().addr().is_multiple_of(8));
                self.byte = self.byte.wrapping_add(1);
                bytes.fill(self.byte);
                if commits {
                    reserved.commit();
                    self.oracle.push_back(filled_up(vec![self.byte; len_bytes]));
                }
            }
            Err(Refusal::TooLarge) => assert!(len_bytes > MAX_RECORD_BYTES),
            Err(Refusal::Full) => {
                // Less than a longest record was skipped before what is held, and less than this one behind it.
                let lost_bytes = MAX_RECORD_BYTES + len_bytes;
                assert!(held_bytes + lost_bytes + len_bytes > CAPACITY, "refused {len_bytes} bytes");
                assert!(len_bytes <= MAX_RECORD_BYTES && held_bytes > 0);
            }
        }
    }

    fn refresh(&mut self) {
        if let Some(consumer) = &mut self.consumer {
            self.seen = self.oracle.len();
            assert_eq!(consumer.refresh(), self.oracle.iter().map(Vec::len).sum::<usize>());
        }
    }

    fn release(&mut self, records: usize) {
        if let Some(consumer) = &mut self.consumer {
            let released = self.oracle.drain(..records.min(self.seen));
            let (count, bytes) =
                released.fold((0, 0), |(count, bytes), record| (count + 1, bytes + record.len()));
            consumer.release(bytes);
            self.seen -= count;
        }
    }

    fn check(&mut self) {
        if let Some(producer) = &self.producer {
            assert_eq!(producer.is_abandoned(), self.consumer.is_none());
        }
        if let Some(consumer) = &self.consumer {
            let expected: Vec<u8> = self.oracle.iter().take(self.seen).flatten().copied().collect();
            assert_eq!(consumer.readable().concat(), expected);
            assert_eq!(consumer.is_abandoned(), self.producer.is_none());
        }
    }

    /// Whatever happened: what is left comes out, and the ring is finished.
    fn finish(mut self) {
        self.producer = None;
        let is_empty = self.oracle.iter().all(Vec::is_empty);
        if let Some(consumer) = &mut self.consumer {
            assert_eq!(consumer.is_finished(), is_empty);
        }
        self.refresh();
        self.check();
        self.release(usize::MAX);
        assert!(self.consumer.is_none_or(|mut consumer| consumer.is_finished()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_ring_is_a_queue_of_byte_strings(operations in prop::collection::vec(operation(), 1..300)) {
        let mut model = Model::new();
        for operation in &operations {
            model.apply(operation);
        }
        model.finish();
    }
}

#[test]
fn a_longest_record_is_taken_at_every_place_of_an_empty_ring_and_one_byte_more_never() {
    let (mut producer, mut consumer) = ring::create(CAPACITY).unwrap();
    for _ in 0..CAPACITY / 8 {
        let longest = producer.reserve(MAX_RECORD_BYTES).expect("an empty ring");
        drop(longest);
        assert_eq!(producer.reserve(MAX_RECORD_BYTES + 1).unwrap_err(), Refusal::TooLarge);
        producer.reserve(8).unwrap().commit();
        let bytes = consumer.refresh();
        consumer.release(bytes);
    }
}

#[test]
fn a_ring_holds_its_capacity_and_not_a_word_more() {
    let (mut producer, mut consumer) = ring::create(CAPACITY).unwrap();
    for _ in 0..CAPACITY / 64 {
        producer.reserve(64).unwrap().commit();
    }
    assert_eq!(producer.reserve(1).unwrap_err(), Refusal::Full);
    assert_eq!(consumer.refresh(), CAPACITY);
    consumer.release(8);
    producer.reserve(8).unwrap().commit();
    assert_eq!(producer.reserve(1).unwrap_err(), Refusal::Full);
}

#[test]
fn the_empty_record_leaves_nothing_even_behind_a_skip_that_was_abandoned() {
    let (mut producer, mut consumer) = ring::create(CAPACITY).unwrap();
    for _ in 0..3 {
        producer.reserve(MAX_RECORD_BYTES).unwrap().commit();
    }
    producer.reserve(MAX_RECORD_BYTES - 8).unwrap().commit();
    let written_bytes = consumer.refresh();
    consumer.release(MAX_RECORD_BYTES);
    drop(producer.reserve(16).unwrap());
    producer.reserve(0).unwrap().commit();
    assert_eq!(consumer.refresh(), written_bytes - MAX_RECORD_BYTES);
}

#[test]
#[should_panic(expected = "more bytes are released than were published")]
fn more_than_is_readable_cannot_be_released() {
    let (mut producer, mut consumer) = ring::create(CAPACITY).unwrap();
    producer.reserve(8).unwrap().commit();
    consumer.refresh();
    consumer.release(16);
}

#[test]
#[should_panic(expected = "records take up whole words")]
fn half_a_word_cannot_be_released() {
    let (mut producer, mut consumer) = ring::create(CAPACITY).unwrap();
    producer.reserve(8).unwrap().commit();
    consumer.refresh();
    consumer.release(4);
}

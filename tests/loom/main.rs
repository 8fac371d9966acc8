//! The ring's positions, and the commit slots of a file (`watermark`), under a model checker: every interleaving of
//! two threads, and every value that the memory model lets a load return.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --no-default-features --test loom
//! ```
//!
//! The bytes of a ring are a map that loom knows nothing of. Here one loom cell stands for each word of it, and
//! loom refuses a cell that one thread writes while another may still read it.
#![cfg(loom)]
#![expect(unsafe_code, reason = "the cells of a model checker are raw on purpose")]

#[path = "../../src/trace/ring/index.rs"]
#[expect(unreachable_pub, reason = "the file stands in another crate here")]
mod index;
mod pins;
#[path = "../../src/sync.rs"]
#[expect(unreachable_pub, unused_imports, reason = "the file stands in another crate here")]
mod sync;
mod watermark;

use index::{ALIGN_BYTES, Positions, ReadIndex, Refusal, Run, WriteIndex};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// Eight words, so that a record may take up two and a lap can end with one that is skipped.
const CAPACITY: u64 = 64;
const WORDS: usize = (CAPACITY / ALIGN_BYTES) as usize;

struct Shared {
    positions: Positions,
    words: [UnsafeCell<u64>; WORDS],
}

struct Producer {
    shared: Arc<Shared>,
    index: WriteIndex,
    /// Every word of a record bears the number of the record.
    committed: u64,
}

impl Producer {
    fn record(&mut self, words: u64) -> Result<(), Refusal> {
        let len_bytes = words * ALIGN_BYTES;
        let first = self.index.reserve(&self.shared.positions, len_bytes)? / ALIGN_BYTES;
        for word in first..first + words {
            // SAFETY: loom checks what is to be shown here, that nobody else has the word.
            self.shared.words[word as usize].with_mut(|word| unsafe { *word = self.committed });
        }
        self.index.commit(&self.shared.positions, len_bytes);
        self.committed += 1;
        Ok(())
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.positions.end_writing();
    }
}

struct Consumer {
    shared: Arc<Shared>,
    index: ReadIndex,
    /// The numbers of the words that were read.
    read: Vec<u64>,
}

impl Consumer {
    /// Reads what is there and releases it. Says whether there was anything.
    fn drain(&mut self) -> bool {
        self.index.refresh(&self.shared.positions);
        for Run { offset, len_bytes } in self.index.runs() {
            for word in offset / ALIGN_BYTES..(offset + len_bytes) / ALIGN_BYTES {
                // SAFETY: as in `record`.
                self.read.push(self.shared.words[word as usize].with(|word| unsafe { *word }));
            }
        }
        let published_bytes = self.index.published_bytes();
        self.index.release(&self.shared.positions, published_bytes);
        published_bytes > 0
    }
}

/// A ring in which the records of `lengths` were written, and all but the last `unread` words released.
fn ring_after(lengths: &[u64], unread: u64) -> (Producer, Consumer) {
    let words = std::array::from_fn(|_| UnsafeCell::new(u64::MAX));
    let shared = Arc::new(Shared { positions: Positions::default(), words });
    let mut producer =
        Producer { shared: Arc::clone(&shared), index: WriteIndex::new(CAPACITY), committed: 0 };
    let mut consumer = Consumer { shared, index: ReadIndex::new(CAPACITY), read: Vec::new() };
    for length in lengths {
        producer.record(*length).expect("the ring is not full");
    }
    consumer.index.refresh(&consumer.shared.positions);
    let released_bytes = consumer.index.published_bytes() - unread * ALIGN_BYTES;
    consumer.index.release(&consumer.shared.positions, released_bytes);
    (producer, consumer)
}

/// The producer tries each record of `lengths` once while the consumer drains twice; then the consumer drains
/// the rest. What was committed must come out whole and in order, behind the `unread` words from before.
fn check(before: &'static [u64], unread: u64, lengths: &'static [u64]) {
    loom::model(move || {
        let (mut producer, mut consumer) = ring_after(before, unread);
        let writer = thread::spawn(move || {
            let mut committed = Vec::new();
            for length in lengths {
                let number = producer.committed;
                match producer.record(*length) {
                    Ok(()) => committed.extend((0..*length).map(|_| number)),
                    Err(refusal) => assert_eq!(refusal, Refusal::Full),
                }
            }
            committed
        });
        let mut is_over = false;
        for _ in 0..2 {
            is_over = consumer.shared.positions.is_writing_over();
            consumer.drain();
        }
        let seen_before_the_end = consumer.read.len();
        let committed = writer.join().expect("the producer does not panic");
        assert!(consumer.shared.positions.is_writing_over());
        consumer.drain();
        assert!(!consumer.drain(), "a drained ring is empty");
        assert!(!is_over || seen_before_the_end == consumer.read.len(), "records after the end");
        assert_eq!(consumer.read[unread as usize..], committed);
    });
}

#[test]
fn records_pass_from_an_empty_ring() {
    check(&[], 0, &[1, 2, 1]);
}

#[test]
fn the_end_of_the_lap_is_skipped() {
    // Seven words are gone: a record of two goes to the next lap.
    check(&[2, 2, 2, 1], 0, &[2, 1, 2]);
}

#[test]
fn the_end_of_the_lap_is_met_exactly() {
    check(&[2, 2, 2], 0, &[2, 2, 1]);
}

#[test]
fn a_full_ring_refuses_until_words_are_released() {
    check(&[2, 2, 2, 2], 8, &[2, 1]);
}

#[test]
fn a_skip_waits_for_room_behind_it() {
    // One word is left at the end, and the first words of the buffer are not read yet.
    check(&[2, 2, 2, 1], 7, &[2, 2]);
}

#[test]
fn a_producer_sees_that_the_consumer_is_gone() {
    loom::model(|| {
        let (mut producer, consumer) = ring_after(&[], 0);
        let reader = thread::spawn(move || consumer.shared.positions.end_reading());
        producer.record(1).expect("an empty ring has room");
        reader.join().expect("the consumer does not panic");
        assert!(producer.shared.positions.is_reading_over());
    });
}

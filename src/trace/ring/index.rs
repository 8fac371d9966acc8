//! Who owns which bytes of the ring: positions, and nothing but positions.
//!
//! A position counts every byte that ever passed, so it is never reused and needs no extra bit to tell full from
//! empty; its place in the buffer is the position modulo the capacity. A lap is one walk through the buffer.
//!
//! ```text
//!            tail                     head
//!   released  | published, being read  | free ...          (positions grow to the right)
//! ```
//!
//! The producer owns `[head, tail + capacity)`, the consumer `[tail, head)`. Each side publishes its own end by
//! one release store, and the other side's acquire load of it hands the bytes over.
//!
//! A record that does not fit before the end of the lap goes to the start of the next one, and `skipped_from`
//! says where the lap's records end. One such word serves all laps: the producer skips the end of a lap only
//! when a record fits behind it, which takes a `tail` inside that lap; so by then nobody asks any more where the
//! lap before ended.
//!
//! This file knows no memory, so that a model checker can run it as it is.

use crossbeam::utils::CachePadded;

use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Records begin at a multiple of this, and take up one.
pub(super) const ALIGN_BYTES: u64 = 8;

/// A record takes up at most the capacity divided by this.
///
/// With a quarter, a record and the bytes skipped before it fit into an empty ring wherever its head stands, so
/// a refusal as full always ends; and the longest record does not make the ring a queue of one.
pub(super) const RECORDS_PER_RING_MIN: u64 = 4;

/// Why a record got no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The consumer has not released enough bytes yet; the same record may be accepted later.
    Full,
    /// The record is longer than the ring ever accepts (see `max_record_bytes`).
    TooLarge,
}

/// The positions that both sides see, one cache line for each side's stores.
#[derive(Debug, Default)]
pub(super) struct Positions {
    written: CachePadded<Written>,
    released: CachePadded<Released>,
}

/// What the producer stores.
#[derive(Debug, Default)]
struct Written {
    head: AtomicU64,
    skipped_from: AtomicU64,
    is_over: AtomicBool,
}

/// What the consumer stores.
#[derive(Debug, Default)]
struct Released {
    tail: AtomicU64,
    is_over: AtomicBool,
}

impl Positions {
    /// Says that the producer's last commit has happened.
    pub(super) fn end_writing(&self) {
        // Release: pairs with the Acquire in `is_writing_over`, so that whoever sees the end sees every record.
        self.written.is_over.store(true, Ordering::Release);
    }

    pub(super) fn is_writing_over(&self) -> bool {
        // Acquire: pairs with the Release in `end_writing`.
        self.written.is_over.load(Ordering::Acquire)
    }

    /// Says that nobody will release bytes any more.
    pub(super) fn end_reading(&self) {
        // Relaxed: it hands over no bytes, it only saves the producer the work.
        self.released.is_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_reading_over(&self) -> bool {
        // Relaxed: see `end_reading`.
        self.released.is_over.load(Ordering::Relaxed)
    }
}

/// The producer's side: its own position, and a window that it knows to be free.
#[derive(Debug)]
pub(super) struct WriteIndex {
    capacity: u64,
    /// Where the next record begins, if the window has room for it.
    head: u64,
    /// Free from `head` to here, without crossing the end of the lap, and never longer than the longest record.
    ///
    /// That last bound makes one comparison on the way of a record stand for three: fits the lap, is free, is
    /// not too large. It costs a look at the consumer's cache line every quarter of a lap.
    window_end: u64,
}

impl WriteIndex {
    /// The side of a ring of `capacity` bytes, a power of two and at least [`RECORDS_PER_RING_MIN`] words.
    pub(super) fn new(capacity: u64) -> Self {
        Self { capacity, head: 0, window_end: 0 }
    }

    pub(super) fn max_record_bytes(&self) -> u64 {
        self.capacity / RECORDS_PER_RING_MIN
    }

    /// Where in the buffer a record of `len_bytes` may be written. Nothing is published.
    #[inline(always)]
    pub(super) fn reserve(&mut self, positions: &Positions, len_bytes: u64) -> Result<u64, Refusal> {
        // Both ends of the window are aligned, so a length fits if and only if it does rounded up.
        if len_bytes > self.window_end - self.head {
            self.open_window(positions, len_bytes)?;
        }
        Ok(self.head & (self.capacity - 1))
    }

    /// Publishes the record of `len_bytes` that was reserved last and is written by now.
    #[inline(always)]
    pub(super) fn commit(&mut self, positions: &Positions, len_bytes: u64) {
        self.head += len_bytes.next_multiple_of(ALIGN_BYTES);
        // Release: pairs with the Acquire in `ReadIndex::refresh`; the record's bytes, and `skipped_from` if the
        // record stands behind a skip, are visible to whoever sees this head.
        positions.written.head.store(self.head, Ordering::Release);
    }

    /// Looks at how far the consumer is and makes `[head, window_end)` a window that holds `len_bytes`.
    #[cold]
    #[inline(never)]
    fn open_window(&mut self, positions: &Positions, len_bytes: u64) -> Result<(), Refusal> {
        if len_bytes > self.max_record_bytes() {
            return Err(Refusal::TooLarge);
        }
        // Acquire: pairs with the Release in `ReadIndex::release`; the consumer has read what it gave back.
        let free_end = positions.released.tail.load(Ordering::Acquire) + self.capacity;
        let lap_end = (self.head | (self.capacity - 1)) + 1;
        if len_bytes > lap_end - self.head {
            if lap_end + len_bytes > free_end {
                return Err(Refusal::Full);
            }
            // Relaxed: the commit of the record behind the skip publishes it.
            positions.written.skipped_from.store(self.head, Ordering::Relaxed);
            self.head = lap_end;
            self.window_end = free_end.min(lap_end + self.max_record_bytes());
        } else if len_bytes > free_end - self.head {
            return Err(Refusal::Full);
        } else {
            self.window_end = free_end.min(lap_end).min(self.head + self.max_record_bytes());
        }
        Ok(())
    }
}

/// Published bytes that lie beside each other: a place in the buffer and a length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) offset: u64,
    pub(super) len_bytes: u64,
}

/// The consumer's side: its own position, and how far it knows the producer to be.
#[derive(Debug)]
pub(super) struct ReadIndex {
    capacity: u64,
    tail: u64,
    /// Where the records of the first run end.
    run_end: u64,
    /// Where the next lap begins if the producer has been seen in it; else `run_end`.
    next_lap: u64,
    /// The producer's position when it was last looked at.
    head: u64,
}

impl ReadIndex {
    /// The side of a ring of `capacity` bytes, a power of two.
    pub(super) fn new(capacity: u64) -> Self {
        Self { capacity, tail: 0, run_end: 0, next_lap: 0, head: 0 }
    }

    /// Looks at how far the producer is.
    pub(super) fn refresh(&mut self, positions: &Positions) {
        // Acquire: pairs with the Release in `WriteIndex::commit`.
        self.head = positions.written.head.load(Ordering::Acquire);
        let lap_end = (self.tail | (self.capacity - 1)) + 1;
        if self.head < lap_end {
            (self.run_end, self.next_lap) = (self.head, self.head);
            return;
        }
        // Relaxed: the head above was stored after it, and while `tail` is in this lap it is not of a later one.
        let skipped_from = positions.written.skipped_from.load(Ordering::Relaxed);
        // No lap is skipped from its start, so what is not inside this lap is left from one before, and this
        // lap was filled to its end.
        let lap_start = lap_end - self.capacity;
        self.run_end = if skipped_from > lap_start { skipped_from } else { lap_end };
        self.next_lap = lap_end;
    }

    /// What was published when the producer was last looked at, oldest first. The second run is empty unless the
    /// records go on at the start of the buffer.
    pub(super) fn runs(&self) -> [Run; 2] {
        let run = |from: u64, to: u64| Run { offset: from & (self.capacity - 1), len_bytes: to - from };
        [run(self.tail, self.run_end), run(self.next_lap, self.head)]
    }

    pub(super) fn published_bytes(&self) -> u64 {
        (self.run_end - self.tail) + (self.head - self.next_lap)
    }

    /// Gives the first `len_bytes` of the runs back to the producer.
    ///
    /// # Panics
    /// If the runs hold less, since the bytes behind them are the producer's; or if it is no whole number of
    /// words, since records are.
    pub(super) fn release(&mut self, positions: &Positions, len_bytes: u64) {
        assert!(len_bytes.is_multiple_of(ALIGN_BYTES), "records take up whole words");
        assert!(len_bytes <= self.published_bytes(), "more bytes are released than were published");
        let in_first_run = len_bytes.min(self.run_end - self.tail);
        self.tail += in_first_run;
        if self.tail == self.run_end {
            // Whole records are gone to the end of the lap: what was skipped is free with them.
            self.tail = self.next_lap + (len_bytes - in_first_run);
            (self.run_end, self.next_lap) = (self.head, self.head);
        }
        // Release: pairs with the Acquire in `WriteIndex::open_window`; the bytes were read before.
        positions.released.tail.store(self.tail, Ordering::Release);
    }
}

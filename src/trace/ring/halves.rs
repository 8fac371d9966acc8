//! The two halves of a ring, and the memory between them.
#![expect(unsafe_code, reason = "two threads share the bytes; the index says which are whose")]

use std::fmt;
use std::ptr::NonNull;

use crate::error::Result;
use crate::os::map::AnonymousMap;
use crate::sync::Arc;

use super::index::{ALIGN_BYTES, Positions, ReadIndex, Refusal, Run, WriteIndex};

/// What outlives whichever half goes first.
#[derive(Debug)]
struct Shared {
    positions: Positions,
    /// Keeps the bytes mapped; both halves point into it.
    _map: AnonymousMap,
}

/// Both halves of a ring whose capacity is within the limits.
pub(super) fn create(capacity_bytes: usize) -> Result<(Producer, Consumer)> {
    let map = AnonymousMap::populated(capacity_bytes)?;
    let (base, capacity) = (map.base(), map.len_bytes() as u64);
    let shared = Arc::new(Shared { positions: Positions::default(), _map: map });
    let producer = Producer { index: WriteIndex::new(capacity), base, shared: Arc::clone(&shared) };
    Ok((producer, Consumer { index: ReadIndex::new(capacity), base, shared }))
}

/// The half of the thread that makes records. It may be moved to another thread, but not shared.
pub struct Producer {
    index: WriteIndex,
    /// The first byte of the map that `shared` keeps, which is a page's.
    base: NonNull<u8>,
    shared: Arc<Shared>,
}

// SAFETY: `base` points into the map that `shared` keeps; the bytes that this half writes are those that its
// index owns, whichever thread it is on. There is no `Sync`: two threads on one index would own the same bytes.
unsafe impl Send for Producer {}

impl Producer {
    /// The length of the longest record that the ring takes: a quarter of its capacity.
    pub fn max_record_bytes(&self) -> usize {
        self.index.max_record_bytes() as usize
    }

    /// Room for a record of `len_bytes`. A record that is not committed was never there.
    ///
    /// # Errors
    /// [`Refusal::Full`] if there is no such room at the moment, [`Refusal::TooLarge`] if there never is.
    #[inline(always)]
    pub fn reserve(&mut self, len_bytes: usize) -> Result<Reserved<'_>, Refusal> {
        let offset = self.index.reserve(&self.shared.positions, len_bytes as u64)?;
        // SAFETY: the index answers with an offset below the capacity, which is the length of the map.
        let start = unsafe { self.base.add(offset as usize) };
        if !len_bytes.is_multiple_of(ALIGN_BYTES as usize) {
            // SAFETY: the index reserved `len_bytes` rounded up to words, so the last word begins inside.
            let last_word = unsafe { start.add(len_bytes & !(ALIGN_BYTES as usize - 1)) };
            // SAFETY: the whole word is reserved for this half, and aligned: the map is, offsets are.
            unsafe { last_word.cast::<u64>().write(0) };
        }
        Ok(Reserved { producer: self, start, len_bytes })
    }

    /// Whether the consumer is gone, so that nothing will be released any more.
    pub fn is_abandoned(&self) -> bool {
        self.shared.positions.is_reading_over()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.positions.end_writing();
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("index", &self.index).finish_non_exhaustive()
    }
}

/// Room for one record, to be written and committed.
#[derive(Debug)]
#[must_use = "a record that is not committed was never there"]
pub struct Reserved<'a> {
    producer: &'a mut Producer,
    start: NonNull<u8>,
    len_bytes: usize,
}

impl Reserved<'_> {
    /// The bytes of the record: what an earlier lap left in them, until they are written.
    #[inline(always)]
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the bytes are initialised (zeros of the kernel, or older records), reserved for the producer
        // that is borrowed here, and the consumer does not look at them before the commit, which ends this value.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len_bytes) }
    }

    /// Hands the record to the consumer.
    #[inline(always)]
    pub fn commit(self) {
        let Producer { index, shared, .. } = self.producer;
        index.commit(&shared.positions, self.len_bytes as u64);
    }
}

/// The half of the writer thread. It may be moved to another thread, but not shared.
pub struct Consumer {
    index: ReadIndex,
    /// The first byte of the map that `shared` keeps.
    base: NonNull<u8>,
    shared: Arc<Shared>,
}

// SAFETY: as for `Producer`.
unsafe impl Send for Consumer {}

impl Consumer {
    /// Looks for what was committed meanwhile. Returns how many bytes [`readable`](Self::readable) has.
    pub fn refresh(&mut self) -> usize {
        self.index.refresh(&self.shared.positions);
        self.index.published_bytes() as usize
    }

    /// The records that were committed before the last [`refresh`](Self::refresh) and are not released, oldest
    /// first, each filled up to a multiple of 8 bytes. They are two runs where they go on at the start of the
    /// buffer; no record is in both.
    pub fn readable(&self) -> [&[u8]; 2] {
        self.index.runs().map(|run| self.bytes(run))
    }

    /// Gives the first `len_bytes` of what is readable, some whole records, back to the producer.
    ///
    /// # Panics
    /// If less is readable, or if `len_bytes` is no multiple of 8.
    pub fn release(&mut self, len_bytes: usize) {
        self.index.release(&self.shared.positions, len_bytes as u64);
    }

    /// Whether the producer is gone. It may have left records behind.
    pub fn is_abandoned(&self) -> bool {
        self.shared.positions.is_writing_over()
    }

    /// Whether the producer is gone and all that it committed has been released: the ring can be dropped.
    pub fn is_finished(&mut self) -> bool {
        // In this order: what is seen after the end of the writing is all there will be.
        self.is_abandoned() && self.refresh() == 0
    }

    fn bytes(&self, run: Run) -> &[u8] {
        // SAFETY: the index answers with offsets below the capacity, which is the length of the map.
        let start = unsafe { self.base.add(run.offset as usize) };
        // SAFETY: a run ends within the buffer, its bytes were written before the commit that `refresh` saw, and
        // the producer does not write there before they are released, for which this borrow has to end.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), run.len_bytes as usize) }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.shared.positions.end_reading();
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("index", &self.index).finish_non_exhaustive()
    }
}

//! Writes a native trace file: header, chunk after chunk, and on a clean close the index.
//!
//! One thread owns it. A record is *pushed* into the chunk in memory, *committed* when it is in the file and a slot
//! vouches for it (from then on a killed process does not lose it), and *durable* after a sync (from then on a power
//! cut does not lose it).

use bytemuck::Zeroable;

use crate::error::{Error, Result};
use crate::format::native::builder::{ChunkBuilder, ChunkFull};
use crate::format::native::index::write_index;
use crate::format::native::kind::ChunkKind;
use crate::format::native::pod::{
    CHUNK_HEADER_BYTES, CHUNK_MAGIC, ChunkHeader, CommitSlot, LIVE_SLOT, MAX_LONG_CHUNK_BYTES, SLOT_BYTES,
    SLOTS, STATE_OPEN, STATE_SEALED,
};
use crate::format::native::schema::{FileFacts, FileIndex};
use crate::format::native::tally::FileTally;
use crate::format::native::{Header, NewFile};
use crate::trace::store::TraceStore;

/// A moment on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockPair {
    /// `CLOCK_MONOTONIC`.
    pub mono_ns: u64,
    /// `CLOCK_REALTIME`.
    pub wall_ns: u64,
}

/// A native trace file that is being written.
#[derive(Debug)]
pub struct TraceWriter<S> {
    store: S,
    header: Header,
    tally: FileTally,
    builder: ChunkBuilder,
    chunk: OpenChunk,
    /// How long chunks are made: the stride, unless the caller asked for more.
    chunk_bytes: u32,
    is_dirty: bool,
}

/// A slot that is to be written once the store is synced.
#[derive(Clone, Copy, Debug)]
pub struct DurableSlot {
    /// Where in the file.
    pub offset: u64,
    /// The slot.
    pub bytes: [u8; SLOT_BYTES],
}

/// The chunk that records are added to.
#[derive(Debug)]
struct OpenChunk {
    header: ChunkHeader,
    /// Bytes of records that are in the file.
    written_bytes: usize,
    /// CRC of those.
    crc: crc32fast::Hasher,
    /// Whether the chunk's header is in the file.
    is_begun: bool,
    /// The slot that the next sync writes.
    next_durable: usize,
    /// Bytes that the last durable slot vouches for.
    durable_bytes: usize,
}

impl<S: TraceStore> TraceWriter<S> {
    /// Writes the header of a file to `store`.
    ///
    /// # Errors
    /// Those of [`Header::create`], and what the store says.
    pub fn create(mut store: S, file: NewFile, facts: FileFacts) -> Result<Self> {
        let (header, bytes) = Header::create(file, facts)?;
        store.write_at(0, &bytes).map_err(not_written)?;
        let builder = ChunkBuilder::new(header.chunk_bytes());
        let kind = if header.is_compact() { ChunkKind::Keys } else { ChunkKind::Records };
        let offset = header.first_chunk_offset();
        let chunk = OpenChunk::new(&header, kind as u32, offset, header.chunk_bytes(), &FileTally::default());
        let (tally, chunk_bytes) = (FileTally::default(), header.chunk_bytes());
        Ok(Self { store, header, tally, builder, chunk, chunk_bytes, is_dirty: true })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Where bytes go.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Bytes of the file so far, those of the chunk in memory included.
    pub fn file_bytes(&self) -> u64 {
        self.chunk.header.offset + self.builder.image().len() as u64
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.tally.calls() + u64::from(self.builder.counts().calls)
    }

    /// Number of the chunk that is being made: what was defined in another one is not defined in this one.
    pub fn chunk_number(&self) -> u64 {
        self.chunk.header.number
    }

    /// The chunk that is being made. A push that is refused is to be made again after [`Self::next_chunk`].
    #[inline]
    pub fn builder(&mut self) -> &mut ChunkBuilder {
        &mut self.builder
    }

    /// Counts keys of a scope that were pushed as ids.
    pub fn count_scope(&mut self, scope: &crate::format::native::schema::ScopeFacts, keys: u64) {
        self.tally.add_scope(scope, keys);
    }

    /// Runs `push` on the chunk, and once more on a new one, longer if need be, when it says that the chunk is full.
    /// `push` defines all that it refers to.
    ///
    /// # Errors
    /// What the store says; and if what is pushed does not fit into the longest chunk.
    pub fn push<T>(
        &mut self,
        clock: ClockPair,
        mut push: impl FnMut(&mut ChunkBuilder) -> Result<T, ChunkFull>,
    ) -> Result<T> {
        loop {
            match push(&mut self.builder) {
                Ok(pushed) => return Ok(pushed),
                Err(ChunkFull) => self.next_chunk(clock)?,
            }
        }
    }

    /// Makes room after a push was refused: seals the chunk and begins the next, or, if nothing but definitions is
    /// in it, makes it longer.
    ///
    /// # Errors
    /// What the store says; and if the chunk is as long as a chunk may be.
    pub fn next_chunk(&mut self, clock: ClockPair) -> Result<()> {
        if !self.builder.has_only_definitions() {
            return self.seal_and_begin(clock, self.chunk.header.kind);
        }
        let longer_bytes = self.chunk.header.chunk_bytes.saturating_mul(2);
        if longer_bytes > MAX_LONG_CHUNK_BYTES {
            return Err(Error::invalid("a call is too long for a trace file")
                .with_context("limit in bytes", MAX_LONG_CHUNK_BYTES));
        }
        self.chunk.header.chunk_bytes = longer_bytes;
        self.builder.lengthen(longer_bytes);
        // A header that is in the file says a shorter length: it is written again with the next commit.
        self.chunk.is_begun = false;
        Ok(())
    }

    /// Seals the chunk and begins one of `kind`.
    ///
    /// # Errors
    /// What the store says.
    pub fn begin_kind(&mut self, clock: ClockPair, kind: ChunkKind) -> Result<()> {
        if self.builder.records_bytes() == 0 && !self.chunk.is_begun {
            self.chunk.header.kind = kind as u32;
            return Ok(());
        }
        self.seal_and_begin(clock, kind as u32)
    }

    /// Makes chunks `chunk_bytes` long, a multiple of the stride, from the next one on; the one that is being made, too,
    /// if nothing is in it.
    pub fn set_chunk_bytes(&mut self, chunk_bytes: u32) {
        self.chunk_bytes = chunk_bytes.next_multiple_of(self.header.chunk_bytes());
        if self.builder.records_bytes() == 0 && !self.chunk.is_begun {
            self.chunk.header.chunk_bytes = self.chunk_bytes;
            self.builder.begin(self.chunk_bytes);
        }
    }

    /// Bytes that are left in the chunk that is being made.
    pub fn room_bytes(&self) -> usize {
        (self.chunk.header.chunk_bytes as usize).saturating_sub(self.builder.image().len())
    }

    fn seal_and_begin(&mut self, clock: ClockPair, kind: u32) -> Result<()> {
        self.seal(clock)?;
        let chunk_bytes = self.chunk_bytes;
        let offset = self.chunk.header.offset + u64::from(self.chunk.header.chunk_bytes);
        self.chunk = OpenChunk::new(&self.header, kind, offset, chunk_bytes, &self.tally);
        self.builder.begin(chunk_bytes);
        Ok(())
    }

    /// Writes what was pushed, and then the slot that vouches for it.
    ///
    /// # Errors
    /// What the store says. The chunk in the file is then as it was after the last commit that succeeded.
    pub fn commit(&mut self, clock: ClockPair) -> Result<()> {
        let records_bytes = self.builder.records_bytes();
        if records_bytes == 0 || (self.chunk.written_bytes == records_bytes && self.chunk.is_begun) {
            return Ok(());
        }
        self.write_records()?;
        self.write_slot(LIVE_SLOT, STATE_OPEN, clock)
    }

    /// Commits, and returns when all of it is on the disk.
    ///
    /// # Errors
    /// What the store says.
    pub fn sync(&mut self, clock: ClockPair) -> Result<()> {
        self.commit(clock)?;
        if !self.needs_sync() {
            return Ok(());
        }
        let slot = self.durable_slot(clock);
        let synced = self.make_durable(slot);
        if synced.is_err() {
            // What the disk has is not known: the next sync is to vouch for all of it again.
            (self.is_dirty, self.chunk.durable_bytes) = (true, 0);
        }
        synced.map_err(not_written)
    }

    fn make_durable(&mut self, slot: Option<DurableSlot>) -> std::io::Result<()> {
        self.store.sync()?;
        let Some(slot) = slot else { return Ok(()) };
        self.store.write_at(slot.offset, &slot.bytes)?;
        self.store.sync()
    }

    /// Whether something was written since the last [`Self::durable_slot`].
    pub fn needs_sync(&self) -> bool {
        self.is_dirty
    }

    /// Vouches, once the store is synced, for what is committed at this moment: to be written then, and synced again.
    /// Nothing if the chunk has nothing that is not vouched for; a sync is due all the same. There must be no other
    /// one that is not written yet.
    pub fn durable_slot(&mut self, clock: ClockPair) -> Option<DurableSlot> {
        self.is_dirty = false;
        let chunk = &mut self.chunk;
        if chunk.durable_bytes == chunk.written_bytes {
            return None;
        }
        chunk.durable_bytes = chunk.written_bytes;
        let index = chunk.next_durable;
        chunk.next_durable = SLOTS - index;
        let offset = chunk.header.offset + slot_offset(index);
        Some(DurableSlot { offset, bytes: bytemuck::cast(self.slot(STATE_OPEN, clock)) })
    }

    fn seal(&mut self, clock: ClockPair) -> Result<()> {
        self.write_records()?;
        self.write_slot(LIVE_SLOT, STATE_SEALED, clock)?;
        let slot = self.slot(STATE_SEALED, clock);
        self.tally.add_built(&self.builder, &self.chunk.header, &slot);
        Ok(())
    }

    /// Seals the last chunk, and writes the index and the end mark once everything else is on the disk. Returns the
    /// index and the store, which is synced.
    ///
    /// # Errors
    /// What the store says: the file is then one that was not closed.
    pub fn finish(self, clock: ClockPair, distinct_keys: Option<u64>) -> Result<(FileIndex, S)> {
        let (index, mut store) = self.end(clock, distinct_keys, TraceStore::sync)?;
        store.sync().map_err(not_written)?;
        Ok((index, store))
    }

    /// As [`Self::finish`], without waiting for the disk. After a power cut the end mark may be there and records not:
    /// their chunk is then found to be damaged.
    ///
    /// # Errors
    /// As [`Self::finish`].
    pub fn finish_unsynced(self, clock: ClockPair) -> Result<(FileIndex, S)> {
        self.end(clock, None, |_| Ok(()))
    }

    fn end(
        mut self,
        clock: ClockPair,
        distinct_keys: Option<u64>,
        before_mark: impl FnOnce(&mut S) -> std::io::Result<()>,
    ) -> Result<(FileIndex, S)> {
        let mut end = self.chunk.header.offset;
        if self.builder.records_bytes() > 0 {
            self.seal(clock)?;
            end += self.builder.image().len() as u64;
        }
        // An end mark that is on the disk before the records would say of a cut file that it is whole.
        before_mark(&mut self.store).map_err(not_written)?;
        let index = self.tally.into_index(distinct_keys);
        let bytes = write_index(&index, end, self.header.fixed().recording_id);
        self.store.write_at(end, &bytes).map_err(not_written)?;
        self.store.truncate(end + bytes.len() as u64).map_err(not_written)?;
        Ok((index, self.store))
    }

    /// Writes the records that are not in the file yet, and the chunk's header if that is not.
    fn write_records(&mut self) -> Result<()> {
        if !self.chunk.is_begun {
            self.write_chunk_header()?;
        }
        let start = CHUNK_HEADER_BYTES + self.chunk.written_bytes;
        let records = &self.builder.image()[start..];
        if !records.is_empty() {
            self.store.write_at(self.chunk.header.offset + start as u64, records).map_err(not_written)?;
            self.chunk.crc.update(records);
            self.chunk.written_bytes += records.len();
        }
        Ok(())
    }

    /// Header and first slot go together: a process that is killed in between would leave a chunk that nothing
    /// vouches for.
    fn write_chunk_header(&mut self) -> Result<()> {
        self.chunk.header = self.chunk.header.sealed();
        let mut bytes = [0; CHUNK_HEADER_BYTES];
        let (header, slots) = bytes.split_at_mut(size_of::<ChunkHeader>());
        header.copy_from_slice(bytemuck::bytes_of(&self.chunk.header));
        let empty = CommitSlot { state: STATE_OPEN, ..CommitSlot::zeroed() }.sealed();
        slots[..SLOT_BYTES].copy_from_slice(bytemuck::bytes_of(&empty));
        // A chunk that is made longer has slots already, which stay.
        let is_longer = self.chunk.written_bytes > 0;
        let bytes = if is_longer { &bytes[..size_of::<ChunkHeader>()] } else { &bytes[..] };
        self.store.write_at(self.chunk.header.offset, bytes).map_err(not_written)?;
        self.chunk.is_begun = true;
        Ok(())
    }

    fn write_slot(&mut self, index: usize, state: u32, clock: ClockPair) -> Result<()> {
        let slot = self.slot(state, clock);
        let offset = self.chunk.header.offset + slot_offset(index);
        self.is_dirty = true;
        self.store.write_at(offset, bytemuck::bytes_of(&slot)).map_err(not_written)
    }

    /// Vouches for what is in the file.
    fn slot(&self, state: u32, clock: ClockPair) -> CommitSlot {
        let counts = self.builder.counts();
        CommitSlot {
            state,
            committed_bytes: self.chunk.written_bytes as u32,
            records: counts.records,
            calls: counts.calls,
            first_ns: counts.first_ns,
            last_ns: counts.last_ns,
            lost: counts.lost,
            mono_ns: clock.mono_ns,
            wall_ns: clock.wall_ns,
            data_crc: self.chunk.crc.clone().finalize(),
            slot_crc: 0,
        }
        .sealed()
    }
}

impl OpenChunk {
    fn new(file: &Header, kind: u32, offset: u64, chunk_bytes: u32, before: &FileTally) -> Self {
        let header = ChunkHeader {
            magic: CHUNK_MAGIC,
            kind,
            number: before.chunks(),
            offset,
            recording_id: file.fixed().recording_id,
            calls_before: before.calls(),
            lost_before: before.lost(),
            chunk_bytes,
            reserved: [0; 2],
            header_crc: 0,
        };
        Self {
            header,
            written_bytes: 0,
            crc: crc32fast::Hasher::new(),
            is_begun: false,
            next_durable: LIVE_SLOT + 1,
            durable_bytes: 0,
        }
    }
}

/// Where in its chunk a slot stands.
fn slot_offset(index: usize) -> u64 {
    (size_of::<ChunkHeader>() + index * SLOT_BYTES) as u64
}

fn not_written(error: std::io::Error) -> Error {
    Error::io("cannot write trace file", error)
}

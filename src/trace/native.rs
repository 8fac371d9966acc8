//! Opens native trace files: finished, unfinished, cut short or damaged.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::format::native::index::{end_mark, read_index};
use crate::format::native::pod::{CHUNK_HEADER_BYTES, CommitSlot, END_MARK_BYTES, STATE_SEALED};
use crate::format::native::{
    Chunk, ChunkKind, FileIndex, Header, KeyTable, UnverifiedChunk, UnverifiedHeader,
};
use crate::sync::OnceLock;
use crate::trace::bytes::{ReadMode, TraceBytes};

/// Where a chunk is, and what its latest slot says. Its records were not looked at.
#[derive(Clone, Copy, Debug)]
pub struct ChunkPlace {
    /// Its header and slots.
    pub unverified: UnverifiedChunk,
    /// Where it starts in the file.
    pub offset: u64,
}

/// Bytes between chunks where a chunk should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first byte that is no chunk's.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
}

/// A chunk that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedChunk {
    /// Where it starts.
    pub offset: u64,
    /// Its number in the file.
    pub number: u64,
    /// The calls in it, as its latest slot has it.
    pub calls: u64,
    /// What is wrong with it.
    pub reason: String,
}

impl DamagedChunk {
    /// The chunk at `place`, which could not be opened.
    pub fn new(place: &ChunkPlace, error: &Error) -> Self {
        Self {
            offset: place.offset,
            number: place.unverified.header().number,
            calls: place.unverified.latest().map_or(0, |slot| u64::from(slot.calls)),
            reason: error.message().to_owned(),
        }
    }
}

impl std::fmt::Display for DamagedChunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { offset, number, calls, reason } = self;
        write!(
            f,
            "chunk {number} at offset {offset} is damaged, and its {calls} calls are left out: {reason}"
        )
    }
}

/// How a native file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeEnding {
    /// With an end mark: the recorder closed it.
    Closed,
    /// Without: it is being written, its recorder was killed, or its end was cut off.
    Unfinished,
}

/// An open native trace file.
#[derive(Debug)]
pub struct NativeTrace {
    path: PathBuf,
    bytes: TraceBytes,
    header: Header,
    index: Option<FileIndex>,
    /// Found when somebody asks: whoever reads the index alone does not touch a page of every chunk.
    places: OnceLock<(Vec<ChunkPlace>, Vec<Gap>)>,
}

impl NativeTrace {
    /// Opens `path` and reads its header, and its index if it was closed; `-` is the standard input.
    ///
    /// # Errors
    /// Those of the file system and of [`UnverifiedHeader`], with the path.
    pub fn open(path: impl AsRef<Path>, mode: ReadMode) -> Result<Self> {
        let path = path.as_ref();
        let opened = TraceBytes::open(path, mode).and_then(|bytes| Self::new(path.to_owned(), bytes));
        opened.map_err(|error| error.with_context("path", path.display()))
    }

    /// Reads a file that is in memory already; `name` stands for its path.
    ///
    /// # Errors
    /// Those of [`UnverifiedHeader`].
    pub fn from_bytes(name: impl Into<PathBuf>, bytes: &[u8]) -> Result<Self> {
        Self::new(name.into(), TraceBytes::copy_of(bytes))
    }

    /// Takes bytes that start at a multiple of 8.
    pub(super) fn new(path: PathBuf, bytes: TraceBytes) -> Result<Self> {
        let all = bytes.as_slice();
        let header = UnverifiedHeader::parse(all)?.verify(all)?;
        let index = index_of(all, &header);
        Ok(Self { path, bytes, header, index, places: OnceLock::new() })
    }

    /// The path that the file was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says about itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The index of a file that was closed.
    pub fn index(&self) -> Option<&FileIndex> {
        self.index.as_ref()
    }

    /// How the file ends.
    pub fn ending(&self) -> NativeEnding {
        if self.index.is_some() { NativeEnding::Closed } else { NativeEnding::Unfinished }
    }

    /// The length of the file.
    pub fn size_bytes(&self) -> u64 {
        self.bytes.as_slice().len() as u64
    }

    /// All bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// Where the chunks end: at the index of a file that was closed, or with the file.
    pub(super) fn chunks_end(&self) -> usize {
        let mark = end_mark(self.bytes(), self.size_bytes(), self.header.fixed().recording_id);
        let index_offset = mark.and_then(|mark| usize::try_from(mark.index_offset).ok());
        index_offset.unwrap_or(self.bytes().len())
    }

    /// The chunks, in the order of the file.
    pub fn chunks(&self) -> &[ChunkPlace] {
        &self.places().0
    }

    /// Where chunks should be and are not.
    pub fn gaps(&self) -> &[Gap] {
        &self.places().1
    }

    fn places(&self) -> &(Vec<ChunkPlace>, Vec<Gap>) {
        self.places.get_or_init(|| match &self.index {
            Some(index) if is_in_order(index) => indexed_chunks(self.bytes(), &self.header, index),
            _ => found_chunks(self.bytes(), &self.header),
        })
    }

    /// The chunks that hold records, in the order of the file.
    pub fn record_chunks(&self) -> impl DoubleEndedIterator<Item = &ChunkPlace> {
        self.chunks().iter().filter(|place| place.unverified.header().kind == ChunkKind::Records as u32)
    }

    /// The key table of a compact file; nothing for any other.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::error::ErrorKind::Corrupt) if one of its chunks is damaged: then no key of the file can be named.
    pub fn key_table(&self) -> Result<Option<KeyTable<'_>>> {
        if !self.header.is_compact() {
            return Ok(None);
        }
        let mut table = KeyTable::default();
        for place in self.chunks() {
            if place.unverified.header().kind == ChunkKind::Keys as u32 {
                table.add(&self.open_chunk(place, None)?)?;
            }
        }
        Ok(Some(table))
    }

    /// Checks a chunk and its records. `keys` is [`Self::key_table`].
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::error::ErrorKind::Corrupt) with the offset of what is wrong.
    pub fn open_chunk<'a>(&'a self, place: &ChunkPlace, keys: Option<&'a KeyTable<'a>>) -> Result<Chunk<'a>> {
        Chunk::verify(&place.unverified, self.chunk_bytes(place), keys)
    }

    /// What a chunk of any kind holds, its header included, if a checksum is right; its records are not looked at.
    pub(super) fn committed(&self, place: &ChunkPlace) -> Result<(CommitSlot, &[u8])> {
        place.unverified.committed(self.chunk_bytes(place))
    }

    fn chunk_bytes(&self, place: &ChunkPlace) -> &[u8] {
        let start = usize::try_from(place.offset).unwrap_or(usize::MAX);
        let bytes = self.bytes().get(start..).unwrap_or_default();
        &bytes[..bytes.len().min(place.unverified.header().chunk_bytes as usize)]
    }

    /// The first chunk that can hold a call at or after `t_ns`: a late record apart, none before it does.
    pub fn seek_time(&self, t_ns: u64) -> usize {
        self.chunks()
            .partition_point(|place| place.unverified.latest().is_none_or(|slot| slot.last_ns < t_ns))
    }

    /// The chunk that holds the call with this number, counted from 0 over the whole file.
    pub fn seek_call(&self, call: u64) -> usize {
        let after = self.chunks().partition_point(|place| place.unverified.header().calls_before <= call);
        after.saturating_sub(1)
    }
}

/// The index, if there is a whole one at the end.
fn index_of(bytes: &[u8], header: &Header) -> Option<FileIndex> {
    let tail = bytes.get(bytes.len().checked_sub(END_MARK_BYTES)?..)?;
    let mark = end_mark(tail, bytes.len() as u64, header.fixed().recording_id)?;
    let start = usize::try_from(mark.index_offset).ok()?;
    read_index(&mark, bytes.get(start..start.checked_add(usize::try_from(mark.index_bytes).ok()?)?)?)
}

fn place_at(bytes: &[u8], header: &Header, offset: u64) -> Option<ChunkPlace> {
    let at = bytes.get(usize::try_from(offset).ok()?..)?;
    let unverified = UnverifiedChunk::parse(at, offset, header.fixed().recording_id, header.chunk_bytes())?;
    Some(ChunkPlace { unverified, offset })
}

/// Whether no chunk of the index begins before the one before it ends: an index that names one chunk a million times
/// would have it checked as often.
fn is_in_order(index: &FileIndex) -> bool {
    index
        .chunks
        .windows(2)
        .all(|pair| pair[0].offset.saturating_add(u64::from(pair[0].chunk_bytes)) <= pair[1].offset)
}

fn indexed_chunks(bytes: &[u8], header: &Header, index: &FileIndex) -> (Vec<ChunkPlace>, Vec<Gap>) {
    let (mut places, mut gaps) = (Vec::with_capacity(index.chunks.len()), Vec::new());
    for chunk in &index.chunks {
        let place = place_at(bytes, header, chunk.offset);
        match place.filter(|place| place.unverified.header().chunk_bytes == chunk.chunk_bytes) {
            Some(place) => places.push(place),
            None => gaps.push(Gap {
                offset: chunk.offset,
                bytes: u64::from(chunk.committed_bytes) + CHUNK_HEADER_BYTES as u64,
            }),
        }
    }
    (places, gaps)
}

/// Walks from chunk to chunk; where there is none, by the stride.
pub(super) fn found_chunks(bytes: &[u8], header: &Header) -> (Vec<ChunkPlace>, Vec<Gap>) {
    let (mut places, mut gaps) = (Vec::new(), Vec::<Gap>::new());
    let (mut offset, end) = (header.first_chunk_offset(), bytes.len() as u64);
    while offset < end {
        if let Some(place) = place_at(bytes, header, offset) {
            offset += u64::from(place.unverified.header().chunk_bytes);
            places.push(place);
            continue;
        }
        let step_bytes = u64::from(header.chunk_bytes()).min(end - offset);
        match gaps.last_mut() {
            Some(gap) if gap.offset + gap.bytes == offset => gap.bytes += step_bytes,
            _ => gaps.push(Gap { offset, bytes: step_bytes }),
        }
        offset += step_bytes;
    }
    (places, gaps)
}

impl ChunkPlace {
    /// Whether this build knows what kind of chunk it is.
    pub(super) fn is_of_known_kind(&self) -> bool {
        ChunkKind::from_number(self.unverified.header().kind).is_some()
    }
}

/// Whether the last slot of a chunk says that nothing will be added.
pub fn is_sealed(place: &ChunkPlace) -> bool {
    place.unverified.latest().is_some_and(|slot| slot.state == STATE_SEALED)
}

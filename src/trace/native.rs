//! Opens native trace files: finished, unfinished, cut short or damaged.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::format::native::index::{end_mark, read_index};
use crate::format::native::pod::{CHUNK_HEADER_BYTES, END_MARK_BYTES, STATE_SEALED};
use crate::format::native::{
    Chunk, ChunkKind, FileIndex, Header, KeyTable, UnverifiedChunk, UnverifiedHeader,
};
use crate::os::map::FileMap;

/// The bytes of a native file, at an address where archives may stand.
#[derive(Debug)]
pub(super) enum NativeBytes {
    Mapped(FileMap),
    Buffered(rkyv::util::AlignedVec),
}

impl NativeBytes {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map.bytes(),
            Self::Buffered(bytes) => bytes,
        }
    }

    /// Reads `source` to its end, behind `start`, which was read from it already.
    pub(super) fn read_all(start: &[u8], source: &mut impl Read) -> Result<Self> {
        let mut bytes = rkyv::util::AlignedVec::new();
        bytes.extend_from_slice(start);
        bytes.extend_from_reader(source).map_err(|error| Error::io("cannot read trace file", error))?;
        Ok(Self::Buffered(bytes))
    }
}

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
    bytes: NativeBytes,
    header: Header,
    index: Option<FileIndex>,
    chunks: Vec<ChunkPlace>,
    gaps: Vec<Gap>,
}

impl NativeTrace {
    /// Reads a file that is in memory already; `name` stands for its path.
    ///
    /// # Errors
    /// Those of [`UnverifiedHeader`].
    pub fn from_bytes(name: impl Into<PathBuf>, bytes: &[u8]) -> Result<Self> {
        let mut aligned = rkyv::util::AlignedVec::new();
        aligned.extend_from_slice(bytes);
        Self::new(name.into(), NativeBytes::Buffered(aligned))
    }

    /// Reads the file at `path` into memory.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] or [`ErrorKind::NotFound`] if the file cannot be read, and those of [`UnverifiedHeader`].
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = NativeBytes::read_all(&[], &mut open_file(path)?);
        bytes
            .and_then(|bytes| Self::new(path.to_owned(), bytes))
            .map_err(|error| error.with_context("path", path.display()))
    }

    pub(super) fn new(path: PathBuf, bytes: NativeBytes) -> Result<Self> {
        let all = bytes.as_slice();
        let header = UnverifiedHeader::parse(all)?.verify(all)?;
        let index = index_of(all, &header);
        let (chunks, gaps) = match &index {
            Some(index) => indexed_chunks(all, &header, index),
            None => found_chunks(all, &header),
        };
        Ok(Self { path, bytes, header, index, chunks, gaps })
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
        &self.chunks
    }

    /// Where chunks should be and are not.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// The chunks that hold records, in the order of the file.
    pub fn record_chunks(&self) -> impl DoubleEndedIterator<Item = &ChunkPlace> {
        self.chunks.iter().filter(|place| place.unverified.header().kind == ChunkKind::Records as u32)
    }

    /// The key table of a compact file; nothing for any other.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if one of its chunks is damaged: then no key of the file can be named.
    pub fn key_table(&self) -> Result<Option<KeyTable<'_>>> {
        if !self.header.is_compact() {
            return Ok(None);
        }
        let mut table = KeyTable::default();
        for place in &self.chunks {
            if place.unverified.header().kind == ChunkKind::Keys as u32 {
                table.add(&self.open_chunk(place, None)?)?;
            }
        }
        Ok(Some(table))
    }

    /// Checks a chunk and its records. `keys` is [`Self::key_table`].
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] with the offset of what is wrong.
    pub fn open_chunk<'a>(&'a self, place: &ChunkPlace, keys: Option<&'a KeyTable<'a>>) -> Result<Chunk<'a>> {
        let start = usize::try_from(place.offset).unwrap_or(usize::MAX);
        let bytes = self.bytes().get(start..).unwrap_or_default();
        let length_bytes = place.unverified.header().chunk_bytes as usize;
        Chunk::verify(&place.unverified, &bytes[..bytes.len().min(length_bytes)], keys)
    }

    /// The first chunk that can hold a call at or after `t_ns`: a late record apart, none before it does.
    pub fn seek_time(&self, t_ns: u64) -> usize {
        self.chunks.partition_point(|place| place.unverified.latest().is_none_or(|slot| slot.last_ns < t_ns))
    }

    /// The chunk that holds the call with this number, counted from 0 over the whole file.
    pub fn seek_call(&self, call: u64) -> usize {
        let after = self.chunks.partition_point(|place| place.unverified.header().calls_before <= call);
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

fn indexed_chunks(bytes: &[u8], header: &Header, index: &FileIndex) -> (Vec<ChunkPlace>, Vec<Gap>) {
    let (mut places, mut gaps) = (Vec::with_capacity(index.chunks.len()), Vec::new());
    for chunk in &index.chunks {
        match place_at(bytes, header, chunk.offset) {
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

/// Whether the last slot of a chunk says that nothing will be added.
pub fn is_sealed(place: &ChunkPlace) -> bool {
    place.unverified.latest().is_some_and(|slot| slot.state == STATE_SEALED)
}

/// Opens `path` for reading.
pub(super) fn open_file(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|error| Error::io("cannot open trace file", error))?;
    let metadata = file.metadata().map_err(|error| Error::io("cannot examine trace file", error))?;
    if metadata.is_dir() {
        return Err(Error::new(ErrorKind::InvalidArgument, "a folder is not a trace file")
            .with_hint("name the .lct file in it"));
    }
    Ok(file)
}

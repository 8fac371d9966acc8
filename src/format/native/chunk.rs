//! A chunk whose checksum was right and whose every record was looked at: what it holds can be taken as it is.

use super::keys::Names;
use super::pod::{CHUNK_HEADER_BYTES, ChunkHeader, CommitSlot, KEY_ROW_BYTES, KeyId, KeyRow, KeySlice};
use super::record::RecordView;
use super::schema::{LayoutFacts, ScopeFacts, ThreadFacts};
use super::slots::UnverifiedChunk;
use super::table::KeyTable;
use super::verify::Verifier;
use crate::error::{Error, Result};
use crate::format::model::MemoryLayoutDesc;

/// A verified chunk. Its bytes are borrowed; its tables were made once.
#[derive(Debug)]
pub struct Chunk<'a> {
    header: ChunkHeader,
    slot: CommitSlot,
    /// From the chunk's header to the last committed byte.
    bytes: &'a [u8],
    tables: ChunkTables,
    key_table: Option<&'a KeyTable<'a>>,
}

/// What the records of a chunk refer to by number. One allocation per definition, none per record.
#[derive(Debug, Default)]
pub struct ChunkTables {
    pub(super) scopes: Vec<ScopeFacts>,
    pub(super) layouts: Vec<DefinedLayout>,
    /// Where names stand: offset in the chunk, and length.
    pub(super) names: Vec<(u32, u32)>,
    pub(super) threads: Vec<(u32, ThreadFacts)>,
    /// Records of kinds that this build does not know.
    pub(super) unknown_records: u64,
}

/// A layout, as it stands in the file, and as a value if it is one that can be.
#[derive(Debug)]
pub struct DefinedLayout {
    /// As it stands in the file.
    pub facts: LayoutFacts,
    /// Nothing if an element type is unknown or the size is past 64 bits.
    pub layout: Option<MemoryLayoutDesc>,
}

impl ChunkTables {
    pub(super) fn scope_count(&self) -> u32 {
        self.scopes.len() as u32
    }

    /// The scope of a row that was checked.
    #[inline]
    pub(super) fn scope(&self, number: u32) -> &ScopeFacts {
        &self.scopes[number as usize]
    }
}

impl<'a> Chunk<'a> {
    /// Checks the checksum of `bytes`, which go from the chunk's header to wherever the file ends, and then every
    /// record. `key_table` is that of a compact file.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::error::ErrorKind::Corrupt) with the offset of what is wrong.
    pub fn verify(
        chunk: &UnverifiedChunk,
        bytes: &'a [u8],
        key_table: Option<&'a KeyTable<'a>>,
    ) -> Result<Self> {
        let header = *chunk.header();
        let (slot, bytes) = chunk.committed(bytes)?;
        if !bytes.as_ptr().addr().is_multiple_of(super::pod::ALIGN_BYTES) {
            return Err(Error::invalid("a chunk must lie at a multiple of 8 in memory"));
        }
        let tables = Verifier::new(bytes, &header, key_table).run()?;
        Ok(Self { header, slot, bytes, tables, key_table })
    }

    /// The fixed part of the header.
    pub fn header(&self) -> &ChunkHeader {
        &self.header
    }

    /// The slot that vouches for the records.
    pub fn slot(&self) -> &CommitSlot {
        &self.slot
    }

    /// The records, in the order of the file.
    pub fn records(&self) -> Records<'_> {
        Records { chunk: self, position: CHUNK_HEADER_BYTES }
    }

    /// The records from `position` on: an offset in the chunk at which a record starts, or the end.
    pub fn records_from(&self, position: usize) -> Records<'_> {
        Records { chunk: self, position: position.max(CHUNK_HEADER_BYTES) }
    }

    /// From the chunk's header to the last committed byte.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The threads that are defined in the chunk.
    pub fn threads(&self) -> impl Iterator<Item = (u32, &ThreadFacts)> {
        self.tables.threads.iter().map(|(number, facts)| (*number, facts))
    }

    /// Records of kinds that this build does not know.
    pub fn unknown_records(&self) -> u64 {
        self.tables.unknown_records
    }

    /// The scopes that are defined in the chunk, by their numbers.
    pub(super) fn scopes(&self) -> &[ScopeFacts] {
        &self.tables.scopes
    }

    /// A scope by its number in the chunk.
    pub fn scope(&self, number: u32) -> Option<&ScopeFacts> {
        self.tables.scopes.get(number as usize)
    }

    /// A layout by its number in the chunk.
    pub fn layout(&self, number: u32) -> Option<&DefinedLayout> {
        self.tables.layouts.get(number as usize)
    }

    /// A name by its number in the chunk.
    pub fn name(&self, number: u32) -> Option<&str> {
        let (offset, len_bytes) = *self.tables.names.get(number as usize)?;
        std::str::from_utf8(&self.bytes[offset as usize..][..len_bytes as usize]).ok()
    }

    pub(super) fn names(&self) -> Names<'_> {
        Names { bytes: self.bytes, tables: &self.tables, key_table: self.key_table }
    }

    pub(super) fn is_compact(&self) -> bool {
        self.key_table.is_some()
    }

    /// The rows of a checked slice.
    pub(super) fn row_slice(&self, slice: KeySlice) -> &[KeyRow] {
        bytemuck::cast_slice(&self.bytes[slice.start as usize..][..slice.count as usize * KEY_ROW_BYTES])
    }

    /// The ids of a checked slice.
    pub(super) fn id_slice(&self, slice: KeySlice) -> &[KeyId] {
        bytemuck::cast_slice(&self.bytes[slice.start as usize..][..slice.count as usize * size_of::<KeyId>()])
    }
}

/// Walks the records of a verified chunk.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    chunk: &'a Chunk<'a>,
    position: usize,
}

impl Records<'_> {
    /// Offset of the next record in the chunk.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = RecordView<'a>;

    #[inline]
    fn next(&mut self) -> Option<RecordView<'a>> {
        if self.position >= self.chunk.bytes.len() {
            return None;
        }
        let record = RecordView::new(self.chunk, self.position);
        self.position += record.prefix().length_bytes as usize;
        Some(record)
    }
}

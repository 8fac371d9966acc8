//! The end of a closed file: the mark, and the index that it points to.

use super::pod::{ALIGN_BYTES, END_MAGIC, END_MARK_BYTES, EndMark, SelfChecked, crc32};
use super::schema::{ArchivedFileIndex, FileIndex, archive};
use super::trusted;

/// The end mark in the last bytes of a file that is `file_bytes` long; nothing if the file was not closed.
pub fn end_mark(tail: &[u8], file_bytes: u64, recording_id: u64) -> Option<EndMark> {
    let mark: EndMark = bytemuck::pod_read_unaligned(tail.last_chunk::<END_MARK_BYTES>()?);
    let is_mark = mark.magic == END_MAGIC
        && mark.computed_crc() == mark.mark_crc
        && mark.recording_id == recording_id
        && mark.file_bytes == file_bytes
        && mark.index_offset.checked_add(mark.index_bytes)?.checked_add(END_MARK_BYTES as u64)? <= file_bytes;
    is_mark.then_some(mark)
}

/// The index that `mark` points to, from its bytes; nothing if it is damaged.
pub fn read_index(mark: &EndMark, bytes: &[u8]) -> Option<FileIndex> {
    if bytes.len() as u64 != mark.index_bytes || crc32(bytes) != mark.index_crc {
        return None;
    }
    let mut aligned = rkyv::util::AlignedVec::<ALIGN_BYTES>::with_capacity(bytes.len());
    aligned.extend_from_slice(bytes);
    let archived = trusted::checked::<ArchivedFileIndex>(&aligned)?;
    rkyv::deserialize::<FileIndex, rkyv::rancor::Failure>(archived).ok()
}

/// Index and end mark of a file whose last chunk ends at `index_offset`, a multiple of 8.
pub fn write_index(index: &FileIndex, index_offset: u64, recording_id: u64) -> Vec<u8> {
    let archived = archive(index);
    let mut bytes = archived.to_vec();
    bytes.resize(archived.len().next_multiple_of(ALIGN_BYTES), 0);
    let mark = EndMark {
        magic: END_MAGIC,
        recording_id,
        index_offset,
        index_bytes: archived.len() as u64,
        file_bytes: index_offset + (bytes.len() + END_MARK_BYTES) as u64,
        chunks: index.chunks.len() as u64,
        index_crc: crc32(&archived),
        reserved: [0; 2],
        mark_crc: 0,
    };
    bytes.extend_from_slice(bytemuck::bytes_of(&mark.sealed()));
    bytes
}

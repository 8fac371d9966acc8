//! Which of a chunk's slots to believe.

use super::pod::{
    CHUNK_HEADER_BYTES, CHUNK_MAGIC, ChunkHeader, CommitSlot, SLOT_BYTES, SLOTS, STATE_SEALED, SelfChecked,
    crc32,
};
use crate::error::{Error, ErrorKind, Result};

/// The header of a chunk, with the slots whose own checksums are right; its records were not looked at.
#[derive(Clone, Copy, Debug)]
pub struct UnverifiedChunk {
    header: ChunkHeader,
    slots: [Option<CommitSlot>; SLOTS],
}

impl UnverifiedChunk {
    /// Reads the header of a chunk that should stand at `offset` of the file with `recording_id`. Nothing if there
    /// is none: a hole, another file's leftovers, damage, or the end.
    pub fn parse(bytes: &[u8], offset: u64, recording_id: u64, stride_bytes: u32) -> Option<Self> {
        let head = bytes.first_chunk::<CHUNK_HEADER_BYTES>()?;
        let (fixed, slots) = head.split_at(size_of::<ChunkHeader>());
        let header: ChunkHeader = bytemuck::pod_read_unaligned(fixed);
        let is_here = header.magic == CHUNK_MAGIC
            && header.computed_crc() == header.header_crc
            && header.offset == offset
            && header.recording_id == recording_id
            && header.chunk_bytes != 0
            && header.chunk_bytes.is_multiple_of(stride_bytes);
        if !is_here {
            return None;
        }
        let room_bytes = header.chunk_bytes as usize - CHUNK_HEADER_BYTES;
        let slot = |index: usize| {
            let slot: CommitSlot = bytemuck::pod_read_unaligned(&slots[index * SLOT_BYTES..][..SLOT_BYTES]);
            (slot.is_whole() && slot.committed_bytes as usize <= room_bytes).then_some(slot)
        };
        Some(Self { header, slots: std::array::from_fn(slot) })
    }

    /// The fixed part of the header.
    pub fn header(&self) -> &ChunkHeader {
        &self.header
    }

    /// The slot that vouches for most, whether or not its records are there.
    pub fn latest(&self) -> Option<&CommitSlot> {
        self.slots.iter().flatten().max_by_key(|slot| (slot.committed_bytes, slot.state))
    }

    /// Whether nothing will be added to the chunk.
    pub fn is_sealed(&self) -> bool {
        self.latest().is_some_and(|slot| slot.state == STATE_SEALED)
    }

    /// The slot with the most records among those whose records are all there and right. `bytes` are the chunk's,
    /// from its header to wherever the file ends.
    pub fn believe(&self, bytes: &[u8]) -> Option<CommitSlot> {
        let mut slots: Vec<_> = self.slots.iter().flatten().collect();
        slots.sort_unstable_by_key(|slot| std::cmp::Reverse((slot.committed_bytes, slot.state)));
        let is_right = |slot: &&&CommitSlot| {
            let data = bytes.get(CHUNK_HEADER_BYTES..CHUNK_HEADER_BYTES + slot.committed_bytes as usize);
            data.is_some_and(|data| crc32(data) == slot.data_crc)
        };
        slots.iter().find(is_right).map(|slot| **slot)
    }

    /// The slot to [believe](Self::believe), and what it vouches for: from the chunk's header to the last committed
    /// byte.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if there is no such slot.
    pub fn committed<'a>(&self, bytes: &'a [u8]) -> Result<(CommitSlot, &'a [u8])> {
        let Some(slot) = self.believe(bytes) else {
            return Err(Error::new(ErrorKind::Corrupt, "no checksum of the chunk is right")
                .with_context("chunk", self.header.number)
                .with_context("offset", self.header.offset));
        };
        Ok((slot, &bytes[..CHUNK_HEADER_BYTES + slot.committed_bytes as usize]))
    }
}

//! The plain structures of the file, as `docs/format.md` has them: offsets and sizes are checked where they are
//! declared, so that neither a field nor the compiler can move them.

use std::mem::offset_of;

use bytemuck::{Pod, Zeroable};

#[cfg(target_endian = "big")]
compile_error!("the native trace file is little-endian and is read in place");

/// Bytes 0 to 7 of a file. The first byte is not ASCII and the line ends are there to be damaged by whatever
/// takes the file for text, as in PNG.
pub const FILE_MAGIC: [u8; 8] = *b"\x89LCT\r\n\x1a\n";

/// The only version there is.
pub const FORMAT_VERSION: u32 = 1;

/// First bytes of a chunk.
pub const CHUNK_MAGIC: [u8; 4] = *b"CHNK";

/// First bytes of the end mark.
pub const END_MAGIC: [u8; 8] = *b"LCT-END\0";

/// Everything in a file starts at a multiple of this and is a multiple of it long.
pub const ALIGN_BYTES: usize = 8;

/// Smallest stride of chunks.
pub const MIN_CHUNK_BYTES: u32 = 1 << 16;

/// Smallest stride of chunks in a compact file: nobody writes to it while it is read, and its chunks of keys are padded
/// to whole strides.
pub const MIN_COMPACT_CHUNK_BYTES: u32 = 1 << 12;

/// Stride of chunks unless the creator says otherwise.
pub const DEFAULT_CHUNK_BYTES: u32 = 1 << 20;

/// Largest stride of chunks.
pub const MAX_CHUNK_BYTES: u32 = 1 << 26;

/// Longest chunk, and with it the longest record: what a long chunk may grow to for one record.
pub const MAX_LONG_CHUNK_BYTES: u32 = 1 << 30;

/// Where chunks start in a file that is recorded live: a page of their own for slots that are written again.
pub const LIVE_HEADER_ALIGN: u32 = 4096;

/// Where chunks may start in a file that is written once.
pub const HEADER_ALIGN: u32 = 64;

/// The longest file header, facts included.
pub const MAX_HEADER_BYTES: u32 = 1 << 26;

/// Feature bit: key lists are ids into the key table.
pub const FEATURE_KEY_TABLE: u32 = 1;

/// The feature bits that this build knows.
pub const KNOWN_FEATURES: u32 = FEATURE_KEY_TABLE;

/// What stands at offset 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FileHeader {
    /// [`FILE_MAGIC`].
    pub magic: [u8; 8],
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Where chunk 0 starts.
    pub header_bytes: u32,
    /// See [`SCHEMA_DIGEST`](super::schema::SCHEMA_DIGEST).
    pub schema_digest: u64,
    /// Bits that a reader must know.
    pub required_features: u32,
    /// Bits that a reader may ignore.
    pub optional_features: u32,
    /// The stride of chunks.
    pub chunk_bytes: u32,
    /// Length of the archive behind this header.
    pub facts_bytes: u32,
    /// `CLOCK_MONOTONIC` at the start.
    pub mono_start_ns: u64,
    /// `CLOCK_REALTIME` at the same moment.
    pub wall_start_ns: u64,
    /// Bits of LMCache's `t_mono_start`, in seconds.
    pub t_mono_start_bits: u64,
    /// Bits of LMCache's `t_wall_start`, in seconds.
    pub t_wall_start_bits: u64,
    /// The same in all files of a recording.
    pub recording_id: u64,
    /// Which file of the recording this is.
    pub file_number: u32,
    /// CRC-32 of the archive.
    pub facts_crc: u32,
    /// Zero.
    pub reserved: [u8; 36],
    /// CRC-32 of what stands before it.
    pub header_crc: u32,
}

/// Bytes of [`FileHeader`].
pub const FILE_HEADER_BYTES: usize = 128;

/// What stands at the start of a chunk; the three [`CommitSlot`]s follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ChunkHeader {
    /// [`CHUNK_MAGIC`].
    pub magic: [u8; 4],
    /// See [`ChunkKind`](super::kind::ChunkKind).
    pub kind: u32,
    /// 0, 1, 2, ...
    pub number: u64,
    /// Its own place in the file.
    pub offset: u64,
    /// That of the file.
    pub recording_id: u64,
    /// Calls in all chunks before.
    pub calls_before: u64,
    /// Calls lost before, in all threads.
    pub lost_before: u64,
    /// Its length on disk.
    pub chunk_bytes: u32,
    /// Zero.
    pub reserved: [u32; 2],
    /// CRC-32 of what stands before it.
    pub header_crc: u32,
}

/// Bytes of a chunk before its first record: the header and its slots.
pub const CHUNK_HEADER_BYTES: usize = 256;

/// How many commit slots a chunk has.
pub const SLOTS: usize = 3;

/// The slot that is written at every commit; the others are the durable ones.
pub const LIVE_SLOT: usize = 0;

/// Vouches for the first `committed_bytes` of a chunk's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct CommitSlot {
    /// [`STATE_OPEN`] or [`STATE_SEALED`].
    pub state: u32,
    /// Bytes of records.
    pub committed_bytes: u32,
    /// Records of any kind in them.
    pub records: u32,
    /// Calls in them.
    pub calls: u32,
    /// Earliest time of a call.
    pub first_ns: u64,
    /// Latest time of a call.
    pub last_ns: u64,
    /// Calls that the loss records in them count.
    pub lost: u64,
    /// `CLOCK_MONOTONIC` at the commit.
    pub mono_ns: u64,
    /// `CLOCK_REALTIME` at the commit.
    pub wall_ns: u64,
    /// CRC-32 of the committed bytes.
    pub data_crc: u32,
    /// CRC-32 of what stands before it in the slot.
    pub slot_crc: u32,
}

/// Bytes of a [`CommitSlot`].
pub const SLOT_BYTES: usize = 64;

/// A chunk that records are still added to.
pub const STATE_OPEN: u32 = 1;

/// A chunk that does not change any more.
pub const STATE_SEALED: u32 = 2;

/// What every record begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RecordPrefix {
    /// `CLOCK_MONOTONIC` at the call.
    pub t_ns: u64,
    /// Of the whole record.
    pub length_bytes: u32,
    /// Of a call: how many calls its thread had attempted before, modulo 2^32. Of a definition: its number.
    pub sequence: u32,
    /// The thread's number; 0 is none.
    pub thread: u32,
    /// See [`RecordKind`](super::kind::RecordKind).
    pub kind: u8,
    /// See the `FLAG_` constants.
    pub flags: u8,
    /// By kind.
    pub aux: u16,
}

impl RecordPrefix {
    /// Its bytes as words, put together in registers: stored one field at a time and copied as a whole, they would be read back before
    /// they are there.
    #[inline(always)]
    pub(crate) fn to_words(self) -> [u64; PREFIX_BYTES / 8] {
        let Self { t_ns, length_bytes, sequence, thread, kind, flags, aux } = self;
        let lengths = u64::from(sequence) << 32 | u64::from(length_bytes);
        let kinds = u64::from(aux) << 48 | u64::from(flags) << 40 | u64::from(kind) << 32;
        [t_ns, lengths, kinds | u64::from(thread)]
    }
}

/// Bytes of a [`RecordPrefix`].
pub const PREFIX_BYTES: usize = 24;

/// The body begins with a [`KeySlice`].
pub const FLAG_SLICE: u8 = 1;

/// The body ends with a value that has no room in `aux`.
pub const FLAG_WIDE: u8 = 2;

/// The body ends with the time of day in nanoseconds.
pub const FLAG_WALL: u8 = 4;

/// The body ends, before its time of day, with LMCache's `t_mono`, which no whole nanosecond leads back to.
pub const FLAG_T_MONO: u8 = 16;

/// The record was published after later ones had been written.
pub const FLAG_LATE: u8 = 8;

/// The flags of calls that this build knows: of any other it is not known where its call's body ends.
pub const KNOWN_CALL_FLAGS: u8 = FLAG_SLICE | FLAG_WIDE | FLAG_WALL | FLAG_LATE | FLAG_T_MONO;

/// A key: its hash, and the number of everything else that it is made of. Aligned to 1: a slice of rows can be
/// taken anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct KeyRow {
    /// The hash, padded with zeros.
    pub hash: [u8; 32],
    /// Number of the scope, little-endian.
    pub scope: [u8; 4],
    /// Bytes of the hash, or [`LONG_HASH`].
    pub hash_bytes: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// Bytes of a [`KeyRow`].
pub const KEY_ROW_BYTES: usize = 40;

/// Marks a row whose hash stands elsewhere in the chunk.
pub const LONG_HASH: u8 = 255;

/// A key id of a compact file, little-endian and aligned to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct KeyId(pub [u8; 4]);

/// Rows, or ids, that stand in the same chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct KeySlice {
    /// Offset of the first one from the start of the chunk.
    pub start: u32,
    /// How many.
    pub count: u32,
}

/// Bytes of a [`KeySlice`].
pub const KEY_SLICE_BYTES: usize = 8;

/// First words of a body that holds an archive or plain bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BodyHead {
    /// Before an archive: bytes of rows that stand between. Before plain bytes: the number of a name, or 0.
    pub first: u32,
    /// Length of the archive or of the bytes, without padding.
    pub bytes: u32,
}

/// Bytes of a [`BodyHead`].
pub const BODY_HEAD_BYTES: usize = 8;

/// Body of a completion: what became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct CompletionBody {
    /// Thread of the call.
    pub call_thread: u32,
    /// Sequence of the call.
    pub call_sequence: u32,
    /// How long the call took.
    pub duration_ns: u64,
    /// From the call to the moment its data was there, or [`NOT_KNOWN`].
    pub data_ready_ns: u64,
    /// Bytes of the objects that were reserved, found or read.
    pub bytes: u64,
    /// Keys that were reserved, found or read.
    pub hit_keys: u32,
    /// Keys that were asked for.
    pub requested_keys: u32,
    /// Kind of the call.
    pub op: u8,
    /// See [`Outcome`](super::kind::Outcome).
    pub outcome: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

/// Bytes of a [`CompletionBody`].
pub const COMPLETION_BYTES: usize = 48;

/// A time that nobody measured.
pub const NOT_KNOWN: u64 = u64::MAX;

/// Body of a loss: calls of a thread that are not in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct LossBody {
    /// How many.
    pub count: u64,
    /// Sequence of the first.
    pub first_sequence: u32,
    /// Zero.
    pub reserved: u32,
    /// Time of the thread's next call, or when the last was lost.
    pub until_ns: u64,
    /// Time of the thread's last call before; 0 if there was none.
    pub from_ns: u64,
}

/// Bytes of a [`LossBody`].
pub const LOSS_BYTES: usize = 32;

/// First words of a key section; the hashes follow, end to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SectionHead {
    /// Id of the first key.
    pub first_id: u32,
    /// How many keys.
    pub count: u32,
    /// Number of their scope.
    pub scope: u32,
    /// Bytes of each hash.
    pub hash_bytes: u32,
}

/// Bytes of a [`SectionHead`].
pub const SECTION_HEAD_BYTES: usize = 16;

/// The last bytes of a file that was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct EndMark {
    /// [`END_MAGIC`].
    pub magic: [u8; 8],
    /// That of the file.
    pub recording_id: u64,
    /// Where the index starts.
    pub index_offset: u64,
    /// Its length.
    pub index_bytes: u64,
    /// Length of the file, this mark included.
    pub file_bytes: u64,
    /// How many chunks there are.
    pub chunks: u64,
    /// CRC-32 of the index.
    pub index_crc: u32,
    /// Zero.
    pub reserved: [u32; 2],
    /// CRC-32 of what stands before it.
    pub mark_crc: u32,
}

/// Bytes of an [`EndMark`].
pub const END_MARK_BYTES: usize = 64;

/// The tables of `docs/format.md`, checked by the compiler.
const _: () = {
    assert!(size_of::<FileHeader>() == FILE_HEADER_BYTES);
    assert!(offset_of!(FileHeader, format_version) == 8);
    assert!(offset_of!(FileHeader, schema_digest) == 16);
    assert!(offset_of!(FileHeader, required_features) == 24);
    assert!(offset_of!(FileHeader, chunk_bytes) == 32);
    assert!(offset_of!(FileHeader, mono_start_ns) == 40);
    assert!(offset_of!(FileHeader, t_mono_start_bits) == 56);
    assert!(offset_of!(FileHeader, recording_id) == 72);
    assert!(offset_of!(FileHeader, facts_crc) == 84);
    assert!(offset_of!(FileHeader, header_crc) == FILE_HEADER_BYTES - 4);

    assert!(size_of::<ChunkHeader>() == 64);
    assert!(offset_of!(ChunkHeader, number) == 8);
    assert!(offset_of!(ChunkHeader, calls_before) == 32);
    assert!(offset_of!(ChunkHeader, chunk_bytes) == 48);
    assert!(offset_of!(ChunkHeader, header_crc) == 60);
    assert!(size_of::<ChunkHeader>() + SLOTS * SLOT_BYTES == CHUNK_HEADER_BYTES);

    assert!(size_of::<CommitSlot>() == SLOT_BYTES);
    assert!(offset_of!(CommitSlot, first_ns) == 16);
    assert!(offset_of!(CommitSlot, lost) == 32);
    assert!(offset_of!(CommitSlot, data_crc) == 56);

    assert!(size_of::<RecordPrefix>() == PREFIX_BYTES);
    assert!(offset_of!(RecordPrefix, length_bytes) == 8);
    assert!(offset_of!(RecordPrefix, kind) == 20);

    assert!(size_of::<KeyRow>() == KEY_ROW_BYTES && align_of::<KeyRow>() == 1);
    assert!(KEY_ROW_BYTES.is_multiple_of(ALIGN_BYTES));
    assert!(size_of::<KeyId>() == 4 && align_of::<KeyId>() == 1);
    assert!(size_of::<KeySlice>() == KEY_SLICE_BYTES);
    assert!(size_of::<BodyHead>() == BODY_HEAD_BYTES);
    assert!(size_of::<CompletionBody>() == COMPLETION_BYTES);
    assert!(size_of::<LossBody>() == LOSS_BYTES);
    assert!(size_of::<SectionHead>() == SECTION_HEAD_BYTES);
    assert!(size_of::<EndMark>() == END_MARK_BYTES);
    assert!(offset_of!(EndMark, mark_crc) == END_MARK_BYTES - 4);
};

/// CRC-32 (ISO-HDLC) of `bytes`.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// A structure whose last four bytes are the CRC-32 of the others.
pub(super) trait SelfChecked: Pod {
    /// The CRC of everything but the CRC.
    fn computed_crc(&self) -> u32 {
        let bytes = bytemuck::bytes_of(self);
        crc32(&bytes[..bytes.len() - size_of::<u32>()])
    }
}

impl SelfChecked for FileHeader {}
impl SelfChecked for ChunkHeader {}
impl SelfChecked for CommitSlot {}
impl SelfChecked for EndMark {}

impl FileHeader {
    /// With its checksum.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.header_crc = self.computed_crc();
        self
    }
}

impl ChunkHeader {
    /// With its checksum.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.header_crc = self.computed_crc();
        self
    }
}

impl CommitSlot {
    /// With its checksum.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.slot_crc = self.computed_crc();
        self
    }

    /// Whether the checksum is right and the state is one that there is.
    pub fn is_whole(&self) -> bool {
        self.slot_crc == self.computed_crc() && matches!(self.state, STATE_OPEN | STATE_SEALED)
    }
}

impl EndMark {
    /// With its checksum.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.mark_crc = self.computed_crc();
        self
    }
}

impl KeyRow {
    /// The row of a hash that fits into it.
    #[inline]
    pub fn short(scope: u32, hash: &[u8]) -> Option<Self> {
        let mut row = Self {
            hash: [0; 32],
            scope: scope.to_le_bytes(),
            hash_bytes: hash.len() as u8,
            reserved: [0; 3],
        };
        row.hash.get_mut(..hash.len())?.copy_from_slice(hash);
        Some(row)
    }

    /// The row of a hash of `len_bytes` that stands at `offset` of the chunk.
    pub fn long(scope: u32, offset: u32, len_bytes: u32) -> Self {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&offset.to_le_bytes());
        hash[4..8].copy_from_slice(&len_bytes.to_le_bytes());
        Self { hash, scope: scope.to_le_bytes(), hash_bytes: LONG_HASH, reserved: [0; 3] }
    }

    /// Number of the scope.
    #[inline]
    pub fn scope_number(&self) -> u32 {
        u32::from_le_bytes(self.scope)
    }

    /// Where a long hash stands: offset in the chunk, and length.
    pub fn long_place(&self) -> (u32, u32) {
        let word = |at: usize| {
            u32::from_le_bytes([self.hash[at], self.hash[at + 1], self.hash[at + 2], self.hash[at + 3]])
        };
        (word(0), word(4))
    }
}

impl KeyId {
    /// The id as a number.
    #[inline]
    pub fn get(self) -> u32 {
        u32::from_le_bytes(self.0)
    }
}

/// `bytes` rounded up to a multiple of [`ALIGN_BYTES`].
#[inline]
pub const fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_prefix_are_its_bytes() {
        let bytes: [u8; PREFIX_BYTES] = std::array::from_fn(|place| place as u8 * 11 + 1);
        let prefix: RecordPrefix = bytemuck::pod_read_unaligned(&bytes);
        assert_eq!(bytemuck::bytes_of(&prefix.to_words()), bytes);
    }
}

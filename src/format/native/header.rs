//! The start of a file: bytes, then an [`UnverifiedHeader`], then a [`Header`].

use super::pod::{
    ALIGN_BYTES, FEATURE_KEY_TABLE, FILE_HEADER_BYTES, FILE_MAGIC, FORMAT_VERSION, FileHeader, HEADER_ALIGN,
    KNOWN_FEATURES, MAX_CHUNK_BYTES, MAX_HEADER_BYTES, MIN_CHUNK_BYTES, MIN_COMPACT_CHUNK_BYTES, SelfChecked,
    crc32,
};
use super::schema::{ArchivedFileFacts, FileFacts, SCHEMA_DIGEST, archive};
use super::trusted;
use crate::error::{Error, ErrorKind, Result};
use crate::format::lct::times::{t_mono_of, t_wall_of};

/// Name of the pair in a converted file's facts that says what it was made of, if that was not all there.
pub const CONVERTED_FROM: &str = "converted_from";

/// Whether a file that begins with `bytes` is a native trace file. Seven bytes that are there must be right, too:
/// whoever cut such a file short is to be told that it is cut short.
pub fn is_native(bytes: &[u8]) -> bool {
    !bytes.is_empty() && FILE_MAGIC.starts_with(&bytes[..bytes.len().min(FILE_MAGIC.len())])
}

/// The fixed part of a header, whose checksum and numbers are right, before its facts were looked at.
#[derive(Clone, Copy, Debug)]
pub struct UnverifiedHeader(FileHeader);

impl UnverifiedHeader {
    /// Reads the first [`FILE_HEADER_BYTES`] of a file.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`] if they are not all there, [`ErrorKind::UnsupportedVersion`] if this build must not
    /// read the file, [`ErrorKind::Corrupt`] for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if !is_native(bytes) {
            return Err(Error::new(ErrorKind::Corrupt, "bad magic: this is not a native trace file"));
        }
        let Some(fixed) = bytes.first_chunk::<FILE_HEADER_BYTES>() else {
            return Err(Error::new(ErrorKind::Truncated, "the trace file ends inside its header")
                .with_context("bytes there", bytes.len())
                .with_context("bytes needed", FILE_HEADER_BYTES));
        };
        let header: FileHeader = bytemuck::pod_read_unaligned(fixed);
        expect("unsupported format_version", u64::from(header.format_version), u64::from(FORMAT_VERSION))?;
        if header.computed_crc() != header.header_crc {
            return Err(corrupt("the file header's checksum is wrong"));
        }
        expect("unsupported schema of archived types", header.schema_digest, SCHEMA_DIGEST)?;
        let unknown = header.required_features & !KNOWN_FEATURES;
        if unknown != 0 {
            return Err(unsupported("the file needs features that this build does not know")
                .with_context("feature bits", format_args!("{unknown:#x}")));
        }
        let is_sane = is_stride(header.chunk_bytes, header.required_features)
            && header.header_bytes.is_multiple_of(HEADER_ALIGN)
            && header.header_bytes <= MAX_HEADER_BYTES
            && FILE_HEADER_BYTES as u64 + u64::from(header.facts_bytes) <= u64::from(header.header_bytes);
        if !is_sane {
            return Err(corrupt("the file header has sizes that cannot be"));
        }
        Ok(Self(header))
    }

    /// How many bytes of the file [`Self::verify`] needs.
    pub fn needed_bytes(&self) -> usize {
        FILE_HEADER_BYTES + self.0.facts_bytes as usize
    }

    /// Reads the facts, which `bytes`, the beginning of the file, must hold.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`] if they are not all there, [`ErrorKind::Corrupt`] if they are damaged.
    pub fn verify(self, bytes: &[u8]) -> Result<Header> {
        let Some(raw) = bytes.get(FILE_HEADER_BYTES..self.needed_bytes()) else {
            return Err(Error::new(
                ErrorKind::Truncated,
                "the trace file ends inside the facts of its header",
            )
            .with_context("bytes there", bytes.len())
            .with_context("bytes needed", self.needed_bytes()));
        };
        if crc32(raw) != self.0.facts_crc {
            return Err(corrupt("the checksum of the file header's facts is wrong"));
        }
        let facts = owned_facts(raw).ok_or_else(|| corrupt("the file header's facts are no archive"))?;
        Ok(Header { fixed: self.0, facts })
    }
}

/// One copy per file: the archive may lie anywhere in `raw`, and facts are read more than once.
fn owned_facts(raw: &[u8]) -> Option<FileFacts> {
    let mut aligned = rkyv::util::AlignedVec::<ALIGN_BYTES>::new();
    aligned.extend_from_slice(raw);
    let archived = trusted::checked::<ArchivedFileFacts>(&aligned)?;
    rkyv::deserialize::<FileFacts, rkyv::rancor::Failure>(archived).ok()
}

/// What a file says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    fixed: FileHeader,
    facts: FileFacts,
}

/// The numbers of a file that is about to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewFile {
    /// The stride of chunks.
    pub chunk_bytes: u32,
    /// Chunks start at a multiple of this: [`HEADER_ALIGN`] or [`LIVE_HEADER_ALIGN`](super::pod::LIVE_HEADER_ALIGN).
    pub header_align: u32,
    /// Bits that a reader must know.
    pub required_features: u32,
    /// `CLOCK_MONOTONIC` at the start.
    pub mono_start_ns: u64,
    /// `CLOCK_REALTIME` at the same moment.
    pub wall_start_ns: u64,
    /// LMCache's `t_mono_start`.
    pub t_mono_start_s: f64,
    /// LMCache's `t_wall_start`.
    pub t_wall_start_s: f64,
    /// Random.
    pub recording_id: u64,
    /// Which file of the recording.
    pub file_number: u32,
}

impl Header {
    /// The header of a file to be written, and its bytes up to the first chunk.
    ///
    /// # Errors
    /// If the facts are longer than [`MAX_HEADER_BYTES`], or the stride is none that there is.
    pub fn create(file: NewFile, facts: FileFacts) -> Result<(Self, Vec<u8>)> {
        let archived = archive(&facts);
        let used_bytes = FILE_HEADER_BYTES + archived.len();
        let header_bytes = used_bytes.next_multiple_of(file.header_align as usize);
        if header_bytes > MAX_HEADER_BYTES as usize {
            return Err(Error::invalid("the facts of a trace file are too long for its header")
                .with_context("bytes", used_bytes)
                .with_context("limit", MAX_HEADER_BYTES));
        }
        if !is_stride(file.chunk_bytes, file.required_features) {
            let limits = "chunk_bytes must be a power of two from 64 KiB (4 KiB in a compact file) to 64 MiB";
            return Err(Error::invalid(limits).with_context("chunk_bytes", file.chunk_bytes));
        }
        let fixed = FileHeader {
            magic: FILE_MAGIC,
            format_version: FORMAT_VERSION,
            header_bytes: header_bytes as u32,
            schema_digest: SCHEMA_DIGEST,
            required_features: file.required_features,
            optional_features: 0,
            chunk_bytes: file.chunk_bytes,
            facts_bytes: archived.len() as u32,
            mono_start_ns: file.mono_start_ns,
            wall_start_ns: file.wall_start_ns,
            t_mono_start_bits: file.t_mono_start_s.to_bits(),
            t_wall_start_bits: file.t_wall_start_s.to_bits(),
            recording_id: file.recording_id,
            file_number: file.file_number,
            facts_crc: crc32(&archived),
            reserved: [0; 36],
            header_crc: 0,
        }
        .sealed();
        let mut bytes = Vec::with_capacity(header_bytes);
        bytes.extend_from_slice(bytemuck::bytes_of(&fixed));
        bytes.extend_from_slice(&archived);
        bytes.resize(header_bytes, 0);
        Ok((Self { fixed, facts }, bytes))
    }

    /// The numbers, as they stand in the file.
    pub fn fixed(&self) -> &FileHeader {
        &self.fixed
    }

    /// What the file says in words.
    pub fn facts(&self) -> &FileFacts {
        &self.facts
    }

    /// What an incomplete file was made of: one that was unfinished or damaged. Nothing for any other.
    pub fn converted_from(&self) -> Option<&str> {
        let pair = self.facts.metadata.iter().find(|(name, _)| name == CONVERTED_FROM);
        pair.map(|(_, origin)| origin.as_str())
    }

    /// Where chunk 0 starts.
    pub fn first_chunk_offset(&self) -> u64 {
        u64::from(self.fixed.header_bytes)
    }

    /// The stride of chunks.
    pub fn chunk_bytes(&self) -> u32 {
        self.fixed.chunk_bytes
    }

    /// Whether key lists are ids into the key table.
    pub fn is_compact(&self) -> bool {
        self.fixed.required_features & FEATURE_KEY_TABLE != 0
    }

    /// LMCache's `t_mono_start`, seconds.
    pub fn t_mono_start_s(&self) -> f64 {
        f64::from_bits(self.fixed.t_mono_start_bits)
    }

    /// LMCache's `t_wall_start`, seconds.
    pub fn t_wall_start_s(&self) -> f64 {
        f64::from_bits(self.fixed.t_wall_start_bits)
    }

    /// Wall time of a moment of the recording, by the clock pair of the file's start.
    pub fn wall_ns_of(&self, t_ns: u64) -> u64 {
        self.fixed.wall_start_ns.wrapping_add(t_ns.wrapping_sub(self.fixed.mono_start_ns))
    }

    /// Seconds since the epoch at a call, as LMCache counts them: by the wall time that its record has of its own, or
    /// else by [`Self::wall_ns_of`].
    pub fn t_wall_s(&self, t_ns: u64, own_wall_ns: Option<u64>) -> f64 {
        t_wall_of(own_wall_ns.unwrap_or_else(|| self.wall_ns_of(t_ns)).cast_signed())
    }

    /// Seconds from the start of the recording to `t_ns`, as LMCache counts them.
    #[inline]
    pub fn t_mono_s(&self, t_ns: u64) -> f64 {
        t_mono_of(t_ns, self.t_mono_start_s())
    }
}

/// Whether chunks of a file with these features may have this stride.
fn is_stride(chunk_bytes: u32, required_features: u32) -> bool {
    let least_bytes = match required_features & FEATURE_KEY_TABLE {
        0 => MIN_CHUNK_BYTES,
        _ => MIN_COMPACT_CHUNK_BYTES,
    };
    chunk_bytes.is_power_of_two() && (least_bytes..=MAX_CHUNK_BYTES).contains(&chunk_bytes)
}

fn expect(message: &'static str, found: u64, expected: u64) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(unsupported(message)
        .with_context("found", format_args!("{found:#x}"))
        .with_context("expected", format_args!("{expected:#x}")))
}

fn unsupported(message: &'static str) -> Error {
    Error::new(ErrorKind::UnsupportedVersion, message)
        .with_hint("the file was written by a release that this build does not know")
}

fn corrupt(message: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_are_accepted_to_the_limits_and_refused_past_them() {
        for (features, least_bytes) in [(0, MIN_CHUNK_BYTES), (FEATURE_KEY_TABLE, MIN_COMPACT_CHUNK_BYTES)] {
            for chunk_bytes in [least_bytes, MAX_CHUNK_BYTES] {
                assert!(is_stride(chunk_bytes, features));
            }
            for chunk_bytes in [least_bytes / 2, least_bytes + 8, MAX_CHUNK_BYTES * 2, 0] {
                assert!(!is_stride(chunk_bytes, features), "{chunk_bytes}");
            }
        }
    }
}

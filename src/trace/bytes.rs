//! How the bytes of a trace get into memory: mapped, or read; from a file, or from a stream.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rkyv::util::AlignedVec;

use super::compression::check_compression;
use crate::error::{Error, ErrorKind, Result};
use crate::format::lct::frame::PREFIX_BYTES;
use crate::format::lct::{FrameCursor, Header};
use crate::format::native::pod::FILE_HEADER_BYTES;
use crate::format::native::{UnverifiedHeader, is_native};
use crate::os::map::FileMap;

/// How a file's bytes get into memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadMode {
    mapped: bool,
}

impl ReadMode {
    /// Reads the whole file into memory first. Always safe; costs as much memory as the file is long.
    pub fn buffered() -> Self {
        Self { mapped: false }
    }

    /// Maps a regular file and reads it in place, without a copy. Anything else (a pipe) is buffered.
    ///
    /// # Safety
    /// See [`FileMap::new`]: while the reader lives nobody may shorten the file or change bytes that are in
    /// it. Appending is fine: a recorder at work does nothing else, until it is started again on the same path.
    #[expect(unsafe_code, reason = "the promise is the caller's; the map itself is made in os::map")]
    pub unsafe fn mapped() -> Self {
        Self { mapped: true }
    }
}

/// The bytes of a trace. They start at a multiple of 8, so that the archives of a native file may stand in them;
/// those of a `Vec`, which only readers of LMCache's files take, need not.
#[derive(Debug)]
pub(super) enum TraceBytes {
    Mapped(FileMap),
    Buffered(AlignedVec),
    Given(Vec<u8>),
}

/// The longest header of an LMCache file that is read from a pipe. Real ones have a few kilobytes.
const MAX_STREAMED_HEADER_BYTES: u64 = 1 << 24;

impl TraceBytes {
    /// Reads or maps `path`; `-` is the standard input.
    pub(super) fn open(path: &Path, mode: ReadMode) -> Result<Self> {
        if path.as_os_str() == "-" {
            return read_all(&mut std::io::stdin().lock());
        }
        let mut file = File::open(path).map_err(|error| Error::io("cannot open trace file", error))?;
        let metadata = file.metadata().map_err(|error| Error::io("cannot examine trace file", error))?;
        if metadata.is_dir() {
            return Err(Error::invalid("a folder is not a trace file").with_hint("name the .lct file in it"));
        }
        if mode.mapped && metadata.is_file() && metadata.len() > 0 {
            // SAFETY: a `ReadMode` that maps is made by an unsafe function whose caller promised this.
            #[expect(unsafe_code, reason = "passes on the promise of ReadMode::mapped")]
            let map = unsafe { FileMap::new(&file) }?;
            return Ok(Self::Mapped(map));
        }
        read_all(&mut file)
    }

    /// A copy of `bytes` where archives may stand.
    pub(super) fn copy_of(bytes: &[u8]) -> Self {
        let mut aligned = AlignedVec::with_capacity(bytes.len());
        aligned.extend_from_slice(bytes);
        Self::Buffered(aligned)
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map.bytes(),
            Self::Buffered(bytes) => bytes,
            Self::Given(bytes) => bytes,
        }
    }
}

/// Reads a stream to its end, once its beginning has shown that it is a trace: `/dev/zero` has no end.
fn read_all(source: &mut impl Read) -> Result<TraceBytes> {
    let mut bytes = AlignedVec::new();
    read_up_to(PREFIX_BYTES, source, &mut bytes)?;
    check_compression(&bytes)?;
    match is_native(&bytes) {
        true => read_native_header(source, &mut bytes)?,
        false => read_lct_header(source, &mut bytes)?,
    }
    bytes.extend_from_reader(source).map_err(not_read)?;
    Ok(TraceBytes::Buffered(bytes))
}

/// Reads until there are `wanted_bytes`, or to the end of the stream if that comes first.
fn read_up_to(wanted_bytes: usize, source: &mut impl Read, bytes: &mut AlignedVec) -> Result<()> {
    let missing_bytes = wanted_bytes.saturating_sub(bytes.len()) as u64;
    bytes.extend_from_reader(&mut source.take(missing_bytes)).map_err(not_read)?;
    Ok(())
}

fn read_native_header(source: &mut impl Read, bytes: &mut AlignedVec) -> Result<()> {
    read_up_to(FILE_HEADER_BYTES, source, bytes)?;
    let header = UnverifiedHeader::parse(bytes)?;
    read_up_to(header.needed_bytes(), source, bytes)?;
    header.verify(bytes).map(drop)
}

fn read_lct_header(source: &mut impl Read, bytes: &mut AlignedVec) -> Result<()> {
    let Some(prefix) = bytes.first_chunk::<PREFIX_BYTES>() else { return Ok(()) };
    let header_bytes = u32::from_be_bytes(*prefix);
    if u64::from(header_bytes) > MAX_STREAMED_HEADER_BYTES {
        return Err(Error::new(
            ErrorKind::Corrupt,
            "this is not an LMCache trace: the first frame of the stream is too long for a header",
        )
        .with_context("bytes promised", header_bytes)
        .with_hint("`head -c 64 FILE | xxd` shows what it begins with"));
    }
    read_up_to(PREFIX_BYTES + header_bytes as usize, source, bytes)?;
    if let Ok(frame) = FrameCursor::new(bytes, 0).next_frame() {
        Header::decode(frame.body)?;
    }
    Ok(())
}

fn not_read(error: std::io::Error) -> Error {
    Error::io("cannot read trace file", error)
}

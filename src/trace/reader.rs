//! Opens a trace file and walks its records where they lie.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::format::lct::frame::PREFIX_BYTES;
use crate::format::lct::{Ending, FrameCursor, Header, Value, WireError, WireRecord};
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

#[derive(Debug)]
enum Bytes {
    Mapped(FileMap),
    Buffered(Vec<u8>),
}

/// The longest header that is read from a pipe. Real ones have a few kilobytes.
const MAX_STREAMED_HEADER_BYTES: u64 = 1 << 24;

/// An open trace file whose header was read and accepted.
#[derive(Debug)]
pub struct TraceReader {
    path: PathBuf,
    bytes: Bytes,
    header: Header,
    first_record: usize,
}

impl TraceReader {
    /// Opens `path` and reads its header; `-` is the standard input.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] or [`ErrorKind::NotFound`] if the file cannot be read; [`ErrorKind::Truncated`],
    /// [`ErrorKind::Corrupt`] or [`ErrorKind::UnsupportedVersion`] if its first frame is not a header that
    /// this build reads. The path is in the error's context.
    pub fn open(path: impl AsRef<Path>, mode: ReadMode) -> Result<Self> {
        let path = path.as_ref();
        Self::open_unnamed(path, mode).map_err(|error| error.with_context("path", path.display()))
    }

    fn open_unnamed(path: &Path, mode: ReadMode) -> Result<Self> {
        let bytes = match path.as_os_str() == "-" {
            true => Bytes::Buffered(read_all(&mut std::io::stdin().lock())?),
            false => read_file(path, mode)?,
        };
        Self::new(path.to_owned(), bytes)
    }

    /// Reads a trace that is in memory already; `name` stands for its path.
    ///
    /// # Errors
    /// As [`TraceReader::open`], without those of the file system.
    pub fn from_bytes(name: impl Into<PathBuf>, bytes: Vec<u8>) -> Result<Self> {
        Self::new(name.into(), Bytes::Buffered(bytes))
    }

    fn new(path: PathBuf, bytes: Bytes) -> Result<Self> {
        let mut frames = FrameCursor::new(bytes.as_slice(), 0);
        let frame = frames.next_frame().map_err(first_frame_error)?;
        let header = Header::decode(frame.body)?;
        let first_record = frames.position();
        Ok(Self { path, bytes, header, first_record })
    }

    /// The path that the file was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says about itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// All bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// Offset of the first frame after the header.
    pub fn first_record_offset(&self) -> usize {
        self.first_record
    }

    /// Walks the records from the first.
    pub fn records(&self) -> Records<'_> {
        Records::new(FrameCursor::new(self.bytes(), self.first_record))
    }
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map.bytes(),
            Self::Buffered(bytes) => bytes,
        }
    }
}

fn read_file(path: &Path, mode: ReadMode) -> Result<Bytes> {
    let mut file = File::open(path).map_err(|error| Error::io("cannot open trace file", error))?;
    let metadata = file.metadata().map_err(|error| Error::io("cannot examine trace file", error))?;
    if metadata.is_dir() {
        return Err(Error::invalid("a folder is not a trace file").with_hint("name the .lct file in it"));
    }
    if mode.mapped && metadata.is_file() && metadata.len() > 0 {
        // SAFETY: a `ReadMode` that maps is made by an unsafe function whose caller promised this.
        #[expect(unsafe_code, reason = "passes on the promise of ReadMode::mapped")]
        let map = unsafe { FileMap::new(&file) }?;
        return Ok(Bytes::Mapped(map));
    }
    Ok(Bytes::Buffered(read_all(&mut file)?))
}

/// Reads a stream to its end, once its beginning has shown that it is a trace: `/dev/zero` has no end.
fn read_all(source: &mut impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut read = |limit_bytes: u64, bytes: &mut Vec<u8>| {
        let read = source.take(limit_bytes).read_to_end(bytes);
        read.map_err(|error| Error::io("cannot read trace file", error))
    };
    read(PREFIX_BYTES as u64, &mut bytes)?;
    if let Some(prefix) = bytes.first_chunk::<PREFIX_BYTES>() {
        let header_bytes = u64::from(u32::from_be_bytes(*prefix));
        if header_bytes > MAX_STREAMED_HEADER_BYTES {
            return Err(Error::new(
                ErrorKind::Corrupt,
                "the stream's first frame is too long for a trace header",
            )
            .with_context("bytes promised", header_bytes)
            .with_hint("this is not an LMCache trace"));
        }
        read(header_bytes, &mut bytes)?;
        if let Ok(frame) = FrameCursor::new(&bytes, 0).next_frame() {
            Header::decode(frame.body)?;
        }
    }
    read(u64::MAX, &mut bytes)?;
    Ok(bytes)
}

fn first_frame_error(ending: Ending) -> Error {
    let hint = "this is not an LMCache trace, or nothing but its first bytes was written";
    match ending {
        Ending::Clean => Error::new(ErrorKind::Truncated, "the trace file is empty: it has no header")
            .with_hint("a recorder that was never given its configuration leaves an empty file"),
        Ending::InPrefix { have_bytes, .. } => {
            Error::new(ErrorKind::Truncated, "the trace file ends inside its first frame's length")
                .with_context("bytes", have_bytes)
                .with_hint(hint)
        }
        Ending::InBody { offset, have_bytes, want_bytes } => {
            Error::new(ErrorKind::Truncated, "the trace file ends inside its first frame")
                .with_context("offset", offset)
                .with_context("bytes there", have_bytes)
                .with_context("bytes promised", want_bytes)
                .with_hint(hint)
        }
    }
}

/// A record in its file.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// How many records come before it. Frames that cannot be decoded are not counted.
    pub seq: u64,
    /// Offset of its frame's body in the file.
    pub offset: u64,
    /// Seconds since the recording began.
    pub t_mono_s: f64,
    /// Seconds since the epoch.
    pub t_wall_s: f64,
    /// The call site's qualified name.
    pub qualname: &'a str,
    /// The arguments.
    pub args: Value<'a>,
}

/// What a walk over a file meets.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    /// A record.
    Record(Record<'a>),
    /// A frame that is no record. LMCache's reader skips it with a warning; so does every caller here, and
    /// counts it.
    Undecodable {
        /// Offset of the frame's body in the file.
        offset: u64,
        /// Why it is no record.
        error: WireError,
    },
}

/// Walks the frames of a file; when it is done, [`Records::ending`] says how the file ended.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    frames: FrameCursor<'a>,
    next_seq: u64,
    skipped: u64,
    ending: Option<Ending>,
}

impl<'a> Records<'a> {
    /// Walks from wherever `frames` stands; the first record there gets sequence number 0.
    pub fn new(frames: FrameCursor<'a>) -> Self {
        Self { frames, next_seq: 0, skipped: 0, ending: None }
    }

    /// Frames skipped so far because they are no records.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// How the file ended; nothing until the walk has reached the end.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Offset of the next frame, length prefix included.
    pub fn position(&self) -> usize {
        self.frames.position()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        if self.ending.is_some() {
            return None;
        }
        let frame = match self.frames.next_frame() {
            Ok(frame) => frame,
            Err(ending) => {
                self.ending = Some(ending);
                return None;
            }
        };
        Some(match WireRecord::decode(frame.body) {
            Ok(WireRecord { t_mono_s, t_wall_s, qualname, args }) => {
                let seq = self.next_seq;
                self.next_seq += 1;
                Entry::Record(Record { seq, offset: frame.offset, t_mono_s, t_wall_s, qualname, args })
            }
            Err(error) => {
                self.skipped += 1;
                Entry::Undecodable { offset: frame.offset, error }
            }
        })
    }
}

//! Opens a trace file and walks its records where they lie.

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::format::lct::{Ending, FrameCursor, Header, Value, WireError, WireRecord};
use crate::trace::bytes::{ReadMode, TraceBytes};

/// An open trace file whose header was read and accepted.
#[derive(Debug)]
pub struct TraceReader {
    path: PathBuf,
    bytes: TraceBytes,
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
        let opened = TraceBytes::open(path, mode).and_then(|bytes| Self::new(path.to_owned(), bytes));
        opened.map_err(|error| error.with_context("path", path.display()))
    }

    /// Reads a trace that is in memory already; `name` stands for its path.
    ///
    /// # Errors
    /// As [`TraceReader::open`], without those of the file system.
    pub fn from_bytes(name: impl Into<PathBuf>, bytes: Vec<u8>) -> Result<Self> {
        Self::new(name.into(), TraceBytes::Given(bytes))
    }

    pub(super) fn new(path: PathBuf, bytes: TraceBytes) -> Result<Self> {
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

fn first_frame_error(ending: Ending) -> Error {
    let hint = "if it is one, nothing but its first bytes was written";
    match ending {
        Ending::Clean => Error::new(ErrorKind::Truncated, "the trace file is empty: it has no header")
            .with_hint("a recorder that was never given its configuration leaves an empty file"),
        Ending::InPrefix { have_bytes, .. } => Error::new(
            ErrorKind::Truncated,
            "this is not an LMCache trace: it ends inside the length of its first frame",
        )
        .with_context("bytes", have_bytes)
        .with_hint(hint),
        Ending::InBody { offset, have_bytes, want_bytes } => {
            Error::new(ErrorKind::Truncated, "this is not an LMCache trace: it ends inside its first frame")
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

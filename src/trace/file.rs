//! The one door: a trace file of either kind, told apart by its first bytes.

use std::path::{Path, PathBuf};

use super::bytes::{ReadMode, TraceBytes};
use super::compression::check_compression;
use super::native::NativeTrace;
use super::reader::TraceReader;
use crate::error::Result;
use crate::format::native::{KeyTable, is_native};

/// An open trace: LMCache's file, or ours.
#[derive(Debug)]
pub enum Trace {
    /// One of LMCache's `.lct` files.
    Lct(TraceReader),
    /// A native file.
    Native(Box<NativeTrace>),
}

impl Trace {
    /// Opens `path` and reads its header; `-` is the standard input.
    ///
    /// # Errors
    /// Those of [`TraceReader::open`] or of [`NativeTrace::open`], with the path.
    pub fn open(path: impl AsRef<Path>, mode: ReadMode) -> Result<Self> {
        let path = path.as_ref();
        let opened = TraceBytes::open(path, mode).and_then(|bytes| Self::new(path.to_owned(), bytes));
        opened.map_err(|error| error.with_context("path", path.display()))
    }

    /// Reads a trace that is in memory, of which it makes a copy; `name` stands for its path.
    ///
    /// # Errors
    /// As [`Trace::open`], without those of the file system.
    pub fn from_bytes(name: impl Into<PathBuf>, bytes: &[u8]) -> Result<Self> {
        Self::new(name.into(), TraceBytes::copy_of(bytes))
    }

    fn new(path: PathBuf, bytes: TraceBytes) -> Result<Self> {
        check_compression(bytes.as_slice())?;
        match is_native(&bytes.as_slice()[..bytes.as_slice().len().min(TOLD_APART_BYTES)]) {
            true => NativeTrace::new(path, bytes).map(|trace| Self::Native(Box::new(trace))),
            false => TraceReader::new(path, bytes).map(Self::Lct),
        }
    }

    /// The path that the file was opened by.
    pub fn path(&self) -> &Path {
        match self {
            Self::Lct(reader) => reader.path(),
            Self::Native(trace) => trace.path(),
        }
    }

    /// The key table of a compact native file; nothing for any other.
    ///
    /// # Errors
    /// Those of [`NativeTrace::key_table`], with the path.
    pub fn key_table(&self) -> Result<Option<KeyTable<'_>>> {
        match self {
            Self::Lct(_) => Ok(None),
            Self::Native(trace) => {
                trace.key_table().map_err(|error| error.with_context("path", trace.path().display()))
            }
        }
    }

    /// LMCache's level: what kind of records the file holds.
    pub fn level(&self) -> &str {
        match self {
            Self::Lct(reader) => reader.header().level.name(),
            Self::Native(trace) => &trace.header().facts().level,
        }
    }

    /// When the recorder started, by its wall clock, in seconds since the epoch. Comes from a file: may be anything that a double
    /// can be.
    pub fn t_wall_start_s(&self) -> f64 {
        match self {
            Self::Lct(reader) => reader.header().t_wall_start_s,
            Self::Native(trace) => trace.header().t_wall_start_s(),
        }
    }

    /// The recorded storage configuration as JSON; empty if there is none.
    pub fn sm_config_json(&self) -> &str {
        match self {
            Self::Lct(reader) => &reader.header().sm_config_json,
            Self::Native(trace) => &trace.header().facts().sm_config_json,
        }
    }

    /// Its SHA-256 in hexadecimal; empty if there is none.
    pub fn sm_config_digest(&self) -> &str {
        match self {
            Self::Lct(reader) => &reader.header().sm_config_digest,
            Self::Native(trace) => &trace.header().facts().sm_config_digest,
        }
    }
}

/// A file with these many right bytes is taken for a native one, so that the error names what is wrong with the
/// others: line ends that a transfer as text has changed.
const TOLD_APART_BYTES: usize = 4;

//! Opens a trace file of either kind: its first bytes tell which.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};
use crate::format::native::is_native;
use crate::format::native::pod::FILE_MAGIC;
use crate::trace::native::{NativeBytes, NativeTrace, open_file};
use crate::trace::reader::{Bytes, ReadMode, TraceReader, map_file, read_all};

/// An open trace file.
#[derive(Debug)]
pub enum TraceFile {
    /// LMCache's msgpack frames.
    Lmcache(TraceReader),
    /// A native file.
    Native(NativeTrace),
}

impl TraceFile {
    /// Opens `path` and reads its header; `-` is the standard input.
    ///
    /// # Errors
    /// Those of [`TraceReader::open`] and of [`NativeTrace::from_bytes`].
    pub fn open(path: impl AsRef<Path>, mode: ReadMode) -> Result<Self> {
        let path = path.as_ref();
        let opened = match path.as_os_str() == "-" {
            true => Self::read(path, &mut std::io::stdin().lock()),
            false => open_file(path).and_then(|file| Self::read_file(path, file, mode)),
        };
        opened.map_err(|error| error.with_context("path", path.display()))
    }

    fn read_file(path: &Path, mut file: File, mode: ReadMode) -> Result<Self> {
        let Some(map) = map_file(&file, mode)? else { return Self::read(path, &mut file) };
        Ok(match is_native(map.bytes()) {
            true => Self::Native(NativeTrace::new(path.to_owned(), NativeBytes::Mapped(map))?),
            false => Self::Lmcache(TraceReader::new(path.to_owned(), Bytes::Mapped(map))?),
        })
    }

    fn read(path: &Path, source: &mut impl Read) -> Result<Self> {
        let mut start = Vec::with_capacity(FILE_MAGIC.len());
        let read = source.take(FILE_MAGIC.len() as u64).read_to_end(&mut start);
        read.map_err(|error| Error::io("cannot read trace file", error))?;
        Ok(match is_native(&start) {
            true => Self::Native(NativeTrace::new(path.to_owned(), NativeBytes::read_all(&start, source)?)?),
            false => {
                let bytes = read_all(&mut start.as_slice().chain(source))?;
                Self::Lmcache(TraceReader::from_bytes(path, bytes)?)
            }
        })
    }

    /// The length of the file.
    pub fn size_bytes(&self) -> u64 {
        match self {
            Self::Lmcache(reader) => reader.bytes().len() as u64,
            Self::Native(trace) => trace.size_bytes(),
        }
    }
}

//! Reading and writing a device, past the page cache or through it.
//!
//! Direct I/O moves whole blocks to and from aligned memory. An object that lies so, with room for the rest of its last
//! block, is moved in place; any other by way of a block buffer of the device's own.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::clock::{NS_PER_S, Waiter, monotonic_ns};
use crate::error::{Error, Result};
use crate::os::block;
use crate::storage::memory::{Arena, ArenaBytes, PinnedSpan, Span};
use crate::sync::{Arc, Mutex, lock};

/// How long the start waits for somebody else's lock on the device.
const LOCK_WAIT_NS: u64 = NS_PER_S / 2;

/// How often it looks.
const LOCK_PAUSE_NS: u64 = 5_000_000;

/// An open device, which no other process of ours has.
#[derive(Debug)]
pub(super) struct Device {
    file: File,
    path: PathBuf,
    is_direct: bool,
    is_zero_copy: bool,
    block_align: u64,
    size_bytes: u64,
    /// Buffers that nobody uses at the moment; as many as ever were used at once.
    buffers: Mutex<Vec<PinnedSpan>>,
}

/// Locks a file, and waits a little for a holder that is just leaving: a process that was killed, or a child between its
/// fork and its exec.
fn lock_patiently(file: &File) -> std::result::Result<(), TryLockError> {
    let deadline_ns = monotonic_ns() + LOCK_WAIT_NS;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if monotonic_ns() < deadline_ns => {
                Waiter::default().wait_until_ns(monotonic_ns() + LOCK_PAUSE_NS, || false);
            }
            locked => return locked,
        }
    }
}

impl Device {
    /// Opens it.
    pub(super) fn open(path: &Path, is_direct: bool, is_zero_copy: bool, block_align: u64) -> Result<Self> {
        let with_path = |error: Error| error.with_context("path", path.display());
        let file = block::open(path, is_direct).map_err(|error| with_path(open_error(error, is_direct)))?;
        match lock_patiently(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(with_path(
                    Error::invalid("the raw block device is in use by another adapter")
                        .with_hint("give each adapter a device or file of its own"),
                ));
            }
            // Not every kind of file can be locked.
            Err(TryLockError::Error(_)) => {}
        }
        let size_bytes = block::size_bytes(&file)
            .map_err(|error| with_path(Error::io("cannot tell the size of the raw block device", error)))?;
        let buffers = Mutex::default();
        Ok(Self { file, path: path.to_owned(), is_direct, is_zero_copy, block_align, size_bytes, buffers })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(super) fn is_direct(&self) -> bool {
        self.is_direct
    }

    /// Writes the object's bytes at `offset`, and zeros up to the end of the block if the I/O is direct.
    pub(super) fn write_object(&self, object: &PinnedSpan, offset: u64) -> Result<()> {
        let written = match (self.is_direct, self.whole_blocks(object)) {
            (false, _) => object.pwrite_all(&self.file, offset).map(drop),
            (true, Some(blocks)) => fill_zero(&blocks, object.size_bytes())
                .and_then(|()| blocks.pwrite_all(&self.file, offset).map(drop)),
            (true, None) => self.with_buffer(object.size_bytes(), |blocks| {
                object.bytes().copy_to(blocks).map_err(io::Error::other)?;
                fill_zero(blocks, object.size_bytes())?;
                blocks.pwrite_all(&self.file, offset).map(drop)
            }),
        };
        written.map_err(|error| self.error("cannot write to the raw block device", error, offset))
    }

    /// Fills the first `len` bytes of the object from `offset`.
    pub(super) fn read_object(&self, object: &PinnedSpan, len: usize, offset: u64) -> Result<()> {
        let read = match (self.is_direct, self.whole_blocks(object)) {
            (false, _) => {
                part(object.bytes(), len).and_then(|bytes| bytes.pread_exact(&self.file, offset).map(drop))
            }
            (true, Some(blocks)) if len == object.size_bytes() => {
                blocks.pread_exact(&self.file, offset).map(drop)
            }
            (true, _) => self.with_buffer(len, |blocks| {
                blocks.pread_exact(&self.file, offset)?;
                part(*blocks, len)?.copy_to(&object.bytes()).map_err(io::Error::other)
            }),
        };
        read.map_err(|error| self.error("cannot read from the raw block device", error, offset))
    }

    /// Writes `bytes` at `offset`, and zeros up to the end of the block.
    pub(super) fn write_bytes(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let written = self.with_buffer(bytes.len(), |blocks| {
            blocks.write_from(0, bytes).map_err(io::Error::other)?;
            fill_zero(blocks, bytes.len())?;
            blocks.pwrite_all(&self.file, offset).map(drop)
        });
        written.map_err(|error| self.error("cannot write to the raw block device", error, offset))
    }

    /// The `len` bytes at `offset`; an error if the device does not have them.
    pub(super) fn read_bytes(&self, len: usize, offset: u64) -> Result<Vec<u8>> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.size_bytes);
        if end.is_none() {
            return Err(self.error("cannot read from the raw block device", eof(), offset));
        }
        let mut bytes = vec![0; len];
        let read = match self.is_direct {
            false => self.file.read_exact_at(&mut bytes, offset),
            true => self.with_buffer(len, |blocks| {
                blocks.pread_exact(&self.file, offset)?;
                blocks.read_into(0, &mut bytes);
                Ok(())
            }),
        };
        read.map_err(|error| self.error("cannot read from the raw block device", error, offset))?;
        Ok(bytes)
    }

    /// Waits until all that was written is on the medium.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| self.error("cannot flush the raw block device", error, 0))
    }

    /// The object with the rest of its last block, if direct I/O can use it as it lies.
    fn whole_blocks<'a>(&self, object: &'a PinnedSpan) -> Option<ArenaBytes<'a>> {
        let len = (object.size_bytes() as u64).next_multiple_of(self.block_align) as usize;
        let is_aligned = (object.as_ptr().addr() as u64).is_multiple_of(self.block_align);
        if !self.is_zero_copy || !is_aligned {
            return None;
        }
        object.phy_bytes().range(0, len).ok()
    }

    /// Calls `work` with aligned memory of at least `len` bytes, cut to whole blocks.
    fn with_buffer<R>(
        &self,
        len: usize,
        work: impl FnOnce(&ArenaBytes<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        let len_bytes = (len as u64).next_multiple_of(self.block_align);
        let free = lock(&self.buffers).pop();
        let buffer = match free.filter(|buffer| buffer.size_bytes() as u64 >= len_bytes) {
            Some(buffer) => buffer,
            None => self.new_buffer(len_bytes)?,
        };
        let blocks = buffer.bytes().range(0, len_bytes as usize).map_err(io::Error::other)?;
        let result = work(&blocks);
        lock(&self.buffers).push(buffer);
        result
    }

    fn new_buffer(&self, size_bytes: u64) -> io::Result<PinnedSpan> {
        let arena = Arena::new(size_bytes, self.block_align).map_err(io::Error::other)?;
        Ok(Arc::new(arena).pin(Span { offset_bytes: 0, phy_size_bytes: size_bytes, size_bytes }))
    }

    fn error(&self, message: &'static str, error: io::Error, offset: u64) -> Error {
        Error::io(message, error).with_context("path", self.path.display()).with_context("offset", offset)
    }
}

fn open_error(error: io::Error, is_direct: bool) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "make a file of fixed size by `truncate -s 100G FILE`",
        io::ErrorKind::InvalidInput if is_direct => {
            "its file system may have no direct I/O: set use_odirect to false"
        }
        io::ErrorKind::IsADirectory => "name a block device, or a file of fixed size",
        io::ErrorKind::ResourceBusy => "it is mounted or in use: unmount it, or name another device",
        _ => {
            "the process has to be allowed to read and write it: see the owner and the mode of the file by `ls -l`"
        }
    };
    Error::io("cannot open the raw block device", error).with_hint(hint)
}

fn eof() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

fn part(bytes: ArenaBytes<'_>, len: usize) -> io::Result<ArenaBytes<'_>> {
    bytes.range(0, len).map_err(io::Error::other)
}

/// Zeros all bytes from `from` on.
fn fill_zero(bytes: &ArenaBytes<'_>, from: usize) -> io::Result<()> {
    let zeros = [0; 4096];
    for at in (from..bytes.len()).step_by(zeros.len()) {
        let len = zeros.len().min(bytes.len() - at);
        bytes.write_from(at, &zeros[..len]).map_err(io::Error::other)?;
    }
    Ok(())
}

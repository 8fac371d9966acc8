//! Where a trace file's bytes go: a file, or what a test puts in its place.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::error::{Error, Result};
use crate::sync::Arc;

/// Bytes at places, and the promise of a sync. Nothing is ever mapped for writing: a disk that is full, a limit, a
/// folder that is gone are errors of a call, and no signal.
pub trait TraceStore: Send {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// Whatever the system says. Some of the bytes may have been written.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()>;

    /// Returns when everything that was written is on the disk.
    ///
    /// # Errors
    /// Whatever the system says.
    fn sync(&mut self) -> std::io::Result<()>;

    /// Cuts the file to `file_bytes`.
    ///
    /// # Errors
    /// Whatever the system says.
    fn truncate(&mut self, file_bytes: u64) -> std::io::Result<()>;
}

/// A file.
#[derive(Clone, Debug)]
pub struct FileStore(Arc<File>);

impl FileStore {
    /// Makes a file at `path`; what was there is gone, unless another recorder is writing it: the file is locked as long
    /// as the store lives.
    ///
    /// # Errors
    /// Whatever the system says, with the path.
    pub fn create(path: &Path) -> Result<Self> {
        let refused = |error| {
            Error::io("cannot create trace file", error)
                .with_context("path", path.display())
                .with_hint("name a file in a directory that exists and that you may write to")
        };
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = opened.map_err(refused)?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(Error::invalid("somebody is recording to this file")
                .with_context("path", path.display())
                .with_hint("give each recorder a file of its own"));
        }
        // Devices have no length to cut, and file systems without locks are written to without one.
        if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            file.set_len(0).map_err(refused)?;
        }
        Ok(Self(Arc::new(file)))
    }
}

impl FileStore {
    /// Whether somebody deleted the file: what is written then goes nowhere.
    pub fn is_deleted(&self) -> bool {
        self.0.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    /// The length of the file.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn len_bytes(&self) -> Result<u64> {
        let metadata = self.0.metadata().map_err(|error| Error::io("cannot examine trace file", error))?;
        Ok(metadata.len())
    }
}

impl TraceStore for FileStore {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&mut self, file_bytes: u64) -> std::io::Result<()> {
        self.0.set_len(file_bytes)
    }
}

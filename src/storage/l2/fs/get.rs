//! Reading objects: their files are opened, then all are read at once.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::{FsConnector, checksum, failed};
use crate::error::{Error, ErrorKind, Result};
use crate::os::file;
use crate::storage::config::Compat;
use crate::storage::config::l2::FileChecksum;
use crate::storage::l2::Transfer;
use crate::storage::memory::ArenaBytes;
use crate::sync::atomic::Ordering;
use crate::sync::lock;

/// A file that is being read.
struct Reading<'t> {
    object: &'t Transfer,
    bytes: ArenaBytes<'t>,
    file: File,
    name: String,
    path: PathBuf,
    /// The bytes that the file has of those that are wanted.
    there: usize,
    /// The bytes that make a hit.
    needed: usize,
}

impl FsConnector {
    pub(super) fn get_batch(&self, objects: &[Transfer]) -> Vec<Result<bool>> {
        let readings: Vec<Result<Option<Reading<'_>>>> =
            objects.iter().map(|object| self.open_one(object)).collect();
        let requests: Vec<_> = readings
            .iter()
            .filter_map(|reading| reading.as_ref().ok()?.as_ref())
            .map(|reading| reading.bytes.read_request(&reading.file, reading.there, 0))
            .collect();
        let mut moved = self.engine.run(&requests, self.config.use_odirect).into_iter();
        let end = |reading: Result<Option<Reading<'_>>>| match reading? {
            None => Ok(false),
            // One answer a request, in their order.
            Some(reading) => {
                self.check(&reading, moved.next().unwrap_or_else(|| Err(io::ErrorKind::Other.into())))
            }
        };
        readings.into_iter().map(end).collect()
    }

    /// Opens the file of an object. `None` if there is none, or none of the right size.
    fn open_one<'t>(&self, object: &'t Transfer) -> Result<Option<Reading<'t>>> {
        let Ok((name, path)) = self.path_of(&object.key) else {
            // What no file can be named after is not there.
            return Ok(None);
        };
        let bytes = self.bytes(object);
        let direct = self.goes_direct(&bytes);
        let file = match self.open_with(direct, |direct| file::open_to_read(&path, direct)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("cannot open an object's file", &path, error)),
        };
        let found =
            file.metadata().map_err(|error| failed("cannot look at an object's file", &path, error))?;
        if !found.is_file() {
            return Err(Error::new(ErrorKind::Corrupt, "what should be an object's file is none")
                .with_context("path", path.display()));
        }
        let size_bytes = object.buffer.size_bytes();
        let (is_right, needed) = match self.compat {
            Compat::Lmcache => (found.len() >= bytes.len() as u64, bytes.len()),
            Compat::Native => (self.is_size_of(found.len(), size_bytes as u64), size_bytes),
        };
        if !is_right || self.is_damaged(&name) {
            self.counters.wrong_sizes.fetch_add(u64::from(!is_right), Ordering::Relaxed);
            return Ok(None);
        }
        self.read_ahead(&file, direct, bytes.len());
        let there = usize::try_from(found.len()).unwrap_or(usize::MAX).min(bytes.len());
        Ok(Some(Reading { object, bytes, file, name, path, there, needed }))
    }

    /// LMCache reads the first bytes by themselves, so that the file system goes on with the next. Here it is told, for
    /// all files of a task before the first is read.
    fn read_ahead(&self, file: &File, direct: bool, len: usize) {
        if let Some(read_ahead_bytes) = self.config.read_ahead_bytes
            && !direct
            && read_ahead_bytes < len as u64
        {
            file::advise_read_ahead(file, read_ahead_bytes);
        }
    }

    /// Whether what was read is the object.
    fn check(&self, reading: &Reading<'_>, moved: io::Result<usize>) -> Result<bool> {
        let moved = moved.map_err(|error| {
            if self.compat == Compat::Native && file::is_of_the_medium(&error) {
                lock(&self.damaged).insert(reading.name.clone());
            }
            failed("cannot read an object's file", &reading.path, error)
        })?;
        if moved < reading.needed {
            // Somebody shortened it meanwhile.
            self.counters.wrong_sizes.fetch_add(1, Ordering::Relaxed);
            return Ok(false);
        }
        if self.config.checksum == FileChecksum::None {
            return Ok(true);
        }
        let is_good = checksum::is_as_vouched(&reading.file, &reading.object.buffer.bytes())
            .map_err(|error| failed("cannot read the checksum of an object", &reading.path, error))?;
        if is_good {
            return Ok(true);
        }
        self.counters.checksum_mismatches.fetch_add(1, Ordering::Relaxed);
        if self.compat == Compat::Native {
            lock(&self.damaged).insert(reading.name.clone());
        }
        Err(Error::new(ErrorKind::Corrupt, "an object's file has not the bytes that were written to it")
            .with_context("path", reading.path.display())
            .with_hint("the disk, or somebody else, changed it: the next store of the object replaces it"))
    }
}

//! Writing objects: to temporary files, all at once, which then get their names.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::{FsConnector, MAX_OPEN_FILES, checksum, failed};
use crate::error::Result;
use crate::os::file;
use crate::storage::config::Compat;
use crate::storage::config::l2::FileChecksum;
use crate::storage::l2::Transfer;
use crate::storage::l2::connector::Put;
use crate::storage::memory::ArenaBytes;
use crate::sync::lock;

/// A file that is being written.
struct Draft<'t> {
    file: File,
    temporary: Temporary,
    name: String,
    path: PathBuf,
    /// The size of the file that it takes the place of.
    replaces: Option<u64>,
    bytes: ArenaBytes<'t>,
}

/// The name that a file has before it is whole, if it has one then. It is taken away when this is dropped.
struct Temporary(Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next start.
        let _ = self.0.take().map(std::fs::remove_file);
    }
}

/// What is at an object's place.
enum Place {
    Free,
    Taken,
    /// By something that can not be the object, of so many bytes.
    Wrong(u64),
}

impl FsConnector {
    /// Stores objects; they outlive a power cut, if that is asked for, once this returns.
    pub(super) fn put_all(&self, objects: &[Transfer]) -> Vec<Result<Put>> {
        let mut results: Vec<_> =
            objects.chunks(MAX_OPEN_FILES).flat_map(|batch| self.put_batch(batch)).collect();
        let has_written = results.iter().any(|result| matches!(result, Ok(Put::Written { .. })));
        if has_written
            && self.config.durable
            && let Err(error) = self.folder.sync()
        {
            self.take_back(objects, &mut results, &error);
        }
        results
    }

    /// Objects whose names the disk may forget are not stored: deletes them, so that what is there is what was reported.
    fn take_back(&self, objects: &[Transfer], results: &mut [Result<Put>], error: &io::Error) {
        let written = |result: &Result<Put>| matches!(result, Ok(Put::Written { .. }));
        for (object, result) in objects.iter().zip(results).filter(|(_, result)| written(result)) {
            // That fails too, likely; then the object is there uncounted, and good.
            let _ = self.remove_one(&object.key);
            let error = io::Error::new(error.kind(), error.to_string());
            *result = Err(failed("cannot have the disk keep the name of a file", self.folder.base(), error));
        }
    }

    fn put_batch(&self, objects: &[Transfer]) -> Vec<Result<Put>> {
        let drafts: Vec<Result<Option<Draft<'_>>>> =
            objects.iter().map(|object| self.begin(object)).collect();
        let requests: Vec<_> = drafts
            .iter()
            .filter_map(|draft| draft.as_ref().ok()?.as_ref())
            .map(|draft| draft.bytes.write_request(&draft.file, self.config.durable, 0))
            .collect();
        let mut written = self.engine.run(&requests, self.config.use_odirect).into_iter();
        let end = |draft: Result<Option<Draft<'_>>>| match draft? {
            None => Ok(Put::Present),
            // One answer a request, in their order.
            Some(draft) => {
                self.finish(draft, written.next().unwrap_or_else(|| Err(io::ErrorKind::Other.into())))
            }
        };
        drafts.into_iter().map(end).collect()
    }

    /// Opens the file that an object is written to. `None` if the object is there.
    fn begin<'t>(&self, object: &'t Transfer) -> Result<Option<Draft<'t>>> {
        let (name, path) = self.path_of(&object.key)?;
        let replaces = match self.place(&name, &path, object.buffer.size_bytes() as u64)? {
            Place::Taken => return Ok(None),
            Place::Wrong(bytes) => Some(bytes),
            Place::Free => None,
        };
        let bytes = self.bytes(object);
        let padding_bytes = bytes.len() - object.buffer.size_bytes();
        if padding_bytes > 0 {
            // It is the object's, and nobody's: what lay there before is not for the disk.
            bytes.write_from(object.buffer.size_bytes(), &vec![0; padding_bytes])?;
        }
        let direct = self.goes_direct(&bytes);
        let (file, temporary) = self
            .open_with(direct, |direct| self.folder.create_temporary(direct))
            .map_err(|error| failed("cannot create a file for an object", &path, error))?;
        let draft = Draft { file, temporary: Temporary(temporary), name, path, replaces, bytes };
        if self.config.checksum == FileChecksum::Crc32c {
            checksum::vouch(&draft.file, &object.buffer.bytes())
                .map_err(|error| failed("cannot write the checksum of an object", &draft.path, error))?;
        }
        Ok(Some(draft))
    }

    fn place(&self, name: &str, path: &std::path::Path, size_bytes: u64) -> Result<Place> {
        match (self.compat, std::fs::metadata(path)) {
            (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(Place::Free),
            (Compat::Lmcache, Ok(_)) => Ok(Place::Taken),
            (Compat::Native, Ok(found)) => {
                let is_good = self.is_size_of(found.len(), size_bytes) && !self.is_damaged(name);
                Ok(if is_good || !found.is_file() { Place::Taken } else { Place::Wrong(found.len()) })
            }
            (_, Err(error)) => Err(failed("cannot look for an object's file", path, error)),
        }
    }

    fn finish(&self, mut draft: Draft<'_>, written: io::Result<usize>) -> Result<Put> {
        written.map_err(|error| failed("cannot write an object's file", &draft.path, error))?;
        let size_bytes = draft.bytes.len() as u64;
        match self.publish(&mut draft) {
            Ok(()) => {
                lock(&self.damaged).remove(&draft.name);
                let added_bytes = size_bytes.saturating_sub(draft.replaces.unwrap_or(0));
                Ok(Put::Written { added_bytes: Some(added_bytes) })
            }
            // Another one stored it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Put::Present),
            Err(error) => Err(failed("cannot give an object's file its name", &draft.path, error)),
        }
    }

    /// Gives a file that is whole its name.
    fn publish(&self, draft: &mut Draft<'_>) -> io::Result<()> {
        if draft.temporary.0.is_none() {
            if draft.replaces.is_none() {
                return file::link_unnamed(&draft.file, &draft.path);
            }
            // A link takes no name from another file; a rename does.
            let temporary = self.folder.temporary_path();
            file::link_unnamed(&draft.file, &temporary)?;
            draft.temporary.0 = Some(temporary);
        }
        let Some(temporary) = &draft.temporary.0 else { return Ok(()) };
        match draft.replaces {
            None => file::rename_to_free_name(temporary, &draft.path)?,
            Some(_) => std::fs::rename(temporary, &draft.path)?,
        }
        draft.temporary.0 = None;
        Ok(())
    }
}

//! The folder of the files: its paths, its temporary files, and what is found in it at the start.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::failed;
use super::names::EXTENSION;
use crate::error::{Error, Result};
use crate::os::{file, host};
use crate::sync::atomic::{AtomicU64, Ordering};

/// What the name of a temporary file begins and ends with. LMCache's end with `.tmp`, too, or have a folder of their
/// own; those are left alone.
const TEMPORARY: (&str, &str) = (".lmcache-", ".tmp");

/// A name that nobody else is using is found at the first try, unless another adapter's cleaning came in between.
const MAX_TRIES: usize = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Folder {
    base: PathBuf,
    temporary: PathBuf,
    /// What tells this adapter's temporary files from those of others, on other machines as well.
    mark: String,
    next: AtomicU64,
    leftovers_removed: u64,
}

impl Folder {
    /// Makes the folders that are missing, and removes what writers that died have left in them.
    pub(super) fn open(base: &Path, relative_tmp_dir: Option<&Path>) -> Result<Self> {
        let temporary = relative_tmp_dir.map_or_else(|| base.to_owned(), |below| base.join(below));
        for folder in [base, &temporary] {
            if folder.exists() && !folder.is_dir() {
                return Err(Error::invalid("base_path of an fs adapter must be a folder")
                    .with_context("path", folder.display())
                    .with_hint("it is something else: move it away, or name another folder"));
            }
            std::fs::create_dir_all(folder)
                .map_err(|error| failed("cannot make the folder of an fs adapter", folder, error))?;
        }
        let mark = format!("{:x}-{:016x}", std::process::id(), host::random_u64());
        let mut opened =
            Self { base: base.to_owned(), temporary, mark, next: AtomicU64::new(0), leftovers_removed: 0 };
        opened.leftovers_removed = opened.remove_leftovers()?;
        Ok(opened)
    }

    /// The folder itself.
    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    /// Where the file of that name is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// Temporary files of dead writers that were removed at the start.
    pub(super) fn leftovers_removed(&self) -> u64 {
        self.leftovers_removed
    }

    /// Creates a file under a name that nobody else uses. It is locked for as long as it is open, which tells
    /// [`Self::remove_leftovers`] of any process that its writer lives.
    pub(super) fn create_temporary(
        &self,
        open: impl Fn(&Path) -> io::Result<File>,
    ) -> io::Result<(File, PathBuf)> {
        for _ in 0..MAX_TRIES {
            // Relaxed: every number is given once, in whatever order.
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let (begin, end) = TEMPORARY;
            let path = self.temporary.join(format!("{begin}{}-{number:x}{end}", self.mark));
            let file = open(&path)?;
            match file.try_lock() {
                // Another adapter has just taken it for a leftover.
                Err(std::fs::TryLockError::WouldBlock) => {}
                // A file system without locks: nobody can take it for a leftover there.
                Ok(()) | Err(std::fs::TryLockError::Error(_)) => return Ok((file, path)),
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Removes the temporary files of writers that are gone: no matter how one ended, the kernel has taken its locks.
    fn remove_leftovers(&self) -> Result<u64> {
        let mut removed = 0;
        for entry in self.entries(&self.temporary)? {
            let path = entry.path();
            if !is_temporary(&entry.file_name()) || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            let is_free = file::open_to_read(&path, false).is_ok_and(|file| {
                let is_free = file.try_lock().is_ok();
                // Removed under the lock, so that it is nobody else's by now.
                is_free && std::fs::remove_file(&path).is_ok()
            });
            removed += u64::from(is_free);
        }
        Ok(removed)
    }

    /// Calls `visit` with name and size of every file, which says whether it is an object's. Returns how many things
    /// are in the folder that are not: LMCache's temporary files among them.
    pub(super) fn list(&self, visit: &mut dyn FnMut(&str, u64) -> bool) -> Result<u64> {
        let mut foreign = 0;
        for entry in self.entries(&self.base)? {
            let name = entry.file_name();
            if is_temporary(&name) || entry.path() == self.temporary {
                continue;
            }
            let size_bytes = match entry.metadata() {
                Ok(found) => found.is_file().then_some(found.len()),
                // Somebody deleted it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed("cannot look at a file", &entry.path(), error)),
            };
            let is_object = match (name.to_str(), size_bytes) {
                (Some(name), Some(size_bytes)) if name.ends_with(EXTENSION) => visit(name, size_bytes),
                _ => false,
            };
            foreign += u64::from(!is_object);
        }
        Ok(foreign)
    }

    fn entries(&self, folder: &Path) -> Result<Vec<std::fs::DirEntry>> {
        std::fs::read_dir(folder)
            .and_then(Iterator::collect)
            .map_err(|error| failed("cannot list the folder of an fs adapter", folder, error))
    }

    /// Has the disk keep the names that were given since the last time.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.base)?.sync_all()
    }

    /// Finds out whether files can have attributes.
    pub(super) fn check_attributes(&self) -> Result<()> {
        let created = self.create_temporary(|path| file::create_new(path, false));
        let (file, path) = created
            .map_err(|error| failed("cannot write to the folder of an fs adapter", &self.temporary, error))?;
        let set = file::set_attribute(&file, super::checksum::ATTRIBUTE, b"0:00000000");
        // What stays is removed at the next start.
        let _ = std::fs::remove_file(&path);
        set.map_err(|error| {
            Error::io("this file system has no user attributes, which checksums need", error)
                .with_context("path", self.base.display())
                .with_hint("set checksum to none, or put base_path on ext4, xfs or btrfs")
        })
    }
}

fn is_temporary(name: &OsStr) -> bool {
    let (begin, end) = TEMPORARY;
    name.to_str().is_some_and(|name| name.starts_with(begin) && name.ends_with(end))
}

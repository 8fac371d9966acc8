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
use crate::sync::{Condvar, Mutex, lock};

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
    has_unnamed_files: bool,
    leftovers_removed: u64,
    syncs: Mutex<Syncs>,
    sync_ended: Condvar,
}

/// The calls that have the disk keep the names in the folder, numbered from 1. One covers all names that were given
/// before it began, whoever gave them: those who wait for one share it.
#[derive(Debug, Default)]
struct Syncs {
    begun: u64,
    ended: u64,
    /// The last that failed.
    failed: u64,
}

impl Folder {
    /// Makes the folders that are missing, sees whether files can be made in them, and removes what writers that died have
    /// left there.
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
        let mut opened = Self {
            base: base.to_owned(),
            temporary,
            mark,
            next: AtomicU64::new(0),
            has_unnamed_files: false,
            leftovers_removed: 0,
            syncs: Mutex::default(),
            sync_ended: Condvar::new(),
        };
        opened.check_writable()?;
        opened.has_unnamed_files = opened.tries_unnamed_files();
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

    /// Creates a file that is to become an object's: without a name, or where the file system has no such files under
    /// one that nobody else uses. That one is locked for as long as it is open, which tells
    /// [`Self::remove_leftovers`] of any process that its writer lives.
    pub(super) fn create_temporary(&self, direct: bool) -> io::Result<(File, Option<PathBuf>)> {
        if self.has_unnamed_files {
            return Ok((file::create_unnamed(&self.temporary, direct)?, None));
        }
        for _ in 0..MAX_TRIES {
            let path = self.temporary_path();
            let file = file::create_new(&path, direct)?;
            match file.try_lock() {
                // Another adapter has just taken it for a leftover.
                Err(std::fs::TryLockError::WouldBlock) => {}
                // A file system without locks: nobody can take it for a leftover there.
                Ok(()) | Err(std::fs::TryLockError::Error(_)) => return Ok((file, Some(path))),
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// A name in the folder of temporary files that nobody else uses.
    pub(super) fn temporary_path(&self) -> PathBuf {
        // Relaxed: every number is given once, in whatever order.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (begin, end) = TEMPORARY;
        self.temporary.join(format!("{begin}{}-{number:x}{end}", self.mark))
    }

    /// For tests: as if the file system had such files, or had none.
    #[cfg(test)]
    pub(super) fn set_has_unnamed_files(&mut self, has_unnamed_files: bool) {
        self.has_unnamed_files = has_unnamed_files;
    }

    /// Fails if no file can be made in one of the folders: every store would. A full disk may pass.
    fn check_writable(&self) -> Result<()> {
        let probe = self.temporary_path();
        // A path that was just joined has a name.
        let name = probe.file_name().unwrap_or_default();
        for folder in [&self.temporary, &self.base] {
            let path = folder.join(name);
            let created = file::create_new(&path, false);
            // Another adapter that starts at the same time may have removed it: nobody holds a lock on it.
            let _ = std::fs::remove_file(&path);
            match created {
                Err(error) if !file::is_full(&error) => {
                    let failed = failed("cannot write to the folder of an fs adapter", folder, error);
                    return Err(match failed.hint() {
                        Some(_) => failed,
                        None => failed.with_hint("no file can be made there: name another folder"),
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether files can be written without a name, and get one afterwards.
    fn tries_unnamed_files(&self) -> bool {
        let path = self.temporary_path();
        let linked =
            file::create_unnamed(&self.temporary, false).and_then(|file| file::link_unnamed(&file, &path));
        linked.is_ok() && std::fs::remove_file(&path).is_ok()
    }

    /// Fails if no temporary file can become an object's because the two folders are in different file systems. What
    /// else keeps it from being moved, such as a full disk, may pass.
    pub(super) fn check_renames(&self) -> Result<()> {
        let from = self.temporary_path();
        let Some(name) = from.file_name().filter(|_| self.temporary != self.base) else { return Ok(()) };
        let to = self.base.join(name);
        let renamed = file::create_new(&from, false).and_then(|_| std::fs::rename(&from, &to));
        // One of the two is there.
        let _ = std::fs::remove_file(&from);
        let _ = std::fs::remove_file(&to);
        match renamed {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                let what = "cannot move a file from relative_tmp_dir to base_path";
                Err(failed(what, &self.temporary, error).with_hint("both have to be in one file system"))
            }
            _ => Ok(()),
        }
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

    /// Has the disk keep the names that were given before the call.
    pub(super) fn sync(&self) -> io::Result<()> {
        let mut syncs = lock(&self.syncs);
        // One that has begun may have passed by what the caller wants kept.
        let needed = syncs.begun + 1;
        while syncs.ended < needed {
            if syncs.ended < syncs.begun {
                let woken = self.sync_ended.wait(syncs);
                syncs = woken.map_err(|_| io::Error::other("another thread panicked in it"))?;
                continue;
            }
            syncs.begun += 1;
            let own = syncs.begun;
            drop(syncs);
            let result = File::open(&self.base).and_then(|folder| folder.sync_all());
            syncs = lock(&self.syncs);
            syncs.ended = own;
            syncs.failed = if result.is_err() { own } else { syncs.failed };
            self.sync_ended.notify_all();
            result?;
        }
        if syncs.failed >= needed {
            // The kernel tells of a failure once: trying again would succeed, and keep nothing.
            return Err(io::Error::other("it failed for another thread"));
        }
        Ok(())
    }

    /// Finds out whether files can have attributes.
    pub(super) fn check_attributes(&self) -> Result<()> {
        let created = self.create_temporary(false);
        let (file, path) = created
            .map_err(|error| failed("cannot write to the folder of an fs adapter", &self.temporary, error))?;
        let set = file::set_attribute(&file, super::checksum::ATTRIBUTE, b"0:00000000");
        // What stays is removed at the next start.
        let _ = path.map(std::fs::remove_file);
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

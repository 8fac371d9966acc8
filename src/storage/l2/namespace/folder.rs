//! A folder for the time of a replay.
//!
//! Its name begins with a dot and [`PREFIX`], and it is locked while its replay lives, so that the next
//! replay knows what one that was killed has left. A folder that is to stay has no dot, and nobody's cleaning looks at it.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::PREFIX;
use crate::error::{Error, Result};

/// A folder that nobody else is cleaning is made at the first try, unless another replay's cleaning came in between.
const MAX_TRIES: usize = 8;

/// See the module.
#[derive(Debug)]
pub struct NamespaceFolder {
    path: PathBuf,
    /// Folders above it that had to be made, the innermost first.
    made_above: Vec<PathBuf>,
    /// Holds the lock; none on a file system without locks, where nobody's cleaning removes anything.
    lock: Option<File>,
}

impl NamespaceFolder {
    /// Where the folder of that mark is in `parent`.
    pub fn path_in(parent: &Path, mark: &str, is_kept: bool) -> PathBuf {
        parent.join(if is_kept { mark.to_owned() } else { format!(".{mark}") })
    }

    /// Makes the folder of that mark in `parent`, and what is missing of `parent`.
    ///
    /// # Errors
    /// If it cannot be made, or is there.
    pub fn create(parent: &Path, mark: &str, is_kept: bool) -> Result<Self> {
        let path = Self::path_in(parent, mark, is_kept);
        let failed = |error| {
            Error::io("cannot make the folder of a fresh L2 namespace", error)
                .with_context("path", path.display())
                .with_hint("the adapter's folder has to be one that can be written to; --l2-namespace keep does without ours")
        };
        let missing = parent.ancestors().filter(|above| !above.as_os_str().is_empty());
        let made_above: Vec<PathBuf> =
            missing.take_while(|above| !above.exists()).map(Path::to_owned).collect();
        std::fs::create_dir_all(parent).map_err(failed)?;
        let mut made = Self { path: path.clone(), made_above, lock: None };
        if is_kept {
            std::fs::create_dir(&path).map_err(failed)?;
            return Ok(made);
        }
        for _ in 0..MAX_TRIES {
            std::fs::create_dir(&path).map_err(failed)?;
            match lock(&path) {
                Ok(lock) => {
                    made.lock = lock;
                    return Ok(made);
                }
                // Another replay has just taken it for a leftover.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::ErrorKind::ResourceBusy.into()))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it with all that is in it, and the folders above it that were made for it if nothing else is in them.
    ///
    /// # Errors
    /// If something in it cannot be removed.
    pub fn remove(self) -> Result<()> {
        std::fs::remove_dir_all(&self.path).map_err(|error| {
            Error::io("cannot remove the folder of a fresh L2 namespace", error)
                .with_context("path", self.path.display())
                .with_hint("what the replay stored is still there: remove the folder by hand")
        })?;
        for above in &self.made_above {
            // One that somebody else uses by now is not empty, and stays.
            if std::fs::remove_dir(above).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Locks a folder that was just made. Nothing on a file system without locks.
///
/// # Errors
/// `NotFound` if somebody took it away before it was locked.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let folder = File::open(path)?;
    match folder.try_lock() {
        Ok(()) => {}
        // It is being removed.
        Err(TryLockError::WouldBlock) => {
            wait_until_gone(path);
            return Err(io::ErrorKind::NotFound.into());
        }
        Err(TryLockError::Error(_)) => return Ok(None),
    }
    // Between opening and locking it can have been removed, and the lock is on a folder without a name then.
    match std::fs::symlink_metadata(path)?.ino() == folder.metadata()?.ino() {
        true => Ok(Some(folder)),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Whoever holds the lock of a folder that is empty needs a moment.
fn wait_until_gone(path: &Path) {
    use crate::clock::{Waiter, monotonic_ns};
    const PAUSE_NS: u64 = 1_000_000;
    const MAX_PAUSES: usize = 1000;
    for _ in 0..MAX_PAUSES {
        if !path.exists() {
            return;
        }
        Waiter::default().wait_until_ns(monotonic_ns() + PAUSE_NS, || false);
    }
}

/// Removes the folders of replays that were killed from `parent`, and says how many. One whose replay lives is locked; one
/// on a file system without locks stays, for nobody can tell.
pub fn remove_leftovers(parent: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(parent) else { return 0 };
    let is_leftover = |entry: &std::fs::DirEntry| {
        let name = entry.file_name();
        let mark = name.to_str().and_then(|name| name.strip_prefix('.')?.strip_prefix(PREFIX));
        let is_mark =
            mark.is_some_and(|mark| mark.len() == 16 && mark.bytes().all(|b| b.is_ascii_hexdigit()));
        is_mark && entry.file_type().is_ok_and(|kind| kind.is_dir())
    };
    let mut removed = 0;
    for entry in entries.filter_map(std::result::Result::ok).filter(is_leftover) {
        let path = entry.path();
        // Removed under the lock, so that it is nobody else's by now.
        let Ok(folder) = File::open(&path) else { continue };
        removed += u64::from(folder.try_lock().is_ok() && std::fs::remove_dir_all(&path).is_ok());
    }
    removed
}

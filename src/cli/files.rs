//! Result files: whole or not at all, and never where the input is.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};
use crate::trace::partial_file::beside;
pub(super) use crate::trace::partial_file::{PartialFile, check_apart, is_device};

/// Creates `directory` and those above it, if they are missing.
pub(super) fn create_directory(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).map_err(|error| {
        Error::io("cannot create directory", error).with_context("path", directory.display())
    })
}

/// Makes sure that [`write_whole`] will be able to create `path`.
pub(super) fn check_writable(path: &Path) -> Result<()> {
    if is_device(path) {
        return Ok(());
    }
    if path.is_dir() {
        return Err(Error::invalid("cannot write a file where there is a directory")
            .with_context("path", path.display()));
    }
    let beside = beside(path);
    let written = File::create(&beside).and_then(|_| fs::remove_file(&beside));
    written.map_err(|error| {
        Error::io("cannot write here", error)
            .with_context("path", path.display())
            .with_hint("name a directory that exists and that you may write to")
    })
}

/// Writes `bytes` beside `path` and moves them there once they are on disk, so that a full disk or a killed
/// process never leaves half a file where a whole one was.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    if is_device(path) {
        return fs::write(path, bytes).map_err(|error| not_written(path, error));
    }
    replace_with(path, |beside| {
        let written =
            File::create(beside).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
        written.map_err(|error| not_written(path, error))
    })
}

/// Lets `write` make a file beside `path`, on the disk when it returns, and moves that to `path`.
pub(super) fn replace_with<T>(path: &Path, write: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    // A link goes on leading to the file, and the file keeps its mode.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mode = fs::metadata(path).ok().map(|metadata| metadata.permissions());
    let beside = beside(path);
    let moved = write(&beside).and_then(|written| {
        mode.map_or(Ok(()), |mode| fs::set_permissions(&beside, mode))
            .and_then(|()| fs::rename(&beside, path))
            .map(|()| written)
            .map_err(|error| not_written(path, error))
    });
    if moved.is_err() {
        // What is left is of no use; the first error is the one to report.
        let _ = fs::remove_file(&beside);
    }
    moved
}

fn not_written(path: &Path, error: std::io::Error) -> Error {
    Error::io("cannot write output file", error).with_context("path", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.csv");
        check_writable(&path).unwrap();
        assert!(!path.exists());
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn links_and_modes_are_kept() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        fs::write(&target, b"old").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        write_whole(&link, b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("no/such/a.csv");
        let error = check_writable(&missing).unwrap_err();
        assert!(error.to_string().contains("no/such/a.csv"), "{error}");
        assert!(check_writable(directory.path()).is_err());
        assert!(write_whole(Path::new("/dev/full"), b"x").is_err());
    }
}

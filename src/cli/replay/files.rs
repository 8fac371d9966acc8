//! Result files: whole or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

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
    let written = match is_device(path) {
        true => fs::write(path, bytes),
        false => write_beside(path, bytes),
    };
    written.map_err(|error| Error::io("cannot write file", error).with_context("path", path.display()))
}

fn write_beside(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = beside(path);
    let written = File::create(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // What is left is of no use; the first error is the one to report.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// The name under which a file is written before it is moved to `path`: in the same directory, our own.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.partial", std::process::id()))
}

/// Whether `path` is something that bytes go through (a pipe, `/dev/stdout`): it cannot be replaced.
fn is_device(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
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
    fn what_cannot_be_written_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("no/such/a.csv");
        let error = check_writable(&missing).unwrap_err();
        assert!(error.to_string().contains("no/such/a.csv"), "{error}");
        assert!(check_writable(directory.path()).is_err());
        assert!(write_whole(Path::new("/dev/full"), b"x").is_err());
    }
}

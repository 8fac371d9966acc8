//! Result files: whole or not at all, and never where the input is.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Creates `directory` and those above it, if they are missing.
pub(super) fn create_directory(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).map_err(|error| {
        Error::io("cannot create directory", error).with_context("path", directory.display())
    })
}

/// Refuses to write a result over a trace that is read, or over another result: the first would destroy what
/// cannot be made again, and kill a process that has it mapped.
pub(super) fn check_apart(outputs: &[&Path], inputs: &[&Path]) -> Result<()> {
    for (position, output) in outputs.iter().enumerate() {
        let Some(taken) = inputs.iter().chain(&outputs[..position]).find(|other| is_same_file(output, other))
        else {
            continue;
        };
        return Err(Error::invalid(
            "two of the named files are the same file, and one of them would be overwritten",
        )
        .with_context("output", output.display())
        .with_context("other", taken.display())
        .with_hint("give the output a name of its own"));
    }
    Ok(())
}

/// Whether two paths lead to one regular file, through links too; or, where there is none yet, are one path.
fn is_same_file(a: &Path, b: &Path) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => a.is_file() && (a.dev(), a.ino()) == (b.dev(), b.ino()),
        (Err(_), Err(_)) => std::path::absolute(a).ok() == std::path::absolute(b).ok(),
        _ => false,
    }
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

/// A file that is written beside the one that it is to become. Unless it is kept, nothing is left of it.
#[derive(Debug)]
pub(super) struct PartialFile {
    beside: PathBuf,
    path: PathBuf,
}

impl PartialFile {
    /// Chooses the name beside `path`; the caller creates the file.
    pub(super) fn beside(path: &Path) -> Result<Self> {
        if path.is_dir() || is_device(path) {
            return Err(Error::invalid("a trace can only be written to a regular file")
                .with_context("path", path.display())
                .with_hint("name a file; it is made if it is not there"));
        }
        // A link goes on leading to the file.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        Ok(Self { beside: beside(&path), path })
    }

    /// Where to write.
    pub(super) fn place(&self) -> &Path {
        &self.beside
    }

    /// Puts the file, which its writer has synced, in its place; a file that it replaces lends it its mode.
    pub(super) fn keep(self) -> Result<()> {
        let mode = fs::metadata(&self.path).ok().map(|metadata| metadata.permissions());
        mode.map_or(Ok(()), |mode| fs::set_permissions(&self.beside, mode))
            .and_then(|()| fs::rename(&self.beside, &self.path))
            .map_err(|error| {
                Error::io("cannot write output file", error).with_context("path", self.path.display())
            })
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        // Gone already if it was kept or never made.
        let _ = fs::remove_file(&self.beside);
    }
}

/// The name under which a file is written before it is moved to `path`: in the same directory, our own.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.partial", std::process::id()))
}

/// Whether `path` is something that bytes go through (a pipe, `/dev/stdout`): it cannot be replaced.
pub(super) fn is_device(path: &Path) -> bool {
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
    fn a_partial_file_is_kept_or_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.lct");
        let write = |text: &str| {
            let partial = PartialFile::beside(&path).unwrap();
            fs::write(partial.place(), text).unwrap();
            partial
        };
        write("one").keep().unwrap();
        drop(write("two"));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(PartialFile::beside(directory.path()).is_err());
        assert!(PartialFile::beside(Path::new("/dev/null")).is_err());
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
    fn an_output_is_never_an_input_nor_another_output() {
        let directory = tempfile::tempdir().unwrap();
        let [trace, link, a, b] = ["trace", "link", "a", "b"].map(|name| directory.path().join(name));
        fs::write(&trace, b"records").unwrap();
        std::os::unix::fs::symlink(&trace, &link).unwrap();
        assert!(check_apart(&[&trace], &[&trace]).is_err());
        assert!(check_apart(&[&link], &[&trace]).is_err());
        assert!(check_apart(&[&a, &a], &[&trace]).is_err());
        check_apart(&[&a, &b], &[&trace]).unwrap();
        let null = Path::new("/dev/null");
        check_apart(&[null, null], &[&trace]).unwrap();
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

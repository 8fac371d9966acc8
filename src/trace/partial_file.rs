//! A trace that is written beside the one that it is to become: whole or not at all, and never where the input is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::sync::OnceLock;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Refuses to write a result over a trace that is read, or over another result: the first would destroy what
/// cannot be made again, and kill a process that has it mapped.
///
/// # Errors
/// If it would.
pub fn check_apart(outputs: &[&Path], inputs: &[&Path]) -> Result<()> {
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

/// A file that is written beside the one that it is to become. Unless it is kept, nothing is left of it.
#[derive(Debug)]
pub struct PartialFile {
    beside: PathBuf,
    path: PathBuf,
}

impl PartialFile {
    /// Chooses the name beside `path`; the caller creates the file.
    ///
    /// # Errors
    /// If there is a folder or a device.
    pub fn beside(path: &Path) -> Result<Self> {
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
    pub fn place(&self) -> &Path {
        &self.beside
    }

    /// Puts the file, which its writer has synced, in its place; a file that it replaces lends it its mode.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn keep(self) -> Result<()> {
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
pub fn beside(path: &Path) -> PathBuf {
    // Threads of one process may write to one path.
    static NUMBER: OnceLock<AtomicU64> = OnceLock::new();
    // Relaxed: all that counts is that each has its own.
    let number = NUMBER.get_or_init(Default::default).fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.{number}.partial", std::process::id()))
}

/// Whether `path` is something that bytes go through (a pipe, `/dev/stdout`): it cannot be replaced.
pub fn is_device(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

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
}

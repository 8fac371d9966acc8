//! Block devices, and files that are used like them.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Opens `path`, which has to be there, for reading and writing; past the page cache if `is_direct`. A block device is
/// held exclusively: the kernel gives none that is mounted.
///
/// # Errors
/// What the kernel says; `InvalidInput` where a file system has no direct I/O, `ResourceBusy` for a block device that
/// is mounted or held by somebody else.
pub fn open(path: &Path, is_direct: bool) -> io::Result<File> {
    let is_device = std::fs::metadata(path)?.file_type().is_block_device();
    let exclusive = if is_device { libc::O_EXCL } else { 0 };
    let flags = exclusive | if is_direct { libc::O_DIRECT } else { 0 };
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
}

/// How many bytes a device or file has.
///
/// # Errors
/// What the kernel says.
pub fn size_bytes(file: &File) -> io::Result<u64> {
    // Unlike the length in a file's metadata, the end of a device is its size.
    let mut file = file;
    file.seek(SeekFrom::End(0))
}

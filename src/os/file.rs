//! What std's files do not have: direct I/O, files of a name that is still free, attributes, and advice.

use std::ffi::{CStr, CString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Creates a file that must not exist, not even as a link, to write it; past the page cache if `direct`. Everybody may
/// read it that the process's mask lets, as LMCache's.
///
/// # Errors
/// What the kernel says: `EINVAL` where the file system has no direct I/O.
pub fn create_new(path: &Path, direct: bool) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | if direct { libc::O_DIRECT } else { 0 };
    let created = OpenOptions::new().write(true).create_new(true).mode(0o644).custom_flags(flags).open(path);
    if direct && created.as_ref().is_err_and(is_no_direct_io) {
        // Linux creates the file before it refuses to open it; nobody else has made one of that name.
        let _ = std::fs::remove_file(path);
    }
    created
}

/// Creates a file without a name in `folder`, to write it; past the page cache if `direct`. It is gone when it is
/// closed, however that comes about, unless [`link_unnamed`] gave it a name.
///
/// # Errors
/// What the kernel says; not every file system has such files.
pub fn create_unnamed(folder: &Path, direct: bool) -> io::Result<File> {
    let flags = libc::O_TMPFILE | if direct { libc::O_DIRECT } else { 0 };
    OpenOptions::new().write(true).mode(0o644).custom_flags(flags).open(folder)
}

/// Gives a file of [`create_unnamed`] a name that must be free.
///
/// # Errors
/// `AlreadyExists` if it is not, and what the kernel says. It needs `/proc`.
pub fn link_unnamed(file: &File, to: &Path) -> io::Result<()> {
    let from = c_path(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())))?;
    let to = c_path(to)?;
    let here = libc::AT_FDCWD;
    // SAFETY: both are strings that end with NUL.
    let status = unsafe { libc::linkat(here, from.as_ptr(), here, to.as_ptr(), libc::AT_SYMLINK_FOLLOW) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Opens a file to read it; past the page cache if `direct`. A pipe of that name does not keep the caller waiting.
///
/// # Errors
/// What the kernel says: `EINVAL` where the file system has no direct I/O.
pub fn open_to_read(path: &Path, direct: bool) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | if direct { libc::O_DIRECT } else { 0 };
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    wait_for_bytes(&file)?;
    Ok(file)
}

/// Takes `O_NONBLOCK` from a file that was opened with it, so that the opening would not wait. On a regular file it means
/// nothing to `pread`; to the io_uring of some kernels it means that a read of what is not in memory is not done.
fn wait_for_bytes(file: &File) -> io::Result<()> {
    // SAFETY: it takes integers and touches no memory of ours.
    let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
    // SAFETY: as above.
    if flags < 0 || unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Whether an error of the two above says that there is no direct I/O.
pub fn is_no_direct_io(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINVAL)
}

/// Whether an error says that the disk, or the quota of its user, is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}

/// Whether an error says that the medium cannot give or take these bytes: it is likely to say so again.
pub fn is_of_the_medium(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EIO | libc::EREMOTEIO | libc::EILSEQ | libc::EUCLEAN | libc::ENODATA)
    )
}

/// Gives a file another name in the same file system, which must be free.
///
/// # Errors
/// `AlreadyExists` if it is not, and what the kernel says.
pub fn rename_to_free_name(from: &Path, to: &Path) -> io::Result<()> {
    let (c_from, c_to) = (c_path(from)?, c_path(to)?);
    let here = libc::AT_FDCWD;
    let flags = libc::RENAME_NOREPLACE;
    // SAFETY: both are strings that end with NUL.
    let status = unsafe { libc::renameat2(here, c_from.as_ptr(), here, c_to.as_ptr(), flags) };
    if status == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // A file system, or a kernel, without this way: NFS. A link takes a free name only.
        Some(libc::EINVAL | libc::ENOSYS) => {
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        _ => Err(error),
    }
}

/// The block size of the file system at `path`; direct I/O goes by whole blocks.
///
/// # Errors
/// What the kernel says.
pub fn block_size_bytes(path: &Path) -> io::Result<u64> {
    let path = c_path(path)?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path ends with NUL; the kernel fills at most one `statvfs`.
    let status = unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is made of integers, for which zero is a value, and the call has filled it.
    Ok(unsafe { stat.assume_init() }.f_bsize)
}

/// Has the kernel begin to read the first `len_bytes` of a file. Advice: whether it follows it is its own business.
pub fn advise_read_ahead(file: &File, len_bytes: u64) {
    let len = libc::off_t::try_from(len_bytes).unwrap_or(libc::off_t::MAX);
    // SAFETY: it touches no memory of ours.
    let _ = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, len, libc::POSIX_FADV_WILLNEED) };
}

/// Sets an attribute of a file.
///
/// # Errors
/// What the kernel says: `Unsupported` where the file system has none.
pub fn set_attribute(file: &File, name: &CStr, value: &[u8]) -> io::Result<()> {
    // SAFETY: the name ends with NUL; the value is as long as it says.
    let status =
        unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// An attribute of a file; `None` if the file has no such one, or its value is longer than `out`. Otherwise the length
/// of the value, which is at the start of `out`.
///
/// # Errors
/// What the kernel says.
pub fn attribute(file: &File, name: &CStr, out: &mut [u8]) -> io::Result<Option<usize>> {
    // SAFETY: the name ends with NUL; the kernel writes at most as much as `out` has.
    let len = unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), out.as_mut_ptr().cast(), out.len()) };
    if let Ok(len) = usize::try_from(len) {
        return Ok(Some(len));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENODATA | libc::ERANGE | libc::EOPNOTSUPP) => Ok(None),
        _ => Err(error),
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        drop(create_new(&a, false).unwrap());
        assert_eq!(create_new(&a, false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        rename_to_free_name(&a, &b).unwrap();
        std::fs::write(&a, "second").unwrap();
        assert_eq!(rename_to_free_name(&a, &b).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&b).unwrap(), b"");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), folder.path().join("link")).unwrap();
        assert!(create_new(&folder.path().join("link"), false).is_err());
        assert!(!folder.path().join("nowhere").exists());
    }

    #[test]
    fn an_attribute_that_nobody_set_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = create_new(&folder.path().join("a"), false).unwrap();
        assert_eq!(attribute(&file, c"user.lmcache.test", &mut [0; 8]).unwrap(), None);
    }
}

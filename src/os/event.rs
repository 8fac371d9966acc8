//! Eventfds of others.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// A duplicate of somebody's eventfd, which does not wait when it is full.
///
/// # Errors
/// If `fd` is no open file; [`io::ErrorKind::InvalidInput`] if it is no eventfd, or waits.
pub fn duplicate_eventfd(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a file descriptor is not negative"));
    }
    // SAFETY: it is borrowed for one system call, which says so if there is no such file; -1 it is not.
    let duplicate = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()?;
    // A socket or a pipe could kill the process with a signal, or hold the thread up that writes to it.
    let link = std::fs::read_link(format!("/proc/self/fd/{}", duplicate.as_raw_fd()));
    if link.is_ok_and(|link| !link.to_string_lossy().contains("[eventfd]")) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the file descriptor is no eventfd"));
    }
    // SAFETY: it takes integers and touches no memory of ours.
    let flags = unsafe { libc::fcntl(duplicate.as_raw_fd(), libc::F_GETFL) };
    match flags {
        ..0 => Err(io::Error::last_os_error()),
        flags if flags & libc::O_NONBLOCK == 0 => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "the eventfd is not EFD_NONBLOCK"))
        }
        _ => Ok(duplicate),
    }
}

//! Eventfds of others.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// A duplicate of somebody's eventfd, which does not wait when it is full.
///
/// # Errors
/// If `fd` is no open file, or `/proc` does not say what it is; [`io::ErrorKind::InvalidInput`] if it is no eventfd, or waits.
pub fn duplicate_eventfd(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a file descriptor is not negative"));
    }
    // SAFETY: it is borrowed for one system call, which says so if there is no such file; -1 it is not.
    let duplicate = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()?;
    // A socket or a pipe could kill the process with a signal, or hold the thread up that writes to it.
    let link = std::fs::read_link(format!("/proc/self/fd/{}", duplicate.as_raw_fd()))?;
    // A file can have any name, but no path that does not begin with a slash.
    if link.as_os_str() != "anon_inode:[eventfd]" {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::OpenOptionsExt;

    #[test]
    fn only_eventfds_that_do_not_wait_are_eventfds() {
        // SAFETY: the calls take numbers and touch no memory of ours.
        let [good, waits] = [libc::EFD_NONBLOCK, 0].map(|flags| unsafe { libc::eventfd(0, flags) });
        assert!(duplicate_eventfd(good).is_ok());
        for fd in [waits, -1] {
            assert_eq!(duplicate_eventfd(fd).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        let closed = duplicate_eventfd(1 << 20).unwrap_err();
        assert_eq!(closed.raw_os_error(), Some(libc::EBADF));
        for fd in [good, waits] {
            // SAFETY: it was opened here, and nobody else has it.
            unsafe { libc::close(fd) };
        }
    }

    /// A pipe whose reader is gone kills with a signal whoever writes to it.
    #[test]
    fn a_pipe_that_is_called_like_an_eventfd_is_none() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["[eventfd]", "anon_inode:[eventfd]"] {
            let path = folder.path().join(name);
            let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
            // SAFETY: the name ends in NUL and outlives the call.
            assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
            let pipe =
                std::fs::OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path);
            let error = duplicate_eventfd(pipe.unwrap().as_raw_fd()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}

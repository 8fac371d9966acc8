//! POSIX shared memory: a segment with a name, which other processes of the same user map.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::error::{Error, Result};

/// The owner reads and writes, nobody else does anything.
const MODE: libc::mode_t = 0o600;

/// A segment that this process made. Its name goes when it is dropped; who has mapped it keeps the bytes.
#[derive(Debug)]
pub struct ShmSegment {
    name: String,
    /// The same for the kernel, with the slash in front.
    path: CString,
    fd: OwnedFd,
    len_bytes: usize,
}

impl ShmSegment {
    /// Makes the segment `/name` of `len_bytes` zeros. Until [`Self::commit`] it has no pages. A segment of that name
    /// that is there is unlinked first; a process that has it mapped keeps it, out of everybody's reach.
    ///
    /// # Errors
    /// What the kernel says; among that, that another process made a segment of that name at the same moment, or that
    /// the name is too long.
    pub fn create(name: &str, len_bytes: usize) -> Result<Self> {
        let failed = |what: &'static str, error| Error::io(what, error).with_context("segment", name);
        let path = CString::new(format!("/{name}")).map_err(|_| {
            Error::invalid("a segment's name must not contain NUL").with_context("segment", name)
        })?;
        match unlink(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let message = "cannot unlink the old shared memory segment (shm_unlink)";
                return Err(failed(message, error));
            }
            Ok(()) | Err(_) => {}
        }
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
        // SAFETY: the name is a C string for the time of the call.
        let fd = checked(unsafe { libc::shm_open(path.as_ptr(), flags, MODE) });
        let fd = fd.map_err(|error| failed("cannot create the shared memory segment (shm_open)", error))?;
        // SAFETY: the descriptor was just opened and belongs to nobody.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // From here on a failure unlinks it.
        let segment = Self { name: name.to_owned(), path, fd, len_bytes };
        let len = segment.len().map_err(|error| failed("cannot size the shared memory segment", error))?;
        // SAFETY: the descriptor is open; there is no memory in the arguments.
        let sized = checked(unsafe { libc::ftruncate(segment.fd.as_raw_fd(), len) });
        sized.map_err(|error| failed("cannot size the shared memory segment (ftruncate)", error))?;
        Ok(segment)
    }

    fn len(&self) -> io::Result<libc::off_t> {
        libc::off_t::try_from(self.len_bytes).map_err(|_| io::ErrorKind::FileTooLarge.into())
    }

    /// Gives the segment all its pages: a write to one that the file system had no room for would end the process.
    ///
    /// # Errors
    /// If there is not enough room.
    pub fn commit(&self) -> Result<()> {
        self.allocate().map_err(|error| {
            Error::io("cannot commit the shared memory segment (fallocate)", error)
                .with_context("segment", &self.name)
                .with_context("bytes", self.len_bytes)
                .with_hint("free memory, or raise the size of the shared memory file system")
        })
    }

    fn allocate(&self) -> io::Result<()> {
        let len = self.len()?;
        loop {
            // SAFETY: the descriptor is open; there is no memory in the arguments.
            match checked(unsafe { libc::fallocate(self.fd.as_raw_fd(), 0, 0, len) }) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The segment's name, without the slash in front.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long the segment is.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// The open segment.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether the name still means this segment, and not one that another process put in its place.
    fn owns_its_name(&self) -> io::Result<bool> {
        // SAFETY: the name is a C string for the time of the call.
        let fd = checked(unsafe { libc::shm_open(self.path.as_ptr(), libc::O_RDONLY, 0) })?;
        // SAFETY: the descriptor was just opened and belongs to nobody.
        let named = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(identity(named.as_fd())? == identity(self.fd())?)
    }
}

impl Drop for ShmSegment {
    fn drop(&mut self) {
        if self.owns_its_name().unwrap_or(false) {
            // It can only be gone already.
            let _ = unlink(&self.path);
        }
    }
}

fn checked(status: libc::c_int) -> io::Result<libc::c_int> {
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(status) }
}

fn unlink(name: &CString) -> io::Result<()> {
    // SAFETY: the name is a C string for the time of the call.
    checked(unsafe { libc::shm_unlink(name.as_ptr()) }).map(drop)
}

/// The device and the number of the file.
fn identity(fd: BorrowedFd<'_>) -> io::Result<(libc::dev_t, libc::ino_t)> {
    // SAFETY: a stat is numbers, for which zero is a value.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and the kernel writes one stat.
    checked(unsafe { libc::fstat(fd.as_raw_fd(), &mut stat) })?;
    Ok((stat.st_dev, stat.st_ino))
}

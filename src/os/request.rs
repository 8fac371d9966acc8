//! One read or write of raw memory at a place in a file, for engines that have several under way.
//!
//! A request holds the borrow of its memory and of its file: an engine that returns only when the kernel is done with
//! all that it was given ([`uring`](super::uring), or [`Request::run`] one by one) is safe to call.

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;

/// The most bytes that one system call moves: below the kernel's own limit, and a multiple of every block size.
pub(super) const MAX_STEP_BYTES: usize = 1 << 30;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the file.
    Read,
    /// To the file; then, if asked for, `fsync`.
    Write { syncs: bool },
}

/// See the module. It goes on until all its bytes are moved; a read ends before where the file does.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub(super) file: &'a File,
    pub(super) direction: Direction,
    start: *mut u8,
    len: usize,
    enough: usize,
    offset: u64,
    memory: PhantomData<&'a ()>,
}

impl<'a> Request<'a> {
    /// Reads `len` bytes of `file` at `offset` into the memory at `start`, and is content with `enough` of them: a
    /// direct read at the end of a file stops in the middle of a block, and cannot go on from there.
    ///
    /// # Safety
    /// The memory stays mapped for `'a`, and nobody has a reference to it.
    pub unsafe fn read(file: &'a File, start: *mut u8, len: usize, enough: usize, offset: u64) -> Self {
        Self {
            file,
            direction: Direction::Read,
            start,
            len,
            enough: enough.min(len),
            offset,
            memory: PhantomData,
        }
    }

    /// Writes the `len` bytes at `start` to `file` at `offset`, and then has the disk keep them if it `syncs`.
    ///
    /// # Safety
    /// The memory stays mapped for `'a`. Others may write it meanwhile.
    pub unsafe fn write(file: &'a File, start: *const u8, len: usize, syncs: bool, offset: u64) -> Self {
        let direction = Direction::Write { syncs };
        Self { file, direction, start: start.cast_mut(), len, enough: len, offset, memory: PhantomData }
    }

    /// Whether the disk is to keep what it writes.
    pub fn syncs(&self) -> bool {
        self.direction == Direction::Write { syncs: true }
    }

    /// Where the rest begins, how much of it the next system call moves, and its place in the file.
    pub(super) fn rest(&self, done: usize) -> (*mut u8, usize, u64) {
        let len = self.len.saturating_sub(done).min(MAX_STEP_BYTES);
        (self.start.wrapping_add(done), len, self.offset.saturating_add(done as u64))
    }

    /// Whether so many bytes are all that it wants.
    pub(super) fn is_complete(&self, done: usize) -> bool {
        done >= self.enough
    }

    /// What becomes of it when a call moved nothing with `done` bytes behind it.
    pub(super) fn at_end(&self, done: usize) -> io::Result<usize> {
        match self.direction {
            Direction::Read => Ok(done),
            Direction::Write { .. } => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// Does it by system calls that wait. Returns how many bytes were moved.
    ///
    /// # Errors
    /// What the kernel says. Some of the bytes may be moved then.
    pub fn run(&self) -> io::Result<usize> {
        let mut done = 0;
        while !self.is_complete(done) {
            match self.step(done) {
                Ok(0) => return self.at_end(done),
                Ok(moved) => done += moved,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.direction == (Direction::Write { syncs: true }) {
            self.file.sync_all()?;
        }
        Ok(done)
    }

    fn step(&self, done: usize) -> io::Result<usize> {
        let (start, len, offset) = self.rest(done);
        // A file that long does not exist: the kernel refuses the negative number.
        let offset = libc::off_t::try_from(offset).unwrap_or(-1);
        let fd = self.file.as_raw_fd();
        let moved = match self.direction {
            // SAFETY: whoever made the request keeps its memory mapped for 'a, and `self` is used within 'a.
            Direction::Read => unsafe { libc::pread(fd, start.cast(), len, offset) },
            // SAFETY: as above; the kernel only reads it.
            Direction::Write { .. } => unsafe { libc::pwrite(fd, start.cast(), len, offset) },
        };
        usize::try_from(moved).map_err(|_| io::Error::last_os_error())
    }
}

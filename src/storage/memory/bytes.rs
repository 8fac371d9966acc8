//! A stretch of the arena's bytes, and all that is done with bytes.
#![expect(unsafe_code, reason = "shared memory behind a raw pointer")]

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use crate::error::{Error, Result};
use crate::os::copy;
use crate::os::request::Request;
use crate::os::transfer;

/// Bytes of an arena that stays mapped for `'a`. There is no reference to them, since other threads may be writing
/// them at the same time: they are copied, or given to a system call.
#[derive(Clone, Copy, Debug)]
pub struct ArenaBytes<'a> {
    start: NonNull<u8>,
    len_bytes: usize,
    arena: PhantomData<&'a ()>,
}

// SAFETY: all access to the bytes is by atomic words or by the kernel, from whatever thread.
unsafe impl Send for ArenaBytes<'_> {}
// SAFETY: as above.
unsafe impl Sync for ArenaBytes<'_> {}

impl<'a> ArenaBytes<'a> {
    /// The `len_bytes` at `start`.
    ///
    /// # Safety
    /// They lie in memory that begins and ends at multiples of [`copy::WORD_BYTES`], that stays mapped for `'a`,
    /// and of which nobody has a reference.
    pub(super) unsafe fn new(start: NonNull<u8>, len_bytes: usize) -> Self {
        Self { start, len_bytes, arena: PhantomData }
    }

    /// How many bytes these are.
    pub fn len(&self) -> usize {
        self.len_bytes
    }

    /// Whether these are none.
    pub fn is_empty(&self) -> bool {
        self.len_bytes == 0
    }

    /// The `len_bytes` from `at` on.
    ///
    /// # Errors
    /// If these are not as many.
    pub fn range(&self, at: usize, len_bytes: usize) -> Result<Self> {
        if at.checked_add(len_bytes).is_none_or(|end| end > self.len_bytes) {
            return Err(Error::invalid("a part that the object does not hold")
                .with_context("at", at)
                .with_context("bytes", len_bytes)
                .with_context("object_bytes", self.len_bytes));
        }
        // SAFETY: `at` is at most the length.
        let start = unsafe { self.start.add(at) };
        Ok(Self { start, len_bytes, arena: PhantomData })
    }

    /// Copies the bytes from `at` on into `out`, as many as both have; returns how many.
    pub fn read_into(&self, at: usize, out: &mut [u8]) -> usize {
        let len = out.len().min(self.len_bytes.saturating_sub(at));
        // SAFETY: `at + len` is at most the length if `len` is not zero, and nothing is read if it is.
        unsafe { copy::copy_out(self.start.as_ptr().wrapping_add(at), &mut out[..len]) };
        len
    }

    /// Copies `bytes` to the place `at`.
    ///
    /// # Errors
    /// If they reach past the end; nothing is written then.
    pub fn write_from(&self, at: usize, bytes: &[u8]) -> Result<()> {
        if at.checked_add(bytes.len()).is_none_or(|end| end > self.len_bytes) {
            return Err(Error::invalid("more bytes than the object holds")
                .with_context("bytes", bytes.len())
                .with_context("at", at)
                .with_context("object_bytes", self.len_bytes));
        }
        // SAFETY: `at` and the bytes behind it lie in these bytes.
        unsafe { copy::copy_in(self.start.as_ptr().wrapping_add(at), bytes) };
        Ok(())
    }

    /// Copies all bytes to the start of `other`.
    ///
    /// # Errors
    /// If `other` holds fewer; nothing is written then.
    pub fn copy_to(&self, other: &ArenaBytes<'_>) -> Result<()> {
        let to = other.range(0, self.len_bytes)?;
        // SAFETY: both are `len_bytes` long.
        unsafe { copy::copy_across(self.as_ptr(), to.as_mut_ptr(), self.len_bytes) };
        Ok(())
    }

    /// Writes all bytes to `file` at `file_offset`, without a copy in between. Returns how many.
    ///
    /// # Errors
    /// What the kernel says. Some of the bytes may be in the file then.
    pub fn pwrite_all(&self, file: &File, file_offset: u64) -> io::Result<usize> {
        // SAFETY: the bytes stay mapped during the call, and the kernel may read them whoever writes.
        unsafe { transfer::pwrite_all(file, self.start.as_ptr(), self.len_bytes, file_offset) }
    }

    /// Fills all bytes from `file` at `file_offset`, without a copy in between. Returns how many.
    ///
    /// # Errors
    /// What the kernel says; `UnexpectedEof` if the file ends too early. Some of the bytes may be new then.
    pub fn pread_exact(&self, file: &File, file_offset: u64) -> io::Result<usize> {
        // SAFETY: the bytes stay mapped during the call; nobody has a reference to them.
        unsafe { transfer::pread_exact(file, self.start.as_ptr(), self.len_bytes, file_offset) }
    }

    /// A request to fill all bytes from `file` at `file_offset`, content with `enough` of them: see [`Request::read`].
    pub fn read_request(&self, file: &'a File, enough: usize, file_offset: u64) -> Request<'a> {
        // SAFETY: the bytes stay mapped for 'a; nobody has a reference to them.
        unsafe { Request::read(file, self.start.as_ptr(), self.len_bytes, enough, file_offset) }
    }

    /// A request to write all bytes to `file` at `file_offset`: see [`Request::write`].
    pub fn write_request(&self, file: &'a File, syncs: bool, file_offset: u64) -> Request<'a> {
        // SAFETY: the bytes stay mapped for 'a, and the kernel may read them whoever writes.
        unsafe { Request::write(file, self.start.as_ptr(), self.len_bytes, syncs, file_offset) }
    }

    /// Sends all bytes on a blocking socket. Returns how many.
    ///
    /// # Errors
    /// What the kernel says, a timeout of the socket included. Some of the bytes may be sent then. A socket whose
    /// other end is gone is an error, not a signal.
    pub fn send_all(&self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        // SAFETY: as in `pwrite_all`.
        unsafe { transfer::send_all(socket, self.start.as_ptr(), self.len_bytes) }
    }

    /// Fills all bytes from a blocking socket. Returns how many.
    ///
    /// # Errors
    /// What the kernel says, a timeout of the socket included; `UnexpectedEof` if the other end closed too early.
    /// Some of the bytes may be new then.
    pub fn recv_exact(&self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        // SAFETY: as in `pread_exact`.
        unsafe { transfer::recv_exact(socket, self.start.as_ptr(), self.len_bytes) }
    }

    /// Sends the bytes from `at` on, on a blocking socket, in one call. Returns how many went: fewer if the socket's
    /// timeout ran out meanwhile. For a caller that has a deadline of its own.
    ///
    /// # Errors
    /// What the kernel says; `WouldBlock` if nothing went before the timeout.
    pub fn send_some(&self, at: usize, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let at = at.min(self.len_bytes);
        // SAFETY: as in `pwrite_all`; `at` is at most the length.
        unsafe { transfer::send_some(socket, self.start.as_ptr().wrapping_add(at), self.len_bytes - at) }
    }

    /// Fills the bytes from `at` on from a blocking socket, in one call. Returns how many came: fewer if the
    /// socket's timeout ran out meanwhile or the other end closed. For a caller that has a deadline of its own.
    ///
    /// # Errors
    /// What the kernel says; `WouldBlock` if nothing came before the timeout.
    pub fn recv_some(&self, at: usize, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let at = at.min(self.len_bytes);
        // SAFETY: as in `pread_exact`; `at` is at most the length.
        unsafe { transfer::recv_some(socket, self.start.as_ptr().wrapping_add(at), self.len_bytes - at) }
    }

    /// The address of the first byte, for an engine that reads by itself, inside the length and for `'a` only.
    pub fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    /// The address of the first byte, for an engine that writes by itself, inside the length and for `'a` only.
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

//! Several objects, and bytes between them, as one transfer: fewer system calls, and still no copy.
#![expect(unsafe_code, reason = "raw parts of shared memory go to the kernel")]

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;

use super::bytes::ArenaBytes;
use crate::os::transfer::{self, Part};

/// Parts that are written one behind the other: parts of objects, and for instance the headers of a protocol.
#[derive(Default)]
pub struct Gather<'a> {
    parts: Vec<Part>,
    bytes: PhantomData<&'a [u8]>,
}

impl<'a> Gather<'a> {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes of an object.
    pub fn push(&mut self, bytes: ArenaBytes<'a>) {
        self.parts.push(Part::new(bytes.as_mut_ptr(), bytes.len()));
    }

    /// Adds other bytes.
    pub fn push_slice(&mut self, bytes: &'a [u8]) {
        self.parts.push(Part::new(bytes.as_ptr().cast_mut(), bytes.len()));
    }

    /// How many bytes these are.
    pub fn len_bytes(&self) -> usize {
        self.parts.iter().map(Part::len).sum()
    }

    /// Writes all to `file` at `file_offset`. Returns how many bytes.
    ///
    /// # Errors
    /// As [`ArenaBytes::pwrite_all`].
    pub fn pwrite_all(mut self, file: &File, file_offset: u64) -> io::Result<usize> {
        // SAFETY: every part is borrowed for `'a`, and is read only.
        unsafe { transfer::pwritev_all(file, &mut self.parts, file_offset) }
    }

    /// Sends all on a blocking socket. Returns how many bytes.
    ///
    /// # Errors
    /// As [`ArenaBytes::send_all`].
    pub fn send_all(mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        // SAFETY: as in `pwrite_all`.
        unsafe { transfer::send_parts(socket, &mut self.parts) }
    }
}

/// Parts that are filled one behind the other.
#[derive(Default)]
pub struct Scatter<'a> {
    parts: Vec<Part>,
    bytes: PhantomData<&'a mut [u8]>,
}

impl<'a> Scatter<'a> {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes of an object.
    pub fn push(&mut self, bytes: ArenaBytes<'a>) {
        self.parts.push(Part::new(bytes.as_mut_ptr(), bytes.len()));
    }

    /// Adds other bytes.
    pub fn push_slice(&mut self, bytes: &'a mut [u8]) {
        self.parts.push(Part::new(bytes.as_mut_ptr(), bytes.len()));
    }

    /// How many bytes these are.
    pub fn len_bytes(&self) -> usize {
        self.parts.iter().map(Part::len).sum()
    }

    /// Fills all from `file` at `file_offset`. Returns how many bytes.
    ///
    /// # Errors
    /// As [`ArenaBytes::pread_exact`].
    pub fn pread_exact(mut self, file: &File, file_offset: u64) -> io::Result<usize> {
        // SAFETY: a slice is borrowed for `'a` by nobody else, and nobody has a reference to bytes of the arena.
        unsafe { transfer::preadv_exact(file, &mut self.parts, file_offset) }
    }

    /// Fills all from a blocking socket. Returns how many bytes.
    ///
    /// # Errors
    /// As [`ArenaBytes::recv_exact`].
    pub fn recv_exact(mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        // SAFETY: as in `pread_exact`.
        unsafe { transfer::recv_parts(socket, &mut self.parts) }
    }
}

//! The buffer that an L2 adapter works on.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use super::arena::Arena;
use super::bytes::ArenaBytes;
use super::span::Span;
use crate::error::Result;
use crate::sync::Arc;

/// An object's bytes, held for an I/O: until this is dropped they are mapped, and belong to nobody else.
///
/// It can be moved to any thread. It says nothing of what the bytes are: a lock on the object may run out while an
/// I/O writes it, and who reads them meanwhile may find them half written.
#[derive(Debug)]
pub struct PinnedSpan {
    arena: Arc<Arena>,
    span: Span,
}

impl Arena {
    /// Pins the object at `span` for an I/O: its bytes are given to nobody else before the pin is dropped. Call
    /// it under the lock under which spans are released, while the span is taken.
    ///
    /// # Panics
    /// If the span is not one of this arena.
    pub fn pin(self: &Arc<Self>, span: Span) -> PinnedSpan {
        self.count_pin(span);
        PinnedSpan { arena: Arc::clone(self), span }
    }
}

impl PinnedSpan {
    /// Where it lies.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The arena it lies in, for engines that register the whole of it.
    pub fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }

    /// How many bytes the object has.
    pub fn size_bytes(&self) -> usize {
        self.span.size_bytes as usize
    }

    /// The same with the padding behind it: what an I/O may use that has to be aligned.
    pub fn phy_size_bytes(&self) -> usize {
        self.span.phy_size_bytes as usize
    }

    /// The object's bytes. The calls below are those of all of them.
    pub fn bytes(&self) -> ArenaBytes<'_> {
        self.arena.bytes(self.span)
    }

    /// The object's bytes and the padding behind them.
    pub fn phy_bytes(&self) -> ArenaBytes<'_> {
        self.arena.phy_bytes(self.span)
    }

    /// Copies the object from `at` on into `out`, as many bytes as both have; returns how many.
    pub fn read_into(&self, at: usize, out: &mut [u8]) -> usize {
        self.bytes().read_into(at, out)
    }

    /// Copies `bytes` into the object at `at`.
    ///
    /// # Errors
    /// If they reach past its end; nothing is written then.
    pub fn write_from(&self, at: usize, bytes: &[u8]) -> Result<()> {
        self.bytes().write_from(at, bytes)
    }

    /// Copies the object to the start of `other`.
    ///
    /// # Errors
    /// If `other` holds less; nothing is written then.
    pub fn copy_to(&self, other: &PinnedSpan) -> Result<()> {
        self.bytes().copy_to(&other.bytes())
    }

    /// Writes the object to `file` at `file_offset`, without a copy in between. Returns its size.
    ///
    /// # Errors
    /// As [`ArenaBytes::pwrite_all`].
    pub fn pwrite_all(&self, file: &File, file_offset: u64) -> io::Result<usize> {
        self.bytes().pwrite_all(file, file_offset)
    }

    /// Fills the object from `file` at `file_offset`, without a copy in between. Returns its size.
    ///
    /// # Errors
    /// As [`ArenaBytes::pread_exact`].
    pub fn pread_exact(&self, file: &File, file_offset: u64) -> io::Result<usize> {
        self.bytes().pread_exact(file, file_offset)
    }

    /// Sends the object on a blocking socket. Returns its size.
    ///
    /// # Errors
    /// As [`ArenaBytes::send_all`].
    pub fn send_all(&self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.bytes().send_all(socket)
    }

    /// Fills the object from a blocking socket. Returns its size.
    ///
    /// # Errors
    /// As [`ArenaBytes::recv_exact`].
    pub fn recv_exact(&self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.bytes().recv_exact(socket)
    }

    /// The address of its first byte, for an engine that reads by itself while the pin lives.
    pub fn as_ptr(&self) -> *const u8 {
        self.bytes().as_ptr()
    }

    /// The address of its first byte, for an engine that writes by itself while the pin lives.
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.bytes().as_mut_ptr()
    }
}

impl Drop for PinnedSpan {
    fn drop(&mut self) {
        self.arena.unpin(self.span);
    }
}

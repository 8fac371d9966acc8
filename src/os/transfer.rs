//! Reading and writing raw memory: the kernel moves the bytes, and nobody needs a reference to them.
//!
//! Every call but [`send_some`] and [`recv_some`] goes on until all bytes are moved, and all start again where a
//! signal stopped them.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Calls `step` with what is left, from 0 done to `len`, until all of it is done. `step` returns what the system
/// call returned.
fn all(
    len: usize,
    mut step: impl FnMut(usize) -> isize,
    at_end: impl Fn() -> io::Error,
) -> io::Result<usize> {
    let mut done = 0;
    while done < len {
        match step(done) {
            0 => return Err(at_end()),
            moved @ 1.. => done += moved as usize,
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(len)
}

/// Makes a call again as long as signals stop it.
fn once(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(moved) => return Ok(moved),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

fn file_position(offset: u64, done: usize) -> libc::off_t {
    // A file that long does not exist: the kernel refuses the negative number.
    libc::off_t::try_from(offset.saturating_add(done as u64)).unwrap_or(-1)
}

/// Writes the `len` bytes at `start` to `file` at `offset`.
///
/// # Safety
/// The bytes are mapped during the call. Others may write them meanwhile.
///
/// # Errors
/// What the kernel says, and `WriteZero` if it takes nothing.
pub unsafe fn pwrite_all(file: &File, start: *const u8, len: usize, offset: u64) -> io::Result<usize> {
    let step = |done| {
        let position = file_position(offset, done);
        // SAFETY: the rest of the caller's bytes.
        unsafe { libc::pwrite(file.as_raw_fd(), start.wrapping_add(done).cast(), len - done, position) }
    };
    all(len, step, || io::ErrorKind::WriteZero.into())
}

/// Reads `len` bytes of `file` at `offset` into the memory at `start`.
///
/// # Safety
/// The memory is mapped during the call, and nobody has a reference to it.
///
/// # Errors
/// What the kernel says, and `UnexpectedEof` if the file ends before.
pub unsafe fn pread_exact(file: &File, start: *mut u8, len: usize, offset: u64) -> io::Result<usize> {
    let step = |done| {
        let position = file_position(offset, done);
        // SAFETY: the rest of the caller's memory.
        unsafe { libc::pread(file.as_raw_fd(), start.wrapping_add(done).cast(), len - done, position) }
    };
    all(len, step, || io::ErrorKind::UnexpectedEof.into())
}

/// Sends the `len` bytes at `start` on `socket`. A socket that nobody reads any more is an error, not a signal.
///
/// # Safety
/// As for [`pwrite_all`].
///
/// # Errors
/// What the kernel says.
pub unsafe fn send_all(socket: BorrowedFd<'_>, start: *const u8, len: usize) -> io::Result<usize> {
    let step = |done| {
        let rest = start.wrapping_add(done).cast();
        // SAFETY: the rest of the caller's bytes.
        unsafe { libc::send(socket.as_raw_fd(), rest, len - done, libc::MSG_NOSIGNAL) }
    };
    all(len, step, || io::ErrorKind::WriteZero.into())
}

/// Sends what one call takes of the `len` bytes at `start`: all of them on a blocking socket, or as many as went
/// before its timeout.
///
/// # Safety
/// As for [`pwrite_all`].
///
/// # Errors
/// What the kernel says; `WouldBlock` if nothing went before the timeout.
pub unsafe fn send_some(socket: BorrowedFd<'_>, start: *const u8, len: usize) -> io::Result<usize> {
    // SAFETY: the caller's bytes.
    once(|| unsafe { libc::send(socket.as_raw_fd(), start.cast(), len, libc::MSG_NOSIGNAL) })
}

/// Receives what one call brings of `len` bytes: all of them on a blocking socket, or as many as came before its
/// timeout or its end.
///
/// # Safety
/// As for [`pread_exact`].
///
/// # Errors
/// What the kernel says; `WouldBlock` if nothing came before the timeout.
pub unsafe fn recv_some(socket: BorrowedFd<'_>, start: *mut u8, len: usize) -> io::Result<usize> {
    // SAFETY: the caller's memory.
    once(|| unsafe { libc::recv(socket.as_raw_fd(), start.cast(), len, libc::MSG_WAITALL) })
}

/// Receives `len` bytes from `socket` into the memory at `start`.
///
/// # Safety
/// As for [`pread_exact`].
///
/// # Errors
/// What the kernel says, and `UnexpectedEof` if the other end closed before.
pub unsafe fn recv_exact(socket: BorrowedFd<'_>, start: *mut u8, len: usize) -> io::Result<usize> {
    let step = |done| {
        let rest = start.wrapping_add(done).cast();
        // SAFETY: the rest of the caller's memory.
        unsafe { libc::recv(socket.as_raw_fd(), rest, len - done, libc::MSG_WAITALL) }
    };
    all(len, step, || io::ErrorKind::UnexpectedEof.into())
}

/// The most parts that the kernel takes in one call (`IOV_MAX`).
pub const MAX_PARTS: usize = 1024;

/// One part of a transfer that has several. It holds nothing alive.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Part(libc::iovec);

impl Part {
    /// The `len` bytes at `start`.
    pub fn new(start: *mut u8, len: usize) -> Self {
        Self(libc::iovec { iov_base: start.cast(), iov_len: len })
    }

    /// How many bytes it is.
    #[expect(clippy::len_without_is_empty, reason = "a part that is empty is as good as any")]
    pub fn len(&self) -> usize {
        self.0.iov_len
    }

    /// Steps over the first `bytes`, at most all.
    fn advance(&mut self, bytes: usize) {
        self.0.iov_base = self.0.iov_base.cast::<u8>().wrapping_add(bytes).cast();
        self.0.iov_len -= bytes;
    }
}

/// As [`all`], for parts: calls `step` with what is left of them, at most [`MAX_PARTS`], and what is done.
fn all_parts(
    parts: &mut [Part],
    mut step: impl FnMut(&[Part], usize) -> isize,
    at_end: impl Fn() -> io::Error,
) -> io::Result<usize> {
    let (mut rest, mut done) = (parts, 0);
    loop {
        let empty = rest.iter().take_while(|part| part.len() == 0).count();
        rest = &mut rest[empty..];
        if rest.is_empty() {
            return Ok(done);
        }
        let moved = step(&rest[..rest.len().min(MAX_PARTS)], done);
        let Ok(mut moved) = usize::try_from(moved) else {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error);
        };
        if moved == 0 {
            return Err(at_end());
        }
        done += moved;
        for part in &mut *rest {
            let of_part = part.len().min(moved);
            part.advance(of_part);
            moved -= of_part;
        }
    }
}

/// The parts as an array of the C library's.
fn c_parts(parts: &[Part]) -> (*const libc::iovec, libc::c_int) {
    // At most `MAX_PARTS`.
    (parts.as_ptr().cast(), parts.len() as libc::c_int)
}

/// A message of these parts and nothing else.
fn message(parts: &[Part]) -> libc::msghdr {
    // SAFETY: a message header is pointers and numbers, for which zero is a value: nothing.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_ptr().cast_mut().cast();
    message.msg_iovlen = parts.len() as _;
    message
}

/// Writes the parts, one behind the other, to `file` at `offset`. They are used up.
///
/// # Safety
/// As for [`pwrite_all`], for each.
///
/// # Errors
/// As [`pwrite_all`].
pub unsafe fn pwritev_all(file: &File, parts: &mut [Part], offset: u64) -> io::Result<usize> {
    let step = |rest: &[Part], done| {
        let (parts, count) = c_parts(rest);
        // SAFETY: the rest of the caller's bytes.
        unsafe { libc::pwritev(file.as_raw_fd(), parts, count, file_position(offset, done)) }
    };
    all_parts(parts, step, || io::ErrorKind::WriteZero.into())
}

/// Fills the parts, one behind the other, from `file` at `offset`. They are used up.
///
/// # Safety
/// As for [`pread_exact`], for each.
///
/// # Errors
/// As [`pread_exact`].
pub unsafe fn preadv_exact(file: &File, parts: &mut [Part], offset: u64) -> io::Result<usize> {
    let step = |rest: &[Part], done| {
        let (parts, count) = c_parts(rest);
        // SAFETY: the rest of the caller's memory.
        unsafe { libc::preadv(file.as_raw_fd(), parts, count, file_position(offset, done)) }
    };
    all_parts(parts, step, || io::ErrorKind::UnexpectedEof.into())
}

/// Sends the parts, one behind the other, on `socket`. They are used up.
///
/// # Safety
/// As for [`send_all`], for each.
///
/// # Errors
/// As [`send_all`].
pub unsafe fn send_parts(socket: BorrowedFd<'_>, parts: &mut [Part]) -> io::Result<usize> {
    let step = |rest: &[Part], _| {
        // SAFETY: the rest of the caller's bytes.
        unsafe { libc::sendmsg(socket.as_raw_fd(), &message(rest), libc::MSG_NOSIGNAL) }
    };
    all_parts(parts, step, || io::ErrorKind::WriteZero.into())
}

/// Fills the parts, one behind the other, from `socket`. They are used up.
///
/// # Safety
/// As for [`recv_exact`], for each.
///
/// # Errors
/// As [`recv_exact`].
pub unsafe fn recv_parts(socket: BorrowedFd<'_>, parts: &mut [Part]) -> io::Result<usize> {
    let step = |rest: &[Part], _| {
        // SAFETY: the rest of the caller's memory.
        unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message(rest), libc::MSG_WAITALL) }
    };
    all_parts(parts, step, || io::ErrorKind::UnexpectedEof.into())
}

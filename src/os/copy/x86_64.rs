//! Copies by 16 bytes, in assembler.
//!
//! # Why this is sound
//!
//! An assembler block may do whatever a function in Rust could do to the memory it is given, and the compiler assumes
//! no more of it than that. These blocks do what a loop over relaxed atomic bytes would do: each byte of the source
//! is loaded, each byte of the destination stored, nothing else is touched. The processor tears no byte, and a move
//! of 16 bytes is some order of its bytes. So bytes that another thread changes meanwhile give a torn object, as
//! racing relaxed atomics may; and since all of this process's accesses to shared memory on this processor are such
//! blocks, no two atomics of different widths race. The private side of a copy is a slice, which nobody else has.
//!
//! # Why two kinds of stores
//!
//! A plain store first reads the line that it overwrites. Where the destination lies in memory, not in a cache, that
//! is a third of the traffic. A streaming store does not read, and leaves the caches to others; so large copies into
//! the arena stream, on the processors where it was measured to be the faster way (`benches/memory`).
use std::arch::asm;

use crate::os::host;

/// From here on a copy into the arena streams: an object this large is not in a cache when it is overwritten, and
/// does not stay in one until it is read.
pub(super) const STREAM_FROM_BYTES: usize = 1 << 20;

/// What a streaming store is aligned to.
const STREAM_ALIGN_BYTES: usize = 16;

/// What one turn of the loops moves.
const TURN_BYTES: usize = 64;

/// # Safety
/// See [`super::copy_in`].
pub(super) unsafe fn copy_in(to: *mut u8, bytes: &[u8]) {
    // SAFETY: a slice on one side, the caller's memory on the other.
    unsafe { copy(bytes.as_ptr(), to, bytes.len(), streams(bytes.len())) }
}

/// # Safety
/// See [`super::copy_out`].
pub(super) unsafe fn copy_out(from: *const u8, out: &mut [u8]) {
    // Not streamed: who asks for the bytes reads them next.
    // SAFETY: as in `copy_in`.
    unsafe { copy(from, out.as_mut_ptr(), out.len(), false) }
}

/// # Safety
/// See [`super::copy_across`].
pub(super) unsafe fn copy_across(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's memory on both sides.
    unsafe { copy(from, to, len, streams(len)) }
}

fn streams(len: usize) -> bool {
    len >= STREAM_FROM_BYTES && host::is_amd_processor()
}

/// Copies `len` bytes, in streaming stores if `streams` says so.
///
/// # Safety
/// `from` can be read for `len` bytes, and `to` written; what is not private to the caller is shared memory.
pub(super) unsafe fn copy(from: *const u8, to: *mut u8, len: usize, streams: bool) {
    let mut done = 0;
    if streams {
        let head = to.align_offset(STREAM_ALIGN_BYTES).min(len);
        let body = (len - head) / TURN_BYTES * TURN_BYTES;
        // SAFETY: the first part of the copy.
        unsafe { copy_plain(from, to, head) };
        if body > 0 {
            // SAFETY: the part behind it, whose destination is aligned now.
            unsafe { copy_streaming(from.wrapping_add(head), to.wrapping_add(head), body) };
        }
        done = head + body;
    }
    // SAFETY: what is left of the copy.
    unsafe { copy_plain(from.wrapping_add(done), to.wrapping_add(done), len - done) };
}

/// # Safety
/// As for [`copy`].
unsafe fn copy_plain(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: reads `len` bytes behind `from` and writes as many behind `to`, as the caller allows.
    unsafe {
        asm!(
            "cmp {len}, 64",
            "jb 3f",
            "2:",
            "movups {a}, [{from}]",
            "movups {b}, [{from} + 16]",
            "movups {c}, [{from} + 32]",
            "movups {d}, [{from} + 48]",
            "movups [{to}], {a}",
            "movups [{to} + 16], {b}",
            "movups [{to} + 32], {c}",
            "movups [{to} + 48], {d}",
            "add {from}, 64",
            "add {to}, 64",
            "sub {len}, 64",
            "cmp {len}, 64",
            "jae 2b",
            "3:",
            "cmp {len}, 8",
            "jb 5f",
            "4:",
            "mov {word}, [{from}]",
            "mov [{to}], {word}",
            "add {from}, 8",
            "add {to}, 8",
            "sub {len}, 8",
            "cmp {len}, 8",
            "jae 4b",
            "5:",
            "test {len}, {len}",
            "jz 7f",
            "6:",
            "mov {word:l}, [{from}]",
            "mov [{to}], {word:l}",
            "inc {from}",
            "inc {to}",
            "dec {len}",
            "jnz 6b",
            "7:",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            len = inout(reg) len => _,
            word = out(reg_abcd) _,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            d = out(xmm_reg) _,
            options(nostack),
        );
    }
}

/// Copies a positive multiple of [`TURN_BYTES`] to a multiple of [`STREAM_ALIGN_BYTES`].
///
/// # Safety
/// As for [`copy`].
unsafe fn copy_streaming(from: *const u8, to: *mut u8, len: usize) {
    debug_assert!(len > 0 && len.is_multiple_of(TURN_BYTES) && to.addr().is_multiple_of(STREAM_ALIGN_BYTES));
    // The fence: streaming stores may become visible after later stores, and a mutex that is let go next must not be
    // seen before the bytes.
    // SAFETY: reads `len` bytes behind `from` and writes as many behind `to`, as the caller allows.
    unsafe {
        asm!(
            "2:",
            "movups {a}, [{from}]",
            "movups {b}, [{from} + 16]",
            "movups {c}, [{from} + 32]",
            "movups {d}, [{from} + 48]",
            "movntps [{to}], {a}",
            "movntps [{to} + 16], {b}",
            "movntps [{to} + 32], {c}",
            "movntps [{to} + 48], {d}",
            "add {from}, 64",
            "add {to}, 64",
            "sub {len}, 64",
            "jnz 2b",
            "sfence",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            len = inout(reg) len => _,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            d = out(xmm_reg) _,
            options(nostack),
        );
    }
}

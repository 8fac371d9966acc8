//! A way around for memory of the host that the driver does not know: through a buffer that it does, piece by piece.
//!
//! The processor's part is a function of the host in the stream, so that it happens in the stream's order and no thread of ours waits. The
//! driver calls none of them after the device is lost, and it may be in one then. So what such a function works on is behind a gate, which is
//! shut before anything is given back; the gate itself stays.
#![expect(unsafe_code, reason = "the driver passes an address back")]

use std::ffi::c_void;

use super::handles::PinnedBuffer;
use crate::device::host_side::HostSide;
use crate::device::stream::Direction;
use crate::sync::{Arc, Mutex, lock};

/// What the processor does for one piece, once.
#[derive(Debug)]
pub(super) struct Gate(Mutex<Option<Piece>>);

/// Bytes that pass through the buffer together.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) buffer: Arc<PinnedBuffer>,
    pub(super) host: Arc<dyn HostSide>,
    pub(super) direction: Direction,
    pub(super) parts: Vec<Part>,
}

/// Bytes that lie together in the buffer and in the host's memory. Both hold them: who makes a part has checked it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) in_buffer: usize,
    pub(super) in_host: u64,
    pub(super) bytes: usize,
}

impl Gate {
    pub(super) fn new(piece: Piece) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(piece))))
    }

    /// What [`pass()`] takes, as long as the gate is there.
    pub(super) fn data(self: &Arc<Self>) -> *mut c_void {
        Arc::as_ptr(self).cast_mut().cast()
    }

    /// Nothing passes any more. Waits for what is passing.
    pub(super) fn shut(&self) {
        *lock(&self.0) = None;
    }

    /// No panic comes out of it: its caller is the driver.
    fn pass(&self) {
        if let Ok(mut piece) = self.0.lock()
            && let Some(piece) = piece.take()
        {
            piece.copy();
        }
    }
}

impl Piece {
    fn copy(&self) {
        for Part { in_buffer, in_host, bytes } in &self.parts {
            let start = self.buffer.start().wrapping_add(*in_buffer);
            // SAFETY: the bytes are in the buffer, and it is the processor's turn: the device comes before or after, by the stream's order.
            let in_buffer = unsafe { std::slice::from_raw_parts_mut(start, *bytes) };
            match self.direction {
                Direction::DeviceToHost => self.host.region().write(*in_host as usize, in_buffer),
                Direction::HostToDevice => self.host.region().read(*in_host as usize, in_buffer),
            }
        }
    }
}

/// The function for the driver.
///
/// # Safety
/// `data` is that of a gate that is there.
pub(super) unsafe extern "C" fn pass(data: *mut c_void) {
    // SAFETY: as the caller promises.
    let gate = unsafe { &*data.cast::<Gate>() };
    gate.pass();
}

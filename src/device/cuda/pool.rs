//! Page-locked buffers that are used again: to lock pages takes longer than to move them.

use super::context::Context;
use super::failure::Failure;
use super::handles::PinnedBuffer;
use crate::sync::{Arc, Mutex, lock};

/// The smallest buffer.
const MIN_BYTES: usize = 64 << 10;

/// What is kept for later, at most. More than that is given back when its transfer is over, and given back memory makes the device wait.
const KEPT_BYTES: usize = 64 << 20;

/// The buffers of a device that nobody uses.
#[derive(Debug)]
pub(super) struct PinnedPool {
    context: Arc<Context>,
    free: Mutex<Vec<PinnedBuffer>>,
}

impl PinnedPool {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context, free: Mutex::default() }
    }

    /// A buffer of at least `len_bytes`, with whatever bytes.
    pub(super) fn take(&self, len_bytes: usize) -> Result<PinnedBuffer, Failure> {
        let size = len_bytes.max(MIN_BYTES).next_power_of_two();
        let mut free = lock(&self.free);
        if let Some(found) = free.iter().position(|buffer| buffer.len_bytes() == size) {
            return Ok(free.swap_remove(found));
        }
        drop(free);
        PinnedBuffer::new(&self.context, size)
    }

    /// Takes a buffer back, or returns it where it is of no use here: the caller drops it, which makes the device wait.
    pub(super) fn put(&self, buffer: PinnedBuffer) -> Option<PinnedBuffer> {
        let mut free = lock(&self.free);
        let kept: usize = free.iter().map(PinnedBuffer::len_bytes).sum();
        if kept + buffer.len_bytes() <= KEPT_BYTES && self.context.lost().is_none() {
            free.push(buffer);
            return None;
        }
        Some(buffer)
    }
}

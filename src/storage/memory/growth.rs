//! Lazy growth: L1 starts small and at once, and a thread commits the rest of its memory meanwhile.
//!
//! As in LMCache, the first bytes are committed, and pinned, before L1 starts; the thread does the same to the others in steps of
//! [`STEP_BYTES`], and publishes them per [`PUBLISH_BYTES`]. Only what is published is handed out, so objects may find
//! no room while L1 grows. The owner of the address space asks how far it may go ([`Growth::published_bytes`]); the
//! thread never waits for the owner's lock.

use std::thread::JoinHandle;

use super::arena::Arena;
use crate::error::{Error, Result};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// What is committed at once; the sizes of a heap are multiples of it. LMCache's `PIN_CHUNK`.
pub const STEP_BYTES: u64 = 64 << 20;

/// What is published at once. LMCache's `COMMIT`.
pub const PUBLISH_BYTES: u64 = 1 << 30;

/// How large a heap is at first, and at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapSize {
    /// What can be used at once.
    pub initial_bytes: u64,
    /// What can be used in the end.
    pub final_bytes: u64,
}

impl HeapSize {
    /// A heap that ends where it is configured to.
    pub fn exact(initial_bytes: u64, size_bytes: u64) -> Self {
        let initial_bytes = whole_steps(initial_bytes).min(size_bytes);
        Self { initial_bytes, final_bytes: size_bytes }
    }

    /// LMCache's heap: both sizes in whole steps, up to 64 MiB more than configured.
    pub fn lmcache(initial_bytes: u64, size_bytes: u64) -> Self {
        let final_bytes = whole_steps(size_bytes);
        Self { initial_bytes: whole_steps(initial_bytes).min(final_bytes), final_bytes }
    }
}

/// At least one step.
fn whole_steps(bytes: u64) -> u64 {
    bytes.max(1).checked_next_multiple_of(STEP_BYTES).unwrap_or(bytes)
}

/// How far a heap has grown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrowthState {
    /// It has its size, as every heap that is not lazy has from the start.
    Complete,
    /// The thread is at it.
    Growing,
    /// It stays as large as it is. What stopped it.
    Stopped(String),
}

#[derive(Debug)]
struct Shared {
    published_bytes: AtomicU64,
    is_cancelled: AtomicBool,
    failure: Mutex<Option<String>>,
}

/// A heap that grows, or has grown. Dropping it stops the thread, after the step that it is in.
#[derive(Debug)]
pub(super) struct Growth {
    shared: Arc<Shared>,
    size: HeapSize,
    thread: Option<JoinHandle<()>>,
}

impl Growth {
    /// Commits the first bytes of `arena`, which is at least as long as `size` says, and starts the thread.
    ///
    /// # Errors
    /// If there is no memory for the first bytes, or no thread.
    pub(super) fn start(arena: &Arc<Arena>, size: HeapSize) -> Result<Self> {
        arena
            .commit(0, size.initial_bytes)
            .map_err(|error| error.with_hint("give L1 a smaller initial size, or let it not grow lazily"))?;
        for offset_bytes in (0..size.initial_bytes).step_by(STEP_BYTES as usize) {
            arena.register(offset_bytes, STEP_BYTES.min(size.initial_bytes - offset_bytes));
        }
        let shared = Arc::new(Shared {
            published_bytes: AtomicU64::new(size.initial_bytes),
            is_cancelled: AtomicBool::new(false),
            failure: Mutex::new(None),
        });
        let (of_thread, arena) = (Arc::clone(&shared), Arc::clone(arena));
        let thread = std::thread::Builder::new()
            .name("l1-growth".to_owned())
            .spawn(move || of_thread.run(&arena, size))
            .map_err(|error| Error::io("cannot start the thread that grows L1", error))?;
        Ok(Self { shared, size, thread: Some(thread) })
    }

    /// How many bytes from the start of the arena may be handed out.
    pub(super) fn published_bytes(&self) -> u64 {
        // Pairs with `publish`: what is handed out is known to be pinned, if it is. Fresh pages hold nothing to be seen.
        self.shared.published_bytes.load(Ordering::Acquire)
    }

    /// Has the thread stop after the step that it is in. The heap stays as large as it is. For somebody to wait for who holds no
    /// lock that the heap stands under.
    pub(super) fn cancel(&mut self) -> Option<JoinHandle<()>> {
        // Relaxed: a flag that orders nothing; joining the thread orders the rest.
        self.shared.is_cancelled.store(true, Ordering::Relaxed);
        self.thread.take()
    }

    /// Stops the thread, after the step that it is in. The heap stays as large as it is.
    pub(super) fn stop(&mut self) {
        if let Some(thread) = self.cancel() {
            // A panic of the thread has been printed; there is nobody here to pass it on to.
            let _ = thread.join();
        }
    }

    /// How far it is.
    pub(super) fn state(&self) -> GrowthState {
        if self.published_bytes() == self.size.final_bytes {
            return GrowthState::Complete;
        }
        lock(&self.shared.failure).clone().map_or(GrowthState::Growing, GrowthState::Stopped)
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn run(&self, arena: &Arena, size: HeapSize) {
        let mut committed_bytes = size.initial_bytes;
        let mut published_bytes = committed_bytes;
        let mut failure = None;
        while committed_bytes < size.final_bytes {
            // Relaxed: see `cancel`.
            if self.is_cancelled.load(Ordering::Relaxed) {
                failure = Some("L1 was closed while it grew".to_owned());
                break;
            }
            let step_bytes = STEP_BYTES.min(size.final_bytes - committed_bytes);
            match arena.commit(committed_bytes, step_bytes) {
                Ok(()) => {
                    arena.register(committed_bytes, step_bytes);
                    committed_bytes += step_bytes;
                }
                Err(error) => {
                    failure = Some(error.to_string());
                    break;
                }
            }
            if committed_bytes - published_bytes >= PUBLISH_BYTES {
                published_bytes = committed_bytes;
                self.publish(published_bytes);
            }
        }
        self.publish(committed_bytes);
        *lock(&self.failure) = failure;
    }

    fn publish(&self, bytes: u64) {
        // Pairs with `published_bytes`.
        self.published_bytes.store(bytes, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_steps_and_only_lmcaches_go_past_the_configured_end() {
        let size = |initial_bytes, final_bytes| HeapSize { initial_bytes, final_bytes };
        let step = STEP_BYTES;
        assert_eq!(HeapSize::lmcache(1, step + 1), size(step, 2 * step));
        assert_eq!(HeapSize::exact(1, step + 1), size(step, step + 1));
        assert_eq!(HeapSize::lmcache(step, step), HeapSize::exact(step, step));
        assert_eq!(HeapSize::exact(0, 100), size(100, 100));
        assert_eq!(HeapSize::lmcache(5 * step, 100), size(step, step));
        assert_eq!(HeapSize::exact(u64::MAX, u64::MAX), size(u64::MAX, u64::MAX));
    }
}

//! Memory between an object and what L2 keeps of it: bounded, and handed out to whole tasks in the order in which they
//! asked.
//!
//! A task gets the buffers of all its objects at once or waits; so two tasks never wait for each other's. Nobody's thread
//! waits: who gets buffers later is called back, on the thread that gave some up. A buffer is free again when its last
//! pin is gone, wherever that is.

use std::collections::VecDeque;
use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::storage::memory::AddressAllocator as _;
use crate::storage::memory::{AddressManager, Arena, PinnedSpan, Released, Span};
use crate::sync::{Arc, Mutex, lock};

/// The alignment of buffers: enough for direct I/O.
const ALIGN_BYTES: u64 = 4096;

/// Called with a task's buffers; dropped if there will be none.
type Granted = Box<dyn FnOnce(BounceBuffers) + Send>;

/// The memory.
pub(super) struct Bounce {
    arena: Arc<Arena>,
    state: Mutex<State>,
    capacity_bytes: u64,
}

struct State {
    addresses: AddressManager,
    waiting: VecDeque<Waiting>,
    is_closed: bool,
}

struct Waiting {
    sizes_bytes: Vec<u64>,
    granted: Granted,
}

impl fmt::Debug for Bounce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounce").field("capacity_bytes", &self.capacity_bytes).finish_non_exhaustive()
    }
}

/// The buffers of one task, given back when it goes.
#[derive(Debug)]
pub(super) struct BounceBuffers {
    bounce: Arc<Bounce>,
    /// Offset and room.
    places: Vec<(u64, u64)>,
    /// As many bytes as the object in each place has.
    sizes_bytes: Vec<u64>,
}

impl Bounce {
    /// Memory of `capacity_bytes`, rounded up to whole pages. It costs address space until it is used.
    pub(super) fn new(capacity_bytes: u64) -> Result<Arc<Self>> {
        let capacity_bytes = capacity_bytes.max(1).next_multiple_of(ALIGN_BYTES);
        let arena = Arc::new(Arena::new(capacity_bytes, ALIGN_BYTES)?);
        let addresses = AddressManager::new(capacity_bytes, ALIGN_BYTES)?;
        let state = Mutex::new(State { addresses, waiting: VecDeque::new(), is_closed: false });
        Ok(Arc::new(Self { arena, state, capacity_bytes }))
    }

    /// What buffers of these sizes take up.
    pub(super) fn room_bytes(size_bytes: u64) -> u64 {
        size_bytes.max(1).checked_next_multiple_of(ALIGN_BYTES).unwrap_or(u64::MAX)
    }

    pub(super) fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    pub(super) fn used_bytes(&self) -> u64 {
        lock(&self.state).addresses.used_bytes()
    }

    /// Tasks that wait for buffers.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.state).waiting.len()
    }

    /// Calls `granted` with buffers of these sizes: at once, or when there are so many.
    ///
    /// # Errors
    /// If there will never be so many.
    pub(super) fn request(self: &Arc<Self>, sizes_bytes: Vec<u64>, granted: Granted) -> Result<()> {
        let rooms = sizes_bytes.iter().map(|size_bytes| Self::room_bytes(*size_bytes));
        let room = rooms.fold(0_u64, u64::saturating_add);
        if room > self.capacity_bytes {
            return Err(Error::new(
                ErrorKind::OutOfMemory,
                "a task needs more bounce memory than the adapter has",
            )
            .with_context("bytes", room)
            .with_context("bounce_bytes", self.capacity_bytes)
            .with_hint("hand over fewer or smaller objects at a time"));
        }
        let mut state = lock(&self.state);
        if state.is_closed {
            return Err(Error::new(ErrorKind::Closed, "the adapter was closed"));
        }
        state.waiting.push_back(Waiting { sizes_bytes, granted });
        drop(state);
        self.serve();
        Ok(())
    }

    /// Hands buffers to those who wait, as long as there are some for the first.
    fn serve(self: &Arc<Self>) {
        loop {
            let mut state = lock(&self.state);
            for span in self.arena.take_unpinned() {
                state.give_back(span.offset_bytes, span.phy_size_bytes);
            }
            let Some(first) = state.waiting.pop_front() else { return };
            let Some(places) = state.take(&first.sizes_bytes) else {
                state.waiting.push_front(first);
                return;
            };
            drop(state);
            let Waiting { sizes_bytes, granted } = first;
            granted(BounceBuffers { bounce: Arc::clone(self), places, sizes_bytes });
        }
    }

    /// Drops those who wait; later requests are refused.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        // Outside of the lock: what is dropped answers tasks.
        drop(state);
        drop(waiting);
    }
}

impl State {
    /// A place for each size, or none for any.
    fn take(&mut self, sizes_bytes: &[u64]) -> Option<Vec<(u64, u64)>> {
        let mut places: Vec<(u64, u64)> = Vec::with_capacity(sizes_bytes.len());
        for size_bytes in sizes_bytes {
            let room = Bounce::room_bytes(*size_bytes);
            let mut address = Vec::with_capacity(1);
            // The room is never zero.
            if !self.addresses.batched_allocate(room, 1, &mut address).unwrap_or(false) {
                places.iter().for_each(|(offset, room)| self.give_back(*offset, *room));
                return None;
            }
            places.push((address[0], room));
        }
        Some(places)
    }

    fn give_back(&mut self, offset: u64, room: u64) {
        // Only what was taken comes here; if not, the address manager refuses and remembers it.
        let _ = self.addresses.free(offset, room);
    }
}

impl BounceBuffers {
    /// The buffer of object number `position`, pinned; any number of times.
    pub(super) fn pin(&self, position: usize) -> PinnedSpan {
        let (offset_bytes, phy_size_bytes) = self.places[position];
        let span = Span { offset_bytes, phy_size_bytes, size_bytes: self.sizes_bytes[position] };
        let _state = lock(&self.bounce.state);
        self.bounce.arena.pin(span)
    }

    /// Says that the object is shorter than its buffer was asked for.
    pub(super) fn shorten(&mut self, position: usize, size_bytes: u64) {
        self.sizes_bytes[position] = self.sizes_bytes[position].min(size_bytes);
    }
}

impl Drop for BounceBuffers {
    fn drop(&mut self) {
        let mut state = lock(&self.bounce.state);
        for ((offset_bytes, room), size_bytes) in self.places.drain(..).zip(&self.sizes_bytes) {
            let span = Span { offset_bytes, phy_size_bytes: room, size_bytes: *size_bytes };
            if self.bounce.arena.release(span) == Released::Now {
                state.give_back(offset_bytes, room);
            }
        }
        drop(state);
        self.bounce.serve();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::OnceLock;

    fn ask(bounce: &Arc<Bounce>, sizes: &[u64]) -> Arc<OnceLock<BounceBuffers>> {
        let got = Arc::new(OnceLock::new());
        let sink = Arc::clone(&got);
        bounce
            .request(sizes.to_vec(), Box::new(move |buffers| assert!(sink.set(buffers).is_ok())))
            .expect("it fits");
        got
    }

    #[test]
    fn buffers_come_at_once_or_in_the_order_of_asking() {
        let bounce = Bounce::new(4 * 4096).unwrap();
        let first = ask(&bounce, &[4096, 5000]);
        assert!(first.get().is_some());
        let second = ask(&bounce, &[1, 1]);
        // There would be room for this one, but it is not its turn.
        let third = ask(&bounce, &[1]);
        assert!(second.get().is_none() && third.get().is_none());
        assert_eq!((bounce.waiting(), bounce.used_bytes()), (2, 3 * 4096));
        drop(first);
        assert!(second.get().is_some() && third.get().is_some());
        drop((second, third));
        assert_eq!(bounce.used_bytes(), 0);
    }

    #[test]
    fn a_pinned_buffer_is_not_given_away() {
        let bounce = Bounce::new(4096).unwrap();
        let first = ask(&bounce, &[100]);
        let pinned = first.get().expect("buffers").pin(0);
        drop(first);
        let second = ask(&bounce, &[100]);
        assert!(second.get().is_none());
        drop(pinned);
        // A pin that goes by itself is noticed with the next request or return.
        let third = ask(&bounce, &[4096]);
        assert!(second.get().is_some() && third.get().is_none());
        bounce.close();
        assert!(bounce.request(vec![1], Box::new(|_| ())).is_err());
    }

    #[test]
    fn what_will_never_fit_is_refused() {
        let bounce = Bounce::new(2 * 4096).unwrap();
        assert!(bounce.request(vec![4096, 4096], Box::new(|_| ())).is_ok());
        for sizes in [vec![4096, 4097], vec![u64::MAX], vec![1; 3]] {
            assert!(bounce.request(sizes, Box::new(|_| ())).is_err());
        }
    }
}

//! Where a thread found the keys of its last call, for the [`cursor`](super::cursor) of the next.

use super::shard::{Place, SlotId};
use crate::sync::atomic::{AtomicU64, Ordering};

/// Keys of a call whose places are noted: the chunks of a prompt of 64 Ki tokens.
const NOTED_KEYS: usize = 256;

const NOWHERE: u64 = u64::MAX;

/// Where the keys of a thread's calls were found last, by their positions in the call. Threads that share a stripe put
/// each other off the track.
#[derive(Debug)]
pub(super) struct Notes([AtomicU64; NOTED_KEYS]);

impl Default for Notes {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(NOWHERE)))
    }
}

impl Notes {
    // Relaxed, here and below: what is read is a guess that is checked.
    #[inline]
    pub(super) fn get(&self, position: usize) -> Option<Place> {
        let noted = self.0.get(position)?.load(Ordering::Relaxed);
        (noted != NOWHERE).then_some(Place { shard: (noted >> 32) as u32, slot: noted as SlotId })
    }

    #[inline]
    pub(super) fn set(&self, position: usize, place: Place) {
        if let Some(note) = self.0.get(position) {
            let noted = u64::from(place.shard) << 32 | u64::from(place.slot);
            // Threads that share a stripe share its cache lines, as long as nobody writes.
            if note.load(Ordering::Relaxed) != noted {
                note.store(noted, Ordering::Relaxed);
            }
        }
    }
}

//! Where a thread found the keys of its last call, and where it adds keys, for the [`cursor`](super::cursor) of the next.

use super::shard::{Place, SlotId};
use crate::sync::atomic::{AtomicU64, Ordering};

/// Keys of a call whose places are noted: the chunks of a prompt of 64 Ki tokens.
const NOTED_KEYS: usize = 256;

const NOWHERE: u64 = u64::MAX;

/// Where the keys of a thread's calls were found last, by their positions in the call. Threads that share a stripe put
/// each other off the track.
#[derive(Debug)]
pub(super) struct Notes {
    places: [AtomicU64; NOTED_KEYS],
    /// The shard that takes the keys which the thread adds, counted on past the last one.
    home: AtomicU64,
}

impl Notes {
    /// Notes of a thread that found nothing yet, and adds to this shard first.
    pub(super) fn new(first_shard: u64) -> Self {
        Self { places: std::array::from_fn(|_| AtomicU64::new(NOWHERE)), home: AtomicU64::new(first_shard) }
    }

    // Relaxed, here and below: what is read is a guess that is checked, or a shard that is as good as any other.
    #[inline]
    pub(super) fn home(&self) -> u64 {
        self.home.load(Ordering::Relaxed)
    }

    pub(super) fn move_home(&self) {
        self.home.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn get(&self, position: usize) -> Option<Place> {
        let noted = self.places.get(position)?.load(Ordering::Relaxed);
        (noted != NOWHERE).then_some(Place { shard: (noted >> 32) as u32, slot: noted as SlotId })
    }

    #[inline]
    pub(super) fn set(&self, position: usize, place: Place) {
        if let Some(note) = self.places.get(position) {
            let noted = u64::from(place.shard) << 32 | u64::from(place.slot);
            // Threads that share a stripe share its cache lines, as long as nobody writes.
            if note.load(Ordering::Relaxed) != noted {
                note.store(noted, Ordering::Relaxed);
            }
        }
    }
}

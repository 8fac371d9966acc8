//! Where a thread found the keys of its last call, and where it adds keys, for the [`cursor`](super::cursor) of the next.

use super::shard::{BLOCK_SLOTS, Place, SlotId};
use crate::sync::atomic::{AtomicU64, Ordering};

/// Keys of a call whose places are noted: the chunks of a prompt of 64 Ki tokens.
const NOTED_KEYS: usize = 256;

const NOWHERE: u64 = u64::MAX;

/// Where the keys of a thread's calls were found last, by their positions in the call. Threads that share a stripe put
/// each other off the track.
#[derive(Debug)]
pub(super) struct Notes {
    places: [AtomicU64; NOTED_KEYS],
    /// How many keys were added, and [`BLOCK_SLOTS`] for each shard before that which took the first.
    added: AtomicU64,
}

/// The shard that takes the keys which a thread adds: as many as lie together, and then the next one does. So prompts lie
/// together though they come in several calls, and all shards get as many keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Home {
    /// Counted on past the last shard.
    pub(super) shard: u64,
    /// It takes so many more.
    pub(super) room: u64,
}

impl Notes {
    /// Notes of a thread that found nothing yet, and adds to this shard first.
    pub(super) fn new(first_shard: u64) -> Self {
        Self {
            places: std::array::from_fn(|_| AtomicU64::new(NOWHERE)),
            added: AtomicU64::new(first_shard * BLOCK_SLOTS as u64),
        }
    }

    // Relaxed, here and below: what is read is a guess that is checked, or a place that is as good as any other.
    #[inline]
    pub(super) fn home(&self) -> Home {
        let (added, slots) = (self.added.load(Ordering::Relaxed), BLOCK_SLOTS as u64);
        Home { shard: added / slots, room: slots - added % slots }
    }

    /// So many keys were added.
    #[inline]
    pub(super) fn count_added(&self, keys: u64) {
        // No read-modify-write: a count that is lost among threads of one stripe costs nothing.
        self.added.store(self.added.load(Ordering::Relaxed).wrapping_add(keys), Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_takes_as_many_keys_as_lie_together_and_then_the_next_does() {
        let notes = Notes::new(5);
        assert_eq!(notes.home(), Home { shard: 5, room: 64 });
        notes.count_added(63);
        assert_eq!(notes.home(), Home { shard: 5, room: 1 });
        notes.count_added(1);
        assert_eq!(notes.home(), Home { shard: 6, room: 64 });
    }
}

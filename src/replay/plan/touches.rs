//! What was done last with a key, and by whom: a table of fixed size, however many keys a trace has.
//!
//! A key has one place, which a later key can take: then what was known of the former is forgotten. Not so who has to be
//! waited for, which belongs to the place: two keys that share it wait for each other without need, and never too little.

use std::hash::BuildHasher;

use super::Wait;
use crate::format::model::ObjectKey;

/// Places of the table, a power of two: half a MiB for who has to be waited for, 4 MiB for the rest.
const PLACES: usize = 1 << 16;

/// Bits of a [`Wait`] that say which worker; the others hold the number of its call, which reaches their end after a year at ten
/// million calls a second.
const WORKER_BITS: u32 = 16;

/// Numbers of the records that last did something with a key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Touch {
    pub(super) reserved: Option<u64>,
    pub(super) written: Option<u64>,
    pub(super) prefetched: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The upper half of the key's hash.
    tag: u32,
    touch: Touch,
}

/// The table.
#[derive(Debug)]
pub(super) struct Touches {
    places: Box<[Place]>,
    /// The last call on the keys of a place in one word, so that the nearer caches hold all of them; 0 before the first.
    last: Box<[u64]>,
    hasher: foldhash::fast::RandomState,
}

impl Default for Touches {
    fn default() -> Self {
        let places = vec![Place::default(); PLACES].into_boxed_slice();
        Self { places, last: vec![0; PLACES].into_boxed_slice(), hasher: Default::default() }
    }
}

impl Touches {
    /// The hash of a key: another one in every run, so that no trace can be made to crowd one place.
    pub(super) fn hash(&self, key: &ObjectKey) -> u64 {
        self.hasher.hash_one(key)
    }

    /// What is known of `key`.
    pub(super) fn of(&self, key: &ObjectKey) -> Option<Touch> {
        let hash = self.hash(key);
        let place = &self.places[position(hash)];
        (place.tag == tag(hash)).then_some(place.touch)
    }

    /// What is known of `key`, to be changed.
    pub(super) fn entry(&mut self, key: &ObjectKey) -> &mut Touch {
        let hash = self.hash(key);
        let place = &mut self.places[position(hash)];
        if place.tag != tag(hash) {
            (place.tag, place.touch) = (tag(hash), Touch::default());
        }
        &mut place.touch
    }

    /// Notes that `own` is the last call on `key`; returns the one before.
    pub(super) fn pass(&mut self, key: &ObjectKey, own: Wait) -> Option<Wait> {
        let place = &mut self.last[position(self.hash(key))];
        let before = std::mem::replace(place, own.calls << WORKER_BITS | u64::from(own.worker));
        // The number of a worker's first call is 1.
        (before != 0).then_some(Wait { worker: before as u16, calls: before >> WORKER_BITS })
    }
}

fn position(hash: u64) -> usize {
    hash as usize % PLACES
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

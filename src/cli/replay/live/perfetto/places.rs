//! Where the last calls were, for the arrows that leave them.

/// How many calls back an arrow reaches.
pub(super) const PLACES: usize = 1 << 18;

/// A call on the timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) track: u32,
    /// The middle of its slice, from the start of the replay.
    pub(super) middle_ns: u64,
}

/// The places of the last [`PLACES`] calls.
pub(super) struct Places(Vec<(u64, Place)>);

/// What stands where no call is known. No trace has as many records.
const NO_CALL: u64 = u64::MAX;

impl Default for Places {
    fn default() -> Self {
        Self(vec![(NO_CALL, Place::default()); PLACES])
    }
}

impl Places {
    pub(super) fn put(&mut self, seq: u64, place: Place) {
        self.0[slot(seq)] = (seq, place);
    }

    /// Nothing if the call is too long ago, or was never put here.
    pub(super) fn get(&self, seq: u64) -> Option<Place> {
        let (known, place) = self.0[slot(seq)];
        (known == seq && seq != NO_CALL).then_some(place)
    }
}

fn slot(seq: u64) -> usize {
    (seq % PLACES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_known_until_as_many_came_after_it() {
        let mut places = Places::default();
        let place = |middle_ns| Place { track: 1, middle_ns };
        let last = PLACES as u64;
        (0..last).for_each(|seq| places.put(seq, place(seq)));
        assert_eq!(places.get(0), Some(place(0)));
        assert_eq!(places.get(last), None);
        places.put(last, place(last));
        assert_eq!((places.get(0), places.get(last)), (None, Some(place(last))));
        assert_eq!(places.get(u64::MAX), None);
    }
}

//! Result codes: what happened to each key of a call.

use std::fmt;

use smallvec::SmallVec;

use crate::format::model::ObjectKey;

/// LMCache's `L1Error`: the outcome of an operation on one key. The numbers are LMCache's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum L1Error {
    /// It was done.
    Success = 1,
    /// There is no such object; for readers this includes one that is being written.
    KeyNotExist = 2,
    /// The object is there, but nobody holds a read lock on it.
    KeyNotReadable = 3,
    /// The object is there already, or the same writer is writing it.
    KeyNotWritable = 4,
    /// The lock that the call ends is not held, or has expired.
    KeyInWrongState = 5,
    /// Somebody reads or writes the object.
    KeyIsLocked = 6,
    /// Not all objects of the call fit.
    OutOfMemory = 7,
}

impl L1Error {
    /// All codes, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Success,
        Self::KeyNotExist,
        Self::KeyNotReadable,
        Self::KeyNotWritable,
        Self::KeyInWrongState,
        Self::KeyIsLocked,
        Self::OutOfMemory,
    ];

    /// LMCache's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::KeyNotExist => "KEY_NOT_EXIST",
            Self::KeyNotReadable => "KEY_NOT_READABLE",
            Self::KeyNotWritable => "KEY_NOT_WRITABLE",
            Self::KeyInWrongState => "KEY_IN_WRONG_STATE",
            Self::KeyIsLocked => "KEY_IS_LOCKED",
            Self::OutOfMemory => "OUT_OF_MEMORY",
        }
    }
}

impl fmt::Display for L1Error {
    /// The sentence of LMCache's `strerror`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success => "Operation succeeded.",
            Self::KeyNotExist => "The specified key does not exist.",
            Self::KeyNotReadable => "The specified key exists but cannot be read.",
            Self::KeyNotWritable => "The specified key exists but cannot be written.",
            Self::KeyInWrongState => "The specified key is in the wrong state for the operation.",
            Self::KeyIsLocked => "The specified key is locked and cannot perform the operation.",
            Self::OutOfMemory => "Not enough memory to complete the operation.",
        })
    }
}

/// The codes of a usual call take no allocation.
pub(in crate::storage) type Codes = SmallVec<[L1Error; 32]>;

/// One code for each key of a call, in the order of the call.
///
/// LMCache answers with a dictionary, in which the last outcome of a key that was named more than once hides
/// the others; [`KeyCodes::per_distinct_key`] is that dictionary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyCodes(pub(in crate::storage) Codes);

impl KeyCodes {
    /// The codes, parallel to the keys of the call.
    pub fn as_slice(&self) -> &[L1Error] {
        &self.0
    }

    /// How many keys had this outcome.
    pub fn count(&self, code: L1Error) -> usize {
        self.0.iter().filter(|other| **other == code).count()
    }

    /// Whether all keys were served.
    pub fn all_succeeded(&self) -> bool {
        self.0.iter().all(|code| *code == L1Error::Success)
    }

    /// LMCache's dictionary: each key of the call once, where it first occurred, with its last outcome.
    /// `keys` are those of the call.
    pub fn per_distinct_key<'a>(&self, keys: &'a [ObjectKey]) -> Vec<(&'a ObjectKey, L1Error)> {
        let mut position_of =
            hashbrown::HashMap::with_capacity_and_hasher(keys.len(), foldhash::fast::RandomState::default());
        let mut distinct: Vec<(&ObjectKey, L1Error)> = Vec::with_capacity(keys.len());
        for (key, code) in keys.iter().zip(&self.0) {
            let position = *position_of.entry(key).or_insert(distinct.len());
            match distinct.get_mut(position) {
                Some(entry) => entry.1 = *code,
                None => distinct.push((key, *code)),
            }
        }
        distinct
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_numbers_names_and_sentences_of_lmcache() {
        assert!(L1Error::ALL.iter().zip(1_u8..).all(|(code, number)| *code as u8 == number));
        assert_eq!(L1Error::KeyIsLocked.name(), "KEY_IS_LOCKED");
        assert_eq!(L1Error::OutOfMemory.to_string(), "Not enough memory to complete the operation.");
    }
}

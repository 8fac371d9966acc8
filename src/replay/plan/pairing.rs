//! Which exit closes which enter.
//!
//! A trace says when a reader entered and when it left, but not which of two readers of the same keys left.
//! As in LMCache's replay, the exit of a key list closes the oldest open enter of that list.
//!
//! A list is known by its fingerprint, so that a trace that enters and never exits costs a few words per open
//! read here, however many keys it names.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use hashbrown::HashMap;

use crate::format::model::ObjectKey;

/// The place of an open read. Numbers are used again once their read is closed, so they stay small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadSlot(pub u32);

/// What is known of an open read.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenRead {
    /// Who entered, and exits.
    pub(super) worker: u16,
    /// The record that entered.
    pub(super) seq: u64,
}

/// 128 bits of two SipHashes, keyed at random: no trace can be made so that two lists look alike.
type KeyListFingerprint = [u64; 2];

/// Pairs enters and exits in the order of the trace.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    open: HashMap<KeyListFingerprint, VecDeque<(ReadSlot, OpenRead)>>,
    hashers: [RandomState; 2],
    free: Vec<ReadSlot>,
    slots: u32,
}

impl Pairing {
    /// Opens a read of `keys`.
    pub(super) fn enter(&mut self, keys: &[ObjectKey], open: OpenRead) -> ReadSlot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            ReadSlot(self.slots - 1)
        });
        self.open.entry(self.fingerprint(keys)).or_default().push_back((slot, open));
        slot
    }

    /// Closes the oldest open read of `keys`, if there is one.
    pub(super) fn exit(&mut self, keys: &[ObjectKey]) -> Option<(ReadSlot, OpenRead)> {
        let fingerprint = self.fingerprint(keys);
        let open = self.open.get_mut(&fingerprint)?;
        let oldest = open.pop_front()?;
        if open.is_empty() {
            self.open.remove(&fingerprint);
        }
        self.free.push(oldest.0);
        Some(oldest)
    }

    fn fingerprint(&self, keys: &[ObjectKey]) -> KeyListFingerprint {
        self.hashers.each_ref().map(|hasher| hasher.hash_one(keys))
    }
}

//! Which exit closes which enter.
//!
//! A trace says when a reader entered and when it left, but not which of two readers of the same keys left.
//! As in LMCache's replay, the exit of a key list closes the oldest open enter of that list. The pairing
//! depends on the records alone, so it is made while they are decoded: the dispatcher gets a slot number and
//! compares no keys.
//!
//! A list is known by its fingerprint, so that a trace that enters and never exits costs a few words per open
//! read here, however many keys it names.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use hashbrown::HashMap;

use crate::format::model::{ObjectKey, StorageCall};
use crate::replay::timed::{RecordBody, TimedRecord};

/// The place of an open read. Numbers are used again once their read is closed, so they stay small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadSlot(pub u32);

/// A record with everything that dispatching it needs.
#[derive(Clone, Debug)]
pub struct PlannedRecord {
    /// The record.
    pub record: TimedRecord,
    /// For an enter, the slot that it opens; for an exit, the slot that it closes, if any is open.
    pub slot: Option<ReadSlot>,
    /// See [`Outcome::follows`](crate::replay::Outcome::follows).
    pub follows: Option<u64>,
}

/// 128 bits of two SipHashes, keyed at random: no trace can be made so that two lists look alike.
type KeyListFingerprint = [u64; 2];

/// Pairs enters and exits in the order of the trace.
#[derive(Debug, Default)]
pub struct Planner {
    open: HashMap<KeyListFingerprint, VecDeque<ReadSlot>>,
    hashers: [RandomState; 2],
    free: Vec<ReadSlot>,
    slots: u32,
}

impl Planner {
    /// Plans the next record of the trace.
    pub fn plan(&mut self, record: TimedRecord) -> PlannedRecord {
        let slot = match &record.body {
            RecordBody::Call(StorageCall::ReadEnter { keys }) => Some(self.enter(keys)),
            RecordBody::Call(StorageCall::ReadExit { keys }) => self.exit(keys),
            _ => None,
        };
        PlannedRecord { record, slot, follows: None }
    }

    fn enter(&mut self, keys: &[ObjectKey]) -> ReadSlot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            ReadSlot(self.slots - 1)
        });
        self.open.entry(self.fingerprint(keys)).or_default().push_back(slot);
        slot
    }

    fn fingerprint(&self, keys: &[ObjectKey]) -> KeyListFingerprint {
        self.hashers.each_ref().map(|hasher| hasher.hash_one(keys))
    }

    fn exit(&mut self, keys: &[ObjectKey]) -> Option<ReadSlot> {
        let fingerprint = self.fingerprint(keys);
        let open = self.open.get_mut(&fingerprint)?;
        let slot = open.pop_front()?;
        if open.is_empty() {
            self.open.remove(&fingerprint);
        }
        self.free.push(slot);
        Some(slot)
    }
}

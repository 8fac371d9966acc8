//! An operation on its way from shard to shard, and where it guesses its keys to be.
//!
//! The calls of an engine come in pairs and threes with the same keys: reserve and finish a write; prefetch, read and
//! finish. So a thread notes where it found the keys of a call, by their positions, and the next call looks there first.
//! That saves the hash and the way through the index. The key that lies there is compared, under the shard's mutex, so
//! a wrong guess costs a look into another shard, if that is free, and nothing else; a call that made one guesses no more.

use super::notes::Notes;
use super::shard::{Place, Shard, SlotId};
use super::slot::Object;
use super::tables::{Order, Tables};
use crate::format::model::ObjectKey;
use crate::storage::eviction::EvictionPolicy;
use crate::sync::MutexGuard;

/// See the module. It holds one shard at a time, and keeps it while keys are in the same.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    tables: &'a Tables,
    held: Option<(u32, MutexGuard<'a, Shard>)>,
    notes: &'a Notes,
    /// How many keys were looked for.
    position: usize,
    /// No guess was wrong so far.
    is_on_track: bool,
    /// Of the key that was looked for last, unless it was found by a guess.
    hash: u64,
}

impl Tables {
    /// For operations that go from shard to shard.
    pub(super) fn cursor(&self) -> Cursor<'_> {
        let notes = self.notes.mine();
        Cursor { tables: self, held: None, notes, position: 0, is_on_track: true, hash: 0 }
    }
}

impl<'a> Cursor<'a> {
    /// The tables that it goes through.
    pub(super) fn tables(&self) -> &'a Tables {
        self.tables
    }

    /// A shard, locked.
    #[inline]
    pub(super) fn hold(&mut self, number: u32) -> &mut Shard {
        if self.held.as_ref().is_none_or(|(held, _)| *held != number) {
            // Nobody holds two shards.
            self.held = None;
            self.held = Some((number, self.tables.lock_shard(number)));
        }
        self.held()
    }

    /// The shard of the key that was looked for last, locked.
    #[inline]
    pub(super) fn held(&mut self) -> &mut Shard {
        match &mut self.held {
            Some((_, shard)) => shard,
            None => unreachable!("a key was looked for before"),
        }
    }

    /// The place of the key that was looked for last, with the slot that was found.
    #[inline]
    pub(super) fn place(&self, slot: SlotId) -> Place {
        Place { shard: self.held.as_ref().map_or(0, |(number, _)| *number), slot }
    }

    /// Says which key of the call is looked for next; without, it is the one behind the last.
    pub(super) fn go_to(&mut self, position: usize) {
        self.position = position;
    }

    /// Whether a shard could be had at once; it is held then. A guess waits for nobody, unless there is only one shard to
    /// wait for.
    #[inline]
    fn try_hold(&mut self, number: u32) -> bool {
        if self.tables.has_one_shard() {
            self.hold(number);
        } else if self.held.as_ref().is_none_or(|(held, _)| *held != number) {
            self.held = None;
            self.held = self.tables.try_lock_shard(number).map(|shard| (number, shard));
        }
        self.held.is_some()
    }

    /// Looks for a key; its shard is held from then on. Keys are looked for in the order of the call.
    #[inline]
    pub(super) fn find(&mut self, key: &ObjectKey) -> Option<SlotId> {
        let position = self.position;
        self.position += 1;
        if self.is_on_track
            && let Some(guess) = self.notes.get(position)
        {
            if self.try_hold(guess.shard) && self.held().is_at(guess.slot, key) {
                return Some(guess.slot);
            }
            self.is_on_track = false;
        }
        self.hash = self.tables.hash(key);
        let (hash, number) = (self.hash, self.tables.number(self.hash));
        let found = self.hold(number).find(hash, key)?;
        self.notes.set(position, self.place(found));
        Some(found)
    }

    /// Adds the key that was looked for last, and not found, with its first object.
    pub(super) fn insert(&mut self, key: &ObjectKey, object: Object) -> SlotId {
        let hash = self.hash;
        let slot = self.held().insert(hash, key, object);
        self.notes.set(self.position - 1, self.place(slot));
        slot
    }

    /// Tells the policy, if there is one, in the same step as what the operation did.
    pub(super) fn tell(&mut self, tell: impl FnOnce(&mut dyn EvictionPolicy)) {
        if matches!(self.tables.order, Order::Policy)
            && let Some(policy) = &mut self.hold(0).policy
        {
            tell(&mut **policy);
        }
    }
}

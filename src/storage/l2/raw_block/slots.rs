//! Which object is in which slot, and who is working on it.
//!
//! A slot that is being read is not given to another object before the read is done, whatever happens to its own
//! object meanwhile. A slot that is being written belongs to its writer; its object is not there before the writer says so.

use super::entry_meta::EntryMeta;
use crate::format::model::ObjectKey;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, lock};

type KeyMap<V> = hashbrown::HashMap<ObjectKey, V, foldhash::fast::RandomState>;

/// An object on the device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) slot: u32,
    pub(super) size_bytes: u64,
    /// What a checkpoint says of it besides.
    pub(super) meta: Arc<EntryMeta>,
    /// Entries are numbered in the order in which they came: Python's order of a `dict`.
    pub(super) sequence: u64,
}

#[derive(Debug, Default)]
struct State {
    entries: KeyMap<Entry>,
    /// Objects that are being written.
    writing: KeyMap<u32>,
    /// Slots that are being read, and how often.
    reading: hashbrown::HashMap<u32, u32, foldhash::fast::RandomState>,
    /// Slots that are read and belong to nobody any more.
    leaving: hashbrown::HashSet<u32, foldhash::fast::RandomState>,
    /// The slot that was freed last is taken first.
    free: Vec<u32>,
    /// Slots that the device could not write or read. Nobody gets them before the next start.
    bad: hashbrown::HashSet<u32, foldhash::fast::RandomState>,
    next_slot: u32,
    next_sequence: u64,
    /// Changes of the entries, ever.
    dirty_total: u64,
    /// Slots below this one may stand in a checkpoint that is on the device.
    listed_below: u32,
}

/// An object that was found on the device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) key: ObjectKey,
    pub(super) slot: u32,
    pub(super) size_bytes: u64,
    pub(super) meta: Arc<EntryMeta>,
}

/// The index of a device.
#[derive(Debug)]
pub(super) struct Slots {
    state: Mutex<State>,
    written: Condvar,
    max_slots: u32,
}

/// What came of asking for a slot.
#[derive(Debug)]
pub(super) enum Reserved<'a> {
    /// Write the object there.
    Slot(Writing<'a>),
    /// The object is there.
    Present,
    /// Somebody else is writing it.
    Busy,
    /// Every slot has an object.
    Full,
}

/// A slot that is being written. Free again, unless the write is committed.
#[derive(Debug)]
pub(super) struct Writing<'a> {
    slots: &'a Slots,
    key: ObjectKey,
    pub(super) slot: u32,
    /// Whether a checkpoint on the device may list the slot.
    pub(super) is_listed: bool,
}

impl Writing<'_> {
    /// The object is in its slot. Returns whether it takes the place of one of another size.
    pub(super) fn commit(self, size_bytes: u64, meta: Arc<EntryMeta>) -> bool {
        let mut state = self.slots.state();
        let mut replaced = None;
        if let Some(slot) = state.writing.remove(&self.key) {
            let sequence = state.next_sequence;
            state.next_sequence += 1;
            state.dirty_total += 1;
            let entry = Entry { slot, size_bytes, meta, sequence };
            replaced = state.entries.insert(self.key.clone(), entry);
        }
        let is_replaced = replaced.is_some();
        replaced.into_iter().for_each(|old| state.leave(old.slot));
        // The rest, waking up who waits, is done when the guard goes.
        is_replaced
    }

    /// The device cannot write the slot: it is set aside.
    pub(super) fn fail(self) {
        let mut state = self.slots.state();
        if let Some(slot) = state.writing.remove(&self.key) {
            state.bad.insert(slot);
            state.dirty_total += 1;
        }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        if let Some(slot) = state.writing.remove(&self.key) {
            state.free.push(slot);
            state.dirty_total += 1;
        }
        drop(state);
        self.slots.written.notify_all();
    }
}

/// How many there are of what, for a status.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SlotCounts {
    pub(super) entries: usize,
    pub(super) writing: usize,
    pub(super) reading: usize,
    pub(super) free: usize,
    pub(super) bad: usize,
    pub(super) next_slot: u32,
    pub(super) dirty_total: u64,
}

/// What a checkpoint is made of.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// In the order of a `dict`.
    pub(super) entries: Vec<(ObjectKey, Entry)>,
    pub(super) next_slot: u32,
    pub(super) dirty_total: u64,
}

impl Slots {
    /// An index of these entries, on a device whose checkpoints list slots below `listed_below`. Slots below `next_slot` that none of them has are free; the last of them is taken
    /// first.
    pub(super) fn new(max_slots: u32, next_slot: u32, found: Vec<Found>, listed_below: u32) -> Self {
        let mut state = State { next_slot, listed_below, ..State::default() };
        let mut used = hashbrown::HashSet::<u32, foldhash::fast::RandomState>::default();
        for Found { key, slot, size_bytes, meta } in found {
            used.insert(slot);
            let sequence = state.next_sequence;
            state.next_sequence += 1;
            state.entries.insert(key, Entry { slot, size_bytes, meta, sequence });
        }
        state.free = (0..next_slot).filter(|slot| !used.contains(slot)).collect();
        Self { state: Mutex::new(state), written: Condvar::new(), max_slots }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Takes a slot for an object. If `waits` and somebody is writing the object, waits for what comes of that. One that
    /// is there with another size than `size_bytes` stays until the new one is committed; `None` takes any for it.
    pub(super) fn reserve(&self, key: &ObjectKey, waits: bool, size_bytes: Option<u64>) -> Reserved<'_> {
        let mut state = self.state();
        while state.writing.contains_key(key) {
            if !waits {
                return Reserved::Busy;
            }
            state = match self.written.wait(state) {
                Ok(state) => state,
                // A thread panicked with the lock: its state cannot be trusted.
                Err(_) => return Reserved::Busy,
            };
        }
        let is_it = |entry: &Entry| size_bytes.is_none_or(|size_bytes| entry.size_bytes == size_bytes);
        if state.entries.get(key).is_some_and(is_it) {
            return Reserved::Present;
        }
        let slot = match state.free.pop() {
            Some(slot) => slot,
            None if state.next_slot < self.max_slots => {
                state.next_slot += 1;
                state.next_slot - 1
            }
            None => return Reserved::Full,
        };
        state.writing.insert(key.clone(), slot);
        let is_listed = slot < state.listed_below;
        Reserved::Slot(Writing { slots: self, key: key.clone(), slot, is_listed })
    }

    /// The object's entry, whose slot stays as it is until the guard goes.
    pub(super) fn read(&self, key: &ObjectKey) -> Option<Reading<'_>> {
        let mut state = self.state();
        let entry = state.entries.get(key).cloned()?;
        *state.reading.entry(entry.slot).or_insert(0) += 1;
        Some(Reading { slots: self, entry })
    }

    /// The object's size.
    pub(super) fn size_bytes(&self, key: &ObjectKey) -> Option<u64> {
        self.state().entries.get(key).map(|entry| entry.size_bytes)
    }

    /// Something of the device is other than its checkpoints say.
    pub(super) fn touch(&self) {
        self.state().dirty_total += 1;
    }

    /// Forgets an object. Returns whether it was there.
    pub(super) fn remove(&self, key: &ObjectKey) -> bool {
        let mut state = self.state();
        let Some(entry) = state.entries.remove(key) else { return false };
        state.dirty_total += 1;
        state.leave(entry.slot);
        true
    }

    /// Forgets an object whose slot cannot be read, unless it has another slot by now. Nobody gets the slot.
    pub(super) fn set_aside(&self, key: &ObjectKey, slot: u32) {
        let mut state = self.state();
        if state.entries.get(key).is_some_and(|entry| entry.slot == slot) {
            state.entries.remove(key);
            state.bad.insert(slot);
            state.dirty_total += 1;
        }
    }

    /// Forgets an object whose slot has another's bytes, unless it has another slot by now.
    pub(super) fn forget(&self, key: &ObjectKey, slot: u32) {
        let mut state = self.state();
        if state.entries.get(key).is_some_and(|entry| entry.slot == slot) {
            state.entries.remove(key);
            state.dirty_total += 1;
            state.leave(slot);
        }
    }

    /// Whether there are slots for so many objects more.
    pub(super) fn has_room_for(&self, objects: usize) -> bool {
        let state = self.state();
        state.free.len() + (self.max_slots - state.next_slot) as usize >= objects
    }

    pub(super) fn counts(&self) -> SlotCounts {
        let state = self.state();
        SlotCounts {
            entries: state.entries.len(),
            writing: state.writing.len(),
            reading: state.reading.len(),
            free: state.free.len(),
            bad: state.bad.len(),
            next_slot: state.next_slot,
            dirty_total: state.dirty_total,
        }
    }

    /// Copies what a checkpoint says. From now on it counts as written: slots that it may list are known as such.
    pub(super) fn snapshot(&self) -> Snapshot {
        let mut state = self.state();
        state.listed_below = state.listed_below.max(state.next_slot);
        let (next_slot, dirty_total) = (state.next_slot, state.dirty_total);
        let entries = state.entries();
        drop(state);
        Snapshot { entries: sorted(entries), next_slot, dirty_total }
    }

    /// All objects, in the order of a `dict`.
    pub(super) fn entries(&self) -> Vec<(ObjectKey, Entry)> {
        let entries = self.state().entries();
        sorted(entries)
    }
}

fn sorted(mut entries: Vec<(ObjectKey, Entry)>) -> Vec<(ObjectKey, Entry)> {
    entries.sort_unstable_by_key(|(_, entry)| entry.sequence);
    entries
}

impl State {
    /// A slot has no object any more: free, once nobody reads it.
    fn leave(&mut self, slot: u32) {
        if self.reading.contains_key(&slot) {
            self.leaving.insert(slot);
        } else {
            self.free.push(slot);
        }
    }

    fn entries(&self) -> Vec<(ObjectKey, Entry)> {
        self.entries.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect()
    }
}

/// A slot that is being read.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    slots: &'a Slots,
    pub(super) entry: Entry,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let (mut state, slot) = (self.slots.state(), self.entry.slot);
        match state.reading.get_mut(&slot) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                state.reading.remove(&slot);
                if state.leaving.remove(&slot) {
                    state.free.push(slot);
                }
            }
        }
    }
}

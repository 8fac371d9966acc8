//! What a caller holds between two calls: buffers to write, and objects to read.
//!
//! Both keep the arena mapped. Neither keeps the object: a reservation or a read lock that runs out can give
//! the same bytes to somebody else, as in LMCache.

use crate::error::Result;
use crate::format::model::ObjectKey;
use crate::storage::events::{Event, Events, ReadFailure};
use crate::storage::hook::{CallHook, Effect, Hooked, HookedCall};
use crate::storage::key_runs::KeyRuns;
use crate::storage::l1::{KeyCodes, L1Error};
use crate::storage::memory::{Arena, Span};
use crate::storage::reader::L1ManagerId;
use crate::storage::reader::{Found, L1Owners, Reader};
use crate::storage::writes::Reserved;
use crate::sync::Arc;

/// What `reserve_write` gave: a code for each key, and a buffer for each key that was reserved.
#[derive(Clone, Debug)]
pub struct WriteReservation {
    reader: Arc<Reader>,
    reserved: Reserved<Span>,
}

impl WriteReservation {
    pub(super) fn new(reader: Arc<Reader>, reserved: Reserved<Span>) -> Self {
        Self { reader, reserved }
    }

    /// What happened to each key, in the order of the call.
    pub fn codes(&self) -> &KeyCodes {
        &self.reserved.codes
    }

    /// What each L1 that was tried said of the keys that came to it, in their order. Empty if only one was tried.
    pub fn codes_per_l1(&self) -> &[(L1ManagerId, KeyCodes)] {
        &self.reserved.per_l1
    }

    /// The L1 that the key at `position` was reserved in.
    pub fn owner(&self, position: usize) -> L1ManagerId {
        self.reserved.owner(position)
    }

    /// The buffer of the key at `position` in the call, if it was reserved. A key that was named twice has
    /// one buffer, or none if it was refused the last time.
    pub fn buffer(&self, position: usize) -> Option<WriteBuffer<'_>> {
        let span = (*self.reserved.buffers.get(position)?)?;
        Some(WriteBuffer { arena: self.reader.arena(self.owner(position)), span })
    }

    /// The buffers of all reserved keys, in the order of the call.
    pub fn buffers(&self) -> impl Iterator<Item = WriteBuffer<'_>> {
        (0..self.reserved.buffers.len()).filter_map(|position| self.buffer(position))
    }
}

/// The bytes of an object that is being written. To be used between `reserve_write` and `finish_write`, and
/// within the reservation's time to live: afterwards the bytes may be another object's.
#[derive(Clone, Copy, Debug)]
pub struct WriteBuffer<'a> {
    arena: &'a Arena,
    span: Span,
}

impl WriteBuffer<'_> {
    /// Where it lies.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Copies `bytes` to the start of the object.
    ///
    /// # Errors
    /// If they are more than the object holds.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        self.arena.write(self.span, bytes)
    }

    /// The address, for an engine that copies from its device; see [`Arena::ptr`].
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.arena.ptr(self.span.offset_bytes)
    }
}

/// The bytes of an object that somebody holds a read lock on, within that lock's time to live.
#[derive(Clone, Copy, Debug)]
pub struct ReadBuffer<'a> {
    arena: &'a Arena,
    span: Span,
}

impl ReadBuffer<'_> {
    /// Where it lies.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Copies the object, from its start, into `out`, as much as both hold; returns how many bytes.
    pub fn read_into(&self, out: &mut [u8]) -> usize {
        self.arena.read(self.span, out)
    }

    /// The address, for an engine that copies to its device; see [`Arena::ptr`].
    pub fn as_ptr(&self) -> *const u8 {
        self.arena.ptr(self.span.offset_bytes)
    }
}

/// What `unsafe_read` found, parallel to its keys.
#[derive(Clone, Debug)]
pub struct ReadObjects {
    reader: Arc<Reader>,
    found: Found,
}

impl ReadObjects {
    pub(super) fn read(reader: Arc<Reader>, keys: &[ObjectKey], owners: Option<&L1Owners>) -> Result<Self> {
        let found = reader.read(keys, owners)?;
        Ok(Self { reader, found })
    }

    /// What happened to each key, in the order of the call.
    pub fn codes(&self) -> &KeyCodes {
        &self.found.codes
    }

    /// The L1 that the key at `position` was read from.
    pub fn owner(&self, position: usize) -> L1ManagerId {
        self.found.owners.get(position).copied().unwrap_or(0)
    }

    /// The object at `position` of the call, if it could be read.
    pub fn object(&self, position: usize) -> Option<ReadBuffer<'_>> {
        let span = (*self.found.spans.get(position)?)?;
        Some(ReadBuffer { arena: self.reader.arena(self.owner(position)), span })
    }

    /// The objects that could be read, in the order of the call.
    pub fn objects(&self) -> impl Iterator<Item = ReadBuffer<'_>> {
        (0..self.found.spans.len()).filter_map(|position| self.object(position))
    }

    fn all_objects(&self) -> Vec<ReadBuffer<'_>> {
        let mut objects = Vec::with_capacity(self.found.spans.len());
        objects.extend(self.objects());
        objects
    }

    /// The objects at the first occurrence of each key.
    fn distinct_objects(&self, keys: impl FnOnce() -> Vec<ObjectKey>) -> Vec<ReadBuffer<'_>> {
        let spans = self.found.spans.iter().enumerate();
        let places =
            spans.filter_map(|(position, span)| Some((self.owner(position), span.as_ref()?.offset_bytes)));
        // Two keys that lie at one place are one key. Chunks of a prompt were often stored in their order.
        if places.clone().is_sorted_by(|before, after| before < after) {
            return self.all_objects();
        }
        let mut places: Vec<_> = places.collect();
        places.sort_unstable();
        if !places.windows(2).any(|pair| pair[0] == pair[1]) {
            return self.all_objects();
        }
        let keys = keys();
        let mut seen = hashbrown::HashSet::with_hasher(foldhash::fast::RandomState::default());
        let first = keys.iter().enumerate().filter(|(_, key)| seen.insert(*key));
        first.filter_map(|(position, _)| self.object(position)).collect()
    }
}

/// LMCache's `with read_prefetched_results(keys)`, from enter to exit.
///
/// It takes no locks: the prefetch before it did. Where one of the keys cannot be read, or the reader failed,
/// its exit releases one lock on each key that could be; otherwise the caller does, by `finish_read_prefetched`
/// when its device is done. Dropping it is an exit without failure.
#[derive(Debug)]
pub struct ReadContext {
    keys: KeyRuns,
    read: ReadObjects,
    /// False once the exit has run.
    is_entered: bool,
    hook: Option<Arc<dyn CallHook>>,
}

impl ReadContext {
    pub(super) fn enter(
        reader: Arc<Reader>,
        keys: &[ObjectKey],
        owners: Option<&L1Owners>,
        hook: Option<Arc<dyn CallHook>>,
    ) -> Result<Self> {
        let read = ReadObjects::read(reader, keys, owners)?;
        let context = Self { keys: KeyRuns::new(keys), read, is_entered: true, hook };
        if !context.codes().all_succeeded() {
            publish_read_failures(&context.read.reader.events, keys, context.codes());
        }
        Ok(context)
    }

    /// What happened to each key, in the order of the call.
    pub fn codes(&self) -> &KeyCodes {
        self.read.codes()
    }

    /// What the enter did, for the hook.
    pub(super) fn effect(&self) -> Effect {
        let bytes = self.read.objects().map(|object| object.span.size_bytes).sum();
        Effect { bytes, ..Effect::of_codes(self.codes()) }
    }

    /// The objects, if all keys can be read: one per distinct key, in the order of the call.
    pub fn objects(&self) -> Option<Vec<ReadBuffer<'_>>> {
        self.codes().all_succeeded().then(|| self.read.distinct_objects(|| self.keys.to_keys()))
    }

    /// The object at `position` of the call, if all keys can be read. A key that was named twice has one object.
    pub fn object(&self, position: usize) -> Option<ReadBuffer<'_>> {
        let is_there = self.codes().all_succeeded() && position < self.codes().as_slice().len();
        is_there.then(|| self.read.object(position)).flatten()
    }

    /// The L1 that the key at `position` was read from.
    pub fn owner(&self, position: usize) -> L1ManagerId {
        self.read.owner(position)
    }

    /// Leaves the exit to [`StorageManager::exit_read`](crate::storage::StorageManager::exit_read), for a caller that names its keys
    /// again instead of keeping this.
    pub fn leave_open(mut self) {
        self.is_entered = false;
    }

    /// Ends the read; `failed` says that the reader could not use what it got. Returns the distinct keys on
    /// which it released a lock, with what came of that.
    pub fn exit(mut self, failed: bool) -> Vec<(ObjectKey, L1Error)> {
        self.release(failed)
    }

    fn release(&mut self, failed: bool) -> Vec<(ObjectKey, L1Error)> {
        if !std::mem::take(&mut self.is_entered) {
            return Vec::new();
        }
        let keys = self.hook.as_ref().map(|_| self.keys.to_keys()).unwrap_or_default();
        let hooked = Hooked::begin(self.hook.as_ref(), || HookedCall::ReadExit(&keys));
        let released = self.release_locks(failed);
        hooked.end(|| Effect { requested_keys: released.len(), hit_keys: released.len(), bytes: 0 });
        released
    }

    fn release_locks(&self, failed: bool) -> Vec<(ObjectKey, L1Error)> {
        if !failed && self.codes().all_succeeded() {
            return Vec::new();
        }
        let all_keys = self.keys.to_keys();
        let outcomes = self.codes().per_distinct_key(&all_keys);
        let good = outcomes.iter().filter(|(_, code)| *code == L1Error::Success).map(|(key, _)| *key);
        let owner_of = |key: &ObjectKey| {
            let position = all_keys.iter().position(|other| other == key).unwrap_or(0);
            self.read.owner(position)
        };
        let reader = &self.read.reader;
        let keys: Vec<ObjectKey> = good.cloned().collect();
        let owners: Vec<L1ManagerId> =
            if self.read.found.owners.is_empty() { Vec::new() } else { keys.iter().map(owner_of).collect() };
        let codes = reader.finish_read_in(&keys, 1, &owners);
        if reader.events.has_sink() {
            reader.events.publish_outcomes(&outcomes, Event::sm_read_finished);
        }
        keys.into_iter().zip(codes.0).collect()
    }
}

impl Drop for ReadContext {
    fn drop(&mut self) {
        self.release(false);
    }
}

/// Tells of those of `keys` that were to be read and could not be.
pub(super) fn publish_read_failures(events: &Events, keys: &[ObjectKey], codes: &KeyCodes) {
    if !events.has_sink() {
        return;
    }
    let outcomes = codes.per_distinct_key(keys);
    let failures =
        [(L1Error::KeyNotExist, ReadFailure::NotFound), (L1Error::KeyNotReadable, ReadFailure::WriteLocked)];
    for (code, reason) in failures {
        let failed = outcomes.iter().filter(|(_, other)| *other == code);
        let keys: Vec<&ObjectKey> = failed.map(|(key, _)| *key).collect();
        if !keys.is_empty() {
            events.publish(|| Event::L1ReadFailed { during: "l1_retrieve", reason, keys: &keys });
        }
    }
}

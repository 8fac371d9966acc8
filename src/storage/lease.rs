//! What a caller holds between two calls: buffers to write, and objects to read.
//!
//! Both keep the arena mapped. Neither keeps the object: a reservation or a read lock that runs out can give
//! the same bytes to somebody else, as in LMCache.

use crate::error::Result;
use crate::format::model::ObjectKey;
use crate::storage::hook::{CallHook, Effect, Hooked, HookedCall};
use crate::storage::l1::{KeyCodes, L1Error, L1Manager};
use crate::storage::memory::{Arena, Span};
use crate::sync::Arc;

/// What `reserve_write` gave: a code for each key, and a buffer for each key that was reserved.
#[derive(Clone, Debug)]
pub struct WriteReservation {
    arena: Arc<Arena>,
    codes: KeyCodes,
    spans: Vec<Option<Span>>,
}

impl WriteReservation {
    pub(super) fn new(arena: Arc<Arena>, codes: KeyCodes, spans: Vec<Option<Span>>) -> Self {
        Self { arena, codes, spans }
    }

    /// What happened to each key, in the order of the call.
    pub fn codes(&self) -> &KeyCodes {
        &self.codes
    }

    /// The buffer of the key at `position` in the call, if it was reserved. A key that was named twice has
    /// one buffer, or none if it was refused the last time.
    pub fn buffer(&self, position: usize) -> Option<WriteBuffer<'_>> {
        let span = (*self.spans.get(position)?)?;
        Some(WriteBuffer { arena: &self.arena, span })
    }

    /// The buffers of all reserved keys, in the order of the call.
    pub fn buffers(&self) -> impl Iterator<Item = WriteBuffer<'_>> {
        self.spans.iter().flatten().map(|span| WriteBuffer { arena: &self.arena, span: *span })
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
    arena: Arc<Arena>,
    codes: KeyCodes,
    spans: Vec<Option<Span>>,
}

impl ReadObjects {
    pub(super) fn new(arena: Arc<Arena>, codes: KeyCodes, spans: Vec<Option<Span>>) -> Self {
        Self { arena, codes, spans }
    }

    /// What happened to each key, in the order of the call.
    pub fn codes(&self) -> &KeyCodes {
        &self.codes
    }

    /// The objects that could be read, in the order of the call.
    pub fn objects(&self) -> impl Iterator<Item = ReadBuffer<'_>> {
        self.spans.iter().flatten().map(|span| ReadBuffer { arena: &self.arena, span: *span })
    }
}

/// LMCache's `with read_prefetched_results(keys)`, from enter to exit.
///
/// It takes no locks: the prefetch before it did. Where one of the keys cannot be read, or the reader failed,
/// its exit releases one lock on each key that could be; otherwise the caller does, by `finish_read_prefetched`
/// when its device is done. Dropping it is an exit without failure.
#[derive(Debug)]
pub struct ReadContext {
    l1: Arc<L1Manager>,
    keys: Vec<ObjectKey>,
    read: ReadObjects,
    /// False once the exit has run.
    is_entered: bool,
    hook: Option<Arc<dyn CallHook>>,
}

impl ReadContext {
    pub(super) fn enter(l1: Arc<L1Manager>, keys: &[ObjectKey], hook: Option<Arc<dyn CallHook>>) -> Self {
        let (codes, spans) = l1.unsafe_read(keys);
        let read = ReadObjects::new(Arc::clone(l1.arena()), codes, spans);
        Self { l1, keys: keys.to_vec(), read, is_entered: true, hook }
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
        if !self.codes().all_succeeded() {
            return None;
        }
        let objects: Vec<_> = self.read.objects().collect();
        // Two keys that lie at one address are one key.
        let mut offsets: Vec<_> = objects.iter().map(|object| object.span.offset_bytes).collect();
        offsets.sort_unstable();
        if !offsets.windows(2).any(|pair| pair[0] == pair[1]) {
            return Some(objects);
        }
        let mut seen = hashbrown::HashSet::with_hasher(foldhash::fast::RandomState::default());
        Some(objects.into_iter().filter(|object| seen.insert(object.span.offset_bytes)).collect())
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
        let hooked = Hooked::begin(self.hook.as_ref(), || HookedCall::ReadExit(&self.keys));
        let released = self.release_locks(failed);
        hooked.end(|| Effect { requested_keys: released.len(), hit_keys: released.len(), bytes: 0 });
        released
    }

    fn release_locks(&self, failed: bool) -> Vec<(ObjectKey, L1Error)> {
        if !failed && self.codes().all_succeeded() {
            return Vec::new();
        }
        let readable = self.codes().per_distinct_key(&self.keys).into_iter();
        let good: Vec<&ObjectKey> =
            readable.filter(|(_, code)| *code == L1Error::Success).map(|(key, _)| key).collect();
        let codes = self.l1.finish_read(good.iter().copied(), 1);
        good.into_iter().cloned().zip(codes.0).collect()
    }
}

impl Drop for ReadContext {
    fn drop(&mut self) {
        self.release(false);
    }
}

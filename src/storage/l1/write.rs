//! Writing: `reserve_write` and the three ways to finish it.

use super::slot::{Object, ObjectStage, Slot, WriterTag};
use super::tables::Tables;
use super::{KeyCodes, L1Error};
use crate::error::Result;
use crate::format::model::{ObjectKey, WriteMode};
use crate::storage::config::Compat;
use crate::storage::memory::{Span, check_object_bytes};
use crate::storage::ttl_lock::TtlLock;

/// How often an allocation evicts before it gives up: once for the bytes, and then because they lie apart.
const EVICTION_ROUNDS: usize = 4;

/// What a reservation asks for, besides its keys.
#[derive(Clone, Copy, Debug)]
pub struct WriteRequest {
    /// Logical size of each object.
    pub size_bytes: u64,
    /// Whether the objects leave with their last reader.
    pub is_temporary: bool,
    /// Who writes; has to be the same at the finish.
    pub tag: WriterTag,
    /// Which keys are taken.
    pub mode: WriteMode,
}

/// What `reserve_write` does about one key.
enum Reservation {
    Refused,
    /// An object that was there already is handed to the writer.
    Reused(Span),
    Allocate,
}

/// What became of a staged object whose writer finished.
enum Admission {
    Refused(L1Error),
    /// It is resident.
    Admitted,
    /// Another one was resident first and stays; this one is dropped.
    Discarded,
}

/// What `reserve_write` says of its keys, parallel to them, and whom it served.
struct Outcomes<'a> {
    codes: Vec<L1Error>,
    spans: Vec<Option<Span>>,
    reserved: Vec<&'a ObjectKey>,
}

impl<'a> Outcomes<'a> {
    fn none_reserved(keys: usize) -> Self {
        Self {
            codes: vec![L1Error::OutOfMemory; keys],
            spans: vec![None; keys],
            reserved: Vec::with_capacity(keys),
        }
    }

    fn reserve(&mut self, position: usize, key: &'a ObjectKey, span: Span) {
        self.codes[position] = L1Error::Success;
        self.spans[position] = Some(span);
        self.reserved.push(key);
    }

    /// Gives all occurrences of a key the span of the last: in LMCache's dictionary a key has but its last
    /// outcome.
    fn repeat_last_spans(&mut self, keys: &[ObjectKey]) {
        let mut last_of =
            hashbrown::HashMap::with_capacity_and_hasher(keys.len(), foldhash::fast::RandomState::default());
        for (key, span) in keys.iter().zip(&mut self.spans).rev() {
            *span = *last_of.entry(key).or_insert(*span);
        }
    }
}

impl Tables {
    /// Reserves an object for each of `keys`.
    ///
    /// All objects that need memory get it in one batch, or none of them does. A key that is named twice
    /// takes two buffers of the batch, as in LMCache, and gives one back at once, so that addresses, and what
    /// fits, are LMCache's.
    ///
    /// A call that fails changes nothing. (LMCache has renewed the expired reservations among `keys` before it
    /// raises.)
    pub(super) fn reserve_write(
        &mut self,
        keys: &[ObjectKey],
        request: WriteRequest,
        now_ns: u64,
    ) -> Result<(KeyCodes, Vec<Option<Span>>)> {
        self.check_object_bytes(keys, request)?;
        let mut outcomes = Outcomes::none_reserved(keys.len());
        let mut to_allocate = Vec::with_capacity(keys.len());
        for (position, key) in keys.iter().enumerate() {
            let hash = self.index.hash(key);
            match self.reserve_present(hash, key, request, now_ns) {
                Reservation::Refused => outcomes.codes[position] = L1Error::KeyNotWritable,
                Reservation::Reused(span) => outcomes.reserve(position, key, span),
                Reservation::Allocate => to_allocate.push((position, hash)),
            }
        }
        // What was handed over is refused to a later occurrence of its key.
        if !outcomes.reserved.is_empty() && outcomes.codes.contains(&L1Error::KeyNotWritable) {
            outcomes.repeat_last_spans(keys);
        }
        // LMCache's policy does not hear of a call that took over expired reservations only.
        if !to_allocate.is_empty() {
            self.stage_batch(keys, to_allocate, request, now_ns, &mut outcomes)?;
            self.policy.on_keys_reserved(&outcomes.reserved);
        }
        Ok((KeyCodes(outcomes.codes), outcomes.spans))
    }

    /// Refuses the call if it would have to allocate objects of a size that nothing can have.
    fn check_object_bytes(&self, keys: &[ObjectKey], request: WriteRequest) -> Result<()> {
        match check_object_bytes(request.size_bytes) {
            Err(error) if keys.iter().any(|key| self.needs_memory(key, request)) => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whether [`Self::reserve_present`] would find nothing to hand over.
    fn needs_memory(&self, key: &ObjectKey, request: WriteRequest) -> bool {
        let reusable = [ObjectStage::Resident, ObjectStage::Staging(request.tag)];
        let has_none = |slot: &Slot| slot.objects().all(|object| !reusable.contains(&object.stage));
        request.mode != WriteMode::Update && self.index.get(key).is_none_or(has_none)
    }

    fn reserve_present(
        &mut self,
        hash: u64,
        key: &ObjectKey,
        request: WriteRequest,
        now_ns: u64,
    ) -> Reservation {
        let Some(slot) = self.index.get_hashed_mut(hash, key) else {
            return match request.mode {
                WriteMode::Update => Reservation::Refused,
                WriteMode::New | WriteMode::All => Reservation::Allocate,
            };
        };
        let is_resident = slot.resident().is_some();
        if let Some(object) = slot.staged_mut(request.tag) {
            if is_resident || object.lock.is_locked(now_ns) {
                return Reservation::Refused;
            }
            // The reservation ran out: its buffer goes to the next writer as it is, whatever its layout.
            object.lock.lock(1, now_ns, self.write_ttl_ns);
            object.is_temporary = request.is_temporary;
            return Reservation::Reused(object.span);
        }
        match (request.mode, slot.resident_mut()) {
            (WriteMode::Update, None) => Reservation::Refused,
            (WriteMode::New | WriteMode::All, None) => Reservation::Allocate,
            (WriteMode::New, Some(_)) => Reservation::Refused,
            (WriteMode::Update | WriteMode::All, Some(object)) => {
                if object.is_temporary || object.lock.is_locked(now_ns) {
                    return Reservation::Refused;
                }
                object.stage = ObjectStage::Staging(request.tag);
                object.lock = TtlLock::default();
                object.lock.lock(1, now_ns, self.write_ttl_ns);
                self.staging_bytes += object.span.size_bytes;
                Reservation::Reused(object.span)
            }
        }
    }

    /// Allocates and stages objects for the keys at the positions of `to_allocate`, each with its key's hash:
    /// for all of them or for none.
    fn stage_batch<'a>(
        &mut self,
        keys: &'a [ObjectKey],
        to_allocate: Vec<(usize, u64)>,
        request: WriteRequest,
        now_ns: u64,
        outcomes: &mut Outcomes<'a>,
    ) -> Result<()> {
        let mut addresses = Vec::with_capacity(to_allocate.len());
        if !self.allocate(request.size_bytes, to_allocate.len(), now_ns, &mut addresses)? {
            self.allocation_failures += to_allocate.len() as u64;
            return Ok(());
        }
        let mut replaced = Vec::new();
        for ((position, hash), address) in to_allocate.into_iter().zip(addresses) {
            let span = self.span(address, request.size_bytes);
            replaced.extend(self.stage(hash, &keys[position], span, request, now_ns));
            outcomes.reserve(position, &keys[position], span);
        }
        if !replaced.is_empty() {
            replaced.into_iter().for_each(|span| self.free(span));
            outcomes.repeat_last_spans(keys);
        }
        Ok(())
    }

    /// Takes `count` blocks. Where they do not fit, ours evicts what they need and tries again; LMCache waits for its
    /// eviction thread.
    fn allocate(
        &mut self,
        size_bytes: u64,
        count: usize,
        now_ns: u64,
        addresses: &mut Vec<u64>,
    ) -> Result<bool> {
        if self.allocator.batched_allocate(size_bytes, count, addresses)? {
            return Ok(true);
        }
        let unit_bytes = self.allocator.aligned_size_bytes(size_bytes).unwrap_or(u64::MAX);
        let wanted_bytes = unit_bytes.saturating_mul(count as u64);
        if self.compat == Compat::Lmcache || wanted_bytes > self.allocator.total_bytes() {
            return Ok(false);
        }
        for _ in 0..EVICTION_ROUNDS {
            let free_bytes = self.allocator.total_bytes() - self.allocator.used_bytes();
            // Enough bytes may be free and lie apart: then as many again go.
            let missing = wanted_bytes.checked_sub(free_bytes).filter(|missing| *missing > 0);
            let victims = self.evict_bytes(missing.unwrap_or(wanted_bytes), now_ns).unwrap_or_default();
            self.evicted_for_room += victims.len() as u64;
            if self.allocator.batched_allocate(size_bytes, count, addresses)? {
                return Ok(true);
            }
            if victims.is_empty() {
                break;
            }
        }
        Ok(false)
    }

    fn span(&self, offset_bytes: u64, size_bytes: u64) -> Span {
        let phy_size_bytes = self.allocator.aligned_size_bytes(size_bytes).expect("it was allocated");
        Span { offset_bytes, phy_size_bytes, size_bytes }
    }

    /// Puts a write-locked object into the table. Returns the object that an earlier occurrence of the key in
    /// the same call put there.
    fn stage(
        &mut self,
        hash: u64,
        key: &ObjectKey,
        span: Span,
        request: WriteRequest,
        now_ns: u64,
    ) -> Option<Span> {
        let WriteRequest { size_bytes, is_temporary, tag, .. } = request;
        let mut lock = TtlLock::default();
        lock.lock(1, now_ns, self.write_ttl_ns);
        let object = Object { span, stage: ObjectStage::Staging(tag), lock, is_temporary };
        let Some(slot) = self.index.get_hashed_mut(hash, key) else {
            self.staging_bytes += size_bytes;
            self.index.insert(hash, Slot::new(key.clone(), object));
            return None;
        };
        match slot.staged_mut(tag) {
            Some(earlier) => Some(std::mem::replace(earlier, object).span),
            None => {
                self.staging_bytes += size_bytes;
                slot.push(object);
                None
            }
        }
    }

    /// Makes the staged objects of `tag` readable.
    pub(super) fn finish_write(&mut self, keys: &[ObjectKey], tag: WriterTag, now_ns: u64) -> KeyCodes {
        self.finish_write_with(keys, tag, now_ns, |_| ())
    }

    /// The same; also returns which objects are readable from now on, and do not leave with their last reader.
    pub(super) fn finish_write_noting(
        &mut self,
        keys: &[ObjectKey],
        tag: WriterTag,
        now_ns: u64,
    ) -> (KeyCodes, Vec<ObjectKey>) {
        let mut noted = Vec::new();
        let codes = self.finish_write_with(keys, tag, now_ns, |created| {
            noted = created.iter().map(|key| (*key).clone()).collect();
        });
        (codes, noted)
    }

    fn finish_write_with(
        &mut self,
        keys: &[ObjectKey],
        tag: WriterTag,
        now_ns: u64,
        note: impl FnOnce(&[&ObjectKey]),
    ) -> KeyCodes {
        let mut codes = Vec::with_capacity(keys.len());
        let mut created = Vec::with_capacity(keys.len());
        let mut discarded = Vec::new();
        for key in keys {
            codes.push(match self.admit(key, tag, now_ns, &mut discarded) {
                (Admission::Refused(code), _) => code,
                (Admission::Discarded, _) => L1Error::Success,
                (Admission::Admitted, object) => {
                    if object.is_some_and(|object| !object.is_temporary) {
                        created.push(key);
                    }
                    L1Error::Success
                }
            });
        }
        discarded.into_iter().for_each(|span| self.free(span));
        self.policy.on_keys_created(&created);
        note(&created);
        KeyCodes(codes)
    }

    /// As [`Self::finish_write`], and takes `read_locks` on what is resident then, in the same step.
    pub(super) fn finish_write_and_reserve_read(
        &mut self,
        keys: &[ObjectKey],
        read_locks: u32,
        tag: WriterTag,
        now_ns: u64,
    ) -> KeyCodes {
        let ttl_ns = self.read_ttl_ns;
        let mut codes = Vec::with_capacity(keys.len());
        let mut created = Vec::with_capacity(keys.len());
        let mut discarded = Vec::new();
        for key in keys {
            let (admission, object) = self.admit(key, tag, now_ns, &mut discarded);
            if let Some(object) = object {
                object.lock.lock(read_locks, now_ns, ttl_ns);
            }
            codes.push(match admission {
                Admission::Refused(code) => code,
                Admission::Discarded => L1Error::Success,
                Admission::Admitted => {
                    created.push(key);
                    L1Error::Success
                }
            });
        }
        discarded.into_iter().for_each(|span| self.free(span));
        self.policy.on_keys_created(&created);
        KeyCodes(codes)
    }

    /// Makes the staged object of `tag` resident, or puts its span into `discarded` if another one is. Also
    /// returns the object that is resident then.
    fn admit(
        &mut self,
        key: &ObjectKey,
        tag: WriterTag,
        now_ns: u64,
        discarded: &mut Vec<Span>,
    ) -> (Admission, Option<&mut Object>) {
        let Some(slot) = self.index.get_mut(key) else {
            return (Admission::Refused(L1Error::KeyNotExist), None);
        };
        let is_resident = slot.resident().is_some();
        let span = match slot.staged_mut(tag) {
            None => return (Admission::Refused(L1Error::KeyNotExist), None),
            Some(object) if !object.lock.is_locked(now_ns) => {
                return (Admission::Refused(L1Error::KeyInWrongState), None);
            }
            Some(object) => {
                if !is_resident {
                    object.stage = ObjectStage::Resident;
                    object.lock = TtlLock::default();
                }
                object.span
            }
        };
        self.staging_bytes -= span.size_bytes;
        if !is_resident {
            return (Admission::Admitted, slot.resident_mut());
        }
        discarded.push(span);
        // The resident object stays, so the slot is not left empty.
        let _ = slot.retain(|object| object.stage != ObjectStage::Staging(tag), |_| ());
        (Admission::Discarded, slot.resident_mut())
    }

    /// Drops the staged objects of `tag`: their bytes never came.
    pub(super) fn finish_write_and_delete(
        &mut self,
        keys: &[ObjectKey],
        tag: WriterTag,
        now_ns: u64,
    ) -> KeyCodes {
        let mut codes = Vec::with_capacity(keys.len());
        let mut gone = Vec::new();
        for key in keys {
            let is_live = |object: &mut Object| object.lock.is_locked(now_ns);
            codes.push(match self.index.get_mut(key).and_then(|slot| slot.staged_mut(tag)).map(is_live) {
                None => L1Error::KeyNotExist,
                Some(false) => L1Error::KeyInWrongState,
                Some(true) => {
                    self.drop_objects(key, |object| object.stage != ObjectStage::Staging(tag));
                    if self.index.get(key).is_none() {
                        gone.push(key);
                    }
                    L1Error::Success
                }
            });
        }
        self.policy.on_keys_removed(&gone);
        KeyCodes(codes)
    }
}

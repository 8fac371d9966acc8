//! Writing: `reserve_write` and the three ways to finish it.

use super::slot::{Object, ObjectStage, Slot, WriterTag};
use super::tables::Tables;
use super::{KeyCodes, L1Error};
use crate::error::Result;
use crate::format::model::{ObjectKey, WriteMode};
use crate::storage::arena::Span;
use crate::storage::ttl_lock::TtlLock;

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

impl Tables {
    /// Reserves an object for each of `keys`.
    ///
    /// All objects that need memory get it in one batch, or none of them does. A key that is named twice
    /// takes two buffers of the batch, as in LMCache, and gives one back at once, so that addresses, and what
    /// fits, are LMCache's.
    pub(super) fn reserve_write(
        &mut self,
        keys: &[ObjectKey],
        request: WriteRequest,
        now_ns: u64,
    ) -> Result<(KeyCodes, Vec<Option<Span>>)> {
        let mut codes = Vec::with_capacity(keys.len());
        let mut spans = vec![None; keys.len()];
        let mut to_allocate = Vec::with_capacity(keys.len());
        let mut reserved = Vec::with_capacity(keys.len());
        for (position, key) in keys.iter().enumerate() {
            let hash = self.index.hash(key);
            codes.push(match self.reserve_present(hash, key, request, now_ns) {
                Reservation::Refused => L1Error::KeyNotWritable,
                Reservation::Reused(span) => {
                    spans[position] = Some(span);
                    reserved.push(key);
                    L1Error::Success
                }
                Reservation::Allocate => {
                    to_allocate.push((position, hash));
                    L1Error::OutOfMemory
                }
            });
        }
        // LMCache's policy does not hear of a call that took over expired reservations only.
        if to_allocate.is_empty() {
            return Ok((KeyCodes(codes), spans));
        }
        let mut addresses = Vec::with_capacity(to_allocate.len());
        if self.allocator.batched_allocate(request.size_bytes, to_allocate.len(), &mut addresses)? {
            let mut replaced = Vec::new();
            for ((position, hash), address) in to_allocate.into_iter().zip(addresses) {
                let span = self.span(address, request.size_bytes);
                replaced.extend(self.stage(hash, &keys[position], span, request, now_ns));
                codes[position] = L1Error::Success;
                spans[position] = Some(span);
                reserved.push(&keys[position]);
            }
            self.give_back_duplicates(&replaced, keys, &mut spans);
        } else {
            self.allocation_failures += to_allocate.len() as u64;
        }
        self.policy.on_keys_reserved(&reserved);
        Ok((KeyCodes(codes), spans))
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

    fn span(&self, offset_bytes: u64, size_bytes: u64) -> Span {
        // What was allocated has an aligned size that 64 bits count.
        let phy_size_bytes = self.allocator.aligned_size_bytes(size_bytes).unwrap_or(size_bytes);
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

    /// Frees the buffers that a later occurrence of the same key replaced, and lets every occurrence name the
    /// one that stayed.
    fn give_back_duplicates(&mut self, replaced: &[Span], keys: &[ObjectKey], spans: &mut [Option<Span>]) {
        for span in replaced {
            self.free(*span);
            for position in 0..keys.len() {
                if spans[position] == Some(*span) {
                    let last = keys.iter().rposition(|key| *key == keys[position]);
                    spans[position] = last.and_then(|last| spans[last]);
                }
            }
        }
    }

    /// Makes the staged objects of `tag` readable.
    pub(super) fn finish_write(&mut self, keys: &[ObjectKey], tag: WriterTag, now_ns: u64) -> KeyCodes {
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

//! `reserve_write`, as LMCache has it, with its defects.
//!
//! A key that is named twice takes two buffers of the batch and gives one back at once, so that addresses, and what
//! fits, are LMCache's. A reservation of the same tag that ran out is handed over with its buffer as it is, whatever
//! the layout; and if nothing else is reserved, the policy does not hear of it.

use super::allocate::Addresses;
use super::code::{Codes, KeyCodes, L1Error};
use super::cursor::Cursor;
use super::reserve::Reserved;
use super::slot::{Object, ObjectStage};
use super::tables::Tables;
use super::write::WriteRequest;
use crate::error::Result;
use crate::format::model::{ObjectKey, WriteMode};
use crate::storage::config::Compat;
use crate::storage::memory::{Released, Span, check_object_bytes};
use crate::storage::ttl_lock::TtlLock;
use crate::sync::lock;

/// What `reserve_write` does about one key.
enum Reservation {
    Refused,
    /// An object that was there already is handed to the writer.
    Reused(Span),
    Allocate,
}

/// What `reserve_write` says of its keys, parallel to them, and whom it served.
struct Outcomes<'a> {
    codes: Codes,
    spans: Vec<Option<Span>>,
    reserved: Vec<&'a ObjectKey>,
}

impl<'a> Outcomes<'a> {
    fn none_reserved(keys: usize) -> Self {
        Self {
            codes: Codes::from_elem(L1Error::OutOfMemory, keys),
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
    /// See [`Self::reserve_write`]. A call that fails changes nothing. (LMCache has renewed the expired reservations
    /// among `keys` before it raises.)
    pub(super) fn reserve_as_lmcache<B>(
        &self,
        keys: &[ObjectKey],
        request: WriteRequest,
        now_ns: u64,
        mut make: impl FnMut(Span) -> B,
    ) -> Result<Reserved<B>> {
        let mut cursor = self.cursor();
        self.check_open()?;
        if let Err(error) = check_object_bytes(request.size_bytes)
            && keys.iter().any(|key| cursor.needs_memory(key, request))
        {
            return Err(error);
        }
        cursor.go_to(0);
        let mut outcomes = Outcomes::none_reserved(keys.len());
        let mut to_allocate = Vec::with_capacity(keys.len());
        for (position, key) in keys.iter().enumerate() {
            match cursor.reserve_present(key, request, now_ns) {
                Reservation::Refused => outcomes.codes[position] = L1Error::KeyNotWritable,
                Reservation::Reused(span) => outcomes.reserve(position, key, span),
                Reservation::Allocate => to_allocate.push(position),
            }
        }
        // What was handed over is refused to a later occurrence of its key.
        if !outcomes.reserved.is_empty() && outcomes.codes.contains(&L1Error::KeyNotWritable) {
            outcomes.repeat_last_spans(keys);
        }
        // LMCache's policy does not hear of a call that took over expired reservations only.
        if !to_allocate.is_empty() {
            let addresses = self.allocate_evicting(request.size_bytes, to_allocate.len(), now_ns)?;
            let batch = Batch { request, now_ns, addresses };
            batch.stage(&mut cursor, keys, &to_allocate, &mut outcomes);
            cursor.tell(|policy| policy.on_keys_reserved(&outcomes.reserved));
        }
        let buffers = outcomes.spans.into_iter().map(|span| span.map(&mut make)).collect();
        let used_bytes = lock(&self.space).used_bytes();
        Ok(Reserved { codes: KeyCodes(outcomes.codes), buffers, used_bytes })
    }
}

impl Cursor<'_> {
    /// Whether [`Self::reserve_present`] would find nothing to hand over.
    fn needs_memory(&mut self, key: &ObjectKey, request: WriteRequest) -> bool {
        let reusable = [ObjectStage::Resident, ObjectStage::Staging(request.tag)];
        let found = self.find(key);
        let has_none = found
            .and_then(|id| self.held().slot(id))
            .is_none_or(|slot| slot.objects().all(|object| !reusable.contains(&object.stage)));
        request.mode != WriteMode::Update && has_none
    }

    fn reserve_present(&mut self, key: &ObjectKey, request: WriteRequest, now_ns: u64) -> Reservation {
        let ttl_ns = self.tables().write_ttl_ns;
        let found = self.find(key);
        let shard = self.held();
        let Some((id, slot)) = found.and_then(|id| Some((id, shard.slot(id)?))) else {
            return match request.mode {
                WriteMode::Update => Reservation::Refused,
                WriteMode::New | WriteMode::All => Reservation::Allocate,
            };
        };
        let stage = ObjectStage::Staging(request.tag);
        let resident = slot.resident();
        if let Some(object) = slot.find(stage) {
            if resident.is_some() || object.lock.is_locked(now_ns) {
                return Reservation::Refused;
            }
            // The reservation ran out: its buffer goes to the next writer as it is, whatever its layout.
            let taken_over = shard.change(id, stage, |object| {
                object.lock.lock(1, now_ns, ttl_ns, Compat::Lmcache);
                object.is_temporary = request.is_temporary;
                object.span
            });
            return taken_over.map_or(Reservation::Refused, Reservation::Reused);
        }
        match (request.mode, resident) {
            (WriteMode::Update, None) => Reservation::Refused,
            (WriteMode::New | WriteMode::All, None) => Reservation::Allocate,
            (WriteMode::New, Some(_)) => Reservation::Refused,
            (WriteMode::Update | WriteMode::All, Some(object)) => {
                if object.is_temporary || object.lock.is_locked(now_ns) {
                    return Reservation::Refused;
                }
                let reopened = shard.change(id, ObjectStage::Resident, |object| {
                    object.stage = stage;
                    object.lock = TtlLock::default();
                    object.lock.lock(1, now_ns, ttl_ns, Compat::Lmcache);
                    object.span
                });
                reopened.map_or(Reservation::Refused, Reservation::Reused)
            }
        }
    }
}

/// The objects that a call has to allocate.
struct Batch {
    request: WriteRequest,
    now_ns: u64,
    addresses: Addresses,
}

impl Batch {
    /// Stages objects for the keys at the positions of `to_allocate`: for all of them or for none.
    fn stage<'a>(
        self,
        cursor: &mut Cursor<'_>,
        keys: &'a [ObjectKey],
        to_allocate: &[usize],
        outcomes: &mut Outcomes<'a>,
    ) {
        let mut replaced = Vec::new();
        for (position, offset) in to_allocate.iter().zip(&self.addresses.offsets) {
            let span = self.addresses.span(*offset, self.request.size_bytes);
            cursor.go_to(*position);
            replaced.extend(self.stage_one(cursor, &keys[*position], span));
            outcomes.reserve(*position, &keys[*position], span);
        }
        if !replaced.is_empty() {
            let tables = cursor.tables();
            replaced.retain(|span| tables.arena.release(*span) == Released::Now);
            tables.free(replaced);
            outcomes.repeat_last_spans(keys);
        }
    }

    /// Puts a write-locked object into the table. Returns the object that an earlier occurrence of the key in
    /// the same call put there.
    fn stage_one(&self, cursor: &mut Cursor<'_>, key: &ObjectKey, span: Span) -> Option<Span> {
        let WriteRequest { is_temporary, tag, .. } = self.request;
        let tables = cursor.tables();
        let stage = ObjectStage::Staging(tag);
        let mut lock = TtlLock::default();
        lock.lock(1, self.now_ns, tables.write_ttl_ns, Compat::Lmcache);
        let object = Object::new(span, stage, lock, is_temporary);
        let Some(id) = cursor.find_to_write(key) else {
            cursor.insert(key, object);
            return None;
        };
        let shard = cursor.held();
        let slot = shard.slot(id)?;
        if slot.find(stage).is_none() {
            shard.push(id, object);
            return None;
        }
        shard.change(id, stage, |earlier| std::mem::replace(earlier, object).span)
    }
}

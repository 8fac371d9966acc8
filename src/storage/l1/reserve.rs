//! `reserve_write`, as ours. [`reserve_lmcache`](super::reserve_lmcache) has LMCache's.
//!
//! What differs: a key that is named twice gets one buffer; where memory is short, what is needed is evicted; and a
//! reservation that ran out is not handed over, because its writer may still be writing. The next writer gets a buffer
//! of its own, of the size that it asks for, and the old one is freed.

use super::code::{Codes, KeyCodes, L1Error};
use super::cursor::Cursor;
use super::slot::{Object, ObjectStage, Slot};
use super::tables::Tables;
use super::write::WriteRequest;
use crate::error::Result;
use crate::format::model::{ObjectKey, WriteMode};
use crate::storage::config::Compat;
use crate::storage::memory::Span;
use crate::storage::ttl_lock::TtlLock;

use super::allocate::Addresses;
use super::shard::{Shard, SlotId};

/// What `reserve_write` gives.
#[derive(Debug)]
pub(super) struct Reserved<B> {
    /// Parallel to the keys.
    pub(super) codes: KeyCodes,
    /// Parallel to the keys: what was made of the spans of the reserved ones.
    pub(super) buffers: Vec<Option<B>>,
    /// Bytes in use afterwards.
    pub(super) used_bytes: u64,
}

/// What is there under a key, for a writer.
enum Present {
    /// Nothing that stands in his way.
    Nothing,
    /// His own reservation, which ran out; with how many late writers the next one has.
    Expired { late_writers: u8 },
    /// A reservation under his tag: another writer's, or this call's.
    Staged(Span),
    /// A resident object that he is allowed to write.
    Open(Span),
    /// He must not write.
    Refused,
}

fn present(slot: &Slot, request: WriteRequest, now_ns: u64, ttl_ns: u64) -> Present {
    if let Some(object) = slot.find(ObjectStage::Staging(request.tag)) {
        if object.lock.is_locked(now_ns) {
            return Present::Staged(object.span);
        }
        if slot.resident().is_some() {
            return Present::Refused;
        }
        let is_recent = now_ns < object.lock.live_until_ns().saturating_add(ttl_ns);
        let late_writers = if is_recent { object.late_writers.saturating_add(1) } else { 0 };
        return Present::Expired { late_writers };
    }
    match (request.mode, slot.resident()) {
        (WriteMode::Update, None) | (WriteMode::New, Some(_)) => Present::Refused,
        (WriteMode::New | WriteMode::All, None) => Present::Nothing,
        (WriteMode::Update | WriteMode::All, Some(object)) => {
            if object.is_temporary || object.is_locked(now_ns) {
                return Present::Refused;
            }
            Present::Open(object.span)
        }
    }
}

/// A call under way.
struct Call<'a> {
    tables: &'a Tables,
    request: WriteRequest,
    now_ns: u64,
    addresses: Addresses,
    /// How many of the addresses are taken.
    taken: usize,
    /// Where the resident objects lie that this call writes again.
    reopened: Vec<u64>,
    freed: Vec<Span>,
}

impl Tables {
    /// Reserves an object for each of `keys`. All objects that need memory get it in one batch, or none of them does.
    /// `make` sees the span of each with its shard locked.
    pub(super) fn reserve_write<B>(
        &self,
        keys: &[ObjectKey],
        request: WriteRequest,
        now_ns: u64,
        make: impl FnMut(Span) -> B,
    ) -> Result<Reserved<B>> {
        match self.compat {
            Compat::Lmcache => self.reserve_as_lmcache(keys, request, now_ns, make),
            Compat::Native => self.reserve_as_ours(keys, request, now_ns, make),
        }
    }

    fn reserve_as_ours<B>(
        &self,
        keys: &[ObjectKey],
        request: WriteRequest,
        now_ns: u64,
        mut make: impl FnMut(Span) -> B,
    ) -> Result<Reserved<B>> {
        let addresses = self.addresses_for(keys, request, now_ns)?;
        let mut call = Call {
            tables: self,
            request,
            now_ns,
            addresses,
            taken: 0,
            reopened: Vec::new(),
            freed: Vec::new(),
        };
        let mut codes = Codes::with_capacity(keys.len());
        let mut buffers = Vec::with_capacity(keys.len());
        let mut reserved = Vec::new();
        let mut used = self.now_used() + keys.len() as u64;
        let mut cursor = self.cursor();
        let mut open = self.check_open();
        for key in keys {
            used = used.saturating_sub(1);
            let found = cursor.find_to_write(key);
            open = self.check_open();
            if open.is_err() {
                break;
            }
            let outcome = call.reserve(&mut cursor, found, key, used);
            codes.push(outcome.err().unwrap_or(L1Error::Success));
            buffers.push(outcome.ok().map(&mut make));
            if outcome.is_ok() {
                reserved.push(key);
            }
        }
        cursor.tell(|policy| policy.on_keys_reserved(&reserved));
        drop(cursor);
        self.free(std::mem::take(&mut call.freed));
        self.give_back(&call.addresses, &call.addresses.offsets[call.taken..]);
        open?;
        Ok(Reserved { codes: KeyCodes(codes), buffers, used_bytes: call.addresses.used_bytes })
    }

    /// Addresses for all of `keys`, or, if there are not as many, for those that need one.
    ///
    /// Mostly all of them need one. What is too many is given back, and lies behind what was used, so that the
    /// addresses are the same as if it had not been taken.
    fn addresses_for(&self, keys: &[ObjectKey], request: WriteRequest, now_ns: u64) -> Result<Addresses> {
        if keys.is_empty() {
            return Ok(Addresses::default());
        }
        // An update needs a new place only where another one ran out.
        if request.size_bytes > 0 && request.mode != WriteMode::Update {
            let addresses = self.allocate(request.size_bytes, keys.len())?;
            if !addresses.offsets.is_empty() {
                return Ok(addresses);
            }
        }
        match self.keys_in_need(keys, request, now_ns) {
            0 => Ok(Addresses::default()),
            needed => self.allocate_evicting(request.size_bytes, needed, now_ns),
        }
    }

    /// How many different ones of `keys` have to be allocated.
    fn keys_in_need(&self, keys: &[ObjectKey], request: WriteRequest, now_ns: u64) -> usize {
        let mut cursor = self.cursor();
        let mut needs = |key: &ObjectKey| {
            let found = cursor.find(key);
            let Some(slot) = found.and_then(|id| cursor.held().slot(id)) else {
                return request.mode != WriteMode::Update;
            };
            let present = present(slot, request, now_ns, self.write_ttl_ns);
            matches!(present, Present::Nothing | Present::Expired { .. })
        };
        let in_need = keys.iter().filter(|key| needs(key));
        in_need.collect::<hashbrown::HashSet<&ObjectKey, foldhash::fast::RandomState>>().len()
    }
}

impl Call<'_> {
    /// Reserves the key that the cursor looked for last, and found or not.
    fn reserve(
        &mut self,
        cursor: &mut Cursor<'_>,
        found: Option<SlotId>,
        key: &ObjectKey,
        used: u64,
    ) -> Result<Span, L1Error> {
        let Some(id) = found else {
            if self.request.mode == WriteMode::Update {
                return Err(L1Error::KeyNotWritable);
            }
            let object = self.new_object(0)?;
            let span = object.span;
            let id = cursor.insert(key, object);
            cursor.held().set_used(id, used);
            return Ok(span);
        };
        self.reserve_found(cursor.held(), id, used)
    }

    /// Reserves a key that has a slot.
    fn reserve_found(&mut self, shard: &mut Shard, id: SlotId, used: u64) -> Result<Span, L1Error> {
        let Some(slot) = shard.slot(id) else { return Err(L1Error::KeyNotWritable) };
        let span = match present(slot, self.request, self.now_ns, self.tables.write_ttl_ns) {
            Present::Refused => return Err(L1Error::KeyNotWritable),
            // A key that is named twice.
            Present::Staged(span) if self.is_mine(span) => return Ok(span),
            Present::Staged(_) => return Err(L1Error::KeyNotWritable),
            Present::Open(span) => {
                self.reopen(shard, id);
                span
            }
            Present::Nothing => {
                let object = self.new_object(0)?;
                let span = object.span;
                shard.push(id, object);
                span
            }
            Present::Expired { late_writers } => self.replace(shard, id, late_writers)?,
        };
        shard.set_used(id, used);
        Ok(span)
    }

    fn is_mine(&self, span: Span) -> bool {
        let taken = &self.addresses.offsets[..self.taken];
        taken.contains(&span.offset_bytes) || self.reopened.contains(&span.offset_bytes)
    }

    fn new_lock(&self) -> TtlLock {
        let mut lock = TtlLock::default();
        lock.lock(1, self.now_ns, self.tables.write_ttl_ns, Compat::Native);
        lock
    }

    /// A staged object at the next address.
    fn new_object(&mut self, late_writers: u8) -> Result<Object, L1Error> {
        let offset = self.addresses.offsets.get(self.taken).ok_or(L1Error::OutOfMemory)?;
        self.taken += 1;
        let span = self.addresses.span(*offset, self.request.size_bytes);
        let stage = ObjectStage::Staging(self.request.tag);
        let object = Object::new(span, stage, self.new_lock(), self.request.is_temporary);
        Ok(Object { late_writers, ..object })
    }

    /// Takes a resident object out of view, to be written again.
    fn reopen(&mut self, shard: &mut Shard, id: SlotId) {
        let (stage, lock) = (ObjectStage::Staging(self.request.tag), self.new_lock());
        let reopened = &mut self.reopened;
        shard.change(id, ObjectStage::Resident, |object| {
            (object.stage, object.lock) = (stage, lock);
            reopened.push(object.span.offset_bytes);
        });
    }

    /// Puts a new object into the place of a reservation that ran out.
    fn replace(&mut self, shard: &mut Shard, id: SlotId, late_writers: u8) -> Result<Span, L1Error> {
        let object = self.new_object(late_writers)?;
        let (span, stage) = (object.span, object.stage);
        let mut before = None;
        shard.change(id, stage, |present| before = Some(std::mem::replace(present, object)));
        if let Some(before) = before
            && self.tables.arena.release(before.span) == crate::storage::memory::Released::Now
        {
            self.freed.push(before.span);
        }
        Ok(span)
    }
}

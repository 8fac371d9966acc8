//! Both ends of a write, for every writer of the storage manager: a reservation that tries the L1s in order, and what makes
//! its objects readable.

use crate::clock::monotonic_ns;
use crate::error::{Error, Result};
use crate::format::model::{MemoryLayoutDesc, ObjectKey, WriteMode};
use crate::storage::agent::Mailbox;
use crate::storage::events::{Event, Events};
use crate::storage::hook::{CallHook, Effect, Hooked, HookedCall};
use crate::storage::l1::{KeyCodes, L1Error, L1Manager, WriteRequest, WriterTag};
use crate::storage::l2::Adapters;
use crate::storage::manager::StorageManager;
use crate::storage::reader::L1ManagerId;
use crate::storage::store::Message;
use crate::sync::Arc;

/// What was reserved: a code for each key of the call, and a buffer for each that was.
#[derive(Clone, Debug)]
pub(super) struct Reserved<B> {
    pub(super) codes: KeyCodes,
    pub(super) buffers: Vec<Option<B>>,
    /// Which L1 each key was reserved in, if several were tried; else it is the first.
    owners: Vec<L1ManagerId>,
    /// What each L1 said of the keys that it was asked for, if several were tried.
    pub(super) per_l1: Vec<(L1ManagerId, KeyCodes)>,
}

impl<B> Reserved<B> {
    fn new((codes, buffers): (KeyCodes, Vec<Option<B>>)) -> Self {
        Self { codes, buffers, owners: Vec::new(), per_l1: Vec::new() }
    }

    /// The positions of the keys that found no room.
    fn out_of_memory(&self) -> Vec<usize> {
        let codes = self.codes.0.iter().enumerate();
        codes.filter(|(_, code)| **code == L1Error::OutOfMemory).map(|(position, _)| position).collect()
    }

    /// Adds what `owner` said of the keys at `positions`.
    fn merge(
        &mut self,
        owner: L1ManagerId,
        positions: &[usize],
        (codes, buffers): (KeyCodes, Vec<Option<B>>),
    ) {
        if self.owners.is_empty() {
            self.owners = vec![0; self.codes.0.len()];
            self.per_l1 = vec![(0, self.codes.clone())];
        }
        for ((position, code), buffer) in positions.iter().zip(codes.as_slice()).zip(buffers) {
            (self.codes.0[*position], self.buffers[*position]) = (*code, buffer);
            self.owners[*position] = owner;
        }
        self.per_l1.push((owner, codes));
    }

    /// The L1 that the key at `position` was reserved in.
    pub(super) fn owner(&self, position: usize) -> L1ManagerId {
        self.owners.get(position).copied().unwrap_or(0)
    }
}

impl StorageManager {
    /// `reserve_write`, of buffers as `reserve` gives them.
    pub(super) fn reserve_as<B>(
        &self,
        keys: &[ObjectKey],
        layout: &MemoryLayoutDesc,
        mode: WriteMode,
        reserve: impl Fn(&L1Manager, &[ObjectKey], WriteRequest) -> Result<(KeyCodes, Vec<Option<B>>)>,
    ) -> Result<Reserved<B>> {
        let hooked = Hooked::begin(self.hook.get(), || HookedCall::ReserveWrite { keys, layout });
        let size_bytes = layout.size_bytes();
        let request = WriteRequest { size_bytes, is_temporary: false, tag: WriterTag::StorageManager, mode };
        self.layouts.note(keys, layout);
        let reserved = self.reserve_in_order(keys, |l1, keys| reserve(l1, keys, request));
        hooked.end_with(&reserved, |reserved| {
            let effect = Effect::of_codes(&reserved.codes);
            Effect { bytes: effect.hit_keys as u64 * size_bytes, ..effect }
        });
        if let Ok(reserved) = &reserved {
            self.publish_reserved(keys, &reserved.codes);
        }
        reserved
    }

    /// Tries the L1s in order; only what found no room goes on to the next.
    fn reserve_in_order<B>(
        &self,
        keys: &[ObjectKey],
        reserve: impl Fn(&L1Manager, &[ObjectKey]) -> Result<(KeyCodes, Vec<Option<B>>)>,
    ) -> Result<Reserved<B>> {
        let mut reserved = Reserved::new(reserve(&self.units[0].l1, keys)?);
        for (owner, unit) in self.units.iter().enumerate().skip(1) {
            let pending = reserved.out_of_memory();
            if pending.is_empty() {
                break;
            }
            let pending_keys: Vec<ObjectKey> =
                pending.iter().map(|position| keys[*position].clone()).collect();
            let of_owner = reserve(&unit.l1, &pending_keys)?;
            reserved.merge(owner as L1ManagerId, &pending, of_owner);
        }
        Ok(reserved)
    }

    fn publish_reserved(&self, keys: &[ObjectKey], codes: &KeyCodes) {
        let hears_all = self.events.has_sink_for_reservations();
        let hears_failures = self.events.has_sink() && codes.count(L1Error::OutOfMemory) > 0;
        if !hears_all && !hears_failures {
            return;
        }
        let outcomes = codes.per_distinct_key(keys);
        if hears_all {
            self.events.publish_outcomes(&outcomes, Event::sm_write_reserved);
        }
        let out_of_memory = outcomes.iter().filter(|(_, code)| *code == L1Error::OutOfMemory);
        let out_of_memory: Vec<&ObjectKey> = out_of_memory.map(|(key, _)| *key).collect();
        if !out_of_memory.is_empty() {
            let during = "l1_store";
            self.events.publish(|| Event::L1AllocationFailed { during, keys: &out_of_memory });
        }
    }
}

/// What makes written objects readable, and sees to it that they are stored to L2. It can outlive its storage manager, whose
/// L1s are closed then.
#[derive(Debug)]
pub(super) struct WriteEnd {
    /// Each L1, with the mailbox of its store controller.
    pub(super) l1s: Vec<(Arc<L1Manager>, Arc<Mailbox<Message>>)>,
    pub(super) adapters: Arc<Adapters>,
    pub(super) events: Events,
}

impl WriteEnd {
    /// Makes what was written in the L1 `owner` readable.
    fn finish_in(&self, owner: usize, keys: &[ObjectKey]) -> Result<KeyCodes> {
        let (l1, store) = &self.l1s[owner];
        l1.check_open()?;
        if self.adapters.is_empty() {
            return Ok(l1.finish_write(keys, WriterTag::StorageManager));
        }
        let (codes, readable) = l1.finish_write_noting(keys, WriterTag::StorageManager);
        if !readable.is_empty() {
            store.send(Message::Written { keys: readable, written_ns: monotonic_ns() });
        }
        Ok(codes)
    }

    /// `finish_write`, of the keys of the only L1.
    pub(super) fn finish(&self, keys: &[ObjectKey], hook: Option<&Arc<dyn CallHook>>) -> Result<KeyCodes> {
        let hooked = Hooked::begin(hook, || HookedCall::FinishWrite(keys));
        let finished = self.finish_in(0, keys);
        hooked.end_with(&finished, Effect::of_codes);
        if let Ok(codes) = &finished
            && self.events.has_sink()
        {
            self.events.publish_outcomes(&codes.per_distinct_key(keys), Event::sm_write_finished);
        }
        finished
    }

    /// `finish_write_by_owner`.
    pub(super) fn finish_by_owner(
        &self,
        groups: &[(L1ManagerId, &[ObjectKey])],
        hook: Option<&Arc<dyn CallHook>>,
    ) -> Result<Vec<KeyCodes>> {
        if let Some((owner, _)) = groups.iter().find(|(owner, _)| *owner as usize >= self.l1s.len()) {
            return Err(Error::invalid("a write completion names an L1 manager that does not exist")
                .with_context("l1_manager", owner));
        }
        // One call, as LMCache traces it: the keys of all groups. With several L1s LMCache traces nothing, since its
        // trace has no word for owners; ours is worth having all the same.
        let keys = || groups.iter().flat_map(|(_, keys)| *keys).cloned().collect::<Vec<_>>();
        let needs_keys = hook.is_some() || self.events.has_sink();
        let all_keys = if needs_keys { keys() } else { Vec::new() };
        let hooked = Hooked::begin(hook, || HookedCall::FinishWrite(&all_keys));
        let finished: Result<Vec<_>> =
            groups.iter().map(|(owner, keys)| self.finish_in(*owner as usize, keys)).collect();
        hooked.end_with(&finished, |groups| groups.iter().map(Effect::of_codes).sum());
        if let Ok(codes) = &finished
            && self.events.has_sink()
        {
            let all = KeyCodes(codes.iter().flat_map(|codes| codes.as_slice()).copied().collect());
            self.events.publish_outcomes(&all.per_distinct_key(&all_keys), Event::sm_write_finished);
        }
        finished
    }
}

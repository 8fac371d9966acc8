//! Writing: what a reservation asks for, and the three ways to finish it.

use super::code::{Codes, KeyCodes, L1Error};
use super::shard::{Shard, SlotId};
use super::slot::{Object, ObjectStage, WriterTag};
use super::tables::Tables;
use crate::format::model::{ObjectKey, WriteMode};
use crate::storage::config::Compat;
use crate::storage::memory::{Arena, Span};
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

/// What became of a staged object whose writer finished.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Admission {
    Refused(L1Error),
    /// It is resident.
    Admitted {
        is_temporary: bool,
    },
    /// Another one was resident first and stays; this one is dropped.
    Discarded,
}

/// Whether the writer that finishes holds the reservation.
///
/// All clients write under one tag, so a finish does not say whose it is. If a reservation ran out less than one time
/// to live before it was taken over, its writer may still finish, and would make readable what the new writer has not
/// written yet. So the first finish is refused then, as the late one's: by the second, both have written all. A writer
/// who never comes back costs the next one his object; after one time to live nobody waits for him any more.
fn end_reservation(object: &mut Object, now_ns: u64) -> Result<(), L1Error> {
    if !object.lock.is_locked(now_ns) {
        return Err(L1Error::KeyInWrongState);
    }
    if object.late_writers > 0 {
        object.late_writers -= 1;
        return Err(L1Error::KeyInWrongState);
    }
    Ok(())
}

impl Tables {
    /// Makes the staged objects of `tag` readable. `note` is shown those that do not leave with their last reader.
    pub(super) fn finish_write(
        &self,
        keys: &[ObjectKey],
        tag: WriterTag,
        now_ns: u64,
        note: impl FnOnce(&[&ObjectKey]),
    ) -> KeyCodes {
        let mut created = Vec::with_capacity(keys.len());
        // LMCache's policy does not hear of temporary objects that are admitted without a reader.
        let codes = self.finish(keys, tag, now_ns, false, |_, admission, key| {
            if admission == (Admission::Admitted { is_temporary: false }) {
                created.push(key);
            }
        });
        note(&created);
        codes
    }

    /// As [`Self::finish_write`], and takes `read_locks` on what is resident then, in the same step.
    pub(super) fn finish_write_and_reserve_read(
        &self,
        keys: &[ObjectKey],
        read_locks: u32,
        tag: WriterTag,
        now_ns: u64,
    ) -> KeyCodes {
        let (ttl_ns, compat) = (self.read_ttl_ns, self.compat);
        let lock = |object: &mut Object, _, _| object.lock.lock(read_locks, now_ns, ttl_ns, compat);
        self.finish(keys, tag, now_ns, true, lock)
    }

    /// Admits what `tag` staged of `keys`; `then` sees the object that is resident then. What is admitted counts as
    /// used now; temporary objects only with `with_temporary`.
    fn finish<'k>(
        &self,
        keys: &'k [ObjectKey],
        tag: WriterTag,
        now_ns: u64,
        with_temporary: bool,
        mut then: impl FnMut(&mut Object, Admission, &'k ObjectKey),
    ) -> KeyCodes {
        let mut codes = Codes::with_capacity(keys.len());
        let mut created = Vec::new();
        let mut freed = Vec::new();
        let mut cursor = self.cursor();
        let mut used = self.now_used() + keys.len() as u64;
        let is_use = |admission| match admission {
            Admission::Admitted { is_temporary } => with_temporary || !is_temporary,
            Admission::Refused(_) | Admission::Discarded => false,
        };
        for key in keys {
            used = used.saturating_sub(1);
            let Some(id) = cursor.find(key) else {
                codes.push(L1Error::KeyNotExist);
                continue;
            };
            let shard = cursor.held();
            let admission = shard.admit(id, tag, now_ns, &self.arena, &mut freed);
            if let Admission::Refused(code) = admission {
                codes.push(code);
                continue;
            }
            shard.change(id, ObjectStage::Resident, |object| then(object, admission, key));
            if is_use(admission) {
                shard.set_used(id, used);
                created.push(key);
            }
            codes.push(L1Error::Success);
        }
        self.free(freed);
        cursor.tell(|policy| policy.on_keys_created(&created));
        drop(cursor);
        self.settle_repeated(keys, codes)
    }

    /// Drops the staged objects of `tag`: their bytes never came. Of a client's, which share a tag, only those whose
    /// reservation has not run out; a prefetch's tag is its own, so that what it staged is its to drop at any time.
    pub(super) fn finish_write_and_delete(
        &self,
        keys: &[ObjectKey],
        tag: WriterTag,
        now_ns: u64,
    ) -> KeyCodes {
        let mut codes = Codes::with_capacity(keys.len());
        let (mut gone, mut freed) = (Vec::new(), Vec::new());
        let mut cursor = self.cursor();
        let is_own_tag = self.compat == Compat::Native && matches!(tag, WriterTag::Prefetch(_));
        for key in keys {
            let id = cursor.find(key);
            let stage = ObjectStage::Staging(tag);
            let is_live = |object: &mut Object| is_own_tag || object.lock.is_locked(now_ns);
            codes.push(match id.and_then(|id| Some((id, cursor.held().change(id, stage, is_live)?))) {
                None => L1Error::KeyNotExist,
                Some((_, false)) => L1Error::KeyInWrongState,
                Some((id, true)) => {
                    let keep = |object: &Object| object.stage != stage;
                    let taken = cursor.held().take(id, keep, &self.arena, &mut freed);
                    if !taken.key_is_left {
                        gone.push(key);
                    }
                    L1Error::Success
                }
            });
        }
        self.free(freed);
        cursor.tell(|policy| policy.on_keys_removed(&gone));
        drop(cursor);
        self.settle_repeated(keys, codes)
    }

    /// Drops the staged objects of the storage manager's clients that lie at `spans`, parallel to `keys`. Where another
    /// client has taken a reservation over that ran out, his stays, and he has one late writer less.
    pub(super) fn give_up_write(&self, keys: &[ObjectKey], spans: &[Span]) {
        let stage = ObjectStage::Staging(WriterTag::StorageManager);
        let (mut gone, mut freed) = (Vec::new(), Vec::new());
        let mut cursor = self.cursor();
        for (key, span) in keys.iter().zip(spans) {
            let Some(id) = cursor.find(key) else { continue };
            let shard = cursor.held();
            let is_own = shard.change(id, stage, |object| {
                let is_own = object.span.offset_bytes == span.offset_bytes;
                if !is_own {
                    object.late_writers = object.late_writers.saturating_sub(1);
                }
                is_own
            });
            if is_own == Some(true)
                && !shard.take(id, |object| object.stage != stage, &self.arena, &mut freed).key_is_left
            {
                gone.push(key);
            }
        }
        self.free(freed);
        cursor.tell(|policy| policy.on_keys_removed(&gone));
    }

    /// A key that is named twice is finished once. In LMCache the second occurrence finds nothing, and hides the
    /// first's success; ours are both successes.
    fn settle_repeated(&self, keys: &[ObjectKey], mut codes: Codes) -> KeyCodes {
        let has = |code| codes.contains(&code);
        if self.compat == Compat::Native && has(L1Error::KeyNotExist) && has(L1Error::Success) {
            let done: hashbrown::HashSet<&ObjectKey, foldhash::fast::RandomState> = keys
                .iter()
                .zip(&codes)
                .filter(|(_, code)| **code == L1Error::Success)
                .map(|(key, _)| key)
                .collect();
            for (key, code) in keys.iter().zip(&mut codes) {
                if *code == L1Error::KeyNotExist && done.contains(key) {
                    *code = L1Error::Success;
                }
            }
        }
        KeyCodes(codes)
    }
}

impl Shard {
    /// Makes the staged object of `tag` resident, or drops it if another one is.
    fn admit(
        &mut self,
        id: SlotId,
        tag: WriterTag,
        now_ns: u64,
        arena: &Arena,
        freed: &mut Vec<Span>,
    ) -> Admission {
        let is_resident = self.slot(id).is_some_and(|slot| slot.resident().is_some());
        let stage = ObjectStage::Staging(tag);
        let ended = self.change(id, stage, |object| {
            end_reservation(object, now_ns)?;
            if !is_resident {
                (object.stage, object.lock) = (ObjectStage::Resident, TtlLock::default());
            }
            Ok(object.is_temporary)
        });
        match ended {
            None => Admission::Refused(L1Error::KeyNotExist),
            Some(Err(code)) => Admission::Refused(code),
            Some(Ok(is_temporary)) if !is_resident => Admission::Admitted { is_temporary },
            Some(Ok(_)) => {
                // The resident object stays, so the slot is not left empty.
                self.take(id, |object| object.stage != stage, arena, freed);
                Admission::Discarded
            }
        }
    }
}

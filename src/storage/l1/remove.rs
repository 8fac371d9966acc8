//! Removing: `delete` and `clear`.

use super::code::{Codes, KeyCodes, L1Error};
use super::cursor::Cursor;
use super::shard::{Shard, SlotId};
use super::slot::Object;
use super::tables::Tables;
use crate::format::model::ObjectKey;
use crate::storage::memory::{Arena, Span};

/// What became of a key that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deletion {
    /// Its resident object went, and all that was there beside it.
    Deleted,
    /// It had only reservations, and they went.
    Reclaimed,
    /// Something is being read or written.
    Locked,
}

impl Deletion {
    pub(super) fn code(self) -> L1Error {
        match self {
            Self::Deleted | Self::Reclaimed => L1Error::Success,
            Self::Locked => L1Error::KeyIsLocked,
        }
    }
}

impl Shard {
    /// Deletes the resident object of a slot and reclaims reservations that ran out; with `force`, also what is being
    /// read or written. What a locked key has that is open goes, too.
    pub(super) fn delete(
        &mut self,
        id: SlotId,
        force: bool,
        now_ns: u64,
        arena: &Arena,
        freed: &mut Vec<Span>,
    ) -> Deletion {
        let is_open = |object: &Object| force || !object.is_locked(now_ns);
        if self.slot(id).is_some_and(|slot| slot.is_staged()) {
            let keep = |object: &Object| object.is_resident() || !is_open(object);
            self.take(id, keep, arena, freed);
        }
        match self.slot(id) {
            None => Deletion::Reclaimed,
            Some(slot) if slot.is_staged() || !slot.objects().all(is_open) => Deletion::Locked,
            Some(_) => {
                self.take(id, |_| false, arena, freed);
                Deletion::Deleted
            }
        }
    }
}

impl Tables {
    /// Deletes what is open of `keys`; with `force`, all of it.
    pub(super) fn delete(&self, keys: &[ObjectKey], force: bool, now_ns: u64) -> KeyCodes {
        self.delete_at(&mut self.cursor(), keys, force, now_ns)
    }

    /// [`Self::delete`] by who holds a shard already.
    pub(super) fn delete_at(
        &self,
        cursor: &mut Cursor<'_>,
        keys: &[ObjectKey],
        force: bool,
        now_ns: u64,
    ) -> KeyCodes {
        let mut codes = Codes::with_capacity(keys.len());
        // LMCache's policies hear of deleted objects first, and of reservations that alone were there after.
        let (mut deleted, mut reclaimed, mut freed) = (Vec::new(), Vec::new(), Vec::new());
        for key in keys {
            let Some(id) = cursor.find(key) else {
                codes.push(L1Error::KeyNotExist);
                continue;
            };
            let deletion = cursor.held().delete(id, force, now_ns, &self.arena, &mut freed);
            match deletion {
                Deletion::Deleted => deleted.push(key),
                Deletion::Reclaimed => reclaimed.push(key),
                Deletion::Locked => {}
            }
            codes.push(deletion.code());
        }
        self.free(freed);
        cursor.tell(|policy| {
            policy.on_keys_removed(&deleted);
            policy.on_keys_removed(&reclaimed);
        });
        KeyCodes(codes)
    }

    /// Drops every object that nobody reads or writes; with `force`, every object.
    pub(super) fn clear(&self, force: bool, now_ns: u64) {
        self.each_shard(|shard| {
            let mut freed = Vec::new();
            let is_kept = |object: &Object| !force && object.is_locked(now_ns);
            let slots = shard.slots().filter(|(_, slot)| slot.objects().any(|object| !is_kept(object)));
            let open: Vec<SlotId> = slots.map(|(id, _)| id).collect();
            let mut gone = Vec::new();
            for id in open {
                let Some(key) = shard.slot(id).map(|slot| shard.key(slot)) else { continue };
                let taken = shard.take(id, is_kept, &self.arena, &mut freed);
                // A key with a live reservation is forgotten only if its resident object went.
                if taken.residents > 0 || (taken.objects > 0 && !taken.key_is_left) {
                    gone.push(key);
                }
            }
            self.free(freed);
            if let Some(policy) = &mut shard.policy {
                policy.on_keys_removed(&gone.iter().collect::<Vec<_>>());
            }
        });
    }
}

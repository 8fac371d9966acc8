//! Reading: `reserve_read`, `unsafe_read`, `finish_read`, `touch_keys`.

use smallvec::SmallVec;

use super::code::{Codes, KeyCodes, L1Error};
use super::shard::Place;
use super::slot::Object;
use super::tables::Tables;
use crate::format::model::ObjectKey;
use crate::storage::config::Compat;
use crate::storage::memory::Span;

/// So many uses are noted without an allocation.
const USUAL_KEYS: usize = 32;

/// A use that may have to be taken back.
struct Use {
    place: Place,
    used: u64,
    /// When the key was used last before.
    before: u64,
}

impl Tables {
    /// Locks the resident ones of `keys`, each occurrence `read_locks` times.
    pub(super) fn reserve_read<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a ObjectKey>,
        read_locks: u32,
        now_ns: u64,
    ) -> KeyCodes {
        let (ttl_ns, compat) = (self.read_ttl_ns, self.compat);
        let mut cursor = self.cursor();
        let codes = keys.into_iter().map(|key| {
            let locked = cursor.find(key).and_then(|id| {
                let lock = |object: &mut Object| object.lock.lock(read_locks, now_ns, ttl_ns, compat);
                cursor.held().change_locks(id, lock)
            });
            code_of(locked)
        });
        KeyCodes(codes.collect())
    }

    /// [`Self::reserve_read`] of `count` keys that counts them as used if all of them are there, as
    /// [`Self::touch_keys`] would.
    pub(super) fn reserve_read_whole<'a>(
        &self,
        keys: impl Iterator<Item = &'a ObjectKey> + Clone,
        count: usize,
        read_locks: u32,
        now_ns: u64,
    ) -> KeyCodes {
        let (ttl_ns, compat) = (self.read_ttl_ns, self.compat);
        let mut cursor = self.cursor();
        let mut codes = Codes::with_capacity(count);
        let mut used_before: SmallVec<[Use; USUAL_KEYS]> = SmallVec::new();
        let mut used = self.now_used() + count as u64;
        for key in keys.clone() {
            let locked = cursor.find(key).and_then(|id| {
                let lock = |object: &mut Object| object.lock.lock(read_locks, now_ns, ttl_ns, compat);
                cursor.held().change_locks(id, lock).map(|()| id)
            });
            used = used.saturating_sub(1);
            if let Some(slot) = locked {
                let before = cursor.held().set_used(slot, used);
                used_before.push(Use { place: cursor.place(slot), used, before });
            }
            codes.push(code_of(locked));
        }
        if used_before.len() == codes.len() {
            cursor.tell(|policy| policy.on_keys_touched(&keys.collect::<Vec<_>>()));
        } else {
            drop(cursor);
            self.unuse(&used_before);
        }
        KeyCodes(codes)
    }

    /// Takes uses back, as far as the slots were not used again.
    fn unuse(&self, uses: &[Use]) {
        // From the last: a key that was named twice goes back in two steps.
        for Use { place, used, before } in uses.iter().rev() {
            let mut shard = self.lock_shard(place.shard);
            if shard.slot(place.slot).is_some_and(|slot| slot.used == *used) {
                shard.set_used(place.slot, *before);
            }
        }
    }

    /// What `make` makes of the objects of `keys` that somebody holds a read lock on, with the shard locked. Takes no
    /// lock.
    pub(super) fn unsafe_read<B>(
        &self,
        keys: &[ObjectKey],
        now_ns: u64,
        mut make: impl FnMut(Span) -> B,
    ) -> (KeyCodes, Vec<Option<B>>) {
        let mut cursor = self.cursor();
        let mut made = Vec::with_capacity(keys.len());
        let codes = keys.iter().map(|key| {
            let found = cursor.find(key);
            let (code, object) =
                match found.and_then(|id| cursor.held().slot(id)).and_then(|slot| slot.resident()) {
                    None => (L1Error::KeyNotExist, None),
                    Some(object) if !object.is_locked(now_ns) => (L1Error::KeyNotReadable, None),
                    Some(object) => (L1Error::Success, Some(make(object.span))),
                };
            made.push(object);
            code
        });
        (KeyCodes(codes.collect()), made)
    }

    /// Releases each occurrence of `keys` `read_locks` times. A temporary object leaves with its last lock; in LMCache
    /// only if that did not run out before.
    pub(super) fn finish_read<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a ObjectKey>,
        read_locks: u32,
        now_ns: u64,
    ) -> KeyCodes {
        let keys = keys.into_iter();
        let mut codes = Codes::with_capacity(keys.size_hint().0);
        let (mut gone, mut freed) = (Vec::new(), Vec::new());
        let mut cursor = self.cursor();
        for key in keys {
            let Some(id) = cursor.find(key) else {
                codes.push(L1Error::KeyNotExist);
                continue;
            };
            let shard = cursor.held();
            let released = shard.change_locks(id, |object| {
                let was_locked = object.lock.is_locked(now_ns);
                if was_locked || self.compat == Compat::Native {
                    object.lock.unlock(read_locks);
                }
                let leaves = match self.compat {
                    Compat::Lmcache => was_locked && !object.lock.is_locked(now_ns),
                    Compat::Native => object.live_until_ns() == 0,
                };
                (was_locked, object.is_temporary && leaves)
            });
            let Some((was_locked, leaves)) = released else {
                codes.push(L1Error::KeyNotExist);
                continue;
            };
            if leaves {
                shard.take(id, |object| !object.is_resident(), &self.arena, &mut freed);
                gone.push(key);
            }
            codes.push(if was_locked { L1Error::Success } else { L1Error::KeyInWrongState });
        }
        self.free(freed);
        cursor.tell(|policy| policy.on_keys_removed(&gone));
        KeyCodes(codes)
    }

    /// Holds the objects of `keys` for a store to L2. Readers do not have to do with these holds: they cannot release
    /// them, and holds do not run out. In LMCache they are read locks.
    pub(super) fn hold_for_store<B>(
        &self,
        keys: &[ObjectKey],
        now_ns: u64,
        mut make: impl FnMut(Span) -> B,
    ) -> (KeyCodes, Vec<Option<B>>) {
        let (ttl_ns, compat) = (self.read_ttl_ns, self.compat);
        let mut cursor = self.cursor();
        let mut all_made = Vec::with_capacity(keys.len());
        let codes = keys.iter().map(|key| {
            let made = cursor.find(key).and_then(|id| {
                cursor.held().change_locks(id, |object| {
                    match compat {
                        Compat::Lmcache => object.lock.lock(1, now_ns, ttl_ns, compat),
                        Compat::Native => object.store_holds = object.store_holds.saturating_add(1),
                    }
                    make(object.span)
                })
            });
            let code = code_of(made.as_ref());
            all_made.push(made);
            code
        });
        (KeyCodes(codes.collect()), all_made)
    }

    /// Takes back one hold on each of `keys`.
    pub(super) fn release_store_hold(&self, keys: &[ObjectKey], now_ns: u64) {
        if self.compat == Compat::Lmcache {
            self.finish_read(keys, 1, now_ns);
            return;
        }
        let (mut gone, mut freed) = (Vec::new(), Vec::new());
        let mut cursor = self.cursor();
        for key in keys {
            let Some(id) = cursor.find(key) else { continue };
            let shard = cursor.held();
            let leaves = shard.change_locks(id, |object| {
                object.store_holds = object.store_holds.saturating_sub(1);
                object.is_temporary && object.live_until_ns() == 0
            });
            if leaves == Some(true) {
                shard.take(id, |object| !object.is_resident(), &self.arena, &mut freed);
                gone.push(key);
            }
        }
        self.free(freed);
        cursor.tell(|policy| policy.on_keys_removed(&gone));
    }

    /// Counts `keys` as used, in reverse: what was named first is used last. Those that are not there are passed over.
    pub(super) fn touch_keys(&self, keys: &[&ObjectKey]) {
        let mut cursor = self.cursor();
        cursor.tell(|policy| policy.on_keys_touched(keys));
        let now_used = self.now_used();
        if now_used == 0 {
            return;
        }
        let mut used = now_used + keys.len() as u64;
        for key in keys {
            used = used.saturating_sub(1);
            if let Some(id) = cursor.find(key) {
                cursor.held().set_used(id, used);
            }
        }
    }
}

/// What is not there is not resident.
fn code_of<T>(found: Option<T>) -> L1Error {
    if found.is_some() { L1Error::Success } else { L1Error::KeyNotExist }
}

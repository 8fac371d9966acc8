//! Reading: `reserve_read`, `unsafe_read`, `finish_read`, `touch_keys`.

use super::slot::ObjectStage;
use super::tables::Tables;
use super::{KeyCodes, L1Error};
use crate::format::model::ObjectKey;
use crate::storage::memory::Span;

impl Tables {
    /// Locks the resident ones of `keys`, each occurrence `read_locks` times.
    pub(super) fn reserve_read<'a>(
        &mut self,
        keys: impl IntoIterator<Item = &'a ObjectKey>,
        read_locks: u32,
        now_ns: u64,
    ) -> KeyCodes {
        let ttl_ns = self.read_ttl_ns;
        let codes =
            keys.into_iter().map(|key| match self.index.get_mut(key).and_then(|s| s.resident_mut()) {
                Some(object) => {
                    object.lock.lock(read_locks, now_ns, ttl_ns);
                    L1Error::Success
                }
                None => L1Error::KeyNotExist,
            });
        KeyCodes(codes.collect())
    }

    /// Where the objects of `keys` lie that somebody holds a read lock on. Takes no lock.
    pub(super) fn unsafe_read(&self, keys: &[ObjectKey], now_ns: u64) -> (KeyCodes, Vec<Option<Span>>) {
        let outcomes = keys.iter().map(|key| match self.index.get(key).and_then(|slot| slot.resident()) {
            None => (L1Error::KeyNotExist, None),
            Some(object) if !object.lock.is_locked(now_ns) => (L1Error::KeyNotReadable, None),
            Some(object) => (L1Error::Success, Some(object.span)),
        });
        let (codes, spans) = outcomes.unzip();
        (KeyCodes(codes), spans)
    }

    /// Releases each occurrence of `keys` `read_locks` times. A temporary object leaves with its last lock.
    pub(super) fn finish_read<'a>(
        &mut self,
        keys: impl IntoIterator<Item = &'a ObjectKey>,
        read_locks: u32,
        now_ns: u64,
    ) -> KeyCodes {
        let mut codes = Vec::new();
        let mut gone = Vec::new();
        for key in keys {
            let Some(object) = self.index.get_mut(key).and_then(|slot| slot.resident_mut()) else {
                codes.push(L1Error::KeyNotExist);
                continue;
            };
            if !object.lock.is_locked(now_ns) {
                codes.push(L1Error::KeyInWrongState);
                continue;
            }
            object.lock.unlock(read_locks);
            if object.is_temporary && !object.lock.is_locked(now_ns) {
                self.drop_objects(key, |object| object.stage != ObjectStage::Resident);
                gone.push(key);
            }
            codes.push(L1Error::Success);
        }
        self.policy.on_keys_removed(&gone);
        KeyCodes(codes)
    }

    /// Tells the policy that `keys` were used, whether they are there or not.
    pub(super) fn touch_keys(&mut self, keys: &[&ObjectKey]) {
        self.policy.on_keys_touched(keys);
    }
}

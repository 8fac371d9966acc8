//! Removing: `delete` and `clear`.

use super::slot::{Object, ObjectStage};
use super::tables::Tables;
use super::{KeyCodes, L1Error};
use crate::format::model::ObjectKey;

fn is_staged(object: &Object) -> bool {
    object.stage != ObjectStage::Resident
}

impl Tables {
    /// Deletes the resident objects of `keys` and reclaims reservations that ran out; with `force`, also what
    /// is being read or written.
    pub(super) fn delete(&mut self, keys: &[ObjectKey], force: bool, now_ns: u64) -> KeyCodes {
        let mut codes = Vec::with_capacity(keys.len());
        // LMCache's policies hear of deleted objects first, and of reservations that alone were there after.
        let (mut deleted, mut gone) = (Vec::new(), Vec::new());
        for key in keys {
            let Some(slot) = self.index.get(key) else {
                codes.push(L1Error::KeyNotExist);
                continue;
            };
            let was_resident = slot.resident().is_some();
            let is_open = |object: &Object| force || !object.lock.is_locked(now_ns);
            if slot.staged().next().is_some() {
                self.drop_objects(key, |object| !(is_staged(object) && is_open(object)));
            }
            codes.push(match self.index.get(key) {
                None => {
                    gone.push(key);
                    L1Error::Success
                }
                Some(slot) if slot.objects().any(is_staged) => L1Error::KeyIsLocked,
                Some(slot) if !slot.objects().all(is_open) => L1Error::KeyIsLocked,
                Some(_) => {
                    debug_assert!(was_resident);
                    self.drop_objects(key, |_| false);
                    deleted.push(key);
                    L1Error::Success
                }
            });
        }
        self.policy.on_keys_removed(&deleted);
        self.policy.on_keys_removed(&gone);
        KeyCodes(codes)
    }

    /// Drops every object that nobody reads or writes; with `force`, every object.
    pub(super) fn clear(&mut self, force: bool, now_ns: u64) {
        let is_kept = |object: &Object| !force && object.lock.is_locked(now_ns);
        // In address order, so that equal histories leave equal states; LMCache goes by age.
        let open: Vec<ObjectKey> = self
            .objects(now_ns)
            .into_iter()
            .filter(|object| force || !object.is_locked)
            .map(|object| object.key)
            .collect();
        let mut gone = Vec::new();
        for key in &open {
            let dropped = self.drop_objects(key, is_kept);
            // A key with a live reservation is forgotten only if its resident object went.
            let lost_its_resident = dropped.iter().any(|object| !is_staged(object));
            if lost_its_resident || (!dropped.is_empty() && self.index.get(key).is_none()) {
                gone.push(key);
            }
        }
        self.policy.on_keys_removed(&gone);
    }
}

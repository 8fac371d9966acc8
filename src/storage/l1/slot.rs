//! What L1 holds under one key.

use std::fmt;

use crate::format::model::ObjectKey;
use crate::storage::memory::Span;
use crate::storage::ttl_lock::TtlLock;

/// Who is writing an object. Writers with different tags write the same key without knowing of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriterTag {
    /// A client of the storage manager, by `reserve_write`. All clients share this tag.
    StorageManager,
    /// The prefetch of this number, which loads objects from L2.
    Prefetch(u64),
}

impl fmt::Display for WriterTag {
    /// LMCache's tag.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StorageManager => f.write_str("storage_manager"),
            Self::Prefetch(request_id) => write!(f, "prefetch:{request_id}"),
        }
    }
}

/// Whether an object can be read, or who is writing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectStage {
    /// Readable, never being written.
    Resident,
    /// Being written under this tag, and out of the readers' sight.
    Staging(WriterTag),
}

/// One object. Its lock is the writer's reservation while it is staged, and the readers' once it is resident.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object {
    pub(super) span: Span,
    pub(super) stage: ObjectStage,
    pub(super) lock: TtlLock,
    /// Leaves with its last reader.
    pub(super) is_temporary: bool,
}

/// A key with its objects: at most one is resident, and at most one is staged per tag. A slot without
/// objects is taken out of the table.
///
/// The first object lies in the slot itself: a second one is there only while two writers write the same key
/// at once, or while one writes what became resident in the meantime.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) key: ObjectKey,
    first: Object,
    more: Vec<Object>,
}

impl Slot {
    pub(super) fn new(key: ObjectKey, object: Object) -> Self {
        Self { key, first: object, more: Vec::new() }
    }

    pub(super) fn objects(&self) -> impl Iterator<Item = &Object> {
        std::iter::once(&self.first).chain(&self.more)
    }

    fn find(&self, stage: ObjectStage) -> Option<&Object> {
        self.objects().find(|object| object.stage == stage)
    }

    fn find_mut(&mut self, stage: ObjectStage) -> Option<&mut Object> {
        std::iter::once(&mut self.first).chain(&mut self.more).find(|object| object.stage == stage)
    }

    pub(super) fn resident(&self) -> Option<&Object> {
        self.find(ObjectStage::Resident)
    }

    pub(super) fn resident_mut(&mut self) -> Option<&mut Object> {
        self.find_mut(ObjectStage::Resident)
    }

    pub(super) fn staged_mut(&mut self, tag: WriterTag) -> Option<&mut Object> {
        self.find_mut(ObjectStage::Staging(tag))
    }

    /// The staged objects of all tags.
    pub(super) fn staged(&self) -> impl Iterator<Item = &Object> {
        self.objects().filter(|object| object.stage != ObjectStage::Resident)
    }

    /// Adds an object of a stage that the slot does not have.
    pub(super) fn push(&mut self, object: Object) {
        self.more.push(object);
    }

    /// Keeps the objects that `keep` lets through and hands the others to `dropped`. False says that none is
    /// left and the slot has to leave the table; it still holds its last object then.
    #[must_use]
    pub(super) fn retain(
        &mut self,
        mut keep: impl FnMut(&Object) -> bool,
        mut dropped: impl FnMut(Object),
    ) -> bool {
        self.more.retain(|object| {
            let kept = keep(object);
            if !kept {
                dropped(*object);
            }
            kept
        });
        if keep(&self.first) {
            return true;
        }
        dropped(self.first);
        match self.more.pop() {
            Some(object) => {
                self.first = object;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::model::{ChunkHash, KeyScope};
    use crate::sync::Arc;

    #[test]
    fn a_slot_lives_as_long_as_one_of_its_objects() {
        let key = ObjectKey::new(ChunkHash::new(b"h"), Arc::new(KeyScope::new("m", 0, 0, "").unwrap()));
        let span = Span { offset_bytes: 0, phy_size_bytes: 1, size_bytes: 1 };
        let object = |stage| Object { span, stage, lock: TtlLock::default(), is_temporary: false };
        let staged = ObjectStage::Staging(WriterTag::StorageManager);
        let mut slot = Slot::new(key, object(staged));
        slot.push(object(ObjectStage::Staging(WriterTag::Prefetch(3))));
        slot.push(object(ObjectStage::Resident));
        let mut dropped = Vec::new();
        assert!(slot.retain(|object| object.stage == ObjectStage::Resident, |o| dropped.push(o.stage)));
        assert_eq!(dropped.len(), 2);
        assert!(slot.resident().is_some() && slot.staged().next().is_none());
        assert!(!slot.retain(|_| false, |object| dropped.push(object.stage)));
        assert_eq!(dropped[2], ObjectStage::Resident);
    }
}

//! What L1 holds under one key.

use std::fmt;

use crate::format::model::ChunkHash;
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
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) span: Span,
    pub(super) stage: ObjectStage,
    pub(super) lock: TtlLock,
    /// Stores to L2 that are under way. Ours; LMCache's take a lock as readers do.
    pub(super) store_holds: u32,
    /// Leaves with its last reader.
    pub(super) is_temporary: bool,
    /// Writers whose reservation of this key ran out not long ago, and who may still finish. Ours.
    pub(super) late_writers: u8,
}

impl Object {
    pub(super) fn new(span: Span, stage: ObjectStage, lock: TtlLock, is_temporary: bool) -> Self {
        Self { span, stage, lock, store_holds: 0, is_temporary, late_writers: 0 }
    }

    pub(super) fn is_resident(&self) -> bool {
        self.stage == ObjectStage::Resident
    }

    /// When it is open to eviction and deletion; 0 if it is.
    #[inline]
    pub(super) fn live_until_ns(&self) -> u64 {
        if self.store_holds > 0 { u64::MAX } else { self.lock.live_until_ns() }
    }

    /// Whether somebody reads or writes it.
    #[inline]
    pub(super) fn is_locked(&self, now_ns: u64) -> bool {
        now_ns < self.live_until_ns()
    }
}

/// A key with its objects: at most one is resident, and at most one is staged per tag. A slot without
/// objects is taken out of the table.
///
/// The first object lies in the slot itself: a second one is there only while two writers write the same key
/// at once, or while one writes what became resident in the meantime.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) chunk_hash: ChunkHash,
    /// The key's scope, by its number in the shard: a copy of the key would cost a count that all threads share.
    pub(super) scope: u32,
    /// When it was used last: see `recency`.
    pub(super) used: u64,
    first: Object,
    more: Option<Box<Others>>,
}

#[derive(Clone, Debug, Default)]
struct Others(Vec<Object>);

impl Slot {
    pub(super) fn new(chunk_hash: ChunkHash, scope: u32, object: Object) -> Self {
        Self { chunk_hash, scope, used: 0, first: object, more: None }
    }

    pub(super) fn objects(&self) -> impl Iterator<Item = &Object> {
        std::iter::once(&self.first).chain(self.more.iter().flat_map(|others| &others.0))
    }

    pub(super) fn find(&self, stage: ObjectStage) -> Option<&Object> {
        if self.first.stage == stage {
            return Some(&self.first);
        }
        self.more.as_ref()?.0.iter().find(|object| object.stage == stage)
    }

    pub(super) fn find_mut(&mut self, stage: ObjectStage) -> Option<&mut Object> {
        if self.first.stage == stage {
            return Some(&mut self.first);
        }
        self.more.as_mut()?.0.iter_mut().find(|object| object.stage == stage)
    }

    pub(super) fn resident(&self) -> Option<&Object> {
        self.find(ObjectStage::Resident)
    }

    /// Whether any object of the key is being written.
    pub(super) fn is_staged(&self) -> bool {
        self.objects().any(|object| !object.is_resident())
    }

    /// A resident object that nobody reads, or a reservation that ran out: both have an open lock.
    pub(super) fn is_evictable(&self, now_ns: u64) -> bool {
        self.objects().any(|object| !object.is_locked(now_ns))
    }

    /// What the deletion of what is open would give back.
    pub(super) fn open_bytes(&self, now_ns: u64) -> u64 {
        let open = self.objects().filter(|object| !object.is_locked(now_ns));
        open.map(|object| object.span.phy_size_bytes).sum()
    }

    /// Adds an object of a stage that the slot does not have.
    pub(super) fn push(&mut self, object: Object) {
        self.more.get_or_insert_default().0.push(object);
    }

    /// Keeps the objects that `keep` lets through and hands the others to `dropped`. False says that none is
    /// left and the slot has to leave the table; it still holds its last object then.
    #[must_use]
    pub(super) fn retain(
        &mut self,
        mut keep: impl FnMut(&Object) -> bool,
        mut dropped: impl FnMut(&Object),
    ) -> bool {
        if let Some(others) = &mut self.more {
            others.0.retain(|object| {
                let kept = keep(object);
                if !kept {
                    dropped(object);
                }
                kept
            });
        }
        let keeps_first = keep(&self.first);
        if !keeps_first {
            dropped(&self.first);
        }
        let other = if keeps_first { None } else { self.more.as_mut().and_then(|others| others.0.pop()) };
        if self.more.as_ref().is_some_and(|others| others.0.is_empty()) {
            self.more = None;
        }
        match other {
            Some(object) => {
                self.first = object;
                true
            }
            None => keeps_first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_lives_as_long_as_one_of_its_objects() {
        let span = Span { offset_bytes: 0, phy_size_bytes: 1, size_bytes: 1 };
        let object = |stage| Object::new(span, stage, TtlLock::default(), false);
        let staged = ObjectStage::Staging(WriterTag::StorageManager);
        let mut slot = Slot::new(ChunkHash::new(b"h"), 0, object(staged));
        slot.push(object(ObjectStage::Staging(WriterTag::Prefetch(3))));
        slot.push(object(ObjectStage::Resident));
        let mut dropped = Vec::new();
        assert!(slot.retain(|object| object.is_resident(), |object| dropped.push(object.stage)));
        assert_eq!(dropped.len(), 2);
        assert!(slot.resident().is_some() && !slot.is_staged());
        assert!(!slot.retain(|_| false, |object| dropped.push(object.stage)));
        assert_eq!(dropped[2], ObjectStage::Resident);
    }

    #[test]
    fn a_slot_takes_no_more_than_its_share_of_192_bytes() {
        assert!(size_of::<Option<Slot>>() <= 160, "{}", size_of::<Option<Slot>>());
    }
}

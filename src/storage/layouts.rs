//! Which layout the objects of a group have, for adapters that transform them.
//!
//! L1 keeps sizes alone. A layout belongs to an object group of a model, so the one with which a group was reserved last
//! is that of all its objects; where a size says otherwise, there is none. Nothing is noted down until an adapter needs
//! it.

use crate::format::model::{KeyScope, MemoryLayoutDesc, ObjectKey};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// Model, rank and group.
type Group = (Box<str>, i64, u32);

type Layouts = hashbrown::HashMap<Group, MemoryLayoutDesc, foldhash::fast::RandomState>;

/// The layouts that writers reserved.
#[derive(Debug, Default)]
pub(super) struct LayoutBook {
    is_needed: AtomicBool,
    layouts: Mutex<Layouts>,
}

fn group(scope: &KeyScope) -> Group {
    (scope.model_name().into(), scope.kv_rank(), scope.object_group_id())
}

impl LayoutBook {
    /// An adapter needs layouts from now on.
    pub(super) fn need(&self) {
        // Relaxed: a reservation that is made at the same time may be noted or not.
        self.is_needed.store(true, Ordering::Relaxed);
    }

    /// Objects are reserved with a layout.
    pub(super) fn note(&self, keys: &[ObjectKey], layout: &MemoryLayoutDesc) {
        // Relaxed: see `need`.
        if !self.is_needed.load(Ordering::Relaxed) {
            return;
        }
        let mut layouts = lock(&self.layouts);
        let mut last: Option<&Arc<KeyScope>> = None;
        for key in keys {
            // The keys of a call mostly share their scope.
            if last.is_some_and(|last| Arc::ptr_eq(last, key.scope())) {
                continue;
            }
            last = Some(key.scope());
            let known = layouts.entry(group(key.scope())).or_insert_with(|| layout.clone());
            if known != layout {
                known.clone_from(layout);
            }
        }
    }

    /// The layout of an object of so many bytes.
    pub(super) fn get(&self, key: &ObjectKey, size_bytes: u64) -> Option<MemoryLayoutDesc> {
        // Relaxed: see `need`.
        if !self.is_needed.load(Ordering::Relaxed) {
            return None;
        }
        let layouts = lock(&self.layouts);
        layouts.get(&group(key.scope())).filter(|layout| layout.size_bytes() == size_bytes).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::model::{ChunkHash, Dtype};

    #[test]
    fn a_group_has_the_layout_that_it_was_reserved_with_last_and_only_where_the_size_agrees() {
        let scope = Arc::new(KeyScope::new("m", 1, 2, "salt").unwrap());
        let key = ObjectKey::new(ChunkHash::new(b"h"), scope);
        let half = Dtype::from_name("torch.float16").unwrap();
        let layout = |len: u64| MemoryLayoutDesc::new(vec![(Box::new([len]), half)]).unwrap();
        let book = LayoutBook::default();
        book.note(std::slice::from_ref(&key), &layout(4));
        assert_eq!(book.get(&key, 8), None, "nobody needs it");
        book.need();
        book.note(std::slice::from_ref(&key), &layout(4));
        assert_eq!(book.get(&key, 8), Some(layout(4)));
        book.note(std::slice::from_ref(&key), &layout(6));
        assert_eq!((book.get(&key, 8), book.get(&key, 12).is_some()), (None, true));
    }
}

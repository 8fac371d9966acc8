//! A storage call whose parts lie somewhere else: what a writer is given, so that nothing is built to be written.
//!
//! [`CallView`] mirrors [`StorageCall`] variant by variant, with iterators where that has lists. An owned call lends
//! itself ([`StorageCall::view`]); whoever keeps calls in another form yields their keys one by one from there.

use std::slice;

use super::{
    FetchingPolicy, GroupedObjectKeys, KeyView, LockMode, MemoryLayoutDesc, ObjectKey, StorageCall, WriteMode,
};

/// A call, borrowed. `K` yields the [`KeyView`]s of a list, `R` the [`RowView`]s of a prefetch; each is walked once.
#[derive(Clone, Debug)]
pub enum CallView<'a, K, R> {
    /// See [`StorageCall::ReserveWrite`].
    ReserveWrite {
        /// The objects about to be written.
        keys: K,
        /// The layout of each of them.
        layout: &'a MemoryLayoutDesc,
        /// Which keys to take.
        mode: WriteMode,
    },
    /// See [`StorageCall::FinishWrite`].
    FinishWrite {
        /// The objects that are written.
        keys: K,
    },
    /// See [`StorageCall::ReadEnter`].
    ReadEnter {
        /// The objects to read.
        keys: K,
    },
    /// See [`StorageCall::ReadExit`].
    ReadExit {
        /// The objects that the matching enter named.
        keys: K,
    },
    /// See [`StorageCall::FinishRead`].
    FinishRead {
        /// The objects to release.
        keys: K,
        /// How many read locks to release on each.
        read_locks: i64,
    },
    /// See [`StorageCall::SubmitPrefetch`].
    SubmitPrefetch {
        /// The rows of keys to fetch.
        rows: R,
        /// How many readers will each release one lock.
        num_kv_readers: i64,
        /// Which cells count as a hit.
        fetching_policy: FetchingPolicy,
        /// Whether hits stay locked for their readers.
        lock_mode: LockMode,
        /// The engine's name for the request; empty if it gave none.
        external_request_id: &'a str,
        /// Looks in L1 only.
        skip_l2: bool,
    },
}

/// One row of a prefetch, borrowed: see [`GroupedObjectKeys`].
#[derive(Clone, Debug)]
pub struct RowView<'a, K> {
    /// The keys of the row, in the order of the prompt's chunks.
    pub keys: K,
    /// The group of layers that the row belongs to.
    pub object_group_id: u32,
    /// The layout of the row's objects.
    pub layout: &'a MemoryLayoutDesc,
    /// How many trailing chunks of a prefix the group's attention needs; -1 means all of them.
    pub sliding_window_size: i64,
}

/// The keys of an owned list, borrowed one by one.
#[derive(Clone, Debug)]
pub struct KeyViews<'a>(slice::Iter<'a, ObjectKey>);

impl<'a> Iterator for KeyViews<'a> {
    type Item = KeyView<'a>;

    #[inline]
    fn next(&mut self) -> Option<KeyView<'a>> {
        self.0.next().map(ObjectKey::view)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for KeyViews<'_> {}

/// The rows of an owned prefetch, borrowed one by one.
#[derive(Clone, Debug)]
pub struct RowViews<'a>(slice::Iter<'a, GroupedObjectKeys>);

impl<'a> Iterator for RowViews<'a> {
    type Item = RowView<'a, KeyViews<'a>>;

    fn next(&mut self) -> Option<RowView<'a, KeyViews<'a>>> {
        let GroupedObjectKeys { keys, object_group_id, layout, sliding_window_size } = self.0.next()?;
        Some(RowView {
            keys: KeyViews(keys.iter()),
            object_group_id: *object_group_id,
            layout,
            sliding_window_size: *sliding_window_size,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for RowViews<'_> {}

impl StorageCall {
    /// The same call, borrowed.
    pub fn view(&self) -> CallView<'_, KeyViews<'_>, RowViews<'_>> {
        match self {
            Self::ReserveWrite { keys, layout, mode } => {
                CallView::ReserveWrite { keys: KeyViews(keys.iter()), layout, mode: *mode }
            }
            Self::FinishWrite { keys } => CallView::FinishWrite { keys: KeyViews(keys.iter()) },
            Self::ReadEnter { keys } => CallView::ReadEnter { keys: KeyViews(keys.iter()) },
            Self::ReadExit { keys } => CallView::ReadExit { keys: KeyViews(keys.iter()) },
            Self::FinishRead { keys, read_locks } => {
                CallView::FinishRead { keys: KeyViews(keys.iter()), read_locks: *read_locks }
            }
            Self::SubmitPrefetch { spec, external_request_id, skip_l2 } => CallView::SubmitPrefetch {
                rows: RowViews(spec.key_groups.iter()),
                num_kv_readers: spec.num_kv_readers,
                fetching_policy: spec.fetching_policy,
                lock_mode: spec.lock_mode,
                external_request_id,
                skip_l2: *skip_l2,
            },
        }
    }
}

//! The six storage calls with their arguments, in the shape of LMCache 0.5.6.

use crate::format::model::{MemoryLayoutDesc, ObjectKey, Op};

/// One recorded call: what was asked of the storage manager. Results are not part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageCall {
    /// [`Op::ReserveWrite`].
    ReserveWrite {
        /// The objects about to be written.
        keys: Vec<ObjectKey>,
        /// The layout of each of them.
        layout: MemoryLayoutDesc,
        /// Which keys to take; releases from 0.5.6 on know [`WriteMode::New`] only.
        mode: WriteMode,
    },
    /// [`Op::FinishWrite`].
    FinishWrite {
        /// The objects that are written.
        keys: Vec<ObjectKey>,
    },
    /// [`Op::ReadEnter`].
    ReadEnter {
        /// The objects to read.
        keys: Vec<ObjectKey>,
    },
    /// [`Op::ReadExit`].
    ReadExit {
        /// The objects that the matching enter named.
        keys: Vec<ObjectKey>,
    },
    /// [`Op::FinishRead`].
    FinishRead {
        /// The objects to release.
        keys: Vec<ObjectKey>,
        /// How many read locks to release on each; the manager clamps it to 1..=128.
        read_locks: i64,
    },
    /// [`Op::SubmitPrefetch`].
    SubmitPrefetch {
        /// What to fetch, and how.
        spec: PrefetchTaskSpec,
        /// The engine's name for the request; empty if it gave none.
        external_request_id: String,
        /// Looks in L1 only.
        skip_l2: bool,
    },
}

impl StorageCall {
    /// Which operation this is.
    pub fn op(&self) -> Op {
        match self {
            Self::ReserveWrite { .. } => Op::ReserveWrite,
            Self::FinishWrite { .. } => Op::FinishWrite,
            Self::ReadEnter { .. } => Op::ReadEnter,
            Self::ReadExit { .. } => Op::ReadExit,
            Self::FinishRead { .. } => Op::FinishRead,
            Self::SubmitPrefetch { .. } => Op::SubmitPrefetch,
        }
    }

    /// The lists of keys that it names: one, or the rows of a prefetch.
    pub fn key_lists(&self) -> impl Iterator<Item = &[ObjectKey]> {
        let (one, rows): (Option<&[ObjectKey]>, &[GroupedObjectKeys]) = match self {
            Self::ReserveWrite { keys, .. }
            | Self::FinishWrite { keys }
            | Self::ReadEnter { keys }
            | Self::ReadExit { keys }
            | Self::FinishRead { keys, .. } => (Some(keys), &[]),
            Self::SubmitPrefetch { spec, .. } => (None, &spec.key_groups),
        };
        one.into_iter().chain(rows.iter().map(|row| row.keys.as_slice()))
    }

    /// Those lists, to be changed.
    pub fn key_lists_mut(&mut self) -> impl Iterator<Item = &mut Vec<ObjectKey>> {
        let (one, rows): (Option<&mut Vec<ObjectKey>>, &mut [GroupedObjectKeys]) = match self {
            Self::ReserveWrite { keys, .. }
            | Self::FinishWrite { keys }
            | Self::ReadEnter { keys }
            | Self::ReadExit { keys }
            | Self::FinishRead { keys, .. } => (Some(keys), &mut []),
            Self::SubmitPrefetch { spec, .. } => (None, &mut spec.key_groups),
        };
        one.into_iter().chain(rows.iter_mut().map(|row| &mut row.keys))
    }
}

/// Which keys a `reserve_write` takes. Recorded by LMCache 0.4.4 to 0.5.5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteMode {
    /// Keys that are not there yet: the only behaviour of 0.5.6.
    #[default]
    New,
    /// Only keys that are there already.
    Update,
    /// Either.
    All,
}

/// What a prefetch fetches: rows of keys, one row per (object group, rank), all of one length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefetchTaskSpec {
    /// The rows. Column `j` of every row is chunk `j` of the prompt. A trace older than 0.5.6 can hold rows
    /// of different lengths.
    pub key_groups: Vec<GroupedObjectKeys>,
    /// How many readers will each release one lock; the manager clamps it to 1..=128.
    pub num_kv_readers: i64,
    /// Which cells count as a hit.
    pub fetching_policy: FetchingPolicy,
    /// Whether hits stay locked for their readers.
    pub lock_mode: LockMode,
}

/// One row of a prefetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupedObjectKeys {
    /// Chunk `i` of the prompt is `keys[i]`.
    pub keys: Vec<ObjectKey>,
    /// The group of layers that the row belongs to.
    pub object_group_id: u32,
    /// The layout of the row's objects.
    pub layout: MemoryLayoutDesc,
    /// How many trailing chunks of a prefix the group's attention needs; -1 ([`FULL_ATTENTION_WINDOW_CHUNKS`])
    /// means all of them.
    pub sliding_window_size: i64,
}

/// A window that covers the whole prompt.
pub const FULL_ATTENTION_WINDOW_CHUNKS: i64 = -1;

/// Which cells of a prefetch count as hits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FetchingPolicy {
    /// The longest prefix that every row can serve, given its window.
    #[default]
    Prefix,
    /// Every column that all rows have.
    Full,
}

/// Whether a prefetch leaves its hits locked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockMode {
    /// Hits stay read-locked until their readers finish.
    #[default]
    Lock,
    /// Nothing stays locked: the prefetch only warms L1.
    NoLock,
}

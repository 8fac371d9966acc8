//! What is pushed into a chunk: borrowed, with numbers of the chunk.

use super::kind::RecordKind;
use super::pod::{FLAG_T_MONO, FLAG_WALL, KEY_ROW_BYTES, KeyId, KeyRow, RecordPrefix};

/// When a call was made, and by whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// `CLOCK_MONOTONIC` at the call.
    pub t_ns: u64,
    /// Number of the thread; 0 is none.
    pub thread: u32,
    /// How many calls the thread had attempted before, modulo 2^32.
    pub sequence: u32,
    /// [`FLAG_LATE`](super::pod::FLAG_LATE) or nothing.
    pub flags: u8,
    /// The time of day at the call, if it is not that of the file's clock pair.
    pub wall_ns: Option<u64>,
    /// Bits of LMCache's `t_mono`, if `t_ns` does not lead back to it.
    pub t_mono_bits: Option<u64>,
}

/// Keys of a call: rows whose scopes are numbers of this chunk, or ids of a key table.
#[derive(Clone, Copy, Debug)]
pub enum KeysToPush<'a> {
    /// Rows.
    Rows(&'a [KeyRow]),
    /// Ids.
    Ids(&'a [KeyId]),
}

impl KeysToPush<'_> {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Rows(rows) => bytemuck::cast_slice(rows),
            Self::Ids(ids) => bytemuck::cast_slice(ids),
        }
    }

    pub(super) fn count(&self) -> u32 {
        match self {
            Self::Rows(rows) => rows.len() as u32,
            Self::Ids(ids) => ids.len() as u32,
        }
    }

    pub(super) fn width(&self) -> usize {
        match self {
            Self::Rows(_) => KEY_ROW_BYTES,
            Self::Ids(_) => size_of::<KeyId>(),
        }
    }
}

/// One row of a prefetch to push.
#[derive(Clone, Copy, Debug)]
pub struct RowToPush<'a> {
    /// Its keys.
    pub keys: KeysToPush<'a>,
    /// The group of layers.
    pub object_group_id: u32,
    /// Number of the layout in this chunk.
    pub layout: u32,
    /// Attention window in chunks; -1 is all.
    pub sliding_window_size: i64,
}

/// Arguments of a prefetch to push, beside its rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct PrefetchToPush<'a> {
    /// The engine's name for the request.
    pub external_request_id: &'a str,
    /// How many readers each release a lock.
    pub num_kv_readers: i64,
    /// 0 = prefix, 1 = full.
    pub fetching_policy: u8,
    /// 0 = lock, 1 = no lock.
    pub lock_mode: u8,
    /// Whether only L1 is looked at.
    pub skip_l2: bool,
}

impl Stamp {
    /// The stamp of a record that has no times of its own.
    #[must_use]
    pub(super) fn without_times(&self) -> Self {
        Self { wall_ns: None, t_mono_bits: None, ..*self }
    }

    /// The end of a call's body: `t_mono`, and the time of day.
    pub(super) fn own_times(&self) -> [Option<[u8; 8]>; 2] {
        [self.t_mono_bits, self.wall_ns].map(|time| time.map(u64::to_le_bytes))
    }

    /// The prefix of a record; its length is not known yet.
    pub(super) fn prefix(&self, kind: RecordKind, aux: u16) -> RecordPrefix {
        let wall_flag = if self.wall_ns.is_some() { FLAG_WALL } else { 0 };
        let t_mono_flag = if self.t_mono_bits.is_some() { FLAG_T_MONO } else { 0 };
        RecordPrefix {
            t_ns: self.t_ns,
            length_bytes: 0,
            sequence: self.sequence,
            thread: self.thread,
            kind: kind.number(),
            flags: self.flags | wall_flag | t_mono_flag,
            aux,
        }
    }
}

//! What goes through a ring: written once by the caller, taken apart by the writer.
//!
//! Records have the prefix of the file's with three differences: `t_ns` holds ticks, `thread` holds the number of key
//! rows that begin the body (the ring's thread is known), and scopes, layouts and names have numbers of the thread's
//! own. A definition of such a number goes through the same ring before its first use, and a number that is defined
//! again means the new one from there on: the ring is read in order.

use bytemuck::{Pod, Zeroable};

use crate::format::model::{Dtype, MemoryLayoutDesc};
use crate::format::native::pod::{KEY_ROW_BYTES, KeyRow, LONG_HASH, PREFIX_BYTES, RecordPrefix};

/// What a `submit_prefetch_task` has beside its keys; its rows follow the keys, then the request id.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct PrefetchHead {
    pub(super) num_kv_readers: i64,
    pub(super) groups: u32,
    pub(super) id_bytes: u32,
    pub(super) fetching_policy: u8,
    pub(super) lock_mode: u8,
    pub(super) skip_l2: u8,
    pub(super) reserved: [u8; 5],
}

/// One row of a prefetch.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct GroupHead {
    pub(super) sliding_window_size: i64,
    pub(super) keys: u32,
    pub(super) object_group_id: u32,
    pub(super) layout: u32,
    pub(super) reserved: u32,
}

/// A scope; the model's name and the salt follow.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct ScopeHead {
    pub(super) kv_rank: i64,
    pub(super) object_group_id: u32,
    pub(super) model_bytes: u32,
    pub(super) salt_bytes: u32,
    pub(super) reserved: u32,
}

/// Bytes of a call with `keys` rows and `rest_bytes` behind them.
#[inline(always)]
pub(super) fn call_bytes(keys: usize, rest_bytes: usize) -> usize {
    PREFIX_BYTES + keys * KEY_ROW_BYTES + rest_bytes
}

/// Takes a `T` off the start of `bytes`.
pub(super) fn take<T: Pod>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let (head, rest) = bytes.split_at_checked(size_of::<T>())?;
    Some((bytemuck::pod_read_unaligned(head), rest))
}

/// A record in a ring: its prefix, its key rows, and the rest of its body.
pub(super) struct RingRecord<'a> {
    pub(super) prefix: RecordPrefix,
    pub(super) rows: &'a [KeyRow],
    pub(super) rest: &'a [u8],
}

impl<'a> RingRecord<'a> {
    /// The record that `bytes`, the readable part of a ring, begin with, and what follows it.
    #[inline(always)]
    pub(super) fn split_first(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let prefix: RecordPrefix = bytemuck::pod_read_unaligned(bytes.first_chunk::<PREFIX_BYTES>()?);
        let (record, after) = bytes.split_at_checked(prefix.length_bytes as usize)?;
        let body = record.get(PREFIX_BYTES..)?;
        let (rows, rest) = body.split_at_checked(prefix.thread as usize * KEY_ROW_BYTES)?;
        Some((Self { prefix, rows: bytemuck::cast_slice(rows), rest }, after))
    }

    /// Ticks of the record that `bytes` begin with.
    #[inline]
    pub(super) fn first_ticks(bytes: &[u8]) -> Option<u64> {
        bytes.first_chunk::<8>().map(|ticks| u64::from_le_bytes(*ticks))
    }

    /// The hash of a row; a long one stands in the rest of the record's body.
    pub(super) fn hash(&self, row: &'a KeyRow) -> Option<&'a [u8]> {
        match row.hash_bytes {
            LONG_HASH => {
                let (offset, len_bytes) = row.long_place();
                self.rest.get(offset as usize..)?.get(..len_bytes as usize)
            }
            short => row.hash.get(..usize::from(short)),
        }
    }
}

/// Appends a layout: its tensors, each with its extents and the name of its element type.
pub(super) fn encode_layout(layout: &MemoryLayoutDesc, out: &mut Vec<u8>) {
    for (shape, dtype) in layout.groups() {
        let name = dtype.to_string();
        out.extend_from_slice(&(shape.len() as u32).to_le_bytes());
        out.extend_from_slice(&(name.len() as u32).to_le_bytes());
        shape.iter().for_each(|extent| out.extend_from_slice(&extent.to_le_bytes()));
        out.extend_from_slice(name.as_bytes());
    }
}

/// The layout in `bytes`, without padding.
pub(super) fn decode_layout(mut bytes: &[u8]) -> Option<MemoryLayoutDesc> {
    let mut groups = Vec::new();
    while !bytes.is_empty() {
        let ([extents, name_bytes], rest) = take::<[u32; 2]>(bytes)?;
        let (shape, rest) = rest.split_at_checked(extents as usize * 8)?;
        let (name, rest) = rest.split_at_checked(name_bytes as usize)?;
        let shape: Box<[u64]> =
            shape.as_chunks::<8>().0.iter().map(|extent| u64::from_le_bytes(*extent)).collect();
        groups.push((shape, Dtype::from_name(std::str::from_utf8(name).ok()?)?));
        bytes = rest;
    }
    MemoryLayoutDesc::new(groups).ok()
}

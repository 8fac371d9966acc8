//! The arguments of the six storage calls, in the shape of LMCache 0.5.6.
//!
//! Names with their msgpack heads stand here as they stand in a file, so that one copy writes each.

use super::wire;
use crate::format::lct::usual_key::{KV_RANK, MAP_OF_THREE, MODEL_NAME, OBJECT_GROUP_ID, WRAPPER};
use crate::format::model::dtype::TORCH_PREFIX;
use crate::format::model::{
    CallView, FetchingPolicy, KeyView, LockMode, MemoryLayoutDesc, RowView, WriteMode,
};

/// What to do about the tenants of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaltPolicy {
    /// A salt that is not empty is the fifth entry of its key. LMCache's decoder passes over it, and
    /// [`decode_call`](crate::format::lct::decode_call) reads it.
    #[default]
    Written,
    /// No salt is written, as by LMCache's recorder: the keys of two tenants become one.
    Omitted,
}

/// Appends the arguments of `call`. Nothing is allocated but room in `out`.
pub fn encode_call<'k, 'r, K, R>(call: CallView<'_, K, R>, salts: SaltPolicy, out: &mut Vec<u8>)
where
    K: ExactSizeIterator<Item = KeyView<'k>>,
    R: ExactSizeIterator<Item = RowView<'r, K>>,
{
    match call {
        CallView::ReserveWrite { keys, layout, mode } => {
            let mode = recorded_mode(mode);
            wire::map(2 + usize::from(mode.is_some()), out);
            write_keys(keys, salts, out);
            write_layout(layout, out);
            if let Some(mode) = mode {
                out.extend_from_slice(b"\xa4mode");
                wire::str(mode, out);
            }
        }
        CallView::FinishWrite { keys } | CallView::ReadEnter { keys } | CallView::ReadExit { keys } => {
            wire::map(1, out);
            write_keys(keys, salts, out);
        }
        CallView::FinishRead { keys, read_locks } => {
            wire::map(2, out);
            write_keys(keys, salts, out);
            out.extend_from_slice(b"\xaaread_locks");
            wire::int(read_locks, out);
        }
        CallView::SubmitPrefetch {
            rows,
            num_kv_readers,
            fetching_policy,
            lock_mode,
            external_request_id,
            skip_l2,
        } => {
            wire::map(3, out);
            out.extend_from_slice(b"\xa4spec\x82\xa5__t__\xb0PrefetchTaskSpec\xa1v\x84");
            write_rows(rows, salts, out);
            out.extend_from_slice(b"\xaenum_kv_readers");
            wire::int(num_kv_readers, out);
            out.extend_from_slice(match fetching_policy {
                FetchingPolicy::Prefix => b"\xaffetching_policy\xa6prefix",
                FetchingPolicy::Full => b"\xaffetching_policy\xa4full",
            });
            write_lock_mode(lock_mode, out);
            out.extend_from_slice(b"\xb3external_request_id");
            wire::str(external_request_id, out);
            out.extend_from_slice(b"\xa7skip_l2");
            wire::boolean(skip_l2, out);
        }
    }
}

/// The mode as releases before 0.5.6 recorded it; the one mode that is left goes without saying.
fn recorded_mode(mode: WriteMode) -> Option<&'static str> {
    match mode {
        WriteMode::New => None,
        WriteMode::Update => Some("update"),
        WriteMode::All => Some("all"),
    }
}

fn write_lock_mode(lock_mode: LockMode, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\xa9lock_mode\x82\xa5__t__\xb0PrefetchLockMode\xa1v");
    out.extend_from_slice(match lock_mode {
        LockMode::Lock => b"\xa4LOCK",
        LockMode::NoLock => b"\xa7NO_LOCK",
    });
}

fn write_rows<'k, 'r, K, R>(rows: R, salts: SaltPolicy, out: &mut Vec<u8>)
where
    K: ExactSizeIterator<Item = KeyView<'k>>,
    R: ExactSizeIterator<Item = RowView<'r, K>>,
{
    out.extend_from_slice(b"\xaakey_groups");
    wire::array(rows.len(), out);
    for row in rows {
        out.extend_from_slice(b"\x82\xa5__t__\xb1GroupedObjectKeys\xa1v\x84");
        write_keys(row.keys, salts, out);
        out.extend_from_slice(OBJECT_GROUP_ID);
        wire::uint(u64::from(row.object_group_id), out);
        write_layout(row.layout, out);
        out.extend_from_slice(b"\xb3sliding_window_size");
        wire::int(row.sliding_window_size, out);
    }
}

fn write_keys<'a>(keys: impl ExactSizeIterator<Item = KeyView<'a>>, salts: SaltPolicy, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\xa4keys");
    wire::array(keys.len(), out);
    keys.for_each(|key| write_key(&key, salts, out));
}

#[inline]
fn write_key(key: &KeyView<'_>, salts: SaltPolicy, out: &mut Vec<u8>) {
    let salt = match salts {
        SaltPolicy::Written => key.cache_salt,
        SaltPolicy::Omitted => "",
    };
    out.extend_from_slice(WRAPPER);
    out.push(MAP_OF_THREE + 1 + u8::from(!salt.is_empty()));
    out.extend_from_slice(b"\xaachunk_hash");
    wire::bin(key.chunk_hash, out);
    out.extend_from_slice(MODEL_NAME);
    wire::str(key.model_name, out);
    out.extend_from_slice(KV_RANK);
    wire::int(key.kv_rank, out);
    out.extend_from_slice(OBJECT_GROUP_ID);
    wire::uint(u64::from(key.object_group_id), out);
    if !salt.is_empty() {
        out.extend_from_slice(b"\xaacache_salt");
        wire::str(salt, out);
    }
}

fn write_layout(layout: &MemoryLayoutDesc, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\xablayout_desc\x82\xa5__t__\xb0MemoryLayoutDesc\xa1v\x82\xa6shapes");
    wire::array(layout.groups().len(), out);
    for (shape, _) in layout.groups() {
        wire::array(shape.len(), out);
        shape.iter().for_each(|extent| wire::uint(*extent, out));
    }
    out.extend_from_slice(b"\xa6dtypes");
    wire::array(layout.groups().len(), out);
    for (_, dtype) in layout.groups() {
        wire::str_head(TORCH_PREFIX.len() + dtype.short_name().len(), out);
        out.extend_from_slice(TORCH_PREFIX.as_bytes());
        out.extend_from_slice(dtype.short_name().as_bytes());
    }
}

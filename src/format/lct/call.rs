//! From a record to a call of the 0.5.6 model, whatever release since 0.4.4 wrote it.
//!
//! | release | what differs |
//! |---|---|
//! | 0.4.4 to 0.5.5 | `reserve_write` has a `mode` |
//! | 0.4.4 to 0.5.4 | `finish_read_prefetched` has `extra_count`, which is `read_locks - 1` |
//! | 0.4.4 to 0.5.5 | `submit_prefetch_task`: see [`prefetch`](super::prefetch) |
//!
//! An argument that no release has is an error, not ignored: it would change what the call means.

use super::arguments::{decode_keys, decode_lock_count, take_arguments};
use super::cursor::WireError;
use super::layout::decode_layout;
use super::prefetch::decode_submit;
use super::value::Value;
use crate::format::model::KeyInterner;
use crate::format::model::{Op, StorageCall, WriteMode};

/// Decodes the arguments of `op`; keys share their scopes through `interner`.
///
/// # Errors
/// If an argument is missing, unknown, or not what `op` takes. LMCache's replay skips or fails such records.
pub fn decode_call(op: Op, args: &Value<'_>, interner: &mut KeyInterner) -> Result<StorageCall, WireError> {
    let mut sole_list = || {
        let [keys] = take_arguments(args, ["keys"])?;
        decode_keys(&args.found(keys, "keys")?, interner)
    };
    match op {
        Op::ReserveWrite => {
            let [keys, layout, mode] = take_arguments(args, ["keys", "layout_desc", "mode"])?;
            let keys = decode_keys(&args.found(keys, "keys")?, interner)?;
            let layout = decode_layout(&args.found(layout, "layout_desc")?)?;
            Ok(StorageCall::ReserveWrite { keys, layout, mode: decode_mode(mode)? })
        }
        Op::FinishWrite => Ok(StorageCall::FinishWrite { keys: sole_list()? }),
        Op::ReadEnter => Ok(StorageCall::ReadEnter { keys: sole_list()? }),
        Op::ReadExit => Ok(StorageCall::ReadExit { keys: sole_list()? }),
        Op::FinishRead => {
            let [keys, count, extra] = take_arguments(args, ["keys", "read_locks", "extra_count"])?;
            let keys = decode_keys(&args.found(keys, "keys")?, interner)?;
            Ok(StorageCall::FinishRead { keys, read_locks: decode_lock_count(count, extra)? })
        }
        Op::SubmitPrefetch => decode_submit(args, interner),
    }
}

fn decode_mode(mode: Option<Value<'_>>) -> Result<WriteMode, WireError> {
    let Some(mode) = mode else { return Ok(WriteMode::New) };
    match mode.as_str()? {
        "new" => Ok(WriteMode::New),
        "update" => Ok(WriteMode::Update),
        "all" => Ok(WriteMode::All),
        _ => Err(mode.error("a write mode that no known release has")),
    }
}

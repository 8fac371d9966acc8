//! The arguments of a call as JSON, in the form that [`lct::json`](crate::format::lct::json) gives those of an
//! LMCache file: a trace and its conversion print the same.

use std::io::Write;

use super::chunk::DefinedLayout;
use super::keys::KeyList;
use super::record::{CallView, PrefetchRow, PrefetchView};
use crate::format::lct::WireKey;
use crate::format::lct::json::{write_key, write_str};
use crate::format::model::{FetchingPolicy, LockMode, Op};

/// Appends the arguments of `call`, under LMCache's names and in its order.
pub fn write_args(call: &CallView<'_>, out: &mut Vec<u8>) {
    if let Some(prefetch) = call.prefetch() {
        write_prefetch(&prefetch, out);
        return;
    }
    out.push(b'{');
    write_keys(call.keys(), out);
    match call.op() {
        Op::ReserveWrite => {
            out.push(b',');
            write_layout(call.layout(), out);
        }
        Op::FinishRead => push(out, format_args!(",\"read_locks\":{}", call.read_locks())),
        Op::FinishWrite | Op::ReadEnter | Op::ReadExit | Op::SubmitPrefetch => {}
    }
    out.push(b'}');
}

fn write_prefetch(prefetch: &PrefetchView<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"spec\":{\"key_groups\":[");
    for (position, row) in prefetch.rows().enumerate() {
        separate(position, out);
        write_row(&row, out);
    }
    let fetching_policy = match prefetch.fetching_policy() {
        FetchingPolicy::Prefix => "prefix",
        FetchingPolicy::Full => "full",
    };
    let lock_mode = match prefetch.lock_mode() {
        LockMode::Lock => "LOCK",
        LockMode::NoLock => "NO_LOCK",
    };
    let readers = prefetch.num_kv_readers();
    push(out, format_args!("],\"num_kv_readers\":{readers},\"fetching_policy\":\"{fetching_policy}\""));
    push(out, format_args!(",\"lock_mode\":\"{lock_mode}\"}},\"external_request_id\":"));
    write_str(prefetch.external_request_id(), out);
    push(out, format_args!(",\"skip_l2\":{}}}", prefetch.skip_l2()));
}

fn write_row(row: &PrefetchRow<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    write_keys(row.keys, out);
    push(out, format_args!(",\"object_group_id\":{},", row.object_group_id));
    write_layout(Some(row.layout), out);
    push(out, format_args!(",\"sliding_window_size\":{}}}", row.sliding_window_size));
}

fn write_keys(keys: KeyList<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"keys\":[");
    for (position, view) in keys.iter().enumerate() {
        separate(position, out);
        write_key(&WireKey { view, salt_recorded: true, hash_is_hex: false }, out);
    }
    out.push(b']');
}

/// The layout as it stands in the file, whether or not torch has its element types.
fn write_layout(layout: Option<&DefinedLayout>, out: &mut Vec<u8>) {
    let groups = layout.map_or(&[][..], |layout| &layout.facts.groups);
    out.extend_from_slice(b"\"layout_desc\":{\"shapes\":[");
    for (position, tensor) in groups.iter().enumerate() {
        separate(position, out);
        out.push(b'[');
        for (position, extent) in tensor.shape.iter().enumerate() {
            separate(position, out);
            push(out, format_args!("{extent}"));
        }
        out.push(b']');
    }
    out.extend_from_slice(b"],\"dtypes\":[");
    for (position, tensor) in groups.iter().enumerate() {
        separate(position, out);
        write_str(&tensor.dtype, out);
    }
    out.extend_from_slice(b"]}");
}

fn separate(position: usize, out: &mut Vec<u8>) {
    if position > 0 {
        out.push(b',');
    }
}

fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _ = out.write_fmt(text);
}

//! Lines: readable, or JSON.

use std::io::Write;

use super::DumpFormat;
use crate::cli::text::{printable, short};
use crate::format::lct::{WireKey, for_each_key, json};
use crate::format::model::Op;
use crate::format::model::key::Hex;
use crate::trace::Record;

/// How many bytes of a chunk hash a readable line shows.
const SHOWN_HASH_BYTES: usize = 6;

/// What every call has.
#[derive(Clone, Copy)]
pub(super) struct CallHead<'a> {
    pub(super) seq: u64,
    pub(super) t_mono_s: f64,
    pub(super) t_wall_s: f64,
    pub(super) qualname: &'a str,
}

/// Appends the line of a record of an LMCache file.
pub(super) fn write_record(format: DumpFormat, record: &Record<'_>, line: &mut Vec<u8>) {
    let Record { seq, t_mono_s, t_wall_s, qualname, .. } = *record;
    let head = CallHead { seq, t_mono_s, t_wall_s, qualname };
    match format {
        DumpFormat::Text => write_text(&head, record, line),
        DumpFormat::Jsonl => write_jsonl(&head, line, |line| {
            let args_start = line.len();
            if json::write_json(&record.args, line).is_err() {
                // The arguments of a decoded record are well-formed; a line must be JSON whatever happens.
                line.truncate(args_start);
                line.extend_from_slice(b"null");
            }
        }),
    }
    line.push(b'\n');
}

/// Appends the object of a call; `write_args` appends its arguments.
pub(super) fn write_jsonl(head: &CallHead<'_>, line: &mut Vec<u8>, write_args: impl FnOnce(&mut Vec<u8>)) {
    push(line, format_args!("{{\"seq\":{},", head.seq));
    write_times(head.t_mono_s, head.t_wall_s, line);
    line.extend_from_slice(b",\"qualname\":");
    json::write_str(head.qualname, line);
    line.extend_from_slice(b",\"args\":");
    write_args(line);
    line.push(b'}');
}

/// Appends the two times of an object.
pub(super) fn write_times(t_mono_s: f64, t_wall_s: f64, line: &mut Vec<u8>) {
    line.extend_from_slice(b"\"t_mono\":");
    json::write_f64(t_mono_s, line);
    line.extend_from_slice(b",\"t_wall\":");
    json::write_f64(t_wall_s, line);
}

fn write_text(head: &CallHead<'_>, record: &Record<'_>, line: &mut Vec<u8>) {
    write_text_head(head, line);
    let mut range = KeyRange::default();
    let counted = for_each_key(&record.args, |key| range.add(key));
    match counted {
        Ok(_) => range.write(line),
        Err(error) => {
            push(line, format_args!("  unreadable keys: {error}"));
            range.write_ends(line);
        }
    }
    if let Ok(Some(Ok(id))) = record.args.get(b"external_request_id").map(|id| id.map(|id| id.as_str())) {
        write_request(id, line);
    }
}

/// Appends number, time and name of a call.
pub(super) fn write_text_head(head: &CallHead<'_>, line: &mut Vec<u8>) {
    let name = Op::from_qualname(head.qualname).map_or(head.qualname, |op| op.short_name());
    push(line, format_args!("{:>8}  {:>14.6}s  {:<29}", head.seq, head.t_mono_s, short(name)));
}

/// Appends the engine's name for a request.
pub(super) fn write_request(id: &str, line: &mut Vec<u8>) {
    push(line, format_args!("  request {}", short(id)));
}

/// How many keys a call has, and the first and the last of them.
#[derive(Default)]
pub(super) struct KeyRange<'a> {
    count: usize,
    first: Option<WireKey<'a>>,
    last: Option<WireKey<'a>>,
}

impl<'a> KeyRange<'a> {
    pub(super) fn add(&mut self, key: WireKey<'a>) {
        self.first = self.first.or(Some(key));
        self.last = Some(key);
        self.count += 1;
    }

    pub(super) fn write(&self, line: &mut Vec<u8>) {
        push(line, format_args!("  {:>5} keys", self.count));
        self.write_ends(line);
    }

    fn write_ends(&self, line: &mut Vec<u8>) {
        let (Some(first), Some(last)) = (&self.first, &self.last) else { return };
        line.extend_from_slice(b"  ");
        write_short_hash(first, line);
        if first != last {
            line.extend_from_slice(b"..");
            write_short_hash(last, line);
        }
        let view = &first.view;
        let model = short(view.model_name);
        push(line, format_args!("  {model} rank {:08x} group {}", view.kv_rank, view.object_group_id));
    }
}

fn write_short_hash(key: &WireKey<'_>, line: &mut Vec<u8>) {
    let hash = key.view.chunk_hash;
    match key.hash_is_hex {
        true => push(
            line,
            format_args!(
                "{}",
                printable(&String::from_utf8_lossy(&hash[..hash.len().min(2 * SHOWN_HASH_BYTES)]))
            ),
        ),
        false => push(line, format_args!("{}", Hex(&hash[..hash.len().min(SHOWN_HASH_BYTES)]))),
    }
}

/// Appends formatted text.
pub(super) fn push(line: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _ = line.write_fmt(text);
}

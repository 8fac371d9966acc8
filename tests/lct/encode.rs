//! What LMCache's recorder wrote is written again, byte for byte, from what was read.

use std::collections::BTreeMap;

use lmcache::format::lct::frame::PREFIX_BYTES;
use lmcache::format::lct::times::{monotonic_ns_of, t_mono_of, t_wall_of, wall_ns_of};
use lmcache::format::lct::{
    FrameCursor, Header, SaltPolicy, WireRecord, decode_call, encode_call, encode_header, encode_record,
    is_canonical,
};
use lmcache::format::model::key::KeyInterner;
use lmcache::format::model::{Op, StorageCall};

use crate::common;

/// What became of a file's frames.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    /// Records that are written again as they were.
    identical: u64,
    /// Calls whose record says it in other bytes.
    other_form: u64,
    /// Records that are no call of the storage manager, and frames that are no record.
    no_call: u64,
    /// Records whose times are those of clocks that read whole nanoseconds.
    clock_times: u64,
    /// Records whose times are not.
    other_times: u64,
}

/// The fixtures of a folder by name, without `.lct.zst`.
fn names(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(common::fixtures().join(folder)).unwrap();
    let file_names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> =
        file_names.filter_map(|name| name.strip_suffix(".lct.zst").map(str::to_owned)).collect();
    names.sort();
    names
}

/// The header of a file and the frames after it; nothing if its header is refused.
fn open(bytes: &[u8]) -> Option<(Header, FrameCursor<'_>)> {
    let mut frames = FrameCursor::new(bytes, 0);
    let header = Header::decode(frames.next_frame().ok()?.body).ok()?;
    Some((header, frames))
}

fn written(record: &WireRecord<'_>, call: &StorageCall, salts: SaltPolicy) -> Vec<u8> {
    let mut frame = Vec::new();
    let args = |out: &mut Vec<u8>| encode_call(call.view(), salts, out);
    encode_record(record.t_mono_s, record.t_wall_s, record.qualname, args, &mut frame).unwrap();
    frame
}

fn count_form(body: &[u8], record: &WireRecord<'_>, interner: &mut KeyInterner, tally: &mut Tally) {
    let call = Op::from_qualname(record.qualname).and_then(|op| decode_call(op, &record.args, interner).ok());
    let Some(call) = call else {
        tally.no_call += 1;
        return;
    };
    let frame = written(record, &call, SaltPolicy::Written);
    let is_identical =
        frame[PREFIX_BYTES..] == *body && frame[..PREFIX_BYTES] == (body.len() as u32).to_be_bytes();
    assert_eq!(is_canonical(body, record, &call, &mut vec![0xc1; 3]), is_identical);
    match is_identical {
        true => tally.identical += 1,
        false => tally.other_form += 1,
    }
    // Written anew it may look different, but it says the same.
    let again = WireRecord::decode(&frame[PREFIX_BYTES..]).unwrap();
    assert_eq!(decode_call(call.op(), &again.args, interner).unwrap(), call);
}

fn count_times(record: &WireRecord<'_>, t_mono_start_s: f64, tally: &mut Tally) {
    let t_mono = monotonic_ns_of(record.t_mono_s, t_mono_start_s).map(|ns| t_mono_of(ns, t_mono_start_s));
    let t_wall = wall_ns_of(record.t_wall_s).map(t_wall_of);
    let is_exact = |found: Option<f64>, recorded: f64| match found {
        Some(found) => {
            assert_eq!(found.to_bits(), recorded.to_bits());
            true
        }
        None => false,
    };
    match is_exact(t_mono, record.t_mono_s) && is_exact(t_wall, record.t_wall_s) {
        true => tally.clock_times += 1,
        false => tally.other_times += 1,
    }
}

fn tally(bytes: &[u8]) -> Option<Tally> {
    let (header, mut frames) = open(bytes)?;
    let (mut tally, mut interner) = (Tally::default(), KeyInterner::default());
    while let Ok(frame) = frames.next_frame() {
        let Ok(record) = WireRecord::decode(frame.body) else {
            tally.no_call += 1;
            continue;
        };
        count_form(frame.body, &record, &mut interner, &mut tally);
        count_times(&record, header.t_mono_start_s, &mut tally);
    }
    Some(tally)
}

#[test]
fn explore() {
    for folder in ["traces", "old_traces"] {
        for name in names(folder) {
            let bytes = common::unpack(&format!("{folder}/{name}.lct"));
            let header = open(&bytes).map(|(header, frames)| {
                let mut out = Vec::new();
                encode_header(&header, &mut out).unwrap();
                (
                    out == bytes[..frames.position()],
                    header.t_mono_start_s,
                    header.t_wall_start_s,
                    wall_ns_of(header.t_wall_start_s).is_some(),
                    wall_ns_of(header.t_mono_start_s).is_some(),
                )
            });
            println!("{name} {header:?} {:?}", tally(&bytes));
        }
    }
}

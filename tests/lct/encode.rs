//! What LMCache's recorder wrote is written again, byte for byte, from what was read.

use lmcache::format::lct::frame::PREFIX_BYTES;
use lmcache::format::lct::times::{monotonic_ns_of, t_mono_of, t_wall_of, wall_ns_of};
use lmcache::format::lct::{
    FrameCursor, Header, SaltPolicy, WireRecord, decode_call, encode_call, encode_header, encode_record,
    is_canonical,
};
use lmcache::format::model::KeyInterner;
use lmcache::format::model::Op;

use crate::common;

/// What became of a file's frames behind the header.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    /// Calls whose frame is written again as it was.
    identical: u64,
    /// Calls whose frame says the same in other bytes.
    other_form: u64,
    /// Frames that are no call of the storage manager.
    no_call: u64,
    /// Records whose times are those of clocks that read whole nanoseconds.
    clock_times: u64,
    /// Records whose times are not.
    other_times: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.identical += other.identical;
        self.other_form += other.other_form;
        self.no_call += other.no_call;
        self.clock_times += other.clock_times;
        self.other_times += other.other_times;
    }
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

fn count_form(body: &[u8], record: &WireRecord<'_>, interner: &mut KeyInterner, tally: &mut Tally) {
    let op = Op::from_qualname(record.qualname);
    let Some(call) = op.and_then(|op| decode_call(op, &record.args, interner).ok()) else {
        tally.no_call += 1;
        return;
    };
    let mut frame = Vec::new();
    let args = |out: &mut Vec<u8>| encode_call(call.view(), SaltPolicy::Written, out);
    encode_record(record.t_mono_s, record.t_wall_s, record.qualname, args, &mut frame).unwrap();
    let is_identical = frame == [&(body.len() as u32).to_be_bytes(), body].concat();
    assert_eq!(is_canonical(body, record, &call, &mut vec![0xc1; 3]), is_identical);
    match is_identical {
        true => tally.identical += 1,
        false => tally.other_form += 1,
    }
    let again = WireRecord::decode(&frame[PREFIX_BYTES..]).unwrap();
    assert_eq!(decode_call(call.op(), &again.args, interner).unwrap(), call, "other bytes, the same call");
}

fn count_times(record: &WireRecord<'_>, t_mono_start_s: f64, tally: &mut Tally) {
    let t_mono_s = monotonic_ns_of(record.t_mono_s, t_mono_start_s).map(|ns| t_mono_of(ns, t_mono_start_s));
    let t_wall_s = wall_ns_of(record.t_wall_s).map(t_wall_of);
    for (found, recorded) in [(t_mono_s, record.t_mono_s), (t_wall_s, record.t_wall_s)] {
        assert!(found.is_none_or(|found| found.to_bits() == recorded.to_bits()), "{recorded}");
    }
    match t_mono_s.is_some() && t_wall_s.is_some() {
        true => tally.clock_times += 1,
        false => tally.other_times += 1,
    }
}

fn tally(folder: &str, name: &str) -> Option<Tally> {
    let bytes = common::unpack(&format!("{folder}/{name}.lct"));
    let (header, mut frames) = open(&bytes)?;
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
fn every_call_that_0_5_6_recorded_is_written_as_it_was() {
    let (mut total, mut refused) = (Tally::default(), Vec::new());
    for name in names("traces") {
        let Some(found) = tally("traces", &name) else {
            refused.push(name);
            continue;
        };
        let not_identical = match name.as_str() {
            // Its `reserve_write` was called with a tuple of keys, which the recorder wraps and we read as a list.
            "badarg" => (1, 0),
            // Each has a frame that is no record.
            "bad_frame20" | "enospc_short_write" => (0, 1),
            // Cache events are no calls.
            "server_events" => (0, 633),
            _ => (0, 0),
        };
        assert_eq!((found.other_form, found.no_call), not_identical, "{name}");
        // The records of this file were given times that are 200 us apart; no clock read those.
        let other_times = if name == "rate_5000" { 24_944 } else { 0 };
        assert_eq!(found.other_times, other_times, "{name}");
        total.add(found);
    }
    assert_eq!(
        refused,
        ["bad_format_version", "bad_magic", "bad_schema_version", "not_a_trace", "zero_bytes"]
    );
    let expected =
        Tally { identical: 175_991, other_form: 1, no_call: 635, clock_times: 151_681, other_times: 24_944 };
    assert_eq!(total, expected);
}

#[test]
fn calls_of_older_releases_are_told_from_those_that_look_like_0_5_6() {
    // What 0.5.6 has kept of each release: key lists since 0.4.7, lock counts since 0.5.5, empty lists always.
    let expected = [
        ("0.4.4", 4, 380),
        ("0.4.7", 212, 173),
        ("0.5.0", 208, 172),
        ("0.5.1", 209, 172),
        ("0.5.3", 205, 178),
        ("0.5.5", 251, 132),
    ];
    assert_eq!(names("old_traces"), expected.map(|(release, ..)| release));
    for (release, identical, other_form) in expected {
        let clock_times = identical + other_form;
        let expected = Tally { identical, other_form, clock_times, ..Tally::default() };
        assert_eq!(tally("old_traces", release), Some(expected), "{release}");
    }
}

#[test]
fn every_header_is_written_as_it_was() {
    let mut headers = 0;
    for folder in ["traces", "old_traces"] {
        for name in names(folder) {
            let bytes = common::unpack(&format!("{folder}/{name}.lct"));
            let Some((mut header, frames)) = open(&bytes) else { continue };
            if name == "server_events" {
                // A header keeps its metadata sorted by name; LMCache's own order is another.
                let own_order = ["instance_id", "cache_event_schema_version", "lmcache_version"];
                header.level_meta.sort_by_key(|(name, _)| own_order.iter().position(|own| own == name));
            }
            let mut written = Vec::new();
            encode_header(&header, &mut written).unwrap();
            assert!(written == bytes[..frames.position()], "{name}");
            assert!(wall_ns_of(header.t_wall_start_s).is_some(), "{name}");
            assert_eq!(
                t_mono_of(monotonic_ns_of(header.t_mono_start_s, 0.0).unwrap(), header.t_mono_start_s),
                0.0
            );
            headers += 1;
        }
    }
    assert_eq!(headers, 30);
}

/// `bytes` with the first occurrence of `old` replaced.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let place = bytes.windows(old.len()).position(|window| window == old).unwrap();
    [&bytes[..place], new, &bytes[place + old.len()..]].concat()
}

fn is_canonical_body(body: &[u8]) -> bool {
    let record = WireRecord::decode(body).unwrap();
    let op = Op::from_qualname(record.qualname).unwrap();
    let call = decode_call(op, &record.args, &mut KeyInterner::default()).unwrap();
    is_canonical(body, &record, &call, &mut Vec::new())
}

#[test]
fn a_frame_that_says_more_than_its_call_or_takes_longer_is_told_apart() {
    let bytes = common::unpack("traces/salts.lct");
    let (_, mut frames) = open(&bytes).unwrap();
    let body = frames.next_frame().unwrap().body;
    assert!(is_canonical_body(body));
    let with_salt = |salt: &[u8]| {
        let five_entries = replaced(body, b"\xa9ObjectKey\xa1v\x84", b"\xa9ObjectKey\xa1v\x85");
        let group = b"\xafobject_group_id\x00".as_slice();
        replaced(&five_entries, group, &[group, b"\xaacache_salt", salt].concat())
    };
    assert!(is_canonical_body(&with_salt(b"\xa6tenant")), "as salts are written");
    for other in [
        with_salt(b"\xa0"),
        with_salt(b"\xd9\x06tenant"),
        replaced(body, b"\xafobject_group_id\x00", b"\xafobject_group_id\xcc\x00"),
        replaced(body, b"\x85\xa4type\xa6record", b"\x84"),
        [&replaced(body, b"\x85\xa4type", b"\x86\xa4type"), b"\xa1x\xc0".as_slice()].concat(),
    ] {
        assert!(!is_canonical_body(&other), "{}", other.escape_ascii());
    }
}

//! Bytes that lie: nothing panics, nothing allocates what is not there, and every loss is counted.

use lmcache::format::lct::{decode_call, for_each_key, json};
use lmcache::format::model::KeyInterner;
use lmcache::format::model::Op;
use lmcache::trace::{Entry, TraceReader};
use proptest::prelude::*;

use crate::common;

/// Reads everything that can be read out of `bytes`.
fn read_everything(bytes: Vec<u8>) -> Option<u64> {
    let reader = TraceReader::from_bytes("hostile", bytes).ok()?;
    let mut interner = KeyInterner::default();
    let mut text = Vec::new();
    let mut records = reader.records();
    let mut yielded = 0;
    for entry in &mut records {
        let Entry::Record(record) = entry else { continue };
        yielded += 1;
        let _ = for_each_key(&record.args, |_| {});
        for op in Op::ALL {
            let _ = decode_call(op, &record.args, &mut interner);
        }
        text.clear();
        json::write_json(&record.args, &mut text).expect("the arguments of a decoded record are well-formed");
    }
    assert!(records.ending().is_some());
    Some(yielded)
}

#[test]
fn a_file_cut_anywhere_keeps_what_is_whole() {
    let whole = common::unpack("traces/badarg.lct");
    let yields: Vec<_> = (0..=whole.len()).map(|end| read_everything(whole[..end].to_vec())).collect();
    assert!(yields.is_sorted(), "a longer prefix never yields less");
    assert_eq!((yields[0], yields[whole.len()]), (None, Some(2)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_traces_are_read_or_refused(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        fixture in prop::sample::select(&["traces/badarg.lct", "traces/salts.lct"][..]),
    ) {
        let mut bytes = common::unpack(fixture);
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        read_everything(bytes);
    }

    #[test]
    fn arbitrary_frames_are_read_or_skipped(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = common::unpack("traces/empty.lct");
        bytes.extend((body.len() as u32).to_be_bytes());
        bytes.extend(body);
        prop_assert!(read_everything(bytes).is_some());
    }
}

/// A record frame with these arguments, behind a real header.
fn trace_with(op: Op, args: &[u8]) -> Vec<u8> {
    let qualname = op.qualname();
    let head = b"\x84\xa6t_mono\x00\xa6t_wall\x00\xa8qualname\xd9".as_slice();
    let body = [head, &[qualname.len() as u8], qualname.as_bytes(), b"\xa4args", args].concat();
    let mut bytes = common::unpack("traces/empty.lct");
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend(body);
    bytes
}

fn wire_key(rank: u32) -> Vec<u8> {
    let head =
        b"\x82\xa5__t__\xa9ObjectKey\xa1v\x83\xaachunk_hash\xc4\x01h\xaamodel_name\xa1m\xa7kv_rank\xce";
    [head.as_slice(), &rank.to_be_bytes()].concat()
}

fn array_of(count: usize) -> Vec<u8> {
    [&[0xdd][..], &(count as u32).to_be_bytes()].concat()
}

/// The one record of `bytes`, decoded as `op`.
fn decode_one(
    bytes: Vec<u8>,
    op: Op,
) -> Result<lmcache::format::model::StorageCall, lmcache::format::lct::WireError> {
    let reader = TraceReader::from_bytes("hostile", bytes).unwrap();
    let Some(Entry::Record(record)) = reader.records().next() else { panic!("a record") };
    decode_call(op, &record.args, &mut KeyInterner::default())
}

#[test]
fn a_list_that_claims_millions_of_keys_reserves_memory_for_what_is_there() {
    let count = 4_000_000;
    let args = [b"\x81\xa4keys".as_slice(), &array_of(count), &vec![0xc0; count]].concat();
    let error = decode_one(trace_with(Op::FinishWrite, &args), Op::FinishWrite).unwrap_err();
    assert_eq!(error.reason, "expected a map");
}

#[test]
fn a_prefetch_with_a_row_per_key_is_decoded_in_linear_time() {
    let (keys, tensors) = (100_000, 1_000);
    let list: Vec<u8> = (0..keys as u32).flat_map(wire_key).collect();
    let layout = [
        b"\x82\xa5__t__\xb0MemoryLayoutDesc\xa1v\x82\xa6shapes".as_slice(),
        &array_of(tensors),
        &vec![0x90; tensors],
        b"\xa6dtypes",
        &array_of(tensors),
        &b"\xaatorch.int8".repeat(tensors),
    ];
    let args =
        [b"\x82\xa4keys".as_slice(), &array_of(keys), &list, b"\xablayout_desc", &layout.concat()].concat();
    let start_ns = lmcache::clock::monotonic_ns();
    let call = decode_one(trace_with(Op::SubmitPrefetch, &args), Op::SubmitPrefetch).unwrap();
    let lmcache::format::model::StorageCall::SubmitPrefetch { spec, .. } = call else { panic!("a prefetch") };
    assert_eq!(spec.key_groups.len(), keys);
    // Row by row comparison takes half a minute here, linear time a tenth of a second.
    assert!(lmcache::clock::monotonic_ns() - start_ns < 5_000_000_000);
}

#[test]
fn wrappers_nested_to_the_limit_print_in_linear_time() {
    let (depth, text_bytes) = (50, 2_000_000);
    let text = [&[0xdb][..], &(text_bytes as u32).to_be_bytes(), &vec![b'x'; text_bytes]].concat();
    let opening = b"\x82\xa1v".repeat(depth);
    let closing = b"\xa5__t__\xa9ObjectKey".repeat(depth);
    let args = [b"\x81\xa1a".as_slice(), &opening, &text, &closing].concat();
    let reader = TraceReader::from_bytes("hostile", trace_with(Op::FinishWrite, &args)).unwrap();
    let Some(Entry::Record(record)) = reader.records().next() else { panic!("a record") };
    let mut printed = Vec::new();
    let start_ns = lmcache::clock::monotonic_ns();
    json::write_json(&record.args, &mut printed).unwrap();
    assert_eq!(printed.len(), text_bytes + b"{\"a\":\"\"}".len());
    assert!(lmcache::clock::monotonic_ns() - start_ns < 5_000_000_000);
}

#[test]
fn names_of_entries_do_not_multiply() {
    // {[[...["\""]...]]: 1}: a name that is no string prints as its JSON text, escaped once, however deep.
    let depth = 60;
    let name = [vec![0x91; depth], b"\xa1\"".to_vec()].concat();
    let args = [b"\x81\xa1a\x81".as_slice(), &name, &[1]].concat();
    let reader = TraceReader::from_bytes("hostile", trace_with(Op::FinishWrite, &args)).unwrap();
    let Some(Entry::Record(record)) = reader.records().next() else { panic!("a record") };
    let mut printed = Vec::new();
    json::write_json(&record.args, &mut printed).unwrap();
    assert!(printed.len() < 4 * depth + 20);
    // A map in a name is refused with its frame, as by LMCache's decoder.
    let args = [b"\x81\xa1a\x81\x91\x81\x01\x01".as_slice(), &[1]].concat();
    let reader = TraceReader::from_bytes("hostile", trace_with(Op::FinishWrite, &args)).unwrap();
    assert!(matches!(reader.records().next(), Some(Entry::Undecodable { .. })));
}

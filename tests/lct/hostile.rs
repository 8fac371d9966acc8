//! Bytes that lie: nothing panics, nothing allocates what is not there, and every loss is counted.

use lmcache::format::lct::{decode_call, for_each_key, json};
use lmcache::format::model::Op;
use lmcache::format::model::key::KeyInterner;
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

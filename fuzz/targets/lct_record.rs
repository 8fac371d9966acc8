//! Any bytes as the body of a record frame: checked, its keys walked, decoded as each operation, printed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lmcache::format::lct::{WireRecord, decode_call, for_each_key, json};
use lmcache::format::model::Op;
use lmcache::format::model::KeyInterner;

fuzz_target!(|body: &[u8]| {
    let Ok(record) = WireRecord::decode(body) else { return };
    let mut keys = 0;
    let walked = for_each_key(&record.args, |_| keys += 1);
    assert!(walked.is_err() || walked == Ok(keys));
    let mut interner = KeyInterner::default();
    for op in Op::ALL {
        let _ = decode_call(op, &record.args, &mut interner);
    }
    let mut text = Vec::new();
    json::write_json(&record.args, &mut text).expect("the arguments of a decoded record are well-formed");
    std::str::from_utf8(&text).expect("JSON is text");
});

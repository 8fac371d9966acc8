//! Any bytes as a whole `.lct` file: opened, walked, summarised.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lmcache::analyze::summarize;
use lmcache::trace::TraceReader;

fuzz_target!(|bytes: &[u8]| {
    let Ok(reader) = TraceReader::from_bytes("fuzz", bytes.to_vec()) else { return };
    let mut records = reader.records();
    let yielded = (&mut records).count() as u64;
    let ending = records.ending().expect("a walk that is done knows how the file ends");
    let summary = summarize(&reader, 2, |_| {});
    assert_eq!(summary.total_records + summary.skipped_frames, yielded);
    assert_eq!((summary.skipped_frames, summary.ending), (records.skipped(), ending));
    assert!(summary.distinct_keys.count <= summary.keys);
});

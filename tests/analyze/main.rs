//! Summaries of traces: against LMCache's own numbers, independent of threads, and of hostile files.

#[path = "../common/mod.rs"]
mod common;
mod limits;

use lmcache::analyze::{TraceSummary, summarize};
use lmcache::trace::TraceReader;

fn summary_of(name: &str, bytes: Vec<u8>, threads: usize) -> TraceSummary {
    let reader = TraceReader::from_bytes(name, bytes).expect("a readable trace");
    summarize(&reader, threads, |_| {})
}

fn check_against_lmcache(fixture: &str, expect: &str) {
    let expected = common::json(&format!("expect/{expect}.json"));
    if expected.get("rejected").is_some() {
        return;
    }
    let summary = summary_of(fixture, common::unpack(fixture), 2);
    let number = |field: &str| expected[field].as_u64().expect("a number");
    assert_eq!(serde_json::json!(summary.ops), expected["per_qualname"], "{fixture}");
    assert_eq!(summary.total_records, number("records"), "{fixture}");
    assert_eq!(summary.skipped_frames, number("malformed"), "{fixture}");
    assert_eq!(Some(summary.ending.is_truncated()), expected["truncated"].as_bool(), "{fixture}");
    assert_eq!(Some(summary.duration_s), expected["max_t_mono"].as_f64(), "{fixture}");
    assert_eq!(summary.keys, number("keys_total"), "{fixture}");
    assert_eq!(summary.distinct_keys.count, number("keys_distinct"), "{fixture}");
    assert_eq!(summary.distinct_keys.relative_error, 0.0, "{fixture}");
    assert_eq!(serde_json::json!(summary.scopes.models), expected["models"], "{fixture}");
    assert_eq!(summary.records_with_undecodable_keys, number("records_with_undecodable_keys"), "{fixture}");
}

#[test]
fn every_trace_is_counted_as_lmcache_counts_it() {
    for entry in std::fs::read_dir(common::fixtures().join("expect")).expect("fixtures") {
        let name = entry.expect("fixtures").file_name().into_string().expect("a name");
        let name = name.strip_suffix(".json").expect("a JSON file");
        match name.strip_prefix("old-") {
            Some(version) => check_against_lmcache(&format!("old_traces/{version}.lct"), name),
            None => check_against_lmcache(&format!("traces/{name}.lct"), name),
        }
    }
}

#[test]
fn a_summary_does_not_depend_on_the_number_of_threads() {
    let bytes = common::unpack("traces/small_one_model.lct");
    let texts = [1, 2, 5].map(|threads| format!("{:?}", summary_of("small", bytes.clone(), threads)));
    assert!(texts[0] == texts[1] && texts[0] == texts[2]);
}

#[test]
fn the_times_of_a_real_trace_make_sense() {
    let summary = summary_of("rate_5000", common::unpack("traces/rate_5000.lct"), 2);
    assert_eq!(summary.timeline.counts().iter().sum::<u64>(), summary.total_records);
    let full_bins: Vec<_> = summary.timeline.per_second().collect();
    let rate = full_bins[full_bins.len() / 2];
    assert!((rate - 5000.0).abs() < 50.0, "{rate} calls a second in a trace of 5,000 a second");
    assert!((summary.inter_arrival.p50_us - 200.0).abs() < 1.0);
    assert_eq!(summary.inter_arrival.gaps, summary.total_records - 1);
}

/// A frame with `body`, behind the header of a real file.
fn with_frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = common::unpack("traces/empty.lct");
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend(body);
    bytes
}

#[test]
fn keys_before_the_first_value_that_is_none_are_counted_everywhere() {
    let key =
        b"\x82\xa5__t__\xa9ObjectKey\xa1v\x83\xaachunk_hash\xc4\x01\x07\xaamodel_name\xa1m\xa7kv_rank\x01";
    let body = [
        &b"\x84\xa6t_mono\x00\xa6t_wall\x00\xa8qualname\xa1q\xa4args\x81\xa4keys\x92"[..],
        key,
        b"\xc0", // nil is no key
    ];
    let summary = summary_of("hostile", with_frame(&body.concat()), 1);
    assert_eq!((summary.total_records, summary.records_with_undecodable_keys), (1, 1));
    assert_eq!((summary.keys, summary.distinct_keys.count), (1, 1));
}

#[test]
fn calls_that_do_not_say_how_large_their_objects_are_are_not_said_to_be_empty() {
    let unsized_calls = |fixture: &str| {
        let bytes = summary_of(fixture, common::unpack(fixture), 2).call_bytes;
        (bytes.unsized_reserve_writes, bytes.unsized_submit_prefetches, bytes.submit_prefetch_task > 0)
    };
    let prefetches = |fixture: &str| {
        let ops = summary_of(fixture, common::unpack(fixture), 2).ops;
        ops.iter().find(|(name, _)| name.ends_with("submit_prefetch_task")).map_or(0, |(_, count)| *count)
    };
    let old = "old_traces/0.5.5.lct";
    assert_eq!(unsized_calls(old), (0, prefetches(old), false));
    assert!(prefetches(old) > 0);
    assert_eq!(unsized_calls("traces/small.lct"), (0, 0, true));
}

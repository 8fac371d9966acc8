//! Traces of older releases become the calls that their driver made.

use lmcache::format::lct::decode_call;
use lmcache::format::model::KeyInterner;
use lmcache::format::model::{FetchingPolicy, LockMode, Op, StorageCall, WriteMode};
use lmcache::trace::{Entry, TraceReader};
use serde_json::Value;

use crate::common;

const RELEASES: [&str; 6] = ["0.4.4", "0.4.7", "0.5.0", "0.5.1", "0.5.3", "0.5.5"];

fn expected_ops(release: &str) -> Vec<Value> {
    let text = common::unpack(&format!("old_traces/{release}.expect.json"));
    let mut expected: Value = serde_json::from_slice(&text).unwrap();
    expected["ops"].as_array_mut().map(std::mem::take).unwrap()
}

fn decode_all(release: &str) -> Vec<StorageCall> {
    let reader =
        TraceReader::from_bytes(release, common::unpack(&format!("old_traces/{release}.lct"))).unwrap();
    let mut interner = KeyInterner::default();
    let calls = reader.records().map(|entry| match entry {
        Entry::Record(record) => {
            let op = Op::from_qualname(record.qualname).unwrap();
            decode_call(op, &record.args, &mut interner)
                .unwrap_or_else(|error| panic!("{release} {}: {error}", record.seq))
        }
        Entry::Undecodable { offset, error } => panic!("{release}: {error} in the frame at {offset}"),
    });
    calls.collect()
}

fn check_call(release: &str, place: &str, call: &StorageCall, expected: &Value) {
    assert_eq!(call.op().method(), expected["op"], "{place}");
    if !expected["extra"]["raised"].is_null() {
        return; // recorded on entry, then refused by LMCache: the driver says nothing about its arguments
    }
    let (extra, nkeys) = (&expected["extra"], expected["nkeys"].as_u64().unwrap() as usize);
    match call {
        StorageCall::ReserveWrite { keys, layout, mode } => {
            assert_eq!(keys.len(), nkeys, "{place}");
            let name = match mode {
                WriteMode::New => "new",
                WriteMode::Update => "update",
                WriteMode::All => "all",
            };
            assert_eq!(extra["mode"], name, "{place}");
            let shapes: Vec<_> = layout.groups().map(|(shape, _)| shape.to_vec()).collect();
            let dtypes: Vec<_> = layout.groups().map(|(_, dtype)| dtype.to_string()).collect();
            assert_eq!(serde_json::json!([shapes, dtypes]), extra["layout"], "{place}");
        }
        StorageCall::FinishRead { keys, read_locks } => {
            assert_eq!(keys.len(), nkeys, "{place}");
            assert_eq!(extra["locks"].as_i64(), Some(*read_locks), "{place}");
        }
        StorageCall::SubmitPrefetch { spec, external_request_id, skip_l2 } => {
            assert_eq!(spec.key_groups.iter().map(|row| row.keys.len()).sum::<usize>(), nkeys, "{place}");
            assert_eq!(expected["external_request_id"], external_request_id.as_str(), "{place}");
            assert_eq!(extra["locks"].as_i64(), Some(spec.num_kv_readers), "{place}");
            if release >= "0.5.0" {
                assert_eq!(extra["skip_l2"].as_bool().unwrap_or(false), *skip_l2, "{place}");
            }
            let is_sparse = extra["policy"] == "SPARSE";
            assert_eq!(spec.fetching_policy == FetchingPolicy::Full, is_sparse, "{place}");
            assert_eq!(spec.lock_mode == LockMode::NoLock, extra["warm"] == true, "{place}");
            check_rows(place, spec, extra);
        }
        StorageCall::FinishWrite { keys }
        | StorageCall::ReadEnter { keys }
        | StorageCall::ReadExit { keys } => {
            assert_eq!(keys.len(), nkeys, "{place}");
        }
    }
}

fn check_rows(place: &str, spec: &lmcache::format::model::PrefetchTaskSpec, extra: &Value) {
    let mut groups: Vec<_> = spec.key_groups.iter().map(|row| u64::from(row.object_group_id)).collect();
    groups.sort_unstable();
    groups.dedup();
    let mut expected: Vec<_> = extra["groups"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    expected.sort_unstable();
    if !spec.key_groups.is_empty() {
        assert_eq!(groups, expected, "{place}");
        let ranks = extra["world_size"].as_u64().unwrap() as usize;
        assert_eq!(spec.key_groups.len(), groups.len() * ranks, "{place}");
    }
    for row in &spec.key_groups {
        assert!(row.layout.size_bytes() > 0, "{place}");
        assert!(row.keys.iter().all(|key| key.scope() == row.keys[0].scope()), "{place}: one scope a row");
    }
}

#[test]
fn every_release_since_0_4_4_is_understood() {
    for release in RELEASES {
        let (calls, expected) = (decode_all(release), expected_ops(release));
        assert_eq!(calls.len(), expected.len(), "{release}");
        for (seq, (call, expected)) in calls.iter().zip(&expected).enumerate() {
            check_call(release, &format!("{release}, record {seq}"), call, expected);
        }
    }
}

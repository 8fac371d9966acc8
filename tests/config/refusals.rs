//! What is said of an adapter that is refused: what comes first, what is missing, and where it is.

use lmcache::error::{Error, ErrorKind};
use lmcache::storage::config::L2AdapterConfig;

fn error(json: &str) -> Error {
    L2AdapterConfig::from_json_in(json, &|_| None).expect_err(json)
}

/// Whatever else is wrong: who mends that would hear it next.
#[test]
fn what_is_not_part_of_this_build_is_said_before_anything_else() {
    let raw_block = |fields: &str| format!(r#"{{"type":"raw_block","slot_byte":1{fields}}}"#);
    for (json, words) in [
        (raw_block(r#","use_uring_cmd":true"#), "field use_uring_cmd, type raw_block"),
        (raw_block(r#","fdp_enabled":true"#), "field fdp_enabled"),
        (raw_block(r#","fdp_placement_ids":[]"#), "field fdp_placement_ids"),
        (raw_block(r#","fdp_data_placement_policy":"cache_salt_rank""#), "field fdp_data_placement_policy"),
        (raw_block(r#","fdp_slot_reuse_policy":"pid_affinity""#), "field fdp_slot_reuse_policy"),
        (raw_block(r#","meta_checkpoint_placement_id":0"#), "field meta_checkpoint_placement_id"),
        (raw_block(r#","per_tp_device_paths":{}"#), "field per_tp_device_paths"),
        (r#"{"type":"plugin","module_path":"a","library":"b"}"#.to_owned(), "field module_path"),
        (r#"{"type":"valkey","shared":1}"#.to_owned(), "type valkey"),
        (r#"{"type":"fs","serde":{"type":"turboquant"}}"#.to_owned(), "turboquant"),
        (r#"{"type":"fault_inject","rate":2,"inner":{"type":"dax"}}"#.to_owned(), "type dax, in inner"),
    ] {
        let error = error(&json);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{json}: {error}");
        assert!(error.to_string().contains(words) && error.hint().is_some(), "{error}");
    }
    let list = [r#"{"type":"fs"}"#, r#"{"type":"hf3fs"}"#];
    let error = L2AdapterConfig::from_json_list(&list).unwrap_err().to_string();
    assert!(error.contains("(type hf3fs, flag --l2-adapter #2)"), "{error}");
    // Off, they are LMCache's defaults.
    let off = L2AdapterConfig::from_json(
        r#"{"type":"raw_block","device_path":"/x","slot_bytes":8192,"use_uring_cmd":false,"fdp_enabled":false,
            "fdp_placement_ids":null,"fdp_data_placement_policy":"none","fdp_slot_reuse_policy":""}"#,
    );
    assert!(off.is_ok(), "{off:?}");
}

/// Only the reader of flags: a program may read what another build has.
#[cfg(not(feature = "s3"))]
#[test]
fn flags_for_s3_are_refused_first_in_a_build_without_it() {
    for json in [r#"{"type":"s3"}"#, r#"{"type":"fault_inject","inner":{"type":"s3","s3_endpoint":1}}"#] {
        let error = L2AdapterConfig::from_json_list(&[r#"{"type":"fs"}"#, json]).unwrap_err();
        assert!(
            error.to_string().starts_with("the adapter s3 is not part of this build (type s3"),
            "{error}"
        );
        assert!(error.to_string().ends_with("flag --l2-adapter #2)"), "{error}");
        assert!(error.hint().unwrap().contains("--features s3"));
    }
}

/// A key that is not there does not read like a value that is wrong.
#[test]
fn a_key_that_is_missing_is_named_with_an_example() {
    for (json, words, hint) in [
        ("{}", "misses the key type", r#"add "type": "fs""#),
        (r#"{"type":"fs"}"#, "misses the key base_path (type fs)", r#"add "base_path": "/data/kv""#),
        (r#"{"type":"mock"}"#, "misses the key max_size_gb (", r#"add "max_size_gb": 8"#),
        (
            r#"{"type":"mock","max_size_gb":1}"#,
            "misses the key mock_bandwidth_gb",
            r#""mock_bandwidth_gb": 2"#,
        ),
        (r#"{"type":"raw_block"}"#, "misses the key device_path", "/dev/nvme1n1"),
        (
            r#"{"type":"raw_block","device_path":"/x"}"#,
            "misses the key slot_bytes",
            r#"add "slot_bytes": 1052672"#,
        ),
        (r#"{"type":"resp","port":1}"#, "misses the key host", "LMCACHE_RESP_HOST"),
        (r#"{"type":"resp","host":"h"}"#, "misses the key port", "LMCACHE_RESP_PORT"),
        (r#"{"type":"s3","s3_region":"r"}"#, "misses the key s3_endpoint", "bucket."),
        (r#"{"type":"s3","s3_endpoint":"b.h"}"#, "misses the key s3_region", "eu-central-1"),
        (r#"{"type":"plugin"}"#, "misses the key library_path", ".so"),
        (r#"{"type":"fault_inject"}"#, "misses the key inner (type fault_inject)", r#"{"type": "fs""#),
        (
            r#"{"type":"fs","base_path":"/x","eviction":{}}"#,
            "misses the key eviction_policy (in eviction, type fs)",
            r#"add "eviction_policy": "LRU""#,
        ),
        (r#"{"type":"fs","base_path":"/x","serde":{}}"#, "misses the key type (in serde, type fs)", "fp8"),
    ] {
        let error = error(json);
        assert!(error.to_string().contains(words), "{json}: {error}");
        assert!(error.hint().is_some_and(|said| said.contains(hint)), "{json}: {:?}", error.hint());
    }
    let wrong = error(r#"{"type":"fs","base_path":""}"#).to_string();
    assert_eq!(wrong, "base_path must be a non-empty string (type fs)");
}

#[test]
fn what_is_wrong_in_a_wrapped_adapter_says_that_it_is_inside() {
    for (inner, words) in [
        (r#"{"type":"fs"}"#, "misses the key base_path (type fs, in inner, type fault_inject)"),
        ("{}", "misses the key type (in inner, type fault_inject)"),
        (r#"{"type":"valkey"}"#, "not part of this build (type valkey, in inner, type fault_inject)"),
        (
            r#"{"type":"fault_inject","inner":{"type":"fs","base_path":1}}"#,
            "(type fs, in inner, type fault_inject, in inner, type fault_inject)",
        ),
    ] {
        let error = error(&format!(r#"{{"type":"fault_inject","inner":{inner}}}"#)).to_string();
        assert!(error.contains(words), "{error}");
    }
}

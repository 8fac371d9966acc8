//! What LMCache's tagged L1 JSON accepts and refuses.

use lmcache::error::ErrorKind;
use lmcache::storage::config::l1::tagged::{MAX_NUMA_NODE, TaggedDefaults};
use lmcache::storage::config::{
    EvictionConfig, EvictionMeasure, EvictionPolicyKind, L1AllocatorKind, L1ManagerConfig, PinKind,
    StorageManagerConfig,
};

fn defaults() -> TaggedDefaults {
    TaggedDefaults {
        eviction: Some(EvictionConfig::default()),
        read_ttl_seconds: 300,
        write_ttl_seconds: 600,
        ..TaggedDefaults::default()
    }
}

fn read(fields: &str) -> lmcache::error::Result<L1ManagerConfig> {
    L1ManagerConfig::from_tagged_json(
        &format!(r#"{{"type":"DRAM","tag":"t","size_gb":0.5{fields}}}"#),
        &defaults(),
    )
}

#[test]
fn what_is_left_out_comes_from_the_flags() {
    let config = read("").unwrap();
    assert_eq!((config.read_ttl_seconds, config.write_ttl_seconds), (300, 600));
    assert_eq!(config.memory.size_bytes, 1 << 29);
    assert_eq!(config.memory.init_size_bytes, 1 << 29);
    assert!(!config.memory.use_lazy);
    assert_eq!(config.eviction, EvictionConfig::default());
}

#[test]
fn an_object_overrides_the_flags() {
    let config = read(
        r#","read_ttl_seconds":7,"init_size_gb":0.25,"use_lazy":false,"shm_name":"pool",
           "eviction":{"eviction_policy":"noop","trigger_watermark":1}"#,
    )
    .unwrap();
    assert_eq!(config.read_ttl_seconds, 7);
    assert_eq!(config.memory.init_size_bytes, 1 << 28);
    assert_eq!(config.memory.shm_name, "pool");
    assert_eq!(config.eviction.policy, EvictionPolicyKind::Noop);
    assert!(config.eviction.whole_numbers.trigger_watermark);
    assert!(!config.eviction.whole_numbers.eviction_ratio);
}

#[test]
fn an_explicit_use_lazy_is_kept_for_the_digest() {
    assert!(read(r#","use_lazy":true"#).unwrap().memory.use_lazy);
    assert!(!read(r#","use_lazy":false"#).unwrap().memory.use_lazy);
}

#[test]
fn what_lmcache_refuses_is_refused_with_the_flag_named() {
    let broken = [
        r#","unknown":1"#,
        r#","tag":" ""#,
        r#","tag":1"#,
        r#","size_gb":0"#,
        r#","size_gb":true"#,
        r#","size_gb":0.000001"#,
        r#","align_bytes":3000"#,
        r#","align_bytes":4096.0"#,
        r#","align_bytes":0"#,
        r#","read_ttl_seconds":0"#,
        r#","write_ttl_seconds":true"#,
        r#","use_lazy":1"#,
        r#","init_size_gb":-1"#,
        r#","shm_name":"x""#,
        r#","shm_name":1"#,
        r#","eviction":[]"#,
        r#","eviction":{"extra_logging_enabled":true}"#,
        r#","eviction":{"eviction_policy":"LFU"}"#,
        r#","eviction":{"eviction_policy":null}"#,
        r#","eviction":{"trigger_watermark":1.01}"#,
        r#","eviction":{"eviction_ratio":true}"#,
    ];
    for fields in broken {
        let error = read(fields).expect_err(fields);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{fields}: {error}");
        assert!(error.to_string().contains("--l1-manager"), "{error}");
    }
    for json in ["", "[]", "{}", r#"{"type":"dram"}"#, "{\"type\":", &"[".repeat(10_000)] {
        assert!(L1ManagerConfig::from_tagged_json(json, &defaults()).is_err(), "{json:.20}");
    }
}

#[test]
fn a_field_that_is_missing_is_named() {
    for (json, name) in [
        ("{}", "type"),
        (r#"{"type":"DRAM","size_gb":1}"#, "tag"),
        (r#"{"type":"DRAM","tag":"a"}"#, "size_gb"),
    ] {
        let error = L1ManagerConfig::from_tagged_json(json, &defaults()).unwrap_err();
        assert!(error.to_string().starts_with(&format!("the JSON misses the key {name} (")), "{error}");
        assert!(error.hint().unwrap().contains(&format!("add \"{name}\": ")));
    }
    let share = read(r#","eviction":{"trigger_watermark":2}"#).unwrap_err().to_string();
    assert!(share.contains("(in eviction, flag --l1-manager)"), "{share}");
}

#[test]
fn a_policy_must_come_from_somewhere() {
    let without = TaggedDefaults { eviction: None, ..defaults() };
    let json = |eviction| format!(r#"{{"type":"DRAM","tag":"t","size_gb":1,"eviction":{eviction}}}"#);
    assert!(L1ManagerConfig::from_tagged_json(&json(r#"{"eviction_ratio":0.5}"#), &without).is_err());
    assert!(L1ManagerConfig::from_tagged_json(&json(r#"{"eviction_policy":"ARC"}"#), &without).is_ok());
}

#[test]
fn backends_that_this_build_lacks_are_unsupported_whatever_else_is_wrong() {
    for backend in ["GDS", "DEVDAX"] {
        for fields in [r#""path":"/x""#, r#""unknown":1"#, r#""size_gb":"much""#] {
            let json = format!(r#"{{"type":"{backend}",{fields}}}"#);
            let error = L1ManagerConfig::from_tagged_json(&json, &defaults()).expect_err(&json);
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{json}");
            assert!(error.to_string().contains("not part of this build"), "{error}");
        }
        let list = ["{}".to_owned(), format!(r#"{{"type":"{backend}"}}"#)];
        let error = L1ManagerConfig::from_tagged_json_list(&list, &defaults()).unwrap_err().to_string();
        assert!(error.contains(backend) && error.contains("--l1-manager #2"), "{error}");
    }
}

#[test]
fn ours_are_read_and_are_no_part_of_the_digest() {
    let plain = read("").unwrap();
    let ours = read(
        r#","allocator":"tlsf","numa_node":3,"first_touch":true,"pin":"mlock","eviction":{"by":"bytes"}"#,
    )
    .unwrap();
    assert_eq!((ours.memory.allocator, ours.memory.numa_node), (L1AllocatorKind::Tlsf, Some(3)));
    assert!(ours.memory.first_touch && !plain.memory.first_touch);
    assert_eq!((ours.memory.pin, plain.memory.pin), (PinKind::Mlock, PinKind::None));
    assert_eq!((ours.eviction.by, plain.eviction.by), (EvictionMeasure::Bytes, EvictionMeasure::Keys));
    let digest = |l1: L1ManagerConfig| {
        StorageManagerConfig::with_l1_managers(vec![l1], EvictionConfig::default()).digest()
    };
    assert_eq!(digest(ours), digest(plain));
}

#[test]
fn our_fields_are_accepted_to_the_limit_and_refused_past_it() {
    assert_eq!(read(r#","numa_node":1023"#).unwrap().memory.numa_node, Some(MAX_NUMA_NODE));
    for fields in [
        r#","numa_node":1024"#,
        r#","numa_node":-1"#,
        r#","numa_node":"0""#,
        r#","allocator":"best-fit""#,
        r#","allocator":null"#,
        r#","first_touch":1"#,
        r#","pin":"cuda""#,
        r#","pin":true"#,
        r#","eviction":{"by":"objects"}"#,
    ] {
        assert_eq!(read(fields).expect_err(fields).kind(), ErrorKind::InvalidArgument, "{fields}");
    }
}

/// As LMCache: in tagged JSON lazy growth is on unless it is turned off.
#[test]
fn pages_of_2_mib_exclude_lazy_growth() {
    assert!(read(r#","use_hugepages":true"#).is_err());
    assert!(read(r#","use_hugepages":true,"use_lazy":false"#).unwrap().memory.use_hugepages);
}

#[test]
fn the_position_of_a_wrong_object_is_named() {
    let good = r#"{"type":"DRAM","tag":"a","size_gb":1}"#;
    let error = L1ManagerConfig::from_tagged_json_list(&[good, "{}"], &defaults()).unwrap_err();
    assert!(error.to_string().contains("--l1-manager #2"), "{error}");
}

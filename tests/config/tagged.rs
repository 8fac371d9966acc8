//! What LMCache's tagged L1 JSON accepts and refuses.

use lmcache::error::ErrorKind;
use lmcache::storage::config::tagged::TaggedDefaults;
use lmcache::storage::config::{EvictionConfig, EvictionPolicyKind, L1ManagerConfig};

fn defaults() -> TaggedDefaults {
    TaggedDefaults {
        eviction: Some(EvictionConfig::default()),
        read_ttl_seconds: 300,
        write_ttl_seconds: 600,
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
        r#","eviction":{"eviction_policy":"MRU"}"#,
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
fn a_policy_must_come_from_somewhere() {
    let without = TaggedDefaults { eviction: None, ..defaults() };
    let json = |eviction| format!(r#"{{"type":"DRAM","tag":"t","size_gb":1,"eviction":{eviction}}}"#);
    assert!(L1ManagerConfig::from_tagged_json(&json(r#"{"eviction_ratio":0.5}"#), &without).is_err());
    assert!(L1ManagerConfig::from_tagged_json(&json(r#"{"eviction_policy":"ARC"}"#), &without).is_ok());
}

#[test]
fn backends_that_this_build_lacks_are_unsupported() {
    for fields in
        [r#","type":"GDS","path":"/x""#, r#","type":"DEVDAX","path":"/x""#, r#","use_hugepages":true"#]
    {
        assert_eq!(read(fields).expect_err(fields).kind(), ErrorKind::Unsupported, "{fields}");
    }
}

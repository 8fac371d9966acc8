//! What is allowed and hardly meant.

use lmcache::storage::config::{EvictionPolicyKind, GIB_BYTES, L2AdapterConfig, StorageManagerConfig};

fn config(adapter: &str) -> StorageManagerConfig {
    let mut config = StorageManagerConfig::l1_only(GIB_BYTES, EvictionPolicyKind::Lru);
    config.l2_adapters = vec![L2AdapterConfig::from_json(adapter).expect("valid JSON")];
    config
}

#[test]
fn eviction_and_capacity_need_each_other() {
    let lru = r#""eviction":{"eviction_policy":"LRU"}"#;
    let noop = r#""eviction":{"eviction_policy":"noop"}"#;
    let fs = |fields: &str| format!(r#"{{"type":"fs","base_path":"/kv"{fields}}}"#);
    let both = fs(&format!(r#","max_capacity_gb":1,{lru}"#));
    let wrapped = format!(r#"{{"type":"fault_inject",{lru},"inner":{}}}"#, fs(""));
    for (adapter, words) in [
        (fs(""), None),
        (both, None),
        (fs(&format!(",{noop}")), None),
        (fs(&format!(",{lru}")), Some("#1 (fs) never evicts")),
        (wrapped, Some("#1 (fault_inject) never evicts")),
        (fs(r#","max_capacity_gb":1"#), Some("#1 (fs) is not bounded")),
        (format!(r#"{{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":1,{lru}}}"#), None),
        (format!(r#"{{"type":"raw_block","device_path":"/x","slot_bytes":8192,{lru}}}"#), None),
    ] {
        let warnings = config(&adapter).warnings();
        assert_eq!(warnings.len(), usize::from(words.is_some()), "{adapter}: {warnings:?}");
        assert!(words.is_none_or(|words| warnings[0].contains(words)), "{adapter}: {warnings:?}");
    }
}

#[test]
fn settings_that_change_nothing_are_named() {
    for (adapter, words) in [
        (r#"{"type":"fs","base_path":"/kv","persist_enabled":false}"#, "persist_enabled"),
        (
            r#"{"type":"raw_block","device_path":"/x","slot_bytes":8192,"max_data_transfer_size":4096}"#,
            "max_data_transfer_size",
        ),
    ] {
        let warnings = config(adapter).warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains(words), "{warnings:?}");
    }
}

#[test]
fn quotas_and_prefetches_can_forbid_everything() {
    let mut config =
        config(r#"{"type":"fs","base_path":"/kv","eviction":{"eviction_policy":"IsolatedLRU"}}"#);
    assert!(config.warnings()[0].contains("without a quota"));
    config.quotas = vec![("a".to_owned(), 1)];
    assert!(config.warnings().is_empty());
    config.prefetch_max_in_flight = 0;
    assert!(config.warnings()[0].contains("never start"));
    config.l2_adapters.clear();
    assert!(config.warnings().is_empty());
}

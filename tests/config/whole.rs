//! Differential: whole configurations, with the digests and the errors of LMCache 0.5.6.

use lmcache::error::{ErrorKind, Result};
use lmcache::storage::config::l1::tagged::TaggedDefaults;
use lmcache::storage::config::{
    EvictionConfig, EvictionPolicyKind, L1ManagerConfig, L2AdapterConfig, PrefetchPolicy,
    StorageManagerConfig, StorePolicy,
};
use serde_json::Value;

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text")).collect()
}

/// The configuration of one case, read as the command line reads its flags.
fn config(case: &Value) -> Result<StorageManagerConfig> {
    let flags = &case["flags"];
    let number = |name: &str, default: i64| flags[name].as_i64().unwrap_or(default);
    let share = |name: &str, default: f64| flags[name].as_f64().unwrap_or(default);
    let policy = flags["eviction_policy"].as_str().map(EvictionPolicyKind::from_name).transpose()?;
    let defaults = TaggedDefaults {
        eviction: policy.map(|policy| EvictionConfig {
            policy,
            trigger_watermark: share("eviction_trigger_watermark", 0.8),
            eviction_ratio: share("eviction_ratio", 0.2),
            ..EvictionConfig::default()
        }),
        read_ttl_seconds: number("l1_read_ttl_seconds", 300),
        write_ttl_seconds: number("l1_write_ttl_seconds", 600),
        ..TaggedDefaults::default()
    };
    let l1_managers = L1ManagerConfig::from_tagged_json_list(&texts(&case["l1"]), &defaults)?;
    let eviction = l1_managers[0].eviction.clone();
    let mut config = StorageManagerConfig::with_l1_managers(l1_managers, eviction);
    config.l2_adapters = L2AdapterConfig::from_json_list(&texts(&case["l2"]))?;
    let named = |name: &str, of: &str| flags[of].as_str() == Some(name);
    config.store_policy =
        if named("skip_l1", "l2_store_policy") { StorePolicy::SkipL1 } else { StorePolicy::Default };
    config.prefetch_policy =
        if named("retain", "l2_prefetch_policy") { PrefetchPolicy::Retain } else { PrefetchPolicy::Default };
    config.prefetch_max_in_flight = number("l2_prefetch_max_in_flight", 8);
    config.periodic_notifier_interval_ms = number("periodic_notifier_interval_ms", 5);
    config.check()?;
    Ok(config)
}

#[test]
fn whole_configurations_are_taken_refused_and_digested_as_lmcache_does() {
    let (mut digests, mut errors) = (0, 0);
    for line in include_str!("data/whole.jsonl").lines() {
        let case: Value = serde_json::from_str(line).expect("a row of the table");
        let ours = config(&case);
        let has_gds = texts(&case["l1"]).iter().any(|l1| l1.contains("GDS"));
        match (case.get("error"), case.get("digest")) {
            _ if has_gds => assert_eq!(ours.expect_err(line).kind(), ErrorKind::Unsupported, "{line}"),
            (Some(error), _) => {
                errors += 1;
                let ours = ours.expect_err(line);
                assert_eq!(ours.kind(), ErrorKind::InvalidArgument, "{line}: {ours}");
                let lmcache = error.as_str().expect("a text");
                for position in ["#1", "#2"] {
                    let names_it = lmcache.contains(&format!("--l2-adapter {position}"));
                    assert!(!names_it || ours.to_string().contains(position), "{lmcache} | {ours}");
                }
            }
            (None, Some(digest)) => {
                digests += 1;
                assert_eq!(ours.expect(line).digest(), digest.as_str().expect("a text"), "{line}");
            }
            // Adapters: LMCache's digest holds an address.
            (None, None) => drop(ours.expect(line)),
        }
    }
    assert_eq!((digests, errors), (8, 14));
}

//! Digests that the real LMCache 0.5.6 gave.

use lmcache::storage::config::l1::tagged::TaggedDefaults;
use lmcache::storage::config::{
    EvictionConfig, EvictionPolicyKind, L1ManagerConfig, PrefetchPolicy, StorageManagerConfig, StorePolicy,
};

/// `--l1-size-gb 0.1 --eviction-policy LRU`, without shared memory, on a machine that cannot pin memory.
#[test]
fn the_digest_of_the_legacy_flags() {
    let config = StorageManagerConfig::l1_only(107_374_182, EvictionPolicyKind::Lru);
    assert_eq!(config.digest(), "b5016ff1b18d469de590cc84bd978cc71123db4d59fa800d012939b3f0d66a1f");
}

/// `--l1-manager '{"type":"DRAM","tag":"a","size_gb":1,"use_lazy":false}' --eviction-policy LRU`.
#[test]
fn the_digest_of_one_tagged_l1() {
    let config = from_tagged(r#"{"type":"DRAM","tag":"a","size_gb":1,"use_lazy":false}"#);
    assert_eq!(config.to_json(), include_str!("data/tagged_a.json").trim_end());
    assert_eq!(config.digest(), "bf8f27434069d02784ec2374b9ab4a3b7edf024a713a1842e1673271319322a2");
}

/// Every field away from its default, a tag past ASCII, and shares spelled as whole numbers.
#[test]
fn the_digest_of_a_configuration_with_everything_changed() {
    let mut config = from_tagged(include_str!("data/everything.json"));
    config.store_policy = StorePolicy::SkipL1;
    config.prefetch_policy = PrefetchPolicy::Retain;
    config.prefetch_max_in_flight = 3;
    config.periodic_notifier_interval_ms = 11;
    assert_eq!(config.digest(), include_str!("data/everything.sha256").trim_end());
}

fn from_tagged(json: &str) -> StorageManagerConfig {
    let defaults = TaggedDefaults {
        eviction: Some(EvictionConfig::default()),
        read_ttl_seconds: 300,
        write_ttl_seconds: 600,
        ..TaggedDefaults::default()
    };
    let l1 = L1ManagerConfig::from_tagged_json(json, &defaults).expect("valid JSON");
    let mut config = StorageManagerConfig::l1_only(1 << 30, EvictionPolicyKind::Lru);
    config.eviction = l1.eviction.clone();
    config.l1_managers = vec![l1];
    config
}

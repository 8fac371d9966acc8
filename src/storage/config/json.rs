//! The whole configuration as one JSON object, for hosts that have no command line: LMCache's flags and ours, by their names without
//! `--` and with `_` for `-`.

use serde_json::Value;

use super::checks::gib_to_bytes;
use super::controllers::{MAX_PREFETCH_TIMEOUT_MS, MAX_STORE_QUEUE_KEYS, MAX_STORE_RETRIES};
use super::fields::Fields;
use super::l1::tagged::{MAX_NUMA_NODE, TaggedDefaults};
use super::l1::{DEFAULT_READ_TTL_SECONDS, DEFAULT_WRITE_TTL_SECONDS};
use super::strict_json::parse_object;
use super::{
    Compat, DEFAULT_ALIGN_BYTES, DEFAULT_L1_TAG, EvictionConfig, EvictionMeasure, EvictionPolicyKind,
    GIB_BYTES, L1AllocatorKind, L1ManagerConfig, L1MemoryManagerConfig, L2AdapterConfig, PinKind,
    PrefetchConfig, PrefetchPolicy, StorageManagerConfig, StoreConfig, StorePolicy,
};
use crate::error::{Error, Result};

/// The keys of the object.
pub const KEYS: &[&str] = &[
    "l1_manager",
    "l1_size_gb",
    "l1_use_lazy",
    "l1_init_size_gb",
    "l1_align_bytes",
    "l1_use_hugepages",
    "shm_name",
    "l1_write_ttl_seconds",
    "l1_read_ttl_seconds",
    "l1_allocator",
    "l1_numa_node",
    "l1_first_touch",
    "l1_pin",
    "eviction_policy",
    "eviction_trigger_watermark",
    "eviction_ratio",
    "eviction_by",
    "enable_extra_logging",
    "extra_logging_interval",
    "l2_adapter",
    "l2_store_policy",
    "l2_prefetch_policy",
    "l2_prefetch_max_in_flight",
    "periodic_notifier_interval_ms",
    "l2_quota",
    "prefetch_timeout_ms",
    "store_queue_keys",
    "store_retries",
    "compat",
];

impl StorageManagerConfig {
    /// Reads the configuration from one JSON object: every flag of `docs/configuration.md` that is about the storage manager, with its
    /// default. `l1_manager` and `l2_adapter` are lists of the objects that the flags take, `l2_quota` an object of bytes by
    /// `cache_salt`. `compat` is native unless it is given.
    ///
    /// # Errors
    /// If it is not a JSON object, has a key that is not known or stands twice, a value of the wrong type or range, or a rule of
    /// [`Self::check`] does not hold.
    pub fn from_json(json: &str) -> Result<Self> {
        let object = parse_object(json)?;
        let fields = Fields(&object);
        fields.check_names(&[KEYS])?;
        let (l1_objects, l2_objects) = (objects(fields, "l1_manager")?, objects(fields, "l2_adapter")?);
        L1ManagerConfig::refuse_absent_in(&l1_objects)?;
        L2AdapterConfig::refuse_absent_in(&l2_objects)?;
        let eviction = read_eviction(fields)?;
        let l1_managers = match l1_objects.is_empty() {
            true => vec![read_l1(fields, eviction)?],
            false => read_tagged(fields, &l1_objects, eviction)?,
        };
        let Some(first) = l1_managers.first() else {
            return Err(Error::invalid("a storage manager needs an L1 manager"));
        };
        // LMCache's global settings are those of the first L1 manager.
        let eviction = first.eviction.clone();
        let mut config = Self::with_l1_managers(l1_managers, eviction);
        config.compat = fields.choice("compat", Compat::default(), Compat::ALL, Compat::name)?;
        config.l2_adapters = L2AdapterConfig::from_json_list(&l2_objects)?;
        read_controllers(fields, &mut config)?;
        config.quotas = read_quotas(fields)?;
        config.check()?;
        Ok(config)
    }
}

/// The objects of a list, each as its text.
fn objects(fields: Fields<'_>, name: &str) -> Result<Vec<String>> {
    Ok(fields.list(name, "a list of objects")?.iter().map(Value::to_string).collect())
}

fn read_eviction(fields: Fields<'_>) -> Result<Option<EvictionConfig>> {
    let defaults = EvictionConfig::default();
    let read = EvictionConfig {
        policy: defaults.policy,
        trigger_watermark: fields.share("eviction_trigger_watermark", defaults.trigger_watermark)?,
        eviction_ratio: fields.share("eviction_ratio", defaults.eviction_ratio)?,
        by: fields.choice("eviction_by", defaults.by, EvictionMeasure::ALL, EvictionMeasure::name)?,
        extra_logging_enabled: fields.bool("enable_extra_logging", defaults.extra_logging_enabled)?,
        extra_logging_interval_s: fields
            .positive_number("extra_logging_interval", defaults.extra_logging_interval_s)?,
        whole_numbers: defaults.whole_numbers,
    };
    let policy = fields.optional_text("eviction_policy")?.map(EvictionPolicyKind::from_name).transpose()?;
    Ok(policy.map(|policy| EvictionConfig { policy, ..read }))
}

fn read_tagged(
    fields: Fields<'_>,
    objects: &[String],
    eviction: Option<EvictionConfig>,
) -> Result<Vec<L1ManagerConfig>> {
    if fields.get("l1_size_gb").is_some() {
        return Err(Error::invalid("use either l1_manager or l1_size_gb, not both"));
    }
    let defaults = TaggedDefaults {
        eviction,
        read_ttl_seconds: fields.signed("l1_read_ttl_seconds", DEFAULT_READ_TTL_SECONDS)?,
        write_ttl_seconds: fields.signed("l1_write_ttl_seconds", DEFAULT_WRITE_TTL_SECONDS)?,
        allocator: read_allocator(fields)?,
        numa_node: read_numa_node(fields)?,
        first_touch: fields.bool("l1_first_touch", false)?,
        pin: read_pin(fields)?,
    };
    L1ManagerConfig::from_tagged_json_list(objects, &defaults)
}

fn read_l1(fields: Fields<'_>, eviction: Option<EvictionConfig>) -> Result<L1ManagerConfig> {
    let (Some(_), Some(eviction)) = (fields.get("l1_size_gb"), eviction) else {
        return Err(Error::invalid("a storage manager needs l1_size_gb and eviction_policy")
            .with_hint("for instance: {\"l1_size_gb\": 4, \"eviction_policy\": \"LRU\"}"));
    };
    let in_size = |error: Error| error.with_context("field", "l1_size_gb");
    let size_bytes = gib_to_bytes(fields.required_positive_number("l1_size_gb", "4")?).map_err(in_size)?;
    let init_size_gb = fields.integer("l1_init_size_gb", 20, 0..=u64::MAX)?;
    let use_hugepages = fields.bool("l1_use_hugepages", false)?;
    let memory = L1MemoryManagerConfig {
        size_bytes,
        // As LMCache: pages of 2 MiB turn it off. In tagged JSON the two are a contradiction.
        use_lazy: fields.bool("l1_use_lazy", false)? && !use_hugepages,
        init_size_bytes: size_bytes.min(init_size_gb.saturating_mul(GIB_BYTES)),
        align_bytes: fields.positive_integer("l1_align_bytes", DEFAULT_ALIGN_BYTES as i64)?.unsigned_abs(),
        shm_name: fields.text("shm_name", "")?.to_owned(),
        use_hugepages,
        allocator: read_allocator(fields)?,
        numa_node: read_numa_node(fields)?,
        first_touch: fields.bool("l1_first_touch", false)?,
        pin: read_pin(fields)?,
        ..L1MemoryManagerConfig::default()
    };
    Ok(L1ManagerConfig {
        tag: DEFAULT_L1_TAG.to_owned(),
        memory,
        write_ttl_seconds: fields.signed("l1_write_ttl_seconds", DEFAULT_WRITE_TTL_SECONDS)?,
        read_ttl_seconds: fields.signed("l1_read_ttl_seconds", DEFAULT_READ_TTL_SECONDS)?,
        eviction,
    })
}

fn read_pin(fields: Fields<'_>) -> Result<PinKind> {
    fields.choice("l1_pin", PinKind::default(), PinKind::ALL, PinKind::name)
}

fn read_allocator(fields: Fields<'_>) -> Result<L1AllocatorKind> {
    fields.choice("l1_allocator", L1AllocatorKind::default(), L1AllocatorKind::ALL, L1AllocatorKind::name)
}

fn read_numa_node(fields: Fields<'_>) -> Result<Option<u32>> {
    // In range, so it fits.
    Ok(fields.optional_integer("l1_numa_node", 0..=u64::from(MAX_NUMA_NODE))?.map(|node| node as u32))
}

/// How objects travel between the tiers.
fn read_controllers(fields: Fields<'_>, config: &mut StorageManagerConfig) -> Result<()> {
    config.store_policy =
        fields.choice("l2_store_policy", config.store_policy, StorePolicy::ALL, StorePolicy::name)?;
    config.prefetch_policy = fields.choice(
        "l2_prefetch_policy",
        config.prefetch_policy,
        PrefetchPolicy::ALL,
        PrefetchPolicy::name,
    )?;
    config.prefetch_max_in_flight =
        fields.signed("l2_prefetch_max_in_flight", config.prefetch_max_in_flight)?;
    config.periodic_notifier_interval_ms =
        fields.signed("periodic_notifier_interval_ms", config.periodic_notifier_interval_ms)?;
    config.prefetch = match fields.optional_integer("prefetch_timeout_ms", 0..=MAX_PREFETCH_TIMEOUT_MS)? {
        None => PrefetchConfig::for_compat(config.compat),
        Some(0) => PrefetchConfig { timeout_ms: None },
        Some(timeout_ms) => PrefetchConfig { timeout_ms: Some(timeout_ms) },
    };
    let store = StoreConfig::for_compat(config.compat);
    // Both are in range, so they fit.
    config.store = StoreConfig {
        queue_keys: fields.integer(
            "store_queue_keys",
            store.queue_keys as u64,
            1..=MAX_STORE_QUEUE_KEYS as u64,
        )? as usize,
        retries: fields.integer("store_retries", store.retries.into(), 0..=MAX_STORE_RETRIES.into())? as u32,
        ..store
    };
    Ok(())
}

fn read_quotas(fields: Fields<'_>) -> Result<Vec<(String, u64)>> {
    let wrong = || {
        Error::invalid(
            "l2_quota must be an object of bytes by cache_salt, such as {\"tenant-a\": 4294967296}",
        )
    };
    match fields.get("l2_quota") {
        None => Ok(Vec::new()),
        Some(Value::Object(quotas)) => {
            let quota =
                |(salt, bytes): (&String, &Value)| Ok((salt.clone(), bytes.as_u64().ok_or_else(wrong)?));
            quotas.iter().map(quota).collect()
        }
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"{"l1_size_gb": 1, "eviction_policy": "LRU"}"#;

    #[test]
    fn what_is_left_out_has_the_defaults_of_the_library() {
        let read = StorageManagerConfig::from_json(LEAST).unwrap();
        assert_eq!(read, StorageManagerConfig::l1_only(GIB_BYTES, EvictionPolicyKind::Lru));
    }

    #[test]
    fn every_key_reaches_the_configuration() {
        let read = StorageManagerConfig::from_json(
            r#"{"l1_size_gb": 2, "eviction_policy": "SIEVE", "l1_use_lazy": true, "l1_init_size_gb": 1, "l1_align_bytes": 512,
                "l1_use_hugepages": false, "shm_name": "", "l1_write_ttl_seconds": 1, "l1_read_ttl_seconds": 2,
                "l1_allocator": "tlsf", "l1_numa_node": 3, "l1_first_touch": true, "l1_pin": "mlock",
                "eviction_trigger_watermark": 0.5,
                "eviction_ratio": 0.25, "eviction_by": "bytes", "enable_extra_logging": true, "extra_logging_interval": 3,
                "l2_adapter": [{"type": "mock", "max_size_gb": 1, "mock_bandwidth_gb": 1}], "l2_store_policy": "skip_l1",
                "l2_prefetch_policy": "retain", "l2_prefetch_max_in_flight": 4, "periodic_notifier_interval_ms": 7,
                "l2_quota": {"a": 9}, "prefetch_timeout_ms": 0, "store_queue_keys": 5, "store_retries": 6, "compat": "lmcache"}"#,
        )
        .unwrap();
        let l1 = &read.l1_managers[0];
        assert_eq!(
            (l1.memory.size_bytes, l1.memory.init_size_bytes, l1.memory.align_bytes),
            (2 << 30, 1 << 30, 512)
        );
        assert!(l1.memory.pin == PinKind::Mlock);
        assert!(l1.memory.use_lazy && l1.memory.first_touch && l1.memory.numa_node == Some(3));
        assert_eq!((l1.write_ttl_seconds, l1.read_ttl_seconds), (1, 2));
        assert_eq!((l1.eviction.policy, l1.eviction.by), (EvictionPolicyKind::Sieve, EvictionMeasure::Bytes));
        assert_eq!((l1.eviction.trigger_watermark, l1.eviction.eviction_ratio), (0.5, 0.25));
        assert!(l1.eviction.extra_logging_enabled && l1.eviction.extra_logging_interval_s == 3.0);
        assert_eq!((read.l2_adapters.len(), read.store_policy), (1, StorePolicy::SkipL1));
        assert_eq!((read.prefetch_policy, read.prefetch_max_in_flight), (PrefetchPolicy::Retain, 4));
        assert_eq!((read.periodic_notifier_interval_ms, read.quotas.clone()), (7, vec![("a".to_owned(), 9)]));
        assert_eq!((read.prefetch.timeout_ms, read.store.queue_keys, read.store.retries), (None, 5, 6));
        assert_eq!((read.compat, l1.memory.allocator), (Compat::Lmcache, L1AllocatorKind::Tlsf));
        let tagged = r#"{"l1_manager": [{"type": "DRAM", "tag": "a", "size_gb": 1}, {"type": "DRAM", "tag": "b", "size_gb": 2}],
                         "eviction_policy": "LRU", "l1_read_ttl_seconds": 9}"#;
        let two = StorageManagerConfig::from_json(tagged).unwrap().l1_managers;
        assert_eq!((two.len(), two[1].memory.size_bytes, two[1].read_ttl_seconds), (2, 2 << 30, 9));
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_name() {
        let with = |more: &str| LEAST.replace('}', &format!(", {more}}}"));
        for (json, word) in [
            ("[]".to_owned(), "not a JSON object"),
            ("{}".to_owned(), "needs l1_size_gb"),
            (with("\"l1_sise_gb\": 1"), "l1_sise_gb"),
            (with("\"l1_size_gb\": 1"), "twice"),
            (with("\"l2_quota\": {\"a\": -1}"), "l2_quota"),
            (with("\"l2_adapter\": {}"), "l2_adapter"),
            (with("\"l2_adapter\": [7]"), "l2-adapter #1"),
            (
                with("\"l1_manager\": [{\"type\": \"DRAM\", \"tag\": \"a\", \"size_gb\": 1}]"),
                "either l1_manager",
            ),
            (with("\"store_retries\": 101"), "store_retries"),
            (with("\"compat\": \"ours\""), "compat"),
            (with("\"eviction_ratio\": 1.5"), "eviction_ratio"),
            (with("\"l1_read_ttl_seconds\": -1"), "read TTL"),
        ] {
            let error = StorageManagerConfig::from_json(&json).expect_err(&json);
            assert!(error.to_string().contains(word), "{json}: {error}");
        }
    }

    #[test]
    fn keys_are_the_flags_of_the_page() {
        let page = include_str!("../../../docs/configuration.md");
        for key in KEYS {
            assert!(page.contains(&format!("`--{}", key.replace('_', "-"))), "{key}");
        }
    }
}

//! The digest by which a trace and a replay tell whether they ran under the same configuration.
//!
//! LMCache turns its configuration into a tree of dicts (`dataclasses.asdict`), writes that as JSON with
//! sorted keys, and takes the SHA-256 of the text. The names in this file are those of its dataclasses.
//!
//! Our configuration has no place for a GDS tier or for L2 adapters: the trees say `null` and `[]` there, as
//! LMCache's do for a configuration without them.

use sha2::{Digest, Sha256};

use super::python_json::PyValue;
use super::{EvictionConfig, L1ManagerConfig, L1MemoryManagerConfig, StorageManagerConfig};
use crate::format::model::key::Hex;

impl StorageManagerConfig {
    /// The tree that LMCache's recorder puts into a trace header (`safe_storage_config_dict`).
    pub fn to_python(&self) -> PyValue {
        let l1_managers: Vec<PyValue> = self.l1_managers.iter().map(l1_manager).collect();
        let l2_adapters = self.l2_adapters.iter().map(|adapter| PyValue::of_json(&adapter.spec)).collect();
        PyValue::dict([
            ("l1_manager_config", l1_managers.first().cloned().unwrap_or(PyValue::None)),
            ("l1_manager_configs", PyValue::List(l1_managers)),
            ("eviction_config", eviction(&self.eviction)),
            ("l2_adapter_config", PyValue::dict([("adapters", PyValue::List(l2_adapters))])),
            ("store_policy", self.store_policy.name().into()),
            ("prefetch_policy", self.prefetch_policy.name().into()),
            ("prefetch_max_in_flight", PyValue::Int(self.prefetch_max_in_flight)),
            ("periodic_notifier_interval_ms", PyValue::Int(self.periodic_notifier_interval_ms)),
        ])
    }

    /// The text that is hashed, and that stands in a trace header as `sm_config_json`.
    pub fn to_json(&self) -> String {
        self.to_python().dumps()
    }

    /// LMCache's digest of this configuration: 64 lowercase hexadecimal digits.
    pub fn digest(&self) -> String {
        Hex(&Sha256::digest(self.to_json().as_bytes())).to_string()
    }
}

fn l1_manager(config: &L1ManagerConfig) -> PyValue {
    PyValue::dict([
        ("memory_config", memory(&config.memory)),
        ("gds_l1_config", PyValue::None),
        ("write_ttl_seconds", PyValue::Int(config.write_ttl_seconds)),
        ("read_ttl_seconds", PyValue::Int(config.read_ttl_seconds)),
        ("tag", config.tag.as_str().into()),
        ("eviction", eviction(&config.eviction)),
    ])
}

fn memory(config: &L1MemoryManagerConfig) -> PyValue {
    PyValue::dict([
        ("size_in_bytes", bytes(config.size_bytes)),
        ("use_lazy", PyValue::Bool(config.use_lazy)),
        ("init_size_in_bytes", bytes(config.init_size_bytes)),
        ("align_bytes", bytes(config.align_bytes)),
        ("shm_name", config.shm_name.as_str().into()),
        ("use_hugepages", PyValue::Bool(config.use_hugepages)),
        ("devdax_path", config.devdax_path.as_deref().map_or(PyValue::None, PyValue::from)),
        ("devdax_size_in_bytes", bytes(config.devdax_size_bytes)),
    ])
}

fn eviction(config: &EvictionConfig) -> PyValue {
    PyValue::dict([
        ("eviction_policy", config.policy.name().into()),
        ("trigger_watermark", share(config.trigger_watermark, config.whole_numbers.trigger_watermark)),
        ("eviction_ratio", share(config.eviction_ratio, config.whole_numbers.eviction_ratio)),
        ("extra_logging_enabled", PyValue::Bool(config.extra_logging_enabled)),
        ("extra_logging_interval", PyValue::Float(config.extra_logging_interval_s)),
    ])
}

/// Sizes are counted in 64 bits and come from memory that a machine can address, so they fit an `i64`.
fn bytes(size_bytes: u64) -> PyValue {
    PyValue::Int(i64::try_from(size_bytes).unwrap_or(i64::MAX))
}

fn share(value: f64, is_whole_number: bool) -> PyValue {
    if is_whole_number { PyValue::Int(value as i64) } else { PyValue::Float(value) }
}

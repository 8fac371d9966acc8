//! What the storage manager says of itself.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::storage::eviction_controller::EvictionStatus;
use crate::storage::l1::L1Status;

/// The fields of LMCache's `StorageManager.report_status()`, by its names, as far as this build has what they
/// describe. The counters that LMCache does not have stand under names of their own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StorageManagerStatus {
    /// Whether every part is.
    pub is_healthy: bool,
    /// Each L1 manager by its tag.
    pub l1_managers: BTreeMap<String, L1Status>,
    /// Each L1's eviction controller by the L1's tag.
    pub l1_eviction_controllers: BTreeMap<String, EvictionStatus>,
    /// The prefetch controller.
    pub prefetch_controller: PrefetchStatus,
    /// How many L2 adapters there are.
    pub num_l2_adapters: usize,
    /// Used and usable bytes of L1.
    pub l1_usage: (u64, u64),
    /// Bytes that the configuration asks for, per kind of memory.
    pub l1_capacity_bytes_by_backend: BTreeMap<&'static str, u64>,
    /// The only L1 manager.
    pub l1_manager: L1Status,
    /// Its eviction controller.
    pub l1_eviction_controller: EvictionStatus,
}

/// The part of LMCache's `PrefetchController.report_status()` that has a meaning without L2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PrefetchStatus {
    /// Always, without a thread that could die.
    pub is_healthy: bool,
    /// The configured limit.
    pub max_in_flight: i64,
    /// Results that nobody has asked for yet.
    pub completed_results_count: u64,
    /// How many L2 adapters it looks in.
    pub num_l2_adapters: usize,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StorageManagerStats {
    /// Objects that eviction passes deleted.
    pub evicted_keys: u64,
    /// Eviction passes.
    pub eviction_passes: u64,
    /// Eviction passes that found L1 above the watermark.
    pub triggered_eviction_passes: u64,
    /// Keys that `reserve_write` had no memory for.
    pub allocation_failures: u64,
}

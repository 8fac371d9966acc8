//! What the storage manager says of itself.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::storage::device::DeviceTransferStatus;
use crate::storage::l1::L1Status;
use crate::storage::l1_eviction::EvictionStatus;
use crate::storage::l2::AdapterStatus;
use crate::storage::l2_eviction::L2EvictionStatus;

/// The fields of LMCache's `StorageManager.report_status()`, by its names. The counters that LMCache does not have
/// stand under names of their own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StorageManagerStatus {
    /// Whether every part is.
    pub is_healthy: bool,
    /// Each L1 manager by its tag.
    pub l1_managers: BTreeMap<String, L1Status>,
    /// Each L1's store controller by the L1's tag.
    pub store_controllers: BTreeMap<String, StoreStatus>,
    /// Each L1's eviction controller by the L1's tag.
    pub l1_eviction_controllers: BTreeMap<String, EvictionStatus>,
    /// The prefetch controller.
    pub prefetch_controller: PrefetchStatus,
    /// Transfers between engines' pages and L1; ours.
    pub device_transfers: DeviceTransferStatus,
    /// The eviction controller of all adapters.
    pub l2_eviction_controller: L2EvictionStatus,
    /// The adapters, in the order of their numbers.
    pub l2_adapters: Vec<AdapterStatus>,
    /// How many L2 adapters there are.
    pub num_l2_adapters: usize,
    /// Used and usable bytes of all L1s.
    pub l1_usage: (u64, u64),
    /// Bytes that the configuration asks for, per kind of memory.
    pub l1_capacity_bytes_by_backend: BTreeMap<&'static str, u64>,
    /// The only L1 manager; not there where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l1_manager: Option<L1Status>,
    /// Its store controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_controller: Option<StoreStatus>,
    /// Its eviction controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l1_eviction_controller: Option<EvictionStatus>,
}

/// The fields of LMCache's `PrefetchController.report_status()`, by its names; the last four are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PrefetchStatus {
    /// Whether the thread, if there is one, is there.
    pub is_healthy: bool,
    /// Whether a thread does the work.
    pub thread_alive: bool,
    /// The configured limit.
    pub max_in_flight: i64,
    /// Messages that the controller has not looked at: requests, and answers of adapters.
    pub submission_queue_size: usize,
    /// Requests that wait for a place.
    pub pending_queue_size: usize,
    /// Requests under way.
    pub in_flight_request_count: usize,
    /// Those of them that adapters look for.
    pub lookup_phase_count: usize,
    /// Those of them that are loaded.
    pub load_phase_count: usize,
    /// Results that nobody has asked for yet.
    pub completed_results_count: u64,
    /// How many L2 adapters it looks in.
    pub num_l2_adapters: usize,
    /// Those of them that get requests.
    pub num_active_adapters: usize,
    /// Those of them that are being removed.
    pub num_draining_adapters: usize,
    /// Requests whose result is out, and whose adapters have not answered.
    pub given_up_request_count: usize,
    /// Cells that waited for somebody else's load of the same object, since the start.
    pub shared_loads: u64,
    /// Requests that took too long, since the start.
    pub timed_out_requests: u64,
    /// Requests that were cancelled, since the start.
    pub cancelled_requests: u64,
}

/// The fields of LMCache's `StoreController.report_status()`, by its names; the last four are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StoreStatus {
    /// Whether the thread, if there is one, is there.
    pub is_healthy: bool,
    /// Whether a thread does the work.
    pub thread_alive: bool,
    /// Keys that wait for an adapter.
    pub pending_keys_count: usize,
    /// Tasks under way.
    pub in_flight_task_count: usize,
    /// How many L2 adapters it stores to.
    pub num_l2_adapters: usize,
    /// Those of them that get tasks.
    pub num_active_adapters: usize,
    /// Those of them that are being removed.
    pub num_draining_adapters: usize,
    /// Keys that found a full queue and are not in L2, since the start.
    pub dropped_keys: u64,
    /// Keys that could not be stored, since the start.
    pub lost_keys: u64,
    /// Keys that were tried again, since the start.
    pub retried_keys: u64,
    /// Objects that are to leave L1 and are still locked.
    pub waiting_deletions: usize,
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

//! What the storage manager tells: its status tree and its counters.

use std::collections::BTreeMap;

use crate::storage::manager::{L1Unit, StorageManager};
use crate::storage::status::{StorageManagerStats, StorageManagerStatus, StoreStatus};

impl StorageManager {
    /// What LMCache reports. Nothing in it waits for I/O or stops a controller.
    pub fn report_status(&self) -> StorageManagerStatus {
        let by_tag = |unit: &L1Unit| unit.l1.config().tag.clone();
        let l1_managers: BTreeMap<_, _> =
            self.units.iter().map(|unit| (by_tag(unit), unit.l1.report_status())).collect();
        let store_controllers: BTreeMap<_, _> = self
            .units
            .iter()
            .enumerate()
            .map(|(l1, unit)| (by_tag(unit), self.store_status(l1, unit)))
            .collect();
        let l1_eviction_controllers: BTreeMap<_, _> =
            self.units.iter().map(|unit| (by_tag(unit), unit.eviction.report_status())).collect();
        let prefetch_controller = self.prefetch.report_status();
        let device_transfers = self.transfers.report_status();
        let l2_eviction_controller = self.l2_eviction.report_status();
        let l2_adapters: Vec<_> =
            self.adapters.snapshot().iter().map(|entry| entry.adapter.report_status()).collect();
        let is_healthy = l1_managers.values().all(|status| status.is_healthy)
            && store_controllers.values().all(|status| status.is_healthy)
            && l1_eviction_controllers.values().all(|status| status.is_healthy)
            && prefetch_controller.is_healthy
            && device_transfers.is_healthy
            && l2_eviction_controller.is_healthy
            && l2_adapters.iter().all(|status| status.is_healthy);
        let mut capacities = BTreeMap::new();
        for (backend, bytes) in l1_managers.values().flat_map(|status| &status.capacity_bytes_by_backend) {
            *capacities.entry(*backend).or_insert(0) += bytes;
        }
        let only = self.units.len() == 1;
        StorageManagerStatus {
            is_healthy,
            l1_manager: l1_managers.values().next().filter(|_| only).cloned(),
            store_controller: store_controllers.values().next().filter(|_| only).copied(),
            l1_eviction_controller: l1_eviction_controllers.values().next().filter(|_| only).cloned(),
            l1_managers,
            store_controllers,
            l1_eviction_controllers,
            prefetch_controller,
            device_transfers,
            l2_eviction_controller,
            num_l2_adapters: l2_adapters.len(),
            l2_adapters,
            l1_usage: self.get_l1_usage(),
            l1_capacity_bytes_by_backend: capacities,
        }
    }

    fn store_status(&self, l1: usize, unit: &L1Unit) -> StoreStatus {
        let adapters = self.adapters.snapshot();
        let of_l1 = || adapters.iter().filter(|entry| entry.l1 == l1);
        let draining = of_l1().filter(|entry| entry.is_draining()).count();
        let counters = &unit.store_counters;
        StoreStatus {
            is_healthy: unit.store.is_healthy(),
            thread_alive: unit.store.thread_alive(),
            pending_keys_count: counters.pending_keys(),
            in_flight_task_count: counters.in_flight_tasks(),
            num_l2_adapters: of_l1().count(),
            num_active_adapters: of_l1().count() - draining,
            num_draining_adapters: draining,
            dropped_keys: counters.dropped_keys(),
            lost_keys: counters.lost_keys(),
            retried_keys: counters.retried_keys(),
            waiting_deletions: counters.waiting_deletions(),
        }
    }

    /// Counters since the start. Cheap, unlike [`Self::report_status`].
    pub fn stats(&self) -> StorageManagerStats {
        let mut stats = StorageManagerStats::default();
        for unit in &self.units {
            let eviction = unit.eviction.report_status();
            stats.evicted_keys += eviction.evicted_keys + unit.l1.evicted_for_room();
            stats.eviction_passes += eviction.passes;
            stats.triggered_eviction_passes += eviction.triggered_passes;
            stats.allocation_failures += unit.l1.allocation_failures();
        }
        stats
    }
}

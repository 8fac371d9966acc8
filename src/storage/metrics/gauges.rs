//! What is there at the moment, read from the manager when it is asked for.

use std::collections::BTreeMap;

use crate::sync::atomic::GaugeCell;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::families::Labels;
use crate::storage::l1::L1Status;
use crate::storage::manager::StorageManager;

type Gauges64 = Family<Labels, Gauge<f64, GaugeCell>>;

/// LMCache's gauges of the storage manager.
#[derive(Debug)]
pub(super) struct Gauges {
    l1_memory: Gauges64,
    l1_ratio: Gauges64,
    l1_staging: Gauges64,
    l2_usage: Gauges64,
    inflight_stores: Gauges64,
    in_use: Gauges64,
    store_adapters: Gauges64,
    prefetch_adapters: Gauges64,
}

impl Gauges {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut new = |name: &str, help: &str| {
            let family = Gauges64::default();
            registry.register(format!("lmcache_mp_{name}"), help, family.clone());
            family
        };
        Self {
            l1_memory: new("l1_memory_usage_bytes", "Bytes currently held in L1 cache"),
            l1_ratio: new("l1_usage_ratio", "L1 used/total ratio (0.0-1.0)"),
            l1_staging: new(
                "l1_staging_bytes",
                "Bytes held by L1 staging objects (write-reserved, not admitted)",
            ),
            l2_usage: new(
                "l2_usage_bytes",
                "Bytes currently held in each L2 adapter, tagged by ``l2_name`` (one observation per adapter)",
            ),
            inflight_stores: new(
                "num_inflight_l2_stores",
                "L2 store tasks currently executing, per L1 of the adapters",
            ),
            in_use: new(
                "num_inflight_l2_loads",
                "L2 -> L1 prefetches currently executing, per adapter; stores to it are counted, too",
            ),
            store_adapters: new(
                "l2_store_adapters",
                "Count of L2 adapters attached to the store controller, tagged by ``state`` (active or draining)",
            ),
            prefetch_adapters: new(
                "l2_prefetch_adapters",
                "Count of L2 adapters attached to the prefetch controller, tagged by ``state`` (active or draining)",
            ),
        }
    }

    /// Reads the manager.
    pub(super) fn observe(&self, manager: &StorageManager) {
        let status = manager.report_status();
        for (tag, l1) in &status.l1_managers {
            self.observe_l1(tag, l1);
        }
        self.observe_l2(manager);
        for (tag, store) in &status.store_controllers {
            set(&self.inflight_stores, vec![("l1_tag", tag.clone())], store.in_flight_task_count as f64);
            for (state, count) in
                [("active", store.num_active_adapters), ("draining", store.num_draining_adapters)]
            {
                let labels = vec![("l1_tag", tag.clone()), ("state", state.to_owned())];
                set(&self.store_adapters, labels, count as f64);
            }
        }
        let prefetch = &status.prefetch_controller;
        for (state, count) in
            [("active", prefetch.num_active_adapters), ("draining", prefetch.num_draining_adapters)]
        {
            set(&self.prefetch_adapters, vec![("state", state.to_owned())], count as f64);
        }
    }

    fn observe_l2(&self, manager: &StorageManager) {
        // Several adapters of a type are one series, as in LMCache, but here their sum.
        let mut used_bytes = BTreeMap::<&str, u64>::new();
        let adapters = manager.l2_adapters();
        self.in_use.clear();
        for entry in &adapters {
            *used_bytes.entry(entry.adapter.type_name()).or_default() += entry.adapter.ledger().used_bytes();
            let name = entry.adapter.type_name().to_owned();
            let labels = vec![("adapter_index", entry.id.to_string()), ("l2_name", name)];
            set(&self.in_use, labels, entry.uses() as f64);
        }
        self.l2_usage.clear();
        for (name, used_bytes) in used_bytes {
            set(&self.l2_usage, vec![("l2_name", name.to_owned())], used_bytes as f64);
        }
    }

    fn observe_l1(&self, tag: &str, l1: &L1Status) {
        let labels = || vec![("backend", "dram".to_owned()), ("l1_tag", tag.to_owned())];
        set(&self.l1_memory, labels(), l1.memory_used_bytes as f64);
        set(&self.l1_ratio, labels(), l1.memory_usage_ratio);
        set(&self.l1_staging, labels(), l1.staging_bytes as f64);
    }
}

fn set(gauges: &Gauges64, labels: Labels, value: f64) {
    gauges.get_or_create(&labels).set(value);
}

//! What is there at the moment, read from the manager when it is asked for.

use std::collections::BTreeMap;

use super::instruments::{Instrument, Metric, Points};
use super::series::Labels;
use crate::storage::manager::StorageManager;
use crate::storage::status::StorageManagerStatus;

type Values = Vec<(Labels, f64)>;

/// LMCache's gauges of `manager` as they are now.
pub(super) fn gauges(manager: &StorageManager) -> Vec<Metric> {
    let status = manager.report_status();
    let mut all = l1_gauges(&status);
    all.extend(l2_gauges(manager));
    all.extend(controller_gauges(&status));
    all
}

fn gauge(meter: &'static str, name: &'static str, help: &'static str, values: Values) -> Metric {
    Metric { instrument: Instrument::new(meter, name, "", help), points: Points::Gauges(values) }
}

fn l1_gauges(status: &StorageManagerStatus) -> Vec<Metric> {
    let (mut used_bytes, mut usage, mut staging_bytes) = (Values::new(), Values::new(), Values::new());
    for (tag, l1) in &status.l1_managers {
        let labels = Labels::new(&[("backend", "dram"), ("l1_tag", tag)]);
        used_bytes.push((labels.clone(), l1.memory_used_bytes as f64));
        usage.push((labels.clone(), l1.memory_usage_ratio));
        staging_bytes.push((labels, l1.staging_bytes as f64));
    }
    const METER: &str = "lmcache.l1_manager";
    vec![
        gauge(METER, "l1_memory_usage_bytes", "Bytes currently held in L1 cache", used_bytes),
        gauge(METER, "l1_usage_ratio", "L1 used/total ratio (0.0-1.0)", usage),
        gauge(
            METER,
            "l1_staging_bytes",
            "Bytes held by L1 staging objects (write-reserved, not admitted)",
            staging_bytes,
        ),
    ]
}

fn l2_gauges(manager: &StorageManager) -> [Metric; 2] {
    // Several adapters of a type are one series, as in LMCache, but here their sum.
    let mut used_bytes = BTreeMap::<&str, u64>::new();
    let mut loads = Values::new();
    let adapters = manager.l2_adapters();
    for entry in &adapters {
        let name = entry.adapter.type_name();
        *used_bytes.entry(name).or_default() += entry.adapter.ledger().used_bytes();
        let labels = Labels::new(&[("adapter_index", &entry.id.to_string()), ("l2_name", name)]);
        loads.push((labels, entry.uses() as f64));
    }
    let used_bytes =
        used_bytes.iter().map(|(name, bytes)| (Labels::new(&[("l2_name", name)]), *bytes as f64)).collect();
    [
        gauge(
            "lmcache.l2",
            "l2_usage_bytes",
            "Bytes currently held in each L2 adapter, tagged by ``l2_name`` (one observation per adapter)",
            used_bytes,
        ),
        gauge(
            "lmcache.l2_prefetch",
            "num_inflight_l2_loads",
            "L2 -> L1 prefetches currently executing, per adapter; stores to it are counted, too",
            loads,
        ),
    ]
}

fn controller_gauges(status: &StorageManagerStatus) -> [Metric; 3] {
    let (mut stores, mut store_adapters) = (Values::new(), Values::new());
    for (tag, store) in &status.store_controllers {
        stores.push((Labels::new(&[("l1_tag", tag)]), store.in_flight_task_count as f64));
        for (state, count) in by_state(store.num_active_adapters, store.num_draining_adapters) {
            store_adapters.push((Labels::new(&[("l1_tag", tag), ("state", state)]), count as f64));
        }
    }
    let prefetch = &status.prefetch_controller;
    let by_state = by_state(prefetch.num_active_adapters, prefetch.num_draining_adapters);
    let prefetch_adapters =
        by_state.map(|(state, count)| (Labels::new(&[("state", state)]), count as f64)).into();
    [
        gauge(
            "lmcache.l2_store",
            "num_inflight_l2_stores",
            "L2 store tasks currently executing, per L1 of the adapters",
            stores,
        ),
        gauge(
            "lmcache.l2_store",
            "l2_store_adapters",
            "Count of L2 adapters attached to the store controller, tagged by ``state`` (active or draining)",
            store_adapters,
        ),
        gauge(
            "lmcache.l2_prefetch",
            "l2_prefetch_adapters",
            "Count of L2 adapters attached to the prefetch controller, tagged by ``state`` (active or draining)",
            prefetch_adapters,
        ),
    ]
}

fn by_state<T>(active: T, draining: T) -> [(&'static str, T); 2] {
    [("active", active), ("draining", draining)]
}

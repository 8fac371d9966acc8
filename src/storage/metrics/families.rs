//! Counters and throughputs, counted event by event.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::format::model::ObjectKey;
use crate::storage::events::{Event, L1Keys, L2Task};

/// Labels of a series, in the order of their names.
pub(super) type Labels = Vec<(&'static str, String)>;

/// The boundaries of OpenTelemetry's histograms where nothing else is said.
const DEFAULT_BUCKETS: [f64; 15] =
    [0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10000.0];

/// Bytes in the GB of a throughput.
const GB_BYTES: f64 = 1e9;

/// Makes histograms with given boundaries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets(pub(super) &'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// Histograms by labels.
pub(super) type Histograms = Family<Labels, Histogram, Buckets>;

type Counters = Family<Labels, Counter>;

/// Registers counters under a name, to which the encoder adds `_total`.
fn counters(registry: &mut Registry, name: &str, help: &str) -> Counters {
    let family = Counters::default();
    registry.register(format!("lmcache_mp_{name}"), help, family.clone());
    family
}

/// Registers histograms.
pub(super) fn histograms(
    registry: &mut Registry,
    name: &str,
    help: &str,
    buckets: &'static [f64],
) -> Histograms {
    let family = Family::new_with_constructor(Buckets(buckets));
    registry.register(format!("lmcache_mp_{name}"), help, family.clone());
    family
}

fn throughputs(registry: &mut Registry, name: &str, help: &str) -> Histograms {
    histograms(registry, name, help, &DEFAULT_BUCKETS)
}

/// LMCache's counters of the storage manager.
#[derive(Debug)]
pub struct Families {
    l1_read: Counters,
    l1_write: Counters,
    l1_evicted: Counters,
    l1_ticks: Counters,
    l1_triggered: Counters,
    l1_allocation_failure: Counters,
    l1_read_failure: Counters,
    l2_prefetch_failure: Counters,
    timeouts: Counters,
    store_submitted: Counters,
    store_submitted_objects: Counters,
    store_completed: Counters,
    store_completed_objects: Counters,
    lookup: Counters,
    lookup_objects: Counters,
    load_submitted: Counters,
    load_submitted_objects: Counters,
    load_completed_objects: Counters,
    load_completed: Counters,
    l2_evicted: Counters,
    store_throughput: Histograms,
    load_throughput: Histograms,
}

impl Families {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut new = |name, help| counters(registry, name, help);
        Self {
            l1_read: new("l1_read_chunks", "Total chunks read from L1"),
            l1_write: new("l1_write_chunks", "Total chunks written to L1"),
            l1_evicted: new("l1_evicted_chunks", "Total chunks evicted from L1"),
            l1_ticks: new("l1_eviction_loop_ticks", "L1 eviction-loop iterations (every cycle)"),
            l1_triggered: new(
                "l1_eviction_loop_triggered",
                "L1 eviction-loop iterations where the policy ran",
            ),
            l1_allocation_failure: new(
                "l1_allocation_failure_chunks",
                "Count of L1 memory allocation failures (OOM) during reserve_write",
            ),
            l1_read_failure: new("l1_read_failure_chunks", "Count of L1 reads that found no readable object"),
            l2_prefetch_failure: new(
                "l2_prefetch_failure_chunks",
                "Count of keys that were expected in L2 but failed to load into L1",
            ),
            timeouts: new("timeouts", "Timeouts raised, tagged by exception_type"),
            store_submitted: new("l2_store_submitted_requests", "Total L2 store requests submitted"),
            store_submitted_objects: new(
                "l2_store_submitted_objects_chunks",
                "Total chunks submitted for L2 store",
            ),
            store_completed: new("l2_store_completed_requests", "Total L2 store requests completed"),
            store_completed_objects: new(
                "l2_store_completed_objects_chunks",
                "Total chunks successfully stored to L2",
            ),
            lookup: new("l2_prefetch_lookup_requests", "Total L2 prefetch lookup requests submitted"),
            lookup_objects: new(
                "l2_prefetch_lookup_objects_chunks",
                "Total chunks submitted for L2 prefetch lookup",
            ),
            load_submitted: new(
                "l2_prefetch_load_submitted_requests",
                "Total L2 prefetch load requests submitted (per-adapter)",
            ),
            load_submitted_objects: new(
                "l2_prefetch_load_submitted_objects_chunks",
                "Total chunks submitted for L2 load",
            ),
            load_completed_objects: new(
                "l2_prefetch_load_completed_chunks",
                "Total chunks successfully loaded from L2",
            ),
            load_completed: new("l2_load_completed_requests", "Total L2 load tasks completed (per-adapter)"),
            l2_evicted: new("l2_evicted_objects_chunks", "Total chunks evicted from L2"),
            store_throughput: throughputs(
                registry,
                "l2_store_throughput_GB_per_second",
                "L1 to L2 store throughput in GB/s, of a task from its submission on",
            ),
            load_throughput: throughputs(
                registry,
                "l2_load_throughput_GB_per_second",
                "L2 to L1 load throughput in GB/s, of a task from its submission on",
            ),
        }
    }

    /// Counts an event.
    pub(super) fn count(&self, event: &Event<'_>) {
        match event {
            Event::L1ReadFinished(keys) => count_l1(&self.l1_read, keys),
            Event::L1WriteFinished(keys) | Event::L1WriteFinishedAndReadReserved(keys) => {
                count_l1(&self.l1_write, keys);
            }
            Event::L1KeysEvicted(keys) => count_l1(&self.l1_evicted, keys),
            Event::L1EvictionLoopTick { triggered, .. } => {
                add(&self.l1_ticks, Labels::new(), 1);
                if *triggered {
                    add(&self.l1_triggered, Labels::new(), 1);
                }
            }
            Event::L1AllocationFailed { during, keys } => {
                for (model, count) in by(keys.iter().copied(), model_of) {
                    add(&self.l1_allocation_failure, failure(during, &model, None), count);
                }
            }
            Event::L1ReadFailed { during, reason, keys } => {
                for (model, count) in by(keys.iter().copied(), model_of) {
                    add(&self.l1_read_failure, failure(during, &model, Some(reason.name())), count);
                }
            }
            Event::TimeoutRaised { exception_type, .. } => {
                add(&self.timeouts, vec![("exception_type", (*exception_type).to_owned())], 1);
            }
            _ => self.count_l2(event),
        }
    }

    fn count_l2(&self, event: &Event<'_>) {
        match event {
            Event::L2StoreSubmitted(task) => {
                add(&self.store_submitted, Labels::new(), 1);
                count_salts(&self.store_submitted_objects, task.keys.iter().copied());
            }
            Event::L2StoreCompleted { task, .. } => {
                add(&self.store_completed, name(task), 1);
                count_salts(&self.store_completed_objects, task.keys.iter().copied());
                observe_throughput(&self.store_throughput, task);
            }
            Event::L2PrefetchLookupSubmitted { keys, .. } => {
                add(&self.lookup, Labels::new(), 1);
                count_salts(&self.lookup_objects, keys.iter());
            }
            Event::L2PrefetchLoadSubmitted { keys, adapter_count, .. } => {
                add(&self.load_submitted, Labels::new(), *adapter_count as u64);
                count_salts(&self.load_submitted_objects, keys.iter());
            }
            Event::L2PrefetchLoadCompleted { loaded, .. } => {
                count_salts(&self.load_completed_objects, loaded.iter());
            }
            Event::L2LoadTaskCompleted(task) => {
                add(&self.load_completed, name(task), 1);
                observe_throughput(&self.load_throughput, task);
            }
            Event::L2PrefetchFailed { reason, keys } => {
                for (model, count) in by(keys.iter(), model_of) {
                    let labels = vec![("model_name", model), ("reason", reason.name().to_owned())];
                    add(&self.l2_prefetch_failure, labels, count);
                }
            }
            Event::L2KeysEvicted { keys, .. } => count_salts(&self.l2_evicted, keys.iter()),
            _ => {}
        }
    }
}

fn add(counters: &Counters, labels: Labels, count: u64) {
    counters.get_or_create(&labels).inc_by(count);
}

fn name(task: &L2Task<'_>) -> Labels {
    vec![("l2_name", task.l2_name.to_owned())]
}

fn failure(during: &str, model: &str, reason: Option<&str>) -> Labels {
    let mut labels = vec![("during", during.to_owned()), ("model_name", model.to_owned())];
    labels.extend(reason.map(|reason| ("reason", reason.to_owned())));
    labels
}

fn observe_throughput(histograms: &Histograms, task: &L2Task<'_>) {
    if task.bytes > 0 && task.duration_ns > 0 {
        let bytes_per_s = task.bytes as f64 / (task.duration_ns as f64 / 1e9);
        histograms.get_or_create(&name(task)).observe(bytes_per_s / GB_BYTES);
    }
}

fn model_of(key: &ObjectKey) -> &str {
    key.scope().model_name()
}

pub(super) fn salt_of(key: &ObjectKey) -> &str {
    key.scope().cache_salt()
}

/// How many keys there are of each kind. Keys of a kind come together, and there are few kinds.
fn by<'a>(
    keys: impl Iterator<Item = &'a ObjectKey>,
    kind: impl Fn(&'a ObjectKey) -> &'a str,
) -> Vec<(String, u64)> {
    let mut counts: Vec<(&str, u64)> = Vec::new();
    for key in keys {
        let kind = kind(key);
        match counts.iter_mut().rev().find(|(other, _)| *other == kind) {
            Some((_, count)) => *count += 1,
            None => counts.push((kind, 1)),
        }
    }
    counts.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect()
}

fn count_salts<'a>(counters: &Counters, keys: impl Iterator<Item = &'a ObjectKey>) {
    for (salt, count) in by(keys, salt_of) {
        add(counters, vec![("cache_salt", salt)], count);
    }
}

fn count_l1(counters: &Counters, keys: &L1Keys<'_>) {
    for (salt, count) in by(keys.keys.iter().copied(), salt_of) {
        let mut labels = vec![("cache_salt", salt), ("l1_tag", keys.l1_tag.to_owned())];
        // LMCache leaves the label out here, and only here, for who has no salt.
        labels.retain(|(_, value)| !value.is_empty());
        add(counters, labels, count);
    }
}

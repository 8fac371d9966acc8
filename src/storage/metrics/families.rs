//! Counters and throughputs, counted event by event.

use smallvec::SmallVec;

use super::instruments::{Counter, Histogram, Instrument, Metric};
use crate::format::model::ObjectKey;
use crate::storage::events::{Event, L1Keys, L2Task};

/// The boundaries of OpenTelemetry's histograms where nothing else is said.
pub(super) const DEFAULT_BUCKETS: [f64; 15] =
    [0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10000.0];

/// Bytes in the GB of a throughput.
const GB_BYTES: f64 = 1e9;

/// LMCache's meters.
const L1: &str = "lmcache.l1";
const L2: &str = "lmcache.l2";
const HEALTH: &str = "lmcache_mp.health";
const PERFORMANCE: &str = "lmcache_mp.perf";

const L1_READ: Instrument = Instrument::new(L1, "l1_read", "chunks", "Total chunks read from L1");
const L1_WRITE: Instrument = Instrument::new(L1, "l1_write", "chunks", "Total chunks written to L1");
const L1_EVICTED: Instrument = Instrument::new(L1, "l1_evicted", "chunks", "Total chunks evicted from L1");
const L1_EVICTION_LOOP_TICKS: Instrument =
    Instrument::new(L1, "l1_eviction_loop_ticks", "", "L1 eviction-loop iterations (every cycle)");
const L1_EVICTION_LOOP_TRIGGERED: Instrument =
    Instrument::new(L1, "l1_eviction_loop_triggered", "", "L1 eviction-loop iterations where the policy ran");
const L1_ALLOCATION_FAILURE: Instrument = Instrument::new(
    HEALTH,
    "l1_allocation_failure",
    "chunks",
    "Count of L1 memory allocation failures (OOM) during reserve_write",
);
const L1_READ_FAILURE: Instrument =
    Instrument::new(HEALTH, "l1_read_failure", "chunks", "Count of L1 reads that found no readable object");
const L2_PREFETCH_FAILURE: Instrument = Instrument::new(
    HEALTH,
    "l2_prefetch_failure",
    "chunks",
    "Count of keys that were expected in L2 but failed to load into L1",
);
const TIMEOUTS: Instrument =
    Instrument::new(HEALTH, "timeouts", "", "Timeouts raised, tagged by exception_type");
const L2_STORE_SUBMITTED: Instrument =
    Instrument::new(L2, "l2_store_submitted", "requests", "Total L2 store requests submitted");
const L2_STORE_SUBMITTED_OBJECTS: Instrument =
    Instrument::new(L2, "l2_store_submitted_objects", "chunks", "Total chunks submitted for L2 store");
const L2_STORE_COMPLETED: Instrument =
    Instrument::new(L2, "l2_store_completed", "requests", "Total L2 store requests completed");
const L2_STORE_COMPLETED_OBJECTS: Instrument =
    Instrument::new(L2, "l2_store_completed_objects", "chunks", "Total chunks successfully stored to L2");
const L2_PREFETCH_LOOKUP: Instrument =
    Instrument::new(L2, "l2_prefetch_lookup", "requests", "Total L2 prefetch lookup requests submitted");
const L2_PREFETCH_LOOKUP_OBJECTS: Instrument = Instrument::new(
    L2,
    "l2_prefetch_lookup_objects",
    "chunks",
    "Total chunks submitted for L2 prefetch lookup",
);
const L2_PREFETCH_LOAD_SUBMITTED: Instrument = Instrument::new(
    L2,
    "l2_prefetch_load_submitted",
    "requests",
    "Total L2 prefetch load requests submitted (per-adapter)",
);
const L2_PREFETCH_LOAD_SUBMITTED_OBJECTS: Instrument =
    Instrument::new(L2, "l2_prefetch_load_submitted_objects", "chunks", "Total chunks submitted for L2 load");
const L2_PREFETCH_LOAD_COMPLETED: Instrument =
    Instrument::new(L2, "l2_prefetch_load_completed", "chunks", "Total chunks successfully loaded from L2");
const L2_LOAD_COMPLETED: Instrument =
    Instrument::new(L2, "l2_load_completed", "requests", "Total L2 load tasks completed (per-adapter)");
const L2_EVICTED_OBJECTS: Instrument =
    Instrument::new(L2, "l2_evicted_objects", "chunks", "Total chunks evicted from L2");
const L2_STORE_THROUGHPUT: Instrument = Instrument::new(
    PERFORMANCE,
    "l2_store_throughput",
    "GB/s",
    "L1 to L2 store throughput in GB/s, of a task from its submission on",
);
const L2_LOAD_THROUGHPUT: Instrument = Instrument::new(
    PERFORMANCE,
    "l2_load_throughput",
    "GB/s",
    "L2 to L1 load throughput in GB/s, of a task from its submission on",
);

/// LMCache's counters of the storage manager.
#[derive(Debug)]
pub struct Families {
    l1_read: Counter,
    l1_write: Counter,
    l1_evicted: Counter,
    l1_ticks: Counter,
    l1_triggered: Counter,
    l1_allocation_failure: Counter,
    l1_read_failure: Counter,
    l2_prefetch_failure: Counter,
    timeouts: Counter,
    store_submitted: Counter,
    store_submitted_objects: Counter,
    store_completed: Counter,
    store_completed_objects: Counter,
    lookup: Counter,
    lookup_objects: Counter,
    load_submitted: Counter,
    load_submitted_objects: Counter,
    load_completed_objects: Counter,
    load_completed: Counter,
    l2_evicted: Counter,
    store_throughput: Histogram,
    load_throughput: Histogram,
}

impl Default for Families {
    fn default() -> Self {
        Self {
            l1_read: Counter::new(L1_READ),
            l1_write: Counter::new(L1_WRITE),
            l1_evicted: Counter::new(L1_EVICTED),
            l1_ticks: Counter::new(L1_EVICTION_LOOP_TICKS),
            l1_triggered: Counter::new(L1_EVICTION_LOOP_TRIGGERED),
            l1_allocation_failure: Counter::new(L1_ALLOCATION_FAILURE),
            l1_read_failure: Counter::new(L1_READ_FAILURE),
            l2_prefetch_failure: Counter::new(L2_PREFETCH_FAILURE),
            timeouts: Counter::new(TIMEOUTS),
            store_submitted: Counter::new(L2_STORE_SUBMITTED),
            store_submitted_objects: Counter::new(L2_STORE_SUBMITTED_OBJECTS),
            store_completed: Counter::new(L2_STORE_COMPLETED),
            store_completed_objects: Counter::new(L2_STORE_COMPLETED_OBJECTS),
            lookup: Counter::new(L2_PREFETCH_LOOKUP),
            lookup_objects: Counter::new(L2_PREFETCH_LOOKUP_OBJECTS),
            load_submitted: Counter::new(L2_PREFETCH_LOAD_SUBMITTED),
            load_submitted_objects: Counter::new(L2_PREFETCH_LOAD_SUBMITTED_OBJECTS),
            load_completed_objects: Counter::new(L2_PREFETCH_LOAD_COMPLETED),
            load_completed: Counter::new(L2_LOAD_COMPLETED),
            l2_evicted: Counter::new(L2_EVICTED_OBJECTS),
            store_throughput: Histogram::new(L2_STORE_THROUGHPUT, &DEFAULT_BUCKETS),
            load_throughput: Histogram::new(L2_LOAD_THROUGHPUT, &DEFAULT_BUCKETS),
        }
    }
}

impl Families {
    /// All of them as they are now.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let counters = [
            &self.l1_read,
            &self.l1_write,
            &self.l1_evicted,
            &self.l1_ticks,
            &self.l1_triggered,
            &self.l1_allocation_failure,
            &self.l1_read_failure,
            &self.l2_prefetch_failure,
            &self.timeouts,
            &self.store_submitted,
            &self.store_submitted_objects,
            &self.store_completed,
            &self.store_completed_objects,
            &self.lookup,
            &self.lookup_objects,
            &self.load_submitted,
            &self.load_submitted_objects,
            &self.load_completed_objects,
            &self.load_completed,
            &self.l2_evicted,
        ];
        let throughputs = [&self.store_throughput, &self.load_throughput];
        counters.map(Counter::metric).into_iter().chain(throughputs.map(Histogram::metric)).collect()
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
                self.l1_ticks.add(&[], 1);
                if *triggered {
                    self.l1_triggered.add(&[], 1);
                }
            }
            Event::L1AllocationFailed { during, keys } => {
                for (model, count) in by(keys.iter().copied(), model_of) {
                    self.l1_allocation_failure.add(&[("during", during), ("model_name", model)], count);
                }
            }
            Event::L1ReadFailed { during, reason, keys } => {
                for (model, count) in by(keys.iter().copied(), model_of) {
                    let labels = [("during", *during), ("model_name", model), ("reason", reason.name())];
                    self.l1_read_failure.add(&labels, count);
                }
            }
            Event::TimeoutRaised { exception_type, .. } => {
                self.timeouts.add(&[("exception_type", exception_type)], 1);
            }
            _ => self.count_l2(event),
        }
    }

    fn count_l2(&self, event: &Event<'_>) {
        match event {
            Event::L2StoreSubmitted(task) => {
                self.store_submitted.add(&[], 1);
                count_salts(&self.store_submitted_objects, task.keys.iter().copied());
            }
            Event::L2StoreCompleted { task, .. } => {
                self.store_completed.add(&name(task), 1);
                count_salts(&self.store_completed_objects, task.keys.iter().copied());
                observe_throughput(&self.store_throughput, task);
            }
            Event::L2PrefetchLookupSubmitted { keys, .. } => {
                self.lookup.add(&[], 1);
                count_salts(&self.lookup_objects, keys.iter());
            }
            Event::L2PrefetchLoadSubmitted { keys, adapter_count, .. } => {
                self.load_submitted.add(&[], *adapter_count as u64);
                count_salts(&self.load_submitted_objects, keys.iter());
            }
            Event::L2PrefetchLoadCompleted { loaded, .. } => {
                count_salts(&self.load_completed_objects, loaded.iter());
            }
            Event::L2LoadTaskCompleted(task) => {
                self.load_completed.add(&name(task), 1);
                observe_throughput(&self.load_throughput, task);
            }
            Event::L2PrefetchFailed { reason, keys } => {
                for (model, count) in by(keys.iter(), model_of) {
                    let labels = [("model_name", model), ("reason", reason.name())];
                    self.l2_prefetch_failure.add(&labels, count);
                }
            }
            Event::L2KeysEvicted { keys, .. } => count_salts(&self.l2_evicted, keys.iter()),
            _ => {}
        }
    }
}

fn name<'a>(task: &L2Task<'a>) -> [(&'static str, &'a str); 1] {
    [("l2_name", task.l2_name)]
}

fn observe_throughput(histogram: &Histogram, task: &L2Task<'_>) {
    if task.bytes > 0 && task.duration_ns > 0 {
        let bytes_per_s = task.bytes as f64 / (task.duration_ns as f64 / 1e9);
        histogram.observe(&name(task), bytes_per_s / GB_BYTES);
    }
}

fn model_of(key: &ObjectKey) -> &str {
    key.scope().model_name()
}

pub(super) fn salt_of(key: &ObjectKey) -> &str {
    key.scope().cache_salt()
}

/// Kinds that a key is looked for in: a call with a hundred thousand models must not take their square.
const LOOKED_FOR_KINDS: usize = 16;

/// How many keys there are of each kind. Keys of a kind come together, and there are few kinds; where there are many, one
/// may stand there several times, and its counts add up all the same.
fn by<'a>(
    keys: impl Iterator<Item = &'a ObjectKey>,
    kind: impl Fn(&'a ObjectKey) -> &'a str,
) -> SmallVec<[(&'a str, u64); 4]> {
    let mut counts = SmallVec::<[(&str, u64); 4]>::new();
    for key in keys {
        let kind = kind(key);
        match counts.iter_mut().rev().take(LOOKED_FOR_KINDS).find(|(other, _)| *other == kind) {
            Some((_, count)) => *count += 1,
            None => counts.push((kind, 1)),
        }
    }
    counts
}

fn count_salts<'a>(counter: &Counter, keys: impl Iterator<Item = &'a ObjectKey>) {
    for (salt, count) in by(keys, salt_of) {
        counter.add(&[("cache_salt", salt)], count);
    }
}

fn count_l1(counter: &Counter, keys: &L1Keys<'_>) {
    for (salt, count) in by(keys.keys.iter().copied(), salt_of) {
        let labels = [("cache_salt", salt), ("l1_tag", keys.l1_tag)];
        // LMCache leaves the label out here, and only here, for who has no salt.
        let labels = if salt.is_empty() { &labels[1..] } else { &labels[..] };
        counter.add(labels, count);
    }
}

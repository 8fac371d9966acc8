//! Stores and loads of each adapter: how long they took, how much they moved, how long the adapter was busy.
//!
//! Fed by the manager's events of L2, on its own threads: no call of the replay waits for it.

use super::series::{Series, Spread};
use crate::clock::monotonic_ns;
use crate::storage::events::{Event, L2Task};
use crate::storage::l2::L2AdapterId;
use crate::sync::{Mutex, lock};

/// Sees the tasks of all adapters.
#[derive(Debug, Default)]
pub struct L2Meter(Mutex<Vec<AdapterMeter>>);

#[derive(Debug, Default)]
struct AdapterMeter {
    l2_name: String,
    stores: Flow,
    loads: Flow,
    written_to_stored: Series,
}

/// Tasks in one direction.
#[derive(Debug, Default)]
struct Flow {
    objects: u64,
    failed_objects: u64,
    bytes: u64,
    times: Series,
    under_way: u64,
    busy_since_ns: u64,
    busy_ns: u64,
}

impl Flow {
    fn begin(&mut self, now_ns: u64) {
        if self.under_way == 0 {
            self.busy_since_ns = now_ns;
        }
        self.under_way += 1;
    }

    fn end(&mut self, now_ns: u64, duration_ns: u64) {
        self.times.record(duration_ns);
        self.under_way = self.under_way.saturating_sub(1);
        if self.under_way == 0 {
            self.busy_ns += now_ns.saturating_sub(self.busy_since_ns);
        }
    }

    fn summary(&self) -> FlowSummary {
        FlowSummary {
            objects: self.objects,
            failed_objects: self.failed_objects,
            bytes: self.bytes,
            busy_ns: self.busy_ns,
            task: self.times.spread(),
        }
    }
}

impl L2Meter {
    /// An event of L2 happened.
    pub(super) fn note(&self, event: &Event<'_>) {
        self.note_at(event, monotonic_ns());
    }

    fn note_at(&self, event: &Event<'_>, now_ns: u64) {
        match event {
            Event::L2StoreSubmitted(task) => self.of(task, |meter| meter.stores.begin(now_ns)),
            Event::L2StoreCompleted { task, failed_count, written_ns } => self.of(task, |meter| {
                meter.stores.end(now_ns, task.duration_ns);
                meter.stores.objects += task.keys.len() as u64;
                meter.stores.failed_objects += *failed_count as u64;
                meter.stores.bytes += task.bytes;
                let waited_ns = written_ns.iter().map(|written_ns| now_ns.saturating_sub(*written_ns));
                waited_ns.for_each(|ns| meter.written_to_stored.record(ns));
            }),
            Event::L2LoadTaskSubmitted(task) => self.of(task, |meter| meter.loads.begin(now_ns)),
            Event::L2LoadTaskCompleted(task) => {
                self.of(task, |meter| meter.loads.end(now_ns, task.duration_ns));
            }
            Event::L2PrefetchLoadCompleted { loaded, failed_count, adapter_index, loaded_bytes, .. } => {
                self.at(*adapter_index, |meter| {
                    meter.loads.objects += loaded.len() as u64;
                    meter.loads.failed_objects += *failed_count as u64;
                    meter.loads.bytes += loaded_bytes;
                });
            }
            _ => {}
        }
    }

    fn of(&self, task: &L2Task<'_>, note: impl FnOnce(&mut AdapterMeter)) {
        self.at(task.adapter_index, |meter| {
            if meter.l2_name.is_empty() {
                task.l2_name.clone_into(&mut meter.l2_name);
            }
            note(meter);
        });
    }

    fn at(&self, adapter: L2AdapterId, note: impl FnOnce(&mut AdapterMeter)) {
        let mut meters = lock(&self.0);
        let position = adapter as usize;
        if position >= meters.len() {
            meters.resize_with(position + 1, AdapterMeter::default);
        }
        note(&mut meters[position]);
    }

    /// What each adapter did so far, in the order of their numbers; without those that did nothing.
    pub fn summary(&self) -> Vec<AdapterFlow> {
        let meters = lock(&self.0);
        let used = meters.iter().enumerate().filter(|(_, meter)| !meter.l2_name.is_empty());
        used.map(|(position, meter)| AdapterFlow {
            adapter_index: position as L2AdapterId,
            l2_name: meter.l2_name.clone(),
            stores: meter.stores.summary(),
            loads: meter.loads.summary(),
            written_to_stored: meter.written_to_stored.spread(),
        })
        .collect()
    }
}

/// What an adapter did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdapterFlow {
    /// Which adapter, as the manager numbers them.
    pub adapter_index: L2AdapterId,
    /// LMCache's name of its type.
    pub l2_name: String,
    /// From L1 to the adapter.
    pub stores: FlowSummary,
    /// From the adapter to L1.
    pub loads: FlowSummary,
    /// Of each object that was stored, from its finished write to the answer of its store: waiting for the store controller
    /// and for a place, tries that failed and the pauses after them, and the store itself.
    pub written_to_stored: Spread,
}

/// Tasks of an adapter in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FlowSummary {
    /// Objects that got there.
    pub objects: u64,
    /// Objects that did not, once a try.
    pub failed_objects: u64,
    /// Bytes of those that got there. A store of what the adapter had already moves none.
    pub bytes: u64,
    /// How long at least one task was under way, nanoseconds.
    pub busy_ns: u64,
    /// How long tasks took.
    pub task: Spread,
}

impl FlowSummary {
    /// Bytes per second while at least one task was under way; nothing if none ever was.
    pub fn busy_bytes_per_s(&self) -> Option<f64> {
        bytes_per_s(self.bytes, self.busy_ns)
    }
}

/// Bytes per second; nothing if no time passed.
pub fn bytes_per_s(bytes: u64, ns: u64) -> Option<f64> {
    (ns > 0).then(|| bytes as f64 * 1e9 / ns as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::model::{ChunkHash, KeyScope, ObjectKey};
    use crate::sync::Arc;

    #[test]
    fn overlapping_tasks_are_busy_once_and_objects_wait_from_their_writes() {
        let scope = Arc::new(KeyScope::new("m", 0, 0, "").unwrap());
        let key = ObjectKey::new(ChunkHash::new(b"k"), scope);
        let meter = L2Meter::default();
        let task = |keys, bytes, duration_ns| L2Task {
            adapter_index: 1,
            l2_name: "mock",
            task_id: 0,
            keys,
            bytes,
            duration_ns,
        };
        let keys = [&key, &key];
        meter.note_at(&Event::L2StoreSubmitted(task(&keys, 200, 0)), 100);
        meter.note_at(&Event::L2StoreSubmitted(task(&keys[..1], 100, 0)), 150);
        let done = |keys, bytes, duration_ns, failed_count, written_ns| Event::L2StoreCompleted {
            task: task(keys, bytes, duration_ns),
            failed_count,
            written_ns,
        };
        meter.note_at(&done(&keys[..1], 100, 60, 1, &[70]), 160);
        meter.note_at(&done(&keys[..1], 100, 50, 0, &[20]), 200);
        meter.note_at(&Event::L2StoreSubmitted(task(&keys, 200, 0)), 1000);
        meter.note_at(&done(&keys, 0, 7, 0, &[999, 1000]), 1007);
        let flows = meter.summary();
        assert_eq!((flows.len(), flows[0].adapter_index, flows[0].l2_name.as_str()), (1, 1, "mock"));
        let stores = flows[0].stores;
        assert_eq!((stores.objects, stores.failed_objects, stores.bytes), (4, 1, 200));
        assert_eq!((stores.busy_ns, stores.task.count, stores.task.max_ns), (107, 3, 60));
        let waited = flows[0].written_to_stored;
        assert_eq!((waited.count, waited.min_ns, waited.max_ns), (4, 7, 180));
        assert_eq!(flows[0].loads, FlowSummary::default());
        assert_eq!(stores.busy_bytes_per_s(), Some(200e9 / 107.0));
        assert_eq!(bytes_per_s(1, 0), None);
    }

    #[test]
    fn a_load_moves_what_came() {
        let (meter, task) = (
            L2Meter::default(),
            L2Task { adapter_index: 0, l2_name: "fs", task_id: 0, keys: &[], bytes: 999, duration_ns: 40 },
        );
        meter.note_at(&Event::L2LoadTaskSubmitted(task), 10);
        meter.note_at(&Event::L2LoadTaskCompleted(task), 50);
        meter.note_at(
            &Event::L2PrefetchLoadCompleted {
                request_id: 0,
                loaded: &[],
                failed_count: 3,
                adapter_index: 0,
                loaded_bytes: 64,
            },
            50,
        );
        let loads = meter.summary()[0].loads;
        assert_eq!((loads.objects, loads.failed_objects, loads.bytes, loads.busy_ns), (0, 3, 64, 40));
        assert_eq!(loads.task.max_ns, 40);
    }
}

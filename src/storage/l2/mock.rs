//! A table in memory that behaves like a slow store: LMCache's `MockL2Adapter`.
//!
//! A task does its work at once, on the caller's thread, and is answered when a store of the configured latency and
//! bandwidth would have been done: each task by itself, however many are under way, as in LMCache. What is there
//! already is left alone, what does not fit is left out, and both are a success.

use serde_json::json;

use super::mock_delay::{Delay, DelayOptions};
use super::{AdapterStatus, L2Adapter, Ledger, LoadTask, LookupTask, StoreOutcome, StoreTask};
use crate::clock::monotonic_ns;
use crate::format::model::ObjectKey;
use crate::storage::config::Compat;
use crate::storage::prefetch::Bitmap;
use crate::sync::{Mutex, lock};

type KeyMap<V> = hashbrown::HashMap<ObjectKey, V, foldhash::fast::RandomState>;

/// What a mock pretends to be.
#[derive(Clone, Debug)]
pub struct MockOptions {
    /// Bytes that it holds at most.
    pub capacity_bytes: u64,
    /// How slow it is.
    pub delay: DelayOptions,
    /// Whether it keeps the objects' bytes, or only their sizes; then a load leaves its buffers as they are. For
    /// replays, whose objects have no bytes worth keeping.
    pub keeps_bytes: bool,
    /// As LMCache, deletions pass over the locks of lookups.
    pub compat: Compat,
}

/// See the module.
#[derive(Debug)]
pub struct MockAdapter {
    table: Mutex<Table>,
    ledger: Ledger,
    delay: Delay,
    options: MockOptions,
}

#[derive(Debug, Default)]
struct Table {
    objects: KeyMap<Stored>,
    locks: KeyMap<u32>,
    used_bytes: u64,
    no_room: u64,
    refused_deletes: u64,
    is_closed: bool,
}

#[derive(Debug)]
struct Stored {
    size_bytes: u64,
    bytes: Option<Box<[u8]>>,
}

impl MockAdapter {
    /// An empty one.
    pub fn new(options: MockOptions) -> Self {
        Self {
            table: Mutex::default(),
            ledger: Ledger::new(options.capacity_bytes),
            delay: Delay::new(options.delay.clone()),
            options,
        }
    }

    /// The keys that it holds, in no order. For tests and diagnostics.
    pub fn stored_keys(&self) -> Vec<ObjectKey> {
        lock(&self.table).objects.keys().cloned().collect()
    }

    /// The keys that lookups have locked, with their counts, in no order. For tests and diagnostics.
    pub fn locked_keys(&self) -> Vec<(ObjectKey, u32)> {
        lock(&self.table).locks.iter().map(|(key, count)| (key.clone(), *count)).collect()
    }

    fn store(&self, task: &StoreTask) -> (Vec<(ObjectKey, u64)>, Bitmap) {
        let (mut stored, mut refused) = (Vec::new(), Bitmap::new(task.objects.len()));
        let mut table = lock(&self.table);
        for (position, object) in task.objects.iter().enumerate() {
            let size_bytes = object.buffer.size_bytes() as u64;
            if table.objects.contains_key(&object.key) {
                continue;
            }
            if table.used_bytes.saturating_add(size_bytes) > self.options.capacity_bytes {
                table.no_room += 1;
                refused.set(position);
                continue;
            }
            let bytes = self.options.keeps_bytes.then(|| {
                let mut bytes = vec![0; size_bytes as usize].into_boxed_slice();
                object.buffer.read_into(0, &mut bytes);
                bytes
            });
            table.used_bytes += size_bytes;
            table.objects.insert(object.key.clone(), Stored { size_bytes, bytes });
            stored.push((object.key.clone(), size_bytes));
        }
        // Under the table's lock, here and at deletions: the books hear of an object's end after its beginning.
        self.ledger.stored(&stored);
        (stored, refused)
    }

    fn load(&self, task: &LoadTask) -> (Bitmap, Vec<ObjectKey>, u64) {
        let (mut loaded, mut accessed) = (Bitmap::new(task.objects.len()), Vec::new());
        let mut total_bytes = 0;
        let table = lock(&self.table);
        for (position, object) in task.objects.iter().enumerate() {
            let stored = table.objects.get(&object.key);
            let Some(stored) = stored.filter(|stored| stored.size_bytes == object.buffer.size_bytes() as u64)
            else {
                continue;
            };
            if let Some(bytes) = &stored.bytes {
                // The sizes are equal.
                let _ = object.buffer.write_from(0, bytes);
            }
            loaded.set(position);
            accessed.push(object.key.clone());
            total_bytes += stored.size_bytes;
        }
        (loaded, accessed, total_bytes)
    }
}

impl L2Adapter for MockAdapter {
    fn type_name(&self) -> &'static str {
        "mock"
    }

    fn submit_store(&self, task: StoreTask) {
        if lock(&self.table).is_closed {
            return;
        }
        let begun_ns = monotonic_ns();
        let (stored, refused) = self.store(&task);
        let bytes = stored.iter().map(|(_, bytes)| bytes).sum();
        let StoreTask { objects, done } = task;
        let outcome = StoreOutcome { failed: Bitmap::new(objects.len()), refused, bytes };
        drop(objects);
        self.delay.after_store(begun_ns, bytes, move || done.answer(outcome));
    }

    fn submit_lookup_and_lock(&self, task: LookupTask) {
        let mut found = Bitmap::new(task.keys.len());
        let mut table = lock(&self.table);
        if table.is_closed {
            return;
        }
        for (position, key) in task.keys.iter().enumerate() {
            if table.objects.contains_key(key) {
                found.set(position);
                *table.locks.entry(key.clone()).or_insert(0) += 1;
            }
        }
        drop(table);
        self.delay.after_lookup(move || task.done.answer(found));
    }

    fn submit_unlock(&self, keys: &[ObjectKey]) {
        let mut table = lock(&self.table);
        for key in keys {
            match table.locks.get_mut(key) {
                Some(count) if *count > 1 => *count -= 1,
                Some(_) => {
                    table.locks.remove(key);
                }
                None => {}
            }
        }
    }

    fn submit_load(&self, task: LoadTask) {
        if lock(&self.table).is_closed {
            return;
        }
        let begun_ns = monotonic_ns();
        let (loaded, accessed, bytes) = self.load(&task);
        let LoadTask { objects, done } = task;
        drop(objects);
        self.ledger.accessed(&accessed);
        self.delay.after_load(begun_ns, bytes, move || done.answer(loaded));
    }

    fn delete(&self, keys: &[ObjectKey]) -> usize {
        let mut deleted = Vec::new();
        let mut table = lock(&self.table);
        for key in keys {
            if self.options.compat == Compat::Native && table.locks.contains_key(key) {
                table.refused_deletes += 1;
                continue;
            }
            if let Some(stored) = table.objects.remove(key) {
                table.used_bytes -= stored.size_bytes;
                deleted.push((key.clone(), stored.size_bytes));
            }
        }
        self.ledger.deleted(&deleted);
        deleted.len()
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn report_status(&self) -> AdapterStatus {
        let table = lock(&self.table);
        AdapterStatus::new(
            "MockL2Adapter",
            !table.is_closed,
            [
                ("stored_object_count", json!(table.objects.len())),
                ("locked_key_count", json!(table.locks.len())),
                ("current_size_bytes", json!(table.used_bytes)),
                ("max_capacity_bytes", json!(self.options.capacity_bytes)),
                ("no_room_count", json!(table.no_room)),
                ("refused_deletes", json!(table.refused_deletes)),
            ],
        )
    }

    fn close(&self) {
        lock(&self.table).is_closed = true;
        self.delay.close();
    }
}

//! An adapter made of a [`Connector`]: threads, locks and books around a store that is read and written object by
//! object.

use serde_json::json;

use super::connector::{Connector, Put, Removed};
use super::pool::WorkerPool;
use super::{AdapterStatus, L2Adapter, Ledger, LoadTask, LookupTask, StoreOutcome, StoreTask, Transfer};
use crate::error::Result;
use crate::format::model::ObjectKey;
use crate::storage::config::Compat;
use crate::storage::prefetch::Bitmap;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Mutex, lock};

type KeyMap<V> = hashbrown::HashMap<ObjectKey, V, foldhash::fast::RandomState>;

/// How an adapter is made of a connector.
#[derive(Clone, Copy, Debug)]
pub struct ConnectorOptions {
    /// Threads.
    pub workers: usize,
    /// Bytes that the store may hold, for eviction; 0 is no limit.
    pub capacity_bytes: u64,
    /// As LMCache, deletions pass over the locks of lookups and over stores under way, and what the store holds from before is not counted.
    pub compat: Compat,
}

/// See the module.
#[derive(Debug)]
pub struct ConnectorAdapter<C: Connector> {
    inner: Arc<Inner<C>>,
    pool: WorkerPool,
}

#[derive(Debug)]
struct Inner<C> {
    connector: C,
    ledger: Ledger,
    compat: Compat,
    locks: Mutex<Locks>,
    /// Told when a deletion is over.
    deleted: Condvar,
    /// Sizes of the objects in a store that does not know them itself.
    sizes: Mutex<KeyMap<u64>>,
    failed_stores: AtomicU64,
    failed_loads: AtomicU64,
    failed_lookups: AtomicU64,
    failed_deletes: AtomicU64,
    refused_deletes: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// Who keeps a key, and who is taking it away. A lookup locks before it looks, and gives the lock back if nothing is
/// there: so a key that it found cannot be in the hands of a deletion, nor fall into them before it is unlocked.
#[derive(Debug, Default)]
struct Locks {
    /// Locks of lookups that found their key, or are looking for it.
    counts: KeyMap<u32>,
    /// Stores that are at a key, and have not booked it: a deletion would take from the books what is not in them.
    storing: KeyMap<u32>,
    /// Deletions that are at a key: it counts as absent.
    deleting: KeyMap<u32>,
}

impl Locks {
    /// Locks a key; false if a deletion has it.
    fn lock(&mut self, key: &ObjectKey) -> bool {
        let is_free = !self.deleting.contains_key(key);
        if is_free {
            *self.counts.entry(key.clone()).or_insert(0) += 1;
        }
        is_free
    }

    /// Takes one away from what `counts` has for a key, if it has anything.
    fn take_one(counts: &mut KeyMap<u32>, key: &ObjectKey) {
        match counts.get_mut(key) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => drop(counts.remove(key)),
            None => {}
        }
    }

    /// The keys that nobody has locked or is storing; they are being deleted from now on.
    fn begin_delete(&mut self, keys: &[ObjectKey]) -> Vec<ObjectKey> {
        let is_free = |key: &&ObjectKey| !self.counts.contains_key(*key) && !self.storing.contains_key(*key);
        let free: Vec<_> = keys.iter().filter(is_free).cloned().collect();
        Self::add_all(&mut self.deleting, free.iter());
        free
    }

    fn add_all<'k>(counts: &mut KeyMap<u32>, keys: impl Iterator<Item = &'k ObjectKey>) {
        keys.for_each(|key| *counts.entry(key.clone()).or_insert(0) += 1);
    }
}

impl<C: Connector + 'static> ConnectorAdapter<C> {
    /// Starts the threads, and counts what the store holds already, if it can be listed.
    ///
    /// # Errors
    /// If the system gives no thread, or the store cannot be listed though it should.
    pub fn start(connector: C, options: ConnectorOptions) -> Result<Self> {
        let pool = WorkerPool::start(connector.type_name(), options.workers)?;
        let inner = Arc::new(Inner {
            connector,
            ledger: Ledger::new(options.capacity_bytes),
            compat: options.compat,
            locks: Mutex::default(),
            deleted: Condvar::default(),
            sizes: Mutex::default(),
            failed_stores: AtomicU64::new(0),
            failed_loads: AtomicU64::new(0),
            failed_lookups: AtomicU64::new(0),
            failed_deletes: AtomicU64::new(0),
            refused_deletes: AtomicU64::new(0),
            last_error: Mutex::new(None),
        });
        Ok(Self { inner, pool })
    }

    /// The store.
    pub fn connector(&self) -> &C {
        &self.inner.connector
    }

    /// Keys that lookups have locked.
    pub fn locked_keys(&self) -> usize {
        lock(&self.inner.locks).counts.len()
    }
}

impl<C: Connector + 'static> L2Adapter for ConnectorAdapter<C> {
    fn type_name(&self) -> &'static str {
        self.inner.connector.type_name()
    }

    fn recover(&self) -> Result<()> {
        match self.inner.compat {
            Compat::Lmcache => Ok(()),
            Compat::Native => self.inner.recover(),
        }
    }

    fn submit_store(&self, task: StoreTask) {
        let StoreTask { objects, done } = task;
        Locks::add_all(&mut lock(&self.inner.locks).storing, objects.iter().map(|object| &object.key));
        let (work, inner) = (Arc::clone(&self.inner), Arc::clone(&self.inner));
        let most_tiles = if inner.connector.has_room_for(objects.len()) { self.pool.workers() } else { 1 };
        self.pool.submit_in_tiles(
            most_tiles,
            objects,
            move |tile| {
                work.await_deletions(tile);
                work.connector.put(tile)
            },
            move |objects, results| done.answer(inner.stored(objects, results)),
        );
    }

    fn submit_lookup_and_lock(&self, task: LookupTask) {
        let LookupTask { keys, sizes_bytes, done } = task;
        let locked = self.inner.lock_all(&keys);
        let (work, inner) = (Arc::clone(&self.inner), Arc::clone(&self.inner));
        let (tile_keys, all_keys) = (Arc::clone(&keys), keys);
        self.pool.submit_tiled(
            (0..all_keys.len()).collect(),
            move |tile: &[usize]| {
                // Stretches of positions are contiguous.
                let range = tile[0]..tile[0] + tile.len();
                work.connector.exists(&tile_keys[range.clone()], &sizes_bytes[range])
            },
            move |_, results| done.answer(inner.looked_up(&all_keys, &locked, results)),
        );
    }

    fn submit_unlock(&self, keys: &[ObjectKey]) {
        let mut locks = lock(&self.inner.locks);
        for key in keys {
            Locks::take_one(&mut locks.counts, key);
        }
    }

    fn submit_load(&self, task: LoadTask) {
        let LoadTask { objects, done } = task;
        let (work, inner) = (Arc::clone(&self.inner), Arc::clone(&self.inner));
        self.pool.submit_tiled(
            objects,
            move |tile| work.connector.get(tile),
            move |objects, results| done.answer(inner.loaded(objects, results)),
        );
    }

    fn delete(&self, keys: &[ObjectKey]) -> usize {
        let inner = &self.inner;
        if inner.compat == Compat::Lmcache {
            return inner.removed(keys, inner.connector.remove(keys));
        }
        let free = lock(&inner.locks).begin_delete(keys);
        // Relaxed, here and below: counters that order nothing.
        inner.refused_deletes.fetch_add((keys.len() - free.len()) as u64, Ordering::Relaxed);
        let deletion = Deletion { inner, keys: free };
        inner.removed(&deletion.keys, inner.connector.remove(&deletion.keys))
    }

    fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    fn report_status(&self) -> AdapterStatus {
        let inner = &self.inner;
        let usage = inner.ledger.used_bytes();
        let mut status = AdapterStatus::new(
            inner.connector.class_name(),
            inner.connector.is_healthy() && self.pool.panics() == 0,
            [
                ("num_workers", json!(self.pool.workers())),
                ("queued_jobs", json!(self.pool.queued())),
                ("busy_workers", json!(self.pool.busy())),
                ("locked_key_count", json!(lock(&inner.locks).counts.len())),
                ("current_size_bytes", json!(usage)),
                ("max_capacity_bytes", json!(inner.ledger.capacity_bytes())),
                ("failed_stores", json!(inner.failed_stores.load(Ordering::Relaxed))),
                ("failed_loads", json!(inner.failed_loads.load(Ordering::Relaxed))),
                ("failed_lookups", json!(inner.failed_lookups.load(Ordering::Relaxed))),
                ("failed_deletes", json!(inner.failed_deletes.load(Ordering::Relaxed))),
                ("refused_deletes", json!(inner.refused_deletes.load(Ordering::Relaxed))),
                ("worker_panics", json!(self.pool.panics())),
                ("last_error", json!(*lock(&inner.last_error))),
            ],
        );
        let of_type = inner.connector.status();
        status.fields.extend(of_type.into_iter().map(|(name, value)| (name.to_owned(), value)));
        status
    }

    fn close(&self) {
        self.pool.close();
        self.inner.connector.close();
    }
}

/// Keys in the hands of a deletion. They are let go even if the connector panics: a store may be waiting.
struct Deletion<'a, C> {
    inner: &'a Inner<C>,
    keys: Vec<ObjectKey>,
}

impl<C> Drop for Deletion<'_, C> {
    fn drop(&mut self) {
        let mut locks = lock(&self.inner.locks);
        self.keys.iter().for_each(|key| Locks::take_one(&mut locks.deleting, key));
        drop(locks);
        self.inner.deleted.notify_all();
    }
}

impl<C: Connector> Inner<C> {
    /// Waits until no deletion is at any of these. In a store that does not know sizes, nobody could tell afterwards
    /// whether the object was written before it was deleted or after, and the books would be wrong.
    fn await_deletions(&self, objects: &[Transfer]) {
        let mut locks = lock(&self.locks);
        while objects.iter().any(|object| locks.deleting.contains_key(&object.key)) {
            locks = match self.deleted.wait(locks) {
                Ok(locks) => locks,
                // As in `lock`.
                Err(_) => panic!("a thread panicked while it held this lock; its state cannot be trusted"),
            };
        }
    }

    fn recover(&self) -> Result<()> {
        let mut found = Vec::new();
        let is_listed = self.connector.scan(&mut |key, bytes| found.push((key, bytes)))?;
        if is_listed {
            self.ledger.stored(&found);
        }
        Ok(())
    }

    /// Notes down why something failed; the newest reason stays.
    fn failed(&self, counter: &AtomicU64, error: Option<String>) {
        counter.fetch_add(1, Ordering::Relaxed);
        let error = error.unwrap_or_else(|| "a worker of the adapter panicked".to_owned());
        *lock(&self.last_error) = Some(error);
    }

    /// The value of a result; a failure is counted.
    fn value<R>(&self, counter: &AtomicU64, result: Option<Result<R>>) -> Option<R> {
        match result {
            Some(Ok(value)) => Some(value),
            Some(Err(error)) => {
                self.failed(counter, Some(error.to_string()));
                None
            }
            None => {
                self.failed(counter, None);
                None
            }
        }
    }

    fn stored(&self, objects: Vec<Transfer>, results: Vec<Option<Result<Put>>>) -> StoreOutcome {
        let (failed, refused) = (Bitmap::new(objects.len()), Bitmap::new(objects.len()));
        let mut outcome = StoreOutcome { failed, refused, bytes: 0 };
        let (mut stored, mut all_keys) = (Vec::new(), Vec::with_capacity(objects.len()));
        for (position, (object, result)) in objects.into_iter().zip(results).enumerate() {
            all_keys.push(object.key.clone());
            let size_bytes = object.buffer.size_bytes() as u64;
            match self.value(&self.failed_stores, result) {
                None => outcome.failed.set(position),
                Some(Put::Present) => {}
                Some(Put::NoRoom) => outcome.refused.set(position),
                Some(Put::Written { added_bytes }) => {
                    outcome.bytes += size_bytes;
                    let added = added_bytes.unwrap_or_else(|| self.first_size(&object.key, size_bytes));
                    stored.push((object.key, added));
                }
            }
        }
        self.ledger.stored(&stored);
        let mut locks = lock(&self.locks);
        all_keys.iter().for_each(|key| Locks::take_one(&mut locks.storing, key));
        outcome
    }

    /// The bytes that an object adds, in a store that does not know: its size the first time, nothing after that.
    fn first_size(&self, key: &ObjectKey, size_bytes: u64) -> u64 {
        match lock(&self.sizes).entry(key.clone()) {
            hashbrown::hash_map::Entry::Occupied(_) => 0,
            hashbrown::hash_map::Entry::Vacant(entry) => *entry.insert(size_bytes),
        }
    }

    /// Locks keys before they are looked for; the bits are those that are locked.
    fn lock_all(&self, keys: &[ObjectKey]) -> Bitmap {
        let mut locks = lock(&self.locks);
        Bitmap::from_fn(keys.len(), |position| locks.lock(&keys[position]))
    }

    /// Keeps the locks of what was found.
    fn looked_up(&self, keys: &[ObjectKey], locked: &Bitmap, results: Vec<Option<Result<bool>>>) -> Bitmap {
        let mut found = Bitmap::new(keys.len());
        let mut locks = lock(&self.locks);
        for (position, (key, result)) in keys.iter().zip(results).enumerate() {
            let is_there = self.value(&self.failed_lookups, result) == Some(true);
            match (is_there, locked.test(position)) {
                (true, true) => found.set(position),
                (false, true) => Locks::take_one(&mut locks.counts, key),
                (_, false) => {}
            }
        }
        found
    }

    fn loaded(&self, objects: Vec<Transfer>, results: Vec<Option<Result<bool>>>) -> Bitmap {
        let mut loaded = Bitmap::new(objects.len());
        let mut accessed = Vec::new();
        for (position, (object, result)) in objects.into_iter().zip(results).enumerate() {
            if self.value(&self.failed_loads, result) == Some(true) {
                loaded.set(position);
                accessed.push(object.key);
            }
        }
        self.ledger.accessed(&accessed);
        loaded
    }

    fn removed(&self, keys: &[ObjectKey], results: Vec<Result<Removed>>) -> usize {
        let mut gone = Vec::new();
        for (key, result) in keys.iter().zip(results) {
            let removed = self.value(&self.failed_deletes, Some(result));
            let known = |this: &Self| lock(&this.sizes).remove(key);
            match removed {
                Some(Removed::Gone(Some(bytes))) => gone.push((key.clone(), bytes)),
                Some(Removed::Gone(None)) => gone.push((key.clone(), known(self).unwrap_or(0))),
                // Somebody else removed what we had counted.
                Some(Removed::Absent) => gone.extend(known(self).map(|bytes| (key.clone(), bytes))),
                None => {}
            }
        }
        self.ledger.deleted(&gone);
        gone.len()
    }
}

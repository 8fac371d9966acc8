//! The adapters of a manager, as they come and go.
//!
//! Who works with adapters takes a snapshot. An adapter that is removed drains first: it gets no new tasks, and those
//! under way are finished. Whoever has a task with an adapter, or a lock in it, holds an [`AdapterUse`]; an adapter is
//! drained when none is left.

use std::time::Duration;

use super::{L2Adapter, L2AdapterId};
use crate::storage::config::L2AdapterConfig;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, Condvar, Mutex, lock};

/// One adapter of a manager.
#[derive(Debug)]
pub struct AdapterEntry {
    /// Its number.
    pub id: L2AdapterId,
    /// The adapter.
    pub adapter: Arc<dyn L2Adapter>,
    /// The position of the L1 that stores to it, and that its objects are loaded to.
    pub l1: usize,
    /// What it was made from.
    pub config: L2AdapterConfig,
    is_draining: AtomicBool,
    uses: Arc<Uses>,
}

#[derive(Debug, Default)]
struct Uses {
    count: AtomicUsize,
    lock: Mutex<()>,
    ended: Condvar,
}

impl AdapterEntry {
    /// Whether it is being removed, and gets no new tasks.
    pub fn is_draining(&self) -> bool {
        // Relaxed: who reads it a moment too early begins one more task, which is waited for.
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Tasks and requests that are under way with it.
    pub fn uses(&self) -> usize {
        // Acquire pairs with the release of an ended use: what it did to the adapter happened before.
        self.uses.count.load(Ordering::Acquire)
    }

    /// Keeps the adapter from being closed until the use is dropped.
    pub(in crate::storage) fn begin_use(self: &Arc<Self>) -> AdapterUse {
        // Relaxed: counting up orders nothing.
        self.uses.count.fetch_add(1, Ordering::Relaxed);
        AdapterUse { entry: Arc::clone(self) }
    }

    /// Waits until nothing is under way, at most `timeout`; returns whether nothing is.
    pub(in crate::storage) fn wait_unused(&self, timeout: Duration) -> bool {
        let guard = lock(&self.uses.lock);
        let waited = self.uses.ended.wait_timeout_while(guard, timeout, |()| self.uses() > 0);
        // Nothing panics while it holds this lock.
        drop(waited);
        self.uses() == 0
    }
}

/// Something under way with an adapter.
#[derive(Debug)]
pub(in crate::storage) struct AdapterUse {
    entry: Arc<AdapterEntry>,
}

impl std::ops::Deref for AdapterUse {
    type Target = AdapterEntry;

    fn deref(&self) -> &AdapterEntry {
        &self.entry
    }
}

impl Drop for AdapterUse {
    fn drop(&mut self) {
        // Release pairs with `uses`.
        if self.entry.uses.count.fetch_sub(1, Ordering::Release) == 1 {
            // Who waits looked at the count under this lock: it is either waiting already, or sees zero.
            drop(lock(&self.entry.uses.lock));
            self.entry.uses.ended.notify_all();
        }
    }
}

/// The adapters, in the order of their numbers.
#[derive(Debug, Default)]
pub struct Adapters {
    state: Mutex<State>,
    /// How many there are, for the calls that only ask whether there are any.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    entries: Arc<Vec<Arc<AdapterEntry>>>,
    next_id: L2AdapterId,
}

impl Adapters {
    /// Those that there are now.
    pub fn snapshot(&self) -> Arc<Vec<Arc<AdapterEntry>>> {
        Arc::clone(&lock(&self.state).entries)
    }

    /// Whether there is none, not even one that is draining.
    pub fn is_empty(&self) -> bool {
        // Relaxed: a call that races with an adapter that comes or goes may come before it or after it.
        self.count.load(Ordering::Relaxed) == 0
    }

    /// The number that the next adapter will have.
    pub(in crate::storage) fn next_id(&self) -> L2AdapterId {
        lock(&self.state).next_id
    }

    /// Adds one, with the next number.
    pub(in crate::storage) fn add(
        &self,
        adapter: Arc<dyn L2Adapter>,
        l1: usize,
        config: L2AdapterConfig,
    ) -> Arc<AdapterEntry> {
        let mut state = lock(&self.state);
        let id = state.next_id;
        let is_draining = AtomicBool::new(false);
        let entry = Arc::new(AdapterEntry { id, adapter, l1, config, is_draining, uses: Arc::default() });
        state.next_id += 1;
        let mut entries = state.entries.to_vec();
        entries.push(Arc::clone(&entry));
        self.count.store(entries.len(), Ordering::Relaxed);
        state.entries = Arc::new(entries);
        entry
    }

    /// Marks one as draining. `None` if there is none of that number.
    pub(in crate::storage) fn drain(&self, id: L2AdapterId) -> Option<Arc<AdapterEntry>> {
        let entry = lock(&self.state).entries.iter().find(|entry| entry.id == id).cloned()?;
        // Relaxed: see `is_draining`.
        entry.is_draining.store(true, Ordering::Relaxed);
        Some(entry)
    }

    /// Forgets one.
    pub(in crate::storage) fn remove(&self, id: L2AdapterId) {
        let mut state = lock(&self.state);
        let entries: Vec<_> = state.entries.iter().filter(|entry| entry.id != id).cloned().collect();
        self.count.store(entries.len(), Ordering::Relaxed);
        state.entries = Arc::new(entries);
    }
}

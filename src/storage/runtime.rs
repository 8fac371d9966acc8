//! Adapters that come and go while the manager runs; the work of a manager without threads; and its end.

use std::time::Duration;

use crate::clock::monotonic_ns;
use crate::error::{Error, ErrorKind, Result};
use crate::format::model::ObjectKey;
use crate::storage::config::{EvictionPolicyKind, L2AdapterConfig};
use crate::storage::device::{TransferOutcome, TransferTicket};
use crate::storage::events::{Event, Events};
use crate::storage::l2::factory::AdapterContext;
use crate::storage::l2::{AdapterEntry, L2Adapter, L2AdapterId, L2Listener};
use crate::storage::l2_eviction::KeyOrder;
use crate::storage::manager::{L1Unit, Lifecycle, StorageManager};
use crate::storage::prefetch::PrefetchHandle;
use crate::storage::store::Message;
use crate::sync::{Arc, lock};

/// How long a manager without threads waits for an adapter's thread before it looks around.
const PUMP_WAIT: Duration = Duration::from_millis(1);

impl StorageManager {
    /// Adds an adapter: what is written and looked up from now on goes to it, too. Returns its number.
    ///
    /// # Errors
    /// If no L1 has its tag, its store cannot be opened, or the manager is closed.
    pub fn add_l2_adapter(&self, config: L2AdapterConfig) -> Result<L2AdapterId> {
        let mut lifecycle = lock(&self.lifecycle);
        self.check_running(&lifecycle)?;
        let l1 = self.l1_of_tag(&config.affinity_tag)?;
        let context = AdapterContext {
            id: self.adapters.next_id(),
            compat: self.config.compat,
            l1_align_bytes: self.units[l1].l1.config().memory.align_bytes,
        };
        let adapter = (self.factory.0)(&config, &context)?;
        if config.transforms() {
            self.layouts.need();
        }
        self.start_l2_threads(&mut lifecycle)?;
        let order = self.key_order(&config, &*adapter);
        let mut listeners: Vec<Arc<dyn L2Listener>> = Vec::new();
        if let Some(order) = &order {
            listeners.push(Arc::clone(order) as Arc<dyn L2Listener>);
        }
        listeners.push(Arc::new(EventListener {
            events: self.events.clone(),
            backend: adapter.type_name(),
            shared: config.shared,
        }));
        adapter.ledger().listen(listeners);
        adapter.recover()?;
        let eviction = config.eviction.clone();
        let entry = self.adapters.add(adapter, l1, config);
        if let (Some(order), Some(eviction)) = (order, eviction) {
            self.l2_eviction.add(Arc::clone(&entry), order, eviction);
        }
        Ok(entry.id)
    }

    fn l1_of_tag(&self, tag: &str) -> Result<usize> {
        let position = self.units.iter().position(|unit| unit.l1.config().tag == tag);
        position.ok_or_else(|| {
            Error::invalid("no L1 manager has the affinity_tag of the adapter")
                .with_context("affinity_tag", tag.escape_debug())
        })
    }

    fn check_running(&self, lifecycle: &Lifecycle) -> Result<()> {
        if lifecycle.is_closed {
            return Err(Error::new(ErrorKind::Closed, "the storage manager is closed"));
        }
        Ok(())
    }

    /// The order in which an adapter evicts; none if it does not. A policy that goes by the share of the capacity
    /// needs one.
    fn key_order(&self, config: &L2AdapterConfig, adapter: &dyn L2Adapter) -> Option<Arc<KeyOrder>> {
        let policy = config.eviction.as_ref()?.policy;
        let has_capacity = adapter.ledger().capacity_bytes() > 0;
        let is_wired = policy == EvictionPolicyKind::IsolatedLru || has_capacity;
        is_wired.then(|| KeyOrder::new(policy, self.config.compat))
    }

    /// A manager that never had an adapter has no threads for them.
    fn start_l2_threads(&self, lifecycle: &mut Lifecycle) -> Result<()> {
        if !self.is_threaded || lifecycle.has_l2_threads {
            return Ok(());
        }
        self.prefetch.start()?;
        for (position, unit) in self.units.iter().enumerate() {
            unit.store.start(&format!("l2-store-{position}"))?;
        }
        self.l2_eviction.start()?;
        lifecycle.has_l2_threads = true;
        Ok(())
    }

    /// Removes an adapter: it gets no more tasks, those under way are finished, and it is closed.
    ///
    /// # Errors
    /// If there is none of that number. [`ErrorKind::Timeout`] if its tasks take longer than `timeout`: it goes on
    /// draining, and this can be called again.
    pub fn delete_l2_adapter(&self, id: L2AdapterId, timeout: Duration) -> Result<()> {
        let entry = self.drain(id)?;
        if !self.wait_drained(&entry, timeout) {
            self.events.publish(|| Event::TimeoutRaised {
                exception_type: "LMCacheTimeoutError",
                message: "an L2 adapter that is to be removed has tasks under way",
            });
            return Err(Error::new(ErrorKind::Timeout, "an L2 adapter still has tasks under way")
                .with_context("l2_adapter", id)
                .with_context("tasks", entry.uses())
                .with_hint("it gets no new ones: try again later"));
        }
        let lifecycle = lock(&self.lifecycle);
        self.check_running(&lifecycle)?;
        // Another thread that waited for the same adapter can have closed it.
        if self.adapters.snapshot().iter().any(|present| present.id == id) {
            self.l2_eviction.remove(id);
            self.adapters.remove(id);
            entry.adapter.close();
        }
        Ok(())
    }

    /// Begins to remove an adapter. Who waits for its tasks does so without the lock, so that others can add adapters
    /// and close the manager meanwhile.
    fn drain(&self, id: L2AdapterId) -> Result<Arc<AdapterEntry>> {
        let lifecycle = lock(&self.lifecycle);
        self.check_running(&lifecycle)?;
        self.adapters.drain(id).ok_or_else(|| {
            Error::invalid("there is no L2 adapter of this number").with_context("l2_adapter", id)
        })
    }

    fn wait_drained(&self, entry: &Arc<AdapterEntry>, timeout: Duration) -> bool {
        if self.is_threaded {
            return entry.wait_unused(timeout);
        }
        let deadline_ns = deadline_ns(timeout);
        while entry.uses() > 0 {
            if !self.pump() {
                if monotonic_ns() >= deadline_ns {
                    return false;
                }
                entry.wait_unused(PUMP_WAIT);
            }
        }
        true
    }

    /// The adapters that there are now.
    pub fn l2_adapters(&self) -> Vec<Arc<AdapterEntry>> {
        self.adapters.snapshot().to_vec()
    }

    /// One eviction pass over every adapter, on the caller's thread. Returns the victims by adapter, in the order in
    /// which they were to go.
    pub fn evict_l2_once(&self) -> Vec<(L2AdapterId, Vec<ObjectKey>)> {
        self.l2_eviction.evict_once()
    }

    /// Does what there is to do for the controllers of a manager without threads, on the caller's thread, until there
    /// is nothing left that an adapter has not still to answer. Returns whether there was anything.
    pub fn pump(&self) -> bool {
        if self.is_threaded {
            return false;
        }
        let mut was_busy = false;
        loop {
            let mut is_busy = false;
            for unit in &self.units {
                is_busy |= unit.store.pump();
            }
            is_busy |= self.transfers.agent.pump();
            is_busy |= self.prefetch.pump();
            if !is_busy {
                return was_busy;
            }
            was_busy = true;
        }
    }

    pub(super) fn pump_until_done(&self, handle: &PrefetchHandle, timeout: Duration) -> bool {
        let deadline_ns = deadline_ns(timeout);
        loop {
            self.pump();
            if handle.is_done() {
                return true;
            }
            if monotonic_ns() >= deadline_ns {
                return false;
            }
            self.prefetch.wait_message(PUMP_WAIT);
        }
    }

    pub(super) fn pump_until_landed(
        &self,
        ticket: &TransferTicket,
        timeout: Duration,
    ) -> Option<Arc<TransferOutcome>> {
        let deadline_ns = deadline_ns(timeout);
        loop {
            self.pump();
            let outcome = ticket.poll();
            if outcome.is_some() || monotonic_ns() >= deadline_ns {
                return outcome;
            }
            self.transfers.agent.wait(PUMP_WAIT);
        }
    }

    /// A manager that never had a device has no thread for its transfers. This does not take the lock of the lifecycle: a callback
    /// may store more while another thread, which holds it, waits for the thread that the callback is on.
    pub(super) fn start_transfers(&self) -> Result<()> {
        self.units[0].l1.check_open()?;
        if self.is_threaded { self.transfers.start() } else { Ok(()) }
    }

    /// Tasks and requests that adapters have not answered, those that wait for a place not counted.
    pub fn outstanding_tasks(&self) -> usize {
        self.adapters.snapshot().iter().map(|entry| entry.uses()).sum()
    }

    /// For a manager without threads: waits until the adapters have answered all that was handed to them, and does what
    /// follows from it, at most `timeout`; returns whether it is done. What is to be tried again later by the manager's clock is
    /// left for then.
    pub fn settle(&self, timeout: Duration) -> bool {
        let deadline_ns = deadline_ns(timeout);
        loop {
            self.pump();
            if self.outstanding_tasks() == 0 && !self.pump() {
                return true;
            }
            if monotonic_ns() >= deadline_ns {
                return false;
            }
            let is_busy = |unit: &&L1Unit| unit.store_counters.in_flight_tasks() > 0;
            self.units.iter().find(is_busy).unwrap_or(&self.units[0]).store.wait(PUMP_WAIT);
        }
    }

    /// Where L2 works [in turn](crate::storage::StorageManagerBuilder::in_turn): takes in what it has answered, though not all have.
    pub fn take_in_answers(&self) {
        for unit in &self.units {
            unit.store.mailbox().send(Message::TakeIn);
        }
        self.pump();
    }

    /// Waits until everything that was written is stored, or given up, at most `timeout`; returns whether it is.
    /// Closing does not wait for it.
    pub fn flush_stores(&self, timeout: Duration) -> bool {
        let deadline_ns = deadline_ns(timeout);
        loop {
            self.pump();
            let is_idle = self.units.iter().all(|unit| {
                let counters = &unit.store_counters;
                unit.store.mailbox().is_idle() && counters.pending_keys() + counters.in_flight_tasks() == 0
            });
            if is_idle || monotonic_ns() >= deadline_ns {
                return is_idle;
            }
            self.units[0].store.wait(PUMP_WAIT);
        }
    }

    /// Ends everything: prefetches under way end with a miss, stores under way are not waited for, threads stop,
    /// adapters close, objects are dropped. Calls that would add something fail from then on; the others find
    /// nothing. Closing twice does no harm.
    ///
    /// Memory that an adapter or a device is still working on stays mapped until it lets go. Transfers of devices that are
    /// under way end later, on a thread of the device: what was retrieved has come, and nothing is stored.
    ///
    /// # Errors
    /// If one of its threads had panicked.
    pub fn close(&self) -> Result<()> {
        let mut lifecycle = lock(&self.lifecycle);
        lifecycle.is_closed = true;
        let mut results = vec![self.transfers.agent.stop(), self.prefetch.stop()];
        results.extend(self.units.iter().map(|unit| unit.store.stop()));
        results.extend(self.units.iter().map(|unit| unit.eviction.stop()));
        results.push(self.l2_eviction.stop());
        for entry in self.adapters.snapshot().iter() {
            entry.adapter.close();
        }
        self.units.iter().for_each(|unit| unit.l1.close());
        results.into_iter().collect()
    }
}

impl Drop for StorageManager {
    fn drop(&mut self) {
        // A thread that panicked has said so on stderr; there is nobody left to tell.
        let _ = self.close();
    }
}

fn deadline_ns(timeout: Duration) -> u64 {
    monotonic_ns().saturating_add(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))
}

/// Publishes what an adapter says of its keys.
#[derive(Debug)]
struct EventListener {
    events: Events,
    backend: &'static str,
    shared: bool,
}

impl L2Listener for EventListener {
    fn on_l2_keys_stored(&self, keys: &[(ObjectKey, u64)]) {
        self.events.publish_l2(|| Event::L2KeysStored { backend: self.backend, shared: self.shared, keys });
    }

    fn on_l2_keys_accessed(&self, keys: &[ObjectKey]) {
        self.events.publish_l2(|| Event::L2KeysAccessed { backend: self.backend, shared: self.shared, keys });
    }

    fn on_l2_keys_deleted(&self, keys: &[(ObjectKey, u64)]) {
        self.events.publish_l2(|| Event::L2KeysDeleted { backend: self.backend, shared: self.shared, keys });
    }
}

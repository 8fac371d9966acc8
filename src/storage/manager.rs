//! The storage manager: LMCache's calls by LMCache's names.

use std::time::Duration;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::format::model::{MemoryLayoutDesc, ObjectKey, PrefetchTaskSpec, WriteMode};
use crate::storage::agent::Agent;
use crate::storage::config::StorageManagerConfig;
use crate::storage::device::Transfers;
use crate::storage::events::{Event, EventSink, Events};
use crate::storage::hook::{CallHook, Effect, Hooked, HookedCall};
use crate::storage::l1::{KeyCodes, L1Error, L1Manager};
use crate::storage::l1_eviction::{EvictionPass, L1EvictionController};
use crate::storage::l2::Adapters;
use crate::storage::l2::factory::AdapterFactory;
use crate::storage::l2_eviction::L2EvictionController;
use crate::storage::layouts::LayoutBook;
use crate::storage::lease::{ReadContext, ReadObjects, WriteReservation};
use crate::storage::prefetch::{PrefetchController, PrefetchHandle, PrefetchResult};
use crate::storage::quota::QuotaManager;
use crate::storage::reader::{L1ManagerId, L1Owners, Reader};
use crate::storage::store::{StoreCounters, StoreFlow};
use crate::storage::striped::Striped;
use crate::storage::writes::WriteEnd;
use crate::sync::{Arc, Mutex, OnceLock};

/// An L1 with its controllers.
#[derive(Debug)]
pub(super) struct L1Unit {
    pub(super) l1: Arc<L1Manager>,
    pub(super) eviction: L1EvictionController,
    pub(super) store: Agent<StoreFlow>,
    pub(super) store_counters: Arc<StoreCounters>,
}

/// LMCache's `StorageManager`. All calls can be made from any thread.
///
/// Every call answers as LMCache 0.5.6 does, key by key, with the same addresses and the same victims, but for
/// LMCache's known defects, which are there under [`Compat::Lmcache`](crate::storage::config::Compat) only. What a
/// call says of its keys is in its [`KeyCodes`]; LMCache publishes the same as events.
#[derive(Debug)]
pub struct StorageManager {
    pub(super) config: StorageManagerConfig,
    pub(super) units: Vec<L1Unit>,
    pub(super) adapters: Arc<Adapters>,
    pub(super) write_end: Arc<WriteEnd>,
    pub(super) prefetch: PrefetchController,
    pub(super) transfers: Transfers,
    pub(super) l2_eviction: L2EvictionController,
    pub(super) quotas: Arc<QuotaManager>,
    pub(super) layouts: Arc<LayoutBook>,
    pub(super) events: Events,
    pub(super) readers: Striped<Arc<Reader>>,
    pub(super) hook: OnceLock<Arc<dyn CallHook>>,
    pub(super) factory: FactoryBox,
    pub(super) clock: Clock,
    /// Whether controllers have threads; if not, the owner pumps them.
    pub(super) is_threaded: bool,
    /// Held while adapters come or go.
    pub(super) lifecycle: Mutex<Lifecycle>,
}

/// How far the manager's threads are.
#[derive(Debug, Default)]
pub(super) struct Lifecycle {
    /// The controllers of L2 have their threads: from the first adapter on.
    pub(super) has_l2_threads: bool,
    pub(super) is_closed: bool,
}

/// What makes adapters.
pub(super) struct FactoryBox(pub(super) Arc<AdapterFactory>);

impl std::fmt::Debug for FactoryBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdapterFactory")
    }
}

impl StorageManager {
    /// Shows every call that LMCache traces to `hook` from now on.
    ///
    /// # Errors
    /// If there is a hook already.
    pub fn attach_hook(&self, hook: Arc<dyn CallHook>) -> Result<()> {
        let taken = Error::invalid(
            "the calls of this storage manager are recorded already: there is one recorder for each",
        )
        .with_hint("a recorder that is switched off costs one load a call: leave it attached");
        self.hook.set(hook).map_err(|_| taken)
    }

    /// Tells `sink` what happens inside from now on: for metrics and logs.
    ///
    /// # Errors
    /// If there is a sink already.
    pub fn attach_events(&self, sink: Arc<dyn EventSink>) -> Result<()> {
        if self.events.attach(sink) {
            return Ok(());
        }
        Err(Error::invalid("the storage manager has an event sink already")
            .with_hint("one sink can pass events on to others"))
    }

    /// Tells `sink` what happens in L2 from now on, besides who is told of everything. It costs calls that L1 answers nothing.
    ///
    /// # Errors
    /// If there is one already.
    pub fn attach_l2_events(&self, sink: Arc<dyn EventSink>) -> Result<()> {
        if self.events.attach_l2(sink) {
            return Ok(());
        }
        Err(Error::invalid("the storage manager has a sink for events of L2 already")
            .with_hint("one sink can pass events on to others"))
    }

    /// Reserves a buffer of `layout` for each of `keys` that is neither stored nor being written. The buffers
    /// of one call come from one batch: if they do not all fit into an L1, none of them is given there, and the next
    /// L1 is tried; keys that found no room anywhere are [`L1Error::OutOfMemory`].
    ///
    /// # Errors
    /// If an object of `layout` has no bytes, or the manager is closed.
    pub fn reserve_write(&self, keys: &[ObjectKey], layout: &MemoryLayoutDesc) -> Result<WriteReservation> {
        self.reserve_write_with_mode(keys, layout, WriteMode::New)
    }

    /// [`Self::reserve_write`] with the modes of LMCache 0.4.4 to 0.5.5. `Update` takes only what is stored
    /// and neither locked nor temporary, with its buffer as it is; `All` takes both.
    ///
    /// Those releases kept an object that is being updated in view, as not readable; here it is out of view,
    /// as everything that is being written in 0.5.6. A reader misses it either way. A writer that never
    /// finishes made it readable again when its reservation ran out; here the object stays out of view, to be
    /// reserved again, evicted or deleted.
    ///
    /// # Errors
    /// Those of [`Self::reserve_write`].
    pub fn reserve_write_with_mode(
        &self,
        keys: &[ObjectKey],
        layout: &MemoryLayoutDesc,
        mode: WriteMode,
    ) -> Result<WriteReservation> {
        let reserved = self.reserve_as(keys, layout, mode, L1Manager::reserve_write)?;
        Ok(WriteReservation::new(Arc::clone(self.readers.mine()), reserved))
    }

    /// Makes what was reserved and written readable: [`L1Error::KeyNotExist`] for a key that was not
    /// reserved, [`L1Error::KeyInWrongState`] for one whose reservation ran out. What is readable is stored to the
    /// adapters of its L1, in the background.
    ///
    /// # Errors
    /// If the manager is closed, or has several L1s: then [`Self::finish_write_by_owner`] is asked.
    pub fn finish_write(&self, keys: &[ObjectKey]) -> Result<KeyCodes> {
        self.readers.mine().require_single_l1()?;
        self.write_end.finish(keys, self.hook.get())
    }

    /// [`Self::finish_write`] for keys grouped by the L1 manager that they were reserved in, which
    /// [`WriteReservation::owner`] says. Returns the codes group by group.
    ///
    /// # Errors
    /// If an L1 manager does not exist (nothing is finished then), or the manager is closed.
    pub fn finish_write_by_owner(&self, groups: &[(L1ManagerId, &[ObjectKey])]) -> Result<Vec<KeyCodes>> {
        self.write_end.finish_by_owner(groups, self.hook.get())
    }

    /// Looks up, locks, loads and touches the keys of `spec`; see [`crate::storage::prefetch`]. It puts up with
    /// requests from old traces that LMCache 0.5.6 refuses to build: a caller that makes its own asks
    /// [`validate_spec`](crate::storage::prefetch::validate_spec) first.
    ///
    /// `skip_l2` asks for L1 alone: the result is there on return.
    ///
    /// # Errors
    /// If the manager is closed.
    pub fn submit_prefetch_task(
        &self,
        spec: &PrefetchTaskSpec,
        external_request_id: &str,
        skip_l2: bool,
    ) -> Result<PrefetchHandle> {
        let call = || HookedCall::SubmitPrefetch { spec, external_request_id, skip_l2 };
        let hooked = Hooked::begin(self.hook.get(), call);
        let open = self.units[0].l1.check_open();
        let submitted = open.map(|()| self.prefetch.submit(spec, external_request_id, skip_l2));
        match &submitted {
            Ok(handle) => hooked.end_prefetch(handle, spec),
            Err(_) => hooked.raise(),
        }
        submitted
    }

    /// The result of a prefetch, the first time that it is asked for once it is there; `None` before, and ever after.
    pub fn query_prefetch_status(&self, handle: &PrefetchHandle) -> Option<PrefetchResult> {
        if !self.is_threaded && !handle.is_done() {
            self.pump();
        }
        handle.take_result()
    }

    /// Whether a prefetch is done, after at most `timeout`. Does not take its result.
    ///
    /// A prefetch whose result was taken is done, too; there LMCache waits in vain.
    pub fn wait_prefetch_status(&self, handle: &PrefetchHandle, timeout: Duration) -> bool {
        if self.is_threaded { handle.wait_done(timeout) } else { self.pump_until_done(handle, timeout) }
    }

    /// Gives up a prefetch that nobody waits for any more: it ends with a miss, and what it had locked is released.
    /// The locks of one that is done are released, if its result was not taken; then they are the caller's.
    pub fn cancel_prefetch(&self, handle: &PrefetchHandle, spec: &PrefetchTaskSpec) {
        self.prefetch.cancel(handle);
        if spec.lock_mode == crate::format::model::LockMode::NoLock {
            return;
        }
        let (abandoned, reader, spec) = (handle.clone(), Arc::clone(self.readers.mine()), spec.clone());
        // The prefetch thread can be about to publish hits while this thread sends the cancellation, which then comes
        // too late. So whoever publishes releases what is locked.
        handle.on_done(move || abandoned.release_hits(&spec, &reader));
    }

    /// Begins to read what a prefetch locked. The objects are there if all of `keys` can be read. With several L1s,
    /// `owners` are those of the prefetch's result.
    ///
    /// # Errors
    /// If there are several L1s, and a key has no owner that exists.
    pub fn read_prefetched_results(
        &self,
        keys: &[ObjectKey],
        owners: Option<&L1Owners>,
    ) -> Result<ReadContext> {
        let hooked = Hooked::begin(self.hook.get(), || HookedCall::ReadEnter(keys));
        let context =
            ReadContext::enter(Arc::clone(self.readers.mine()), keys, owners, self.hook.get().cloned());
        hooked.end_with(&context, ReadContext::effect);
        context
    }

    /// Ends a read that [`ReadContext::leave_open`] left open, in which all keys could be read. If the reader `failed`, one lock is
    /// released on each of them.
    ///
    /// # Errors
    /// As [`Self::read_prefetched_results`].
    pub fn exit_read(&self, keys: &[ObjectKey], failed: bool, owners: Option<&L1Owners>) -> Result<()> {
        let hooked = Hooked::begin(self.hook.get(), || HookedCall::ReadExit(keys));
        let released = match failed {
            false => Ok(0),
            true => self.release_failed(keys, owners),
        };
        hooked.end_with(&released, |released| Effect {
            requested_keys: *released,
            hit_keys: *released,
            bytes: 0,
        });
        released.map(|_| ())
    }

    fn release_failed(&self, keys: &[ObjectKey], owners: Option<&L1Owners>) -> Result<usize> {
        let mut seen = hashbrown::HashSet::with_hasher(foldhash::fast::RandomState::default());
        let distinct: Vec<ObjectKey> = keys.iter().filter(|key| seen.insert(*key)).cloned().collect();
        let codes = self.readers.mine().finish_read(&distinct, 1, owners)?;
        if self.events.has_sink() {
            self.events.publish_outcomes(&codes.per_distinct_key(&distinct), Event::sm_read_finished);
        }
        Ok(distinct.len())
    }

    /// Releases `read_locks` (clamped to 1..=128) on each of `keys`, for each time that it is named.
    ///
    /// # Errors
    /// As [`Self::read_prefetched_results`].
    pub fn finish_read_prefetched(
        &self,
        keys: &[ObjectKey],
        read_locks: i64,
        owners: Option<&L1Owners>,
    ) -> Result<KeyCodes> {
        self.readers.mine().finish_read_hooked(keys, read_locks, owners, self.hook.get())
    }

    /// Counts `keys` as used, so that they are evicted later.
    pub fn touch_l1_keys(&self, keys: &[ObjectKey]) {
        let keys: Vec<&ObjectKey> = keys.iter().collect();
        self.units.iter().for_each(|unit| unit.l1.touch_keys(&keys));
    }

    /// Deletes `keys` from every L1; with `force`, even what is being read or written. Returns how many were deleted
    /// and how many were locked: a key is locked if any L1 has it locked. A key that is named twice counts by its last
    /// outcome, as in LMCache.
    pub fn delete_l1_keys(&self, keys: &[ObjectKey], force: bool) -> (usize, usize) {
        let per_l1: Vec<KeyCodes> = self.units.iter().map(|unit| unit.l1.delete(keys, force)).collect();
        let (mut deleted, mut locked) = (0, 0);
        let mut outcomes: Vec<_> =
            per_l1.iter().map(|codes| codes.per_distinct_key(keys).into_iter()).collect();
        loop {
            let of_key: Vec<L1Error> =
                outcomes.iter_mut().filter_map(|codes| codes.next().map(|(_, code)| code)).collect();
            if of_key.is_empty() {
                return (deleted, locked);
            }
            if of_key.contains(&L1Error::KeyIsLocked) {
                locked += 1;
            } else if of_key.contains(&L1Error::Success) {
                deleted += 1;
            }
        }
    }

    /// Reads what is read-locked already, without taking a lock.
    ///
    /// # Errors
    /// As [`Self::read_prefetched_results`].
    pub fn unsafe_read(&self, keys: &[ObjectKey], owners: Option<&L1Owners>) -> Result<ReadObjects> {
        ReadObjects::read(Arc::clone(self.readers.mine()), keys, owners)
    }

    /// Deletes everything that is not locked from L1; with `force`, everything.
    pub fn clear(&self, force: bool) {
        self.units.iter().for_each(|unit| unit.l1.clear(force));
    }

    /// Whether the allocators' books are right.
    pub fn memcheck(&self) -> bool {
        self.units.iter().all(|unit| unit.l1.memcheck())
    }

    /// One eviction pass over every L1, on the caller's thread.
    pub fn evict_l1_once(&self) -> Vec<EvictionPass> {
        self.units.iter().map(|unit| unit.eviction.evict_once()).collect()
    }

    /// One eviction pass over every L1 that is not below its watermark, on the caller's thread: what the threads of a manager
    /// that has some do at once.
    pub fn evict_l1_at_watermark(&self) -> Vec<EvictionPass> {
        let full = self.units.iter().filter(|unit| unit.eviction.is_at_watermark());
        full.map(|unit| unit.eviction.evict_once()).collect()
    }

    /// Whether an L1 is not below its watermark.
    pub fn is_l1_at_watermark(&self) -> bool {
        self.units.iter().any(|unit| unit.eviction.is_at_watermark())
    }

    /// Used and usable bytes of all L1s.
    pub fn get_l1_usage(&self) -> (u64, u64) {
        let usages = self.units.iter().map(|unit| unit.l1.get_memory_usage());
        usages.fold((0, 0), |(used, total), usage| (used + usage.0, total + usage.1))
    }

    /// Used bytes of all L2 adapters; nothing if there is no adapter.
    pub fn get_l2_usage(&self) -> Option<u64> {
        let adapters = self.adapters.snapshot();
        (!adapters.is_empty()).then(|| adapters.iter().map(|entry| entry.adapter.ledger().used_bytes()).sum())
    }

    /// The L1 managers, by their numbers.
    pub fn l1_managers(&self) -> impl ExactSizeIterator<Item = &L1Manager> {
        self.units.iter().map(|unit| &*unit.l1)
    }

    /// The first L1 manager, which is the only one but where several are configured.
    pub fn l1_manager(&self) -> &L1Manager {
        &self.units[0].l1
    }

    /// The quotas of tenants, for adapters that keep tenants apart.
    pub fn quota_manager(&self) -> &QuotaManager {
        &self.quotas
    }

    /// The clock by which locks and reservations run out.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The configuration.
    pub fn config(&self) -> &StorageManagerConfig {
        &self.config
    }
}

//! The storage manager: LMCache's calls by LMCache's names.

use std::time::Duration;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::format::model::{MemoryLayoutDesc, ObjectKey, PrefetchTaskSpec, WriteMode};
use crate::storage::config::StorageManagerConfig;
use crate::storage::eviction_controller::{EvictionPass, L1EvictionController};
use crate::storage::hook::{CallHook, Effect, Hooked, HookedCall};
use crate::storage::l1::{KeyCodes, L1Error, L1Manager, WriteRequest, WriterTag};
use crate::storage::lease::{ReadContext, ReadObjects, WriteReservation};
use crate::storage::prefetch::{PrefetchController, PrefetchHandle, PrefetchResult};
use crate::storage::status::{PrefetchStatus, StorageManagerStats, StorageManagerStatus};
use crate::sync::{Arc, OnceLock};

/// Which L1 manager of a storage manager; they are numbered from 0, in the order of the configuration.
pub type L1ManagerId = u32;

/// The only L1 manager.
const L1_ID: L1ManagerId = 0;

/// LMCache's `StorageManager`. All calls can be made from any thread, and those on keys are atomic: nobody
/// sees half of a call's keys done.
///
/// Every call answers as LMCache 0.5.6 does, key by key, with the same addresses and the same victims. What a
/// call says of its keys is in its [`KeyCodes`]; LMCache publishes the same as events.
#[derive(Debug)]
pub struct StorageManager {
    config: StorageManagerConfig,
    l1: Arc<L1Manager>,
    eviction: L1EvictionController,
    prefetch: PrefetchController,
    hook: OnceLock<Arc<dyn CallHook>>,
}

impl StorageManager {
    /// A manager on the system's clock, with a thread that evicts once a second.
    ///
    /// # Errors
    /// Those of [`Self::with_clock`], and if the system gives no thread.
    pub fn new(config: StorageManagerConfig) -> Result<Self> {
        let manager = Self::with_clock(config, Clock::system())?;
        manager.eviction.start()?;
        Ok(manager)
    }

    /// A manager on `clock`, without any thread: locks expire by that clock, and whoever moves it calls
    /// [`Self::evict_l1_once`] once a second of it.
    ///
    /// # Errors
    /// If the configuration has not exactly one L1 manager, or one that [`L1Manager::new`] refuses.
    pub fn with_clock(config: StorageManagerConfig, clock: Clock) -> Result<Self> {
        let [l1_config] = config.l1_managers.as_slice() else {
            return Err(Error::unsupported("this build runs exactly one L1 manager")
                .with_context("l1_managers", config.l1_managers.len()));
        };
        let l1 = Arc::new(L1Manager::new(l1_config.clone(), clock.clone())?);
        let eviction = L1EvictionController::new(Arc::clone(&l1));
        let prefetch = PrefetchController::new(Arc::clone(&l1), clock);
        Ok(Self { config, l1, eviction, prefetch, hook: OnceLock::new() })
    }

    /// Lets `hook` see the calls from now on, for as long as the manager lives.
    ///
    /// # Errors
    /// If there is a hook already.
    pub fn attach_hook(&self, hook: Arc<dyn CallHook>) -> Result<()> {
        let taken = Error::invalid("the storage manager has a hook already")
            .with_hint("a recorder that is switched off costs one load a call: leave it attached");
        self.hook.set(hook).map_err(|_| taken)
    }

    /// Reserves a buffer of `layout` for each of `keys` that is neither stored nor being written. The buffers
    /// of one call come from one batch: if they do not all fit, none of them is given, and the keys are
    /// [`L1Error::OutOfMemory`].
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
        let hooked = Hooked::begin(self.hook.get(), || HookedCall::ReserveWrite { keys, layout });
        let size_bytes = layout.size_bytes();
        let request = WriteRequest { size_bytes, is_temporary: false, tag: WriterTag::StorageManager, mode };
        let reserved = self.l1.reserve_write(keys, request);
        hooked.end_with(&reserved, |(codes, _)| {
            let effect = Effect::of_codes(codes);
            Effect { bytes: effect.hit_keys as u64 * size_bytes, ..effect }
        });
        let (codes, spans) = reserved?;
        Ok(WriteReservation::new(Arc::clone(self.l1.arena()), codes, spans))
    }

    /// Makes what was reserved and written readable: [`L1Error::KeyNotExist`] for a key that was not
    /// reserved, [`L1Error::KeyInWrongState`] for one whose reservation ran out.
    ///
    /// # Errors
    /// If the manager is closed.
    pub fn finish_write(&self, keys: &[ObjectKey]) -> Result<KeyCodes> {
        let hooked = Hooked::begin(self.hook.get(), || HookedCall::FinishWrite(keys));
        let finished = self.finish_write_unseen(keys);
        hooked.end_with(&finished, Effect::of_codes);
        finished
    }

    fn finish_write_unseen(&self, keys: &[ObjectKey]) -> Result<KeyCodes> {
        self.l1.check_open()?;
        Ok(self.l1.finish_write(keys, WriterTag::StorageManager))
    }

    /// [`Self::finish_write`] for keys grouped by the L1 manager that they were reserved in. Returns the codes
    /// group by group.
    ///
    /// # Errors
    /// If an L1 manager does not exist (nothing is finished then), or the manager is closed.
    pub fn finish_write_by_owner(&self, groups: &[(L1ManagerId, &[ObjectKey])]) -> Result<Vec<KeyCodes>> {
        if let Some((owner, _)) = groups.iter().find(|(owner, _)| *owner != L1_ID) {
            return Err(Error::invalid("a write completion names an L1 manager that does not exist")
                .with_context("l1_manager", owner));
        }
        // One call, as LMCache traces it: the keys of all groups.
        let keys = || groups.iter().flat_map(|(_, keys)| *keys).cloned().collect::<Vec<_>>();
        let all_keys = self.hook.get().map(|_| keys()).unwrap_or_default();
        let hooked = Hooked::begin(self.hook.get(), || HookedCall::FinishWrite(&all_keys));
        let finished: Result<Vec<_>> =
            groups.iter().map(|(_, keys)| self.finish_write_unseen(keys)).collect();
        hooked.end_with(&finished, |groups| groups.iter().map(Effect::of_codes).sum());
        finished
    }

    /// Looks up, locks and touches the keys of `spec`; see [`crate::storage::prefetch`]. It puts up with
    /// requests from old traces that LMCache 0.5.6 refuses to build: a caller that makes its own asks
    /// [`validate_spec`](crate::storage::prefetch::validate_spec) first.
    ///
    /// `skip_l2` asks for L1 alone, which is all that this build has: the result is there on return.
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
        let submitted = self.l1.check_open().map(|()| self.prefetch.submit(spec, external_request_id));
        hooked.end_with(&submitted, |handle| handle.effect(spec));
        submitted
    }

    /// The result of a prefetch, the first time that it is asked for; `None` ever after.
    pub fn query_prefetch_status(&self, handle: &PrefetchHandle) -> Option<PrefetchResult> {
        handle.take_result()
    }

    /// Whether the result of a prefetch is there to be asked for, after at most `timeout`. A prefetch on L1
    /// alone is complete once submitted, so this never waits, not even for a result that was taken already,
    /// for which LMCache waits in vain.
    pub fn wait_prefetch_status(&self, handle: &PrefetchHandle, timeout: Duration) -> bool {
        let _ = timeout;
        handle.has_result()
    }

    /// Begins to read what a prefetch locked. The objects are there if all of `keys` can be read.
    pub fn read_prefetched_results(&self, keys: &[ObjectKey]) -> ReadContext {
        let hooked = Hooked::begin(self.hook.get(), || HookedCall::ReadEnter(keys));
        let context = ReadContext::enter(Arc::clone(&self.l1), keys, self.hook.get().cloned());
        hooked.end(|| context.effect());
        context
    }

    /// Releases `read_locks` (clamped to 1..=128) on each of `keys`, for each time that it is named.
    pub fn finish_read_prefetched(&self, keys: &[ObjectKey], read_locks: i64) -> KeyCodes {
        let hooked = Hooked::begin(self.hook.get(), || HookedCall::FinishRead { keys, read_locks });
        let codes = self.l1.finish_read(keys, read_locks);
        hooked.end(|| Effect::of_codes(&codes));
        codes
    }

    /// Counts `keys` as used, so that they are evicted later.
    pub fn touch_l1_keys(&self, keys: &[ObjectKey]) {
        self.l1.touch_keys(&keys.iter().collect::<Vec<_>>());
    }

    /// Deletes `keys` from L1; with `force`, even what is being read or written. Returns how many were deleted
    /// and how many were locked. A key that is named twice counts by its last outcome, as in LMCache.
    pub fn delete_l1_keys(&self, keys: &[ObjectKey], force: bool) -> (usize, usize) {
        let codes = self.l1.delete(keys, force);
        let outcomes = codes.per_distinct_key(keys);
        let count = |code| outcomes.iter().filter(|(_, other)| *other == code).count();
        (count(L1Error::Success), count(L1Error::KeyIsLocked))
    }

    /// Reads what is read-locked already, without taking a lock.
    pub fn unsafe_read(&self, keys: &[ObjectKey]) -> ReadObjects {
        let (codes, spans) = self.l1.unsafe_read(keys);
        ReadObjects::new(Arc::clone(self.l1.arena()), codes, spans)
    }

    /// Deletes everything that is not locked; with `force`, everything.
    pub fn clear(&self, force: bool) {
        self.l1.clear(force);
    }

    /// Whether the allocator's books are right.
    pub fn memcheck(&self) -> bool {
        self.l1.memcheck()
    }

    /// One eviction pass, on the caller's thread.
    pub fn evict_l1_once(&self) -> EvictionPass {
        self.eviction.evict_once()
    }

    /// Used and usable bytes of L1.
    pub fn get_l1_usage(&self) -> (u64, u64) {
        self.l1.get_memory_usage()
    }

    /// The L1 manager.
    pub fn l1_manager(&self) -> &L1Manager {
        &self.l1
    }

    /// The configuration.
    pub fn config(&self) -> &StorageManagerConfig {
        &self.config
    }

    /// What LMCache reports. Looks at every object.
    pub fn report_status(&self) -> StorageManagerStatus {
        let (l1, eviction) = (self.l1.report_status(), self.eviction.report_status());
        let tag = self.l1.config().tag.clone();
        let prefetch_controller = PrefetchStatus {
            is_healthy: true,
            max_in_flight: self.config.prefetch_max_in_flight,
            completed_results_count: self.prefetch.completed_results_count(),
            num_l2_adapters: 0,
        };
        StorageManagerStatus {
            is_healthy: l1.is_healthy && eviction.is_healthy,
            l1_managers: [(tag.clone(), l1.clone())].into(),
            l1_eviction_controllers: [(tag, eviction.clone())].into(),
            prefetch_controller,
            num_l2_adapters: 0,
            l1_usage: (l1.memory_used_bytes, l1.memory_total_bytes),
            l1_capacity_bytes_by_backend: l1.capacity_bytes_by_backend.clone(),
            l1_manager: l1,
            l1_eviction_controller: eviction,
        }
    }

    /// Counters since the start. Cheap, unlike [`Self::report_status`].
    pub fn stats(&self) -> StorageManagerStats {
        let eviction = self.eviction.report_status();
        StorageManagerStats {
            evicted_keys: eviction.evicted_keys,
            eviction_passes: eviction.passes,
            triggered_eviction_passes: eviction.triggered_passes,
            allocation_failures: self.l1.allocation_failures(),
        }
    }

    /// Stops the eviction thread and drops all objects. Calls that would add something fail from then on; the
    /// others find nothing. Closing twice does no harm.
    ///
    /// # Errors
    /// If the eviction thread had panicked.
    pub fn close(&self) -> Result<()> {
        self.l1.close();
        self.eviction.stop()
    }
}

//! Building a storage manager: L1s, controllers, adapters, threads, in this order.

use crate::clock::Clock;
use crate::device::PageRegistrar;
use crate::error::{Error, Result};
use crate::storage::agent::{Agent, Mailbox};
use crate::storage::config::{Compat, L1ManagerConfig, PrefetchPolicy, StorageManagerConfig};
use crate::storage::device::Transfers;
use crate::storage::events::Events;
use crate::storage::l1::L1Manager;
use crate::storage::l1_eviction::L1EvictionController;
use crate::storage::l2::Adapters;
use crate::storage::l2::factory::{self, AdapterFactory};
use crate::storage::l2_eviction::L2EvictionController;
use crate::storage::layouts::LayoutBook;
use crate::storage::manager::{FactoryBox, L1Unit, StorageManager};
use crate::storage::memory::{PinWarning, Pinning};
use crate::storage::prefetch::{PrefetchController, PrefetchSettings, Tiers};
use crate::storage::quota::QuotaManager;
use crate::storage::reader::Reader;
use crate::storage::store::controller::StoreSettings;
use crate::storage::store::lane::MAX_TASKS;
use crate::storage::store::{Message, StoreCounters, StoreFlow};
use crate::storage::striped::Striped;
use crate::storage::writes::WriteEnd;
use crate::sync::atomic::AtomicU64;
use crate::sync::{Arc, Mutex, OnceLock};

const NS_PER_MS: u64 = 1_000_000;

/// A storage manager in the making.
pub struct StorageManagerBuilder {
    config: StorageManagerConfig,
    clock: Clock,
    is_threaded: bool,
    in_turn: bool,
    factory: Arc<AdapterFactory>,
    registrar: Option<Arc<dyn PageRegistrar>>,
    warning: Option<PinWarning>,
}

impl std::fmt::Debug for StorageManagerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StorageManagerBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

impl StorageManager {
    /// A manager on the system's clock, with threads that evict and that serve L2.
    ///
    /// # Errors
    /// Those of [`StorageManagerBuilder::build`].
    pub fn new(config: StorageManagerConfig) -> Result<Self> {
        StorageManagerBuilder::new(config).build()
    }

    /// A manager on `clock`, without any thread: locks expire by that clock, whoever moves it calls
    /// [`Self::evict_l1_once`] once a second of it, and [`Self::pump`] does the work of L2.
    ///
    /// # Errors
    /// Those of [`StorageManagerBuilder::build`].
    pub fn with_clock(config: StorageManagerConfig, clock: Clock) -> Result<Self> {
        StorageManagerBuilder::new(config).without_threads(clock).build()
    }
}

impl StorageManagerBuilder {
    /// A manager on the system's clock, with threads.
    pub fn new(config: StorageManagerConfig) -> Self {
        Self {
            config,
            clock: Clock::system(),
            is_threaded: true,
            in_turn: false,
            factory: Arc::new(factory::create),
            registrar: None,
            warning: None,
        }
    }

    /// A manager on `clock`, whose controllers have no threads: [`StorageManager::pump`] does their work. Adapters
    /// may have threads all the same.
    #[must_use]
    pub fn without_threads(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self.is_threaded = false;
        self
    }

    /// Has L2 leave the same however fast its adapters are: each gets one store at a time, so that it books objects in the
    /// order in which they were written; and what they answer is taken in when all have answered, in a fixed order.
    #[must_use]
    pub fn in_turn(mut self) -> Self {
        self.in_turn = true;
        self
    }

    /// Makes adapters by `factory`: for a host that brings adapters of its own. It can leave those that it does not
    /// know to [`factory::create`].
    #[must_use]
    pub fn adapter_factory(mut self, factory: Arc<AdapterFactory>) -> Self {
        self.factory = factory;
        self
    }

    /// Pins the memory of every L1 by `registrar`, whatever the configuration says of that: as LMCache does where it finds CUDA. It is
    /// held until the last buffer is gone. What it refuses is used unpinned: the status of each L1 says so.
    #[must_use]
    pub fn page_registrar(mut self, registrar: Arc<dyn PageRegistrar>) -> Self {
        self.registrar = Some(registrar);
        self
    }

    /// Has `warning` be told, in one sentence, when memory of an L1 cannot be pinned: once an L1, within [`Self::build`] or later on the
    /// thread that makes it grow. It must not call the manager.
    #[must_use]
    pub fn pin_warning(mut self, warning: PinWarning) -> Self {
        self.warning = Some(warning);
        self
    }

    /// Builds it.
    ///
    /// # Errors
    /// Those of [`StorageManagerConfig::check`]; if memory or threads cannot be had, or an adapter's store cannot be
    /// opened.
    pub fn build(self) -> Result<StorageManager> {
        self.config.check()?;
        let events = Events::default();
        let l1s = self.l1s(&events)?;
        let adapters: Arc<Adapters> = Arc::default();
        let task_ids: Arc<AtomicU64> = Arc::default();
        let layouts: Arc<LayoutBook> = Arc::default();
        let units: Vec<L1Unit> = l1s
            .iter()
            .enumerate()
            .map(|(position, l1)| self.unit(position, l1, &adapters, &events, &task_ids, &layouts))
            .collect();
        let quotas: Arc<QuotaManager> = Arc::default();
        for (salt, bytes) in &self.config.quotas {
            quotas.set_quota(salt, *bytes);
        }
        let compat = self.config.compat;
        let reader = Reader { l1s: Arc::clone(&l1s), events: events.clone(), compat };
        let write_end = WriteEnd {
            l1s: units.iter().map(|unit| (Arc::clone(&unit.l1), Arc::clone(unit.store.mailbox()))).collect(),
            adapters: Arc::clone(&adapters),
            events: events.clone(),
        };
        let write_end = Arc::new(write_end);
        let manager = StorageManager {
            transfers: Transfers::new(reader.clone(), Arc::clone(&write_end)),
            write_end,
            prefetch: self.prefetch(l1s, &adapters, &events, task_ids),
            units,
            adapters,
            l2_eviction: L2EvictionController::new(Arc::clone(&quotas), events.clone(), compat),
            quotas,
            layouts,
            events,
            readers: Striped::new(|_| Arc::new(reader.clone())),
            hook: OnceLock::new(),
            factory: FactoryBox(self.factory),
            clock: self.clock,
            is_threaded: self.is_threaded,
            lifecycle: Mutex::default(),
            config: self.config,
        };
        if manager.is_threaded {
            manager.units.iter().try_for_each(|unit| unit.eviction.start())?;
        }
        for (position, config) in manager.config.l2_adapters.iter().enumerate() {
            let named = |error: Error| error.with_context("l2_adapter", format!("#{}", position + 1));
            manager.add_l2_adapter(config.clone()).map_err(named)?;
        }
        Ok(manager)
    }

    fn l1s(&self, events: &Events) -> Result<Arc<[Arc<L1Manager>]>> {
        let l1 = |config: &L1ManagerConfig| {
            let (clock, compat) = (self.clock.clone(), self.config.compat);
            let pinning = self.pinning(&config.tag);
            L1Manager::with_pinning(config.clone(), clock, compat, events.clone(), pinning).map(Arc::new)
        };
        let l1s: Result<Vec<_>> = self.config.l1_managers.iter().map(l1).collect();
        Ok(l1s?.into())
    }

    fn pinning(&self, tag: &str) -> Pinning {
        let warning = self.warning.clone().map(|warning| -> PinWarning {
            let tag = tag.to_owned();
            Arc::new(move |sentence| warning(&format!("L1 {tag}: {sentence}")))
        });
        Pinning { registrar: self.registrar.clone(), warning }
    }

    fn unit(
        &self,
        position: usize,
        l1: &Arc<L1Manager>,
        adapters: &Arc<Adapters>,
        events: &Events,
        task_ids: &Arc<AtomicU64>,
        layouts: &Arc<LayoutBook>,
    ) -> L1Unit {
        let mailbox: Arc<Mailbox<Message>> = Arc::default();
        let store_counters: Arc<StoreCounters> = Arc::default();
        let settings = StoreSettings {
            policy: self.config.store_policy,
            config: self.config.store,
            compat: self.config.compat,
            in_turn: self.in_turn,
            max_tasks: match (self.in_turn, self.config.compat) {
                (true, _) => 1,
                (false, Compat::Native) => MAX_TASKS,
                (false, Compat::Lmcache) => usize::MAX,
            },
        };
        let flow = StoreFlow::new(
            (position, Arc::clone(l1)),
            Arc::clone(adapters),
            Arc::clone(&mailbox),
            self.clock.clone(),
            events.clone(),
            settings,
            Arc::clone(&store_counters),
            Arc::clone(task_ids),
            Arc::clone(layouts),
        );
        L1Unit {
            l1: Arc::clone(l1),
            eviction: L1EvictionController::new(Arc::clone(l1), events.clone()),
            store: Agent::new(mailbox, flow),
            store_counters,
        }
    }

    fn prefetch(
        &self,
        l1s: Arc<[Arc<L1Manager>]>,
        adapters: &Arc<Adapters>,
        events: &Events,
        task_ids: Arc<AtomicU64>,
    ) -> PrefetchController {
        let tiers = Tiers {
            l1s,
            compat: self.config.compat,
            retains: self.config.prefetch_policy == PrefetchPolicy::Retain,
            clock: self.clock.clone(),
            events: events.clone(),
        };
        let settings = PrefetchSettings {
            max_in_flight: self.config.prefetch_max_in_flight,
            timeout_ns: self.config.prefetch.timeout_ms.map(|ms| ms.saturating_mul(NS_PER_MS)),
            in_turn: self.in_turn,
        };
        PrefetchController::new(tiers, Arc::clone(adapters), task_ids, settings)
    }
}

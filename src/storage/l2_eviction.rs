//! When L2 evicts: LMCache's `L2EvictionController`, one for all adapters.
//!
//! An adapter with a capacity evicts like L1: from the watermark on, a share of its keys. One whose policy keeps
//! tenants apart looks at each tenant's quota instead; a tenant without a quota may have nothing.

use std::time::Duration;

use serde::Serialize;

use crate::error::Result;
use crate::format::model::ObjectKey;
use crate::storage::config::{Compat, EvictionConfig, EvictionPolicyKind};
use crate::storage::events::{Event, Events};
use crate::storage::eviction::{self, Demand, EvictionPolicy};
use crate::storage::l2::{AdapterEntry, L2AdapterId, L2Listener};
use crate::storage::quota::QuotaManager;
use crate::storage::ticker::{Ticker, Waker};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, OnceLock, lock};

/// The pause between two passes of the background thread.
const PERIOD: Duration = Duration::from_secs(1);

/// The keys of an adapter in the order in which they go.
#[derive(Debug)]
pub(super) struct KeyOrder {
    policy: Mutex<Box<dyn EvictionPolicy>>,
    /// Wakes the eviction thread when the adapter has become full. Not as LMCache, which waits for its second.
    waker: OnceLock<Waker>,
}

impl KeyOrder {
    /// The empty order of a policy.
    pub(super) fn new(kind: EvictionPolicyKind, compat: Compat) -> Arc<Self> {
        let policy = Mutex::new(eviction::create(kind, compat));
        Arc::new(Self { policy, waker: OnceLock::new() })
    }
}

impl L2Listener for KeyOrder {
    fn on_l2_keys_stored(&self, keys: &[(ObjectKey, u64)]) {
        let keys: Vec<&ObjectKey> = keys.iter().map(|(key, _)| key).collect();
        lock(&self.policy).on_keys_created(&keys);
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }

    fn on_l2_keys_accessed(&self, keys: &[ObjectKey]) {
        lock(&self.policy).on_keys_touched(&keys.iter().collect::<Vec<_>>());
    }

    fn on_l2_keys_deleted(&self, keys: &[(ObjectKey, u64)]) {
        let keys: Vec<&ObjectKey> = keys.iter().map(|(key, _)| key).collect();
        lock(&self.policy).on_keys_removed(&keys);
    }
}

/// An adapter that evicts.
#[derive(Debug)]
struct Evicting {
    entry: Arc<AdapterEntry>,
    order: Arc<KeyOrder>,
    config: EvictionConfig,
}

/// What LMCache reports of one adapter's eviction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct L2EvictionAdapterStatus {
    /// The policy's name.
    pub eviction_policy: &'static str,
    /// See [`EvictionConfig`].
    pub trigger_watermark: f64,
    /// See [`EvictionConfig`].
    pub eviction_ratio: f64,
    /// Share of the capacity in use; -1 without a capacity.
    pub current_usage: f64,
    /// Bytes in use.
    pub total_bytes_used: u64,
    /// Bytes that the adapter may use; 0 is no limit.
    pub total_capacity_bytes: u64,
    /// How many tenants have something.
    pub num_cache_salt_buckets: usize,
}

/// The fields of LMCache's `L2EvictionController.report_status()`, and a counter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct L2EvictionStatus {
    /// Whether the background thread, if one was started, is there.
    pub is_healthy: bool,
    /// Whether a background thread runs the passes.
    pub thread_alive: bool,
    /// The adapters that evict.
    pub adapters: Vec<L2EvictionAdapterStatus>,
    /// Objects that were deleted, since the start.
    pub evicted_keys: u64,
}

#[derive(Debug)]
struct Shared {
    adapters: Mutex<Vec<Arc<Evicting>>>,
    /// Held for a whole pass, deletions on disks included, which nobody who reads the list has to wait for.
    pass: Mutex<()>,
    quotas: Arc<QuotaManager>,
    events: Events,
    evicted_keys: AtomicU64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct L2EvictionController {
    shared: Arc<Shared>,
    ticker: Ticker,
    compat: Compat,
}

impl L2EvictionController {
    pub(super) fn new(quotas: Arc<QuotaManager>, events: Events, compat: Compat) -> Self {
        let (adapters, pass) = (Mutex::default(), Mutex::default());
        let shared = Shared { adapters, pass, quotas, events, evicted_keys: AtomicU64::new(0) };
        Self { shared: Arc::new(shared), ticker: Ticker::default(), compat }
    }

    /// Starts the thread that runs a pass every second of the wall clock.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(&self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        self.ticker.start("l2-eviction", PERIOD, move || drop(shared.evict_once()))
    }

    pub(super) fn stop(&self) -> Result<()> {
        self.ticker.stop()
    }

    /// Has an adapter evict in `order`, which hears of its keys.
    pub(super) fn add(&self, entry: Arc<AdapterEntry>, order: Arc<KeyOrder>, config: EvictionConfig) {
        if self.compat == Compat::Native {
            // Cannot have been set: an order is added once.
            let _ = order.waker.set(self.ticker.waker());
        }
        lock(&self.shared.adapters).push(Arc::new(Evicting { entry, order, config }));
    }

    /// Forgets an adapter, after the pass that may be under way.
    pub(super) fn remove(&self, id: L2AdapterId) {
        let _pass = lock(&self.shared.pass);
        lock(&self.shared.adapters).retain(|evicting| evicting.entry.id != id);
    }

    /// One pass over all adapters, on the caller's thread. Returns the victims of each adapter that has any, in the
    /// policy's order.
    pub(super) fn evict_once(&self) -> Vec<(L2AdapterId, Vec<ObjectKey>)> {
        self.shared.evict_once()
    }

    pub(super) fn report_status(&self) -> L2EvictionStatus {
        let adapters = lock(&self.shared.adapters).clone();
        let status = |evicting: &Arc<Evicting>| {
            let usage = evicting.entry.adapter.ledger().usage();
            L2EvictionAdapterStatus {
                eviction_policy: evicting.config.policy.name(),
                trigger_watermark: evicting.config.trigger_watermark,
                eviction_ratio: evicting.config.eviction_ratio,
                current_usage: usage.usage_fraction().unwrap_or(-1.0),
                total_bytes_used: usage.total_bytes_used,
                total_capacity_bytes: usage.total_capacity_bytes,
                num_cache_salt_buckets: usage.bytes_by_cache_salt.len(),
            }
        };
        let adapters = adapters.iter().map(status).collect();
        L2EvictionStatus {
            is_healthy: !self.ticker.is_missing(),
            thread_alive: self.ticker.thread_alive(),
            adapters,
            // Relaxed: a counter that orders nothing.
            evicted_keys: self.shared.evicted_keys.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    fn evict_once(&self) -> Vec<(L2AdapterId, Vec<ObjectKey>)> {
        // An adapter that is removed is idle here before it is closed.
        let _pass = lock(&self.pass);
        let adapters = lock(&self.adapters).clone();
        let passes = adapters.iter().map(|evicting| (evicting.entry.id, self.evict(evicting)));
        passes.filter(|(_, victims)| !victims.is_empty()).collect()
    }

    fn evict(&self, evicting: &Evicting) -> Vec<ObjectKey> {
        let victims = if evicting.config.policy == EvictionPolicyKind::IsolatedLru {
            self.victims_by_salt(evicting)
        } else {
            Self::victims(evicting)
        };
        if victims.is_empty() {
            return victims;
        }
        let deleted_count = evicting.entry.adapter.delete(&victims);
        // Relaxed: a counter that orders nothing.
        self.evicted_keys.fetch_add(deleted_count as u64, Ordering::Relaxed);
        self.events.publish_l2(|| Event::L2KeysEvicted {
            adapter_index: evicting.entry.id,
            keys: &victims,
            deleted_count,
        });
        victims
    }

    fn victims(evicting: &Evicting) -> Vec<ObjectKey> {
        let usage = evicting.entry.adapter.ledger().usage_fraction();
        if usage.is_none_or(|usage| usage < evicting.config.trigger_watermark) {
            return Vec::new();
        }
        let demand = Demand::Ratio(evicting.config.eviction_ratio);
        let victims = lock(&evicting.order.policy).victims(demand, None, &|_| true);
        // Only a policy that keeps tenants apart can fail, and it is not asked here.
        victims.unwrap_or_default()
    }

    fn victims_by_salt(&self, evicting: &Evicting) -> Vec<ObjectKey> {
        let mut all = Vec::new();
        for (salt, bytes) in evicting.entry.adapter.ledger().usage().bytes_by_cache_salt {
            let limit_bytes = self.quotas.get_limit_bytes(&salt);
            if (bytes as f64) < evicting.config.trigger_watermark * limit_bytes as f64 {
                continue;
            }
            let ratio = if limit_bytes == 0 { 1.0 } else { evicting.config.eviction_ratio };
            let victims = lock(&evicting.order.policy).victims(Demand::Ratio(ratio), Some(&salt), &|_| true);
            all.extend(victims.unwrap_or_default());
        }
        all
    }
}

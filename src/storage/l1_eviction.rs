//! When L1 evicts: once a second, and when an allocation wakes it, if it is fuller than the watermark.

use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::format::model::ObjectKey;
use crate::storage::config::EvictionConfig;
use crate::storage::events::{Event, Events};
use crate::storage::l1::{L1Error, L1Manager};
use crate::storage::ticker::Ticker;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// The pause between two passes of the background thread.
const PERIOD: Duration = Duration::from_secs(1);

/// What one pass saw and did.
#[derive(Debug)]
pub struct EvictionPass {
    /// Bytes in use before the pass.
    pub used_bytes: u64,
    /// Bytes that can be used.
    pub total_bytes: u64,
    /// Whether use was not below the watermark.
    pub triggered: bool,
    /// The policy's victims in its order, each with the outcome of its deletion; or why the policy could not
    /// choose.
    pub victims: Result<Vec<(ObjectKey, L1Error)>>,
}

/// The fields of LMCache's `L1EvictionController.report_status()`, and the counters behind [`EvictionPass`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvictionStatus {
    /// Whether the last pass could do its work and the background thread, if one was started, is there.
    pub is_healthy: bool,
    /// Whether a background thread runs the passes.
    pub thread_alive: bool,
    /// The policy's name.
    pub eviction_policy: &'static str,
    /// A pass evicts when the used share is not below this.
    pub trigger_watermark: f64,
    /// The share of the keys that one pass evicts.
    pub eviction_ratio: f64,
    /// Passes so far.
    pub passes: u64,
    /// Passes that found L1 above the watermark.
    pub triggered_passes: u64,
    /// Passes that evicted nothing because the policy could not choose.
    pub failed_passes: u64,
    /// Objects that passes deleted.
    pub evicted_keys: u64,
    /// Why the last pass that triggered evicted nothing, if the policy failed.
    pub last_error: Option<String>,
}

/// LMCache's `L1EvictionController`. A policy that fails ends LMCache's thread for good; here the pass
/// reports the failure and the next one tries again. LMCache looks once a second; ours is woken, besides, when an
/// allocation reaches the watermark.
#[derive(Debug)]
pub struct L1EvictionController {
    shared: Arc<Shared>,
    ticker: Ticker,
}

#[derive(Debug)]
struct Shared {
    l1: Arc<L1Manager>,
    config: EvictionConfig,
    events: Events,
    passes: AtomicU64,
    triggered_passes: AtomicU64,
    failed_passes: AtomicU64,
    evicted_keys: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl L1EvictionController {
    /// A controller for `l1`, by the settings of its configuration. It does nothing by itself.
    pub fn new(l1: Arc<L1Manager>, events: Events) -> Self {
        let config = l1.config().eviction.clone();
        let shared = Shared {
            l1,
            config,
            events,
            passes: AtomicU64::new(0),
            triggered_passes: AtomicU64::new(0),
            failed_passes: AtomicU64::new(0),
            evicted_keys: AtomicU64::new(0),
            last_error: Mutex::new(None),
        };
        Self { shared: Arc::new(shared), ticker: Ticker::default() }
    }

    /// Starts the thread that runs a pass every second of the wall clock.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(&self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        self.ticker.start("l1-eviction", PERIOD, move || drop(shared.evict_once()))?;
        self.shared.l1.wake_at_watermark(self.ticker.waker());
        Ok(())
    }

    /// Stops the thread, if there is one: at once, or after the pass that it is in.
    ///
    /// # Errors
    /// If the thread had panicked.
    pub fn stop(&self) -> Result<()> {
        self.ticker.stop()
    }

    /// One pass, on the caller's thread.
    pub fn evict_once(&self) -> EvictionPass {
        self.shared.evict_once()
    }

    /// Whether a pass would evict now.
    pub fn is_at_watermark(&self) -> bool {
        let (used_bytes, total_bytes) = self.shared.l1.get_memory_usage();
        Shared::usage(used_bytes, total_bytes) >= self.shared.config.trigger_watermark
    }

    /// Objects that passes deleted so far.
    pub fn evicted_keys(&self) -> u64 {
        // Relaxed: a counter that orders nothing.
        self.shared.evicted_keys.load(Ordering::Relaxed)
    }

    /// What the controller says of itself.
    pub fn report_status(&self) -> EvictionStatus {
        let shared = &self.shared;
        let last_error = lock(&shared.last_error).clone();
        EvictionStatus {
            is_healthy: last_error.is_none() && !self.ticker.is_missing(),
            thread_alive: self.ticker.thread_alive(),
            eviction_policy: shared.config.policy.name(),
            trigger_watermark: shared.config.trigger_watermark,
            eviction_ratio: shared.config.eviction_ratio,
            // Relaxed, here and below: counters that order nothing.
            passes: shared.passes.load(Ordering::Relaxed),
            triggered_passes: shared.triggered_passes.load(Ordering::Relaxed),
            failed_passes: shared.failed_passes.load(Ordering::Relaxed),
            evicted_keys: self.evicted_keys(),
            last_error,
        }
    }
}

impl Shared {
    /// The share that is used.
    fn usage(used_bytes: u64, total_bytes: u64) -> f64 {
        if total_bytes == 0 { 0.0 } else { used_bytes as f64 / total_bytes as f64 }
    }

    fn evict_once(&self) -> EvictionPass {
        let (used_bytes, total_bytes) = self.l1.get_memory_usage();
        let usage = Self::usage(used_bytes, total_bytes);
        let is_below = usage < self.config.trigger_watermark;
        let victims = if is_below { Ok(Vec::new()) } else { self.l1.evict(&self.config) };
        // Relaxed: counters that order nothing.
        self.passes.fetch_add(1, Ordering::Relaxed);
        if !is_below {
            self.triggered_passes.fetch_add(1, Ordering::Relaxed);
            *lock(&self.last_error) = victims.as_ref().err().map(Error::to_string);
        }
        match &victims {
            Ok(victims) => self.count(victims),
            Err(_) => drop(self.failed_passes.fetch_add(1, Ordering::Relaxed)),
        }
        self.events.publish(|| Event::L1EvictionLoopTick {
            l1_tag: &self.l1.config().tag,
            usage,
            watermark: self.config.trigger_watermark,
            triggered: !is_below,
        });
        EvictionPass { used_bytes, total_bytes, triggered: !is_below, victims }
    }

    fn count(&self, victims: &[(ObjectKey, L1Error)]) {
        let deleted = victims.iter().filter(|(_, code)| *code == L1Error::Success);
        // Relaxed: a counter that orders nothing.
        self.evicted_keys.fetch_add(deleted.count() as u64, Ordering::Relaxed);
    }
}

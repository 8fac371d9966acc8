//! When L1 evicts: once a second, if it is fuller than the watermark.

use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::format::model::ObjectKey;
use crate::storage::config::EvictionConfig;
use crate::storage::l1::{L1Error, L1Manager};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Mutex, lock};

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
    /// Objects that passes deleted.
    pub evicted_keys: u64,
    /// Why the last pass that triggered evicted nothing, if the policy failed.
    pub last_error: Option<String>,
}

/// LMCache's `L1EvictionController`. A policy that fails ends LMCache's thread for good; here the pass
/// reports the failure and the next one tries again.
#[derive(Debug)]
pub struct L1EvictionController {
    shared: Arc<Shared>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    l1: Arc<L1Manager>,
    config: EvictionConfig,
    stopped: Mutex<bool>,
    wake: Condvar,
    was_started: AtomicBool,
    passes: AtomicU64,
    triggered_passes: AtomicU64,
    evicted_keys: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl L1EvictionController {
    /// A controller for `l1`, by the settings of its configuration. It does nothing by itself.
    pub fn new(l1: Arc<L1Manager>) -> Self {
        let config = l1.config().eviction.clone();
        let shared = Shared {
            l1,
            config,
            stopped: Mutex::new(false),
            wake: Condvar::new(),
            was_started: AtomicBool::new(false),
            passes: AtomicU64::new(0),
            triggered_passes: AtomicU64::new(0),
            evicted_keys: AtomicU64::new(0),
            last_error: Mutex::new(None),
        };
        Self { shared: Arc::new(shared), thread: Mutex::new(None) }
    }

    /// Starts the thread that runs a pass every second of the wall clock.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(&self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name("l1-eviction".to_owned())
            .spawn(move || shared.run())
            .map_err(|error| Error::io("cannot start the eviction thread", error))?;
        *lock(&self.thread) = Some(thread);
        // Relaxed: only `report_status` reads it.
        self.shared.was_started.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Stops the thread, if there is one: at once, or after the pass that it is in.
    ///
    /// # Errors
    /// If the thread had panicked.
    pub fn stop(&self) -> Result<()> {
        *lock(&self.shared.stopped) = true;
        self.shared.wake.notify_all();
        match lock(&self.thread).take().map(std::thread::JoinHandle::join) {
            Some(Err(_)) => Err(Error::new(ErrorKind::Policy, "the eviction thread panicked")),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// One pass, on the caller's thread.
    pub fn evict_once(&self) -> EvictionPass {
        self.shared.evict_once()
    }

    /// Objects that passes deleted so far.
    pub fn evicted_keys(&self) -> u64 {
        // Relaxed: a counter that orders nothing.
        self.shared.evicted_keys.load(Ordering::Relaxed)
    }

    /// What the controller says of itself.
    pub fn report_status(&self) -> EvictionStatus {
        let shared = &self.shared;
        let thread_alive = lock(&self.thread).as_ref().is_some_and(|thread| !thread.is_finished());
        let last_error = lock(&shared.last_error).clone();
        // Relaxed, here and below: counters and a flag that order nothing.
        let is_missing = shared.was_started.load(Ordering::Relaxed) && !thread_alive;
        EvictionStatus {
            is_healthy: last_error.is_none() && !is_missing,
            thread_alive,
            eviction_policy: shared.config.policy.name(),
            trigger_watermark: shared.config.trigger_watermark,
            eviction_ratio: shared.config.eviction_ratio,
            passes: shared.passes.load(Ordering::Relaxed),
            triggered_passes: shared.triggered_passes.load(Ordering::Relaxed),
            evicted_keys: self.evicted_keys(),
            last_error,
        }
    }
}

impl Drop for L1EvictionController {
    fn drop(&mut self) {
        // A thread that panicked has said so on stderr; there is nobody left to tell.
        let _ = self.stop();
    }
}

impl Shared {
    fn run(&self) {
        let mut stopped = lock(&self.stopped);
        loop {
            // The lock is held for a store only, in which no thread panics; if one did, it is time to end.
            let Ok((guard, _)) = self.wake.wait_timeout_while(stopped, PERIOD, |stopped| !*stopped) else {
                return;
            };
            if *guard {
                return;
            }
            drop(guard);
            self.evict_once();
            stopped = lock(&self.stopped);
        }
    }

    fn evict_once(&self) -> EvictionPass {
        let (used_bytes, total_bytes) = self.l1.get_memory_usage();
        let is_below = (used_bytes as f64 / total_bytes as f64) < self.config.trigger_watermark;
        let victims = if is_below { Ok(Vec::new()) } else { self.l1.evict(self.config.eviction_ratio) };
        // Relaxed: counters that order nothing.
        self.passes.fetch_add(1, Ordering::Relaxed);
        if !is_below {
            self.triggered_passes.fetch_add(1, Ordering::Relaxed);
            *lock(&self.last_error) = victims.as_ref().err().map(Error::to_string);
        }
        if let Ok(victims) = &victims {
            let evicted = victims.iter().filter(|(_, code)| *code == L1Error::Success).count();
            self.evicted_keys.fetch_add(evicted as u64, Ordering::Relaxed);
        }
        EvictionPass { used_bytes, total_bytes, triggered: !is_below, victims }
    }
}

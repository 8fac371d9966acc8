//! The prefetch controller: takes requests, serves those that need no L2 at once, and hands the others to the flow.

use std::time::Duration;

use super::counters::PrefetchCounters;
use super::flow::{Flow, Message};
use super::grid::Grid;
use super::handle::{PrefetchHandle, PrefetchResult, ResultSlot, Unclaimed};
use super::journey::{JourneyEnd, Travel};
use super::request::{Request, Tiers, windows};
use crate::clock::monotonic_ns;
use crate::error::{Error, Result};
use crate::format::model::call::FULL_ATTENTION_WINDOW_CHUNKS;
use crate::format::model::{LockMode, PrefetchTaskSpec};
use crate::storage::agent::{Agent, Mailbox};
use crate::storage::config::Compat;
use crate::storage::l1::{KeyCodes, L1Error};
use crate::storage::l2::Adapters;
use crate::storage::status::PrefetchStatus;
use crate::storage::striped::Striped;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What LMCache refuses to build a `PrefetchTaskSpec` from: no rows, rows of different lengths, a window of 0
/// or below -1, less than one reader.
///
/// Whoever makes a request asks here first. Requests in old traces can have all of this, so
/// [`PrefetchController::submit`] puts up with it.
///
/// # Errors
/// The first of them, by name.
pub fn validate_spec(spec: &PrefetchTaskSpec) -> Result<()> {
    let Some(first) = spec.key_groups.first() else {
        return Err(Error::invalid("a prefetch needs at least one row of keys"));
    };
    for (row, group) in spec.key_groups.iter().enumerate() {
        if group.sliding_window_size == 0 || group.sliding_window_size < FULL_ATTENTION_WINDOW_CHUNKS {
            return Err(Error::invalid("a window must be -1 (full attention) or at least one chunk")
                .with_context("row", row)
                .with_context("window", group.sliding_window_size));
        }
        if group.keys.len() != first.keys.len() {
            return Err(Error::invalid("all rows of a prefetch must have the same number of keys")
                .with_context("row", row)
                .with_context("keys", group.keys.len())
                .with_context("keys of row 0", first.keys.len()));
        }
    }
    if spec.num_kv_readers < 1 {
        return Err(Error::invalid("a prefetch needs at least one reader")
            .with_context("num_kv_readers", spec.num_kv_readers));
    }
    Ok(())
}

/// What a prefetch controller is told.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct PrefetchSettings {
    /// As configured; below 1, nothing that needs L2 ever starts.
    pub(in crate::storage) max_in_flight: i64,
    /// How long a request may take.
    pub(in crate::storage) timeout_ns: Option<u64>,
    /// What is loaded becomes readable when all adapters have answered, in their order.
    pub(in crate::storage) in_turn: bool,
}

/// LMCache's `PrefetchController`.
#[derive(Debug)]
pub(in crate::storage) struct PrefetchController {
    tiers: Tiers,
    adapters: Arc<Adapters>,
    settings: PrefetchSettings,
    agent: Agent<Flow>,
    counters: Arc<PrefetchCounters>,
    next_request_id: AtomicU64,
    unclaimed_results: Striped<Arc<Unclaimed>>,
}

impl PrefetchController {
    /// A controller that has seen no request, without a thread.
    pub(in crate::storage) fn new(
        tiers: Tiers,
        adapters: Arc<Adapters>,
        next_task_id: Arc<AtomicU64>,
        settings: PrefetchSettings,
    ) -> Self {
        let mailbox: Arc<Mailbox<Message>> = Arc::default();
        let max_in_flight = usize::try_from(settings.max_in_flight).unwrap_or(0);
        let flow = Flow::new(
            tiers.clone(),
            Arc::clone(&adapters),
            Arc::clone(&mailbox),
            next_task_id,
            max_in_flight,
            settings.in_turn,
        );
        let counters = Arc::clone(&flow.counters);
        Self {
            tiers,
            adapters,
            settings,
            agent: Agent::new(mailbox, flow),
            counters,
            next_request_id: AtomicU64::new(0),
            unclaimed_results: Striped::new(|_| Arc::default()),
        }
    }

    /// Starts its thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(in crate::storage) fn start(&self) -> Result<()> {
        self.agent.start("l2-prefetch")
    }

    /// Runs a prefetch. It takes any `spec`: a row that is shorter than others counts as absent from there
    /// on, a window below 1 is full attention, and the number of readers is clamped to 1..=128.
    ///
    /// What needs no L2 is done when this returns: a request that skips it, any request without adapters, and, unless
    /// we are to be like LMCache, one of which L1 has all.
    pub(in crate::storage) fn submit(
        &self,
        spec: &PrefetchTaskSpec,
        external_request_id: &str,
        skip_l2: bool,
    ) -> PrefetchHandle {
        let submit_time_ns = self.tiers.clock.now_ns();
        // Relaxed: the number has to be unique, nothing more.
        let id = self.next_request_id.fetch_add(1, Ordering::Relaxed);
        let slot = Arc::new(ResultSlot::empty(self.unclaimed_results.mine()));
        let deadline_ns =
            self.settings.timeout_ns.map(|timeout_ns| submit_time_ns.saturating_add(timeout_ns));
        let needs_l2 = !skip_l2 && !self.adapters.is_empty();
        let locked = if needs_l2 && self.tiers.compat == Compat::Lmcache {
            None
        } else {
            self.lock_whole(spec, submit_time_ns)
        };
        if locked.as_ref().is_some_and(KeyCodes::all_succeeded) {
            let columns = spec.key_groups.first().map_or(0, |row| row.keys.len());
            let result = PrefetchResult::whole(spec.key_groups.len(), columns, spec.fetching_policy);
            slot.publish(result, self.tiers.clock.now_ns());
        } else {
            let mut request = Request::new(id, spec.clone(), Arc::clone(&slot), deadline_ns);
            if let Some(codes) = locked {
                let mut codes = codes.as_slice().iter();
                let is_locked = || codes.next() == Some(&L1Error::Success);
                request.l1_locked = vec![Grid::of_keys(request.rows(), request.columns, is_locked)];
            }
            self.serve_or_queue(request, needs_l2, submit_time_ns);
        }
        PrefetchHandle {
            prefetch_request_id: id,
            external_request_id: external_request_id.to_owned(),
            total_requested_keys: spec.key_groups.iter().map(|row| row.keys.len()).sum(),
            submit_time_ns,
            sliding_windows: windows(&spec.key_groups),
            result: slot,
        }
    }

    /// Locks the cells of a request of the usual kind: one L1, rows of one length with full attention, and locks to be
    /// kept. If L1 has all of them, they are the result, and count as used. What is locked of others stays locked.
    fn lock_whole(&self, spec: &PrefetchTaskSpec, now_ns: u64) -> Option<KeyCodes> {
        let [l1] = &*self.tiers.l1s else { return None };
        let columns = spec.key_groups.first()?.keys.len();
        let is_usual = columns > 0
            && spec.lock_mode == LockMode::Lock
            && spec.key_groups.iter().all(|row| {
                row.keys.len() == columns && row.sliding_window_size == FULL_ATTENTION_WINDOW_CHUNKS
            });
        let keys = spec.key_groups.iter().flat_map(|row| &row.keys);
        let cells = columns * spec.key_groups.len();
        is_usual.then(|| l1.reserve_read_whole(keys, cells, spec.num_kv_readers, now_ns))
    }

    fn serve_or_queue(&self, mut request: Request, needs_l2: bool, submit_time_ns: u64) {
        let is_locked = !request.l1_locked.is_empty();
        if !is_locked && (!needs_l2 || self.tiers.compat == Compat::Native) {
            request.lock_l1(&self.tiers);
        }
        let cells: usize = request.rows().iter().map(|row| row.keys.len()).sum();
        let serves_all = || request.locked_in_l1().popcount() == cells;
        // A request of which L1 has every cell needs no adapter; LMCache asks them all the same. The locks of the others
        // stay: what is there now is there when the request has its turn.
        if !needs_l2 || (self.tiers.compat == Compat::Native && serves_all()) {
            request.serve_from_l1(&self.tiers);
        } else {
            self.queue(request, submit_time_ns);
        }
    }

    fn queue(&self, mut request: Request, submit_time_ns: u64) {
        let slot = Arc::clone(&request.slot);
        let rows = request.loaded.clone();
        // A manual clock stands still while adapters work.
        let submitted_ns = if self.tiers.clock.is_system() { submit_time_ns } else { monotonic_ns() };
        request.travel = Some(Box::new(Travel::begin(&rows, submitted_ns)));
        if !self.agent.mailbox().send(Message::Submit(Box::new(request))) {
            // The manager was closed in between.
            let journey = Travel::begin(&rows, submitted_ns).end(JourneyEnd::Abandoned);
            slot.publish_nothing(&rows, self.tiers.clock.now_ns(), Some(journey));
        }
    }

    /// Gives a request up that nobody waits for any more. Its locks are released: at once if it is done and nobody
    /// took its result, else as soon as they can be.
    pub(in crate::storage) fn cancel(&self, handle: &PrefetchHandle) {
        if !handle.is_done() {
            self.agent.mailbox().send(Message::Cancel { request: handle.prefetch_request_id });
        }
    }

    /// Without a thread: does what there is to do, on the caller's. Returns whether there was anything.
    pub(in crate::storage) fn pump(&self) -> bool {
        self.agent.pump()
    }

    /// Without a thread: waits for a message, at most `wait`.
    pub(in crate::storage) fn wait_message(&self, wait: Duration) {
        self.agent.wait(wait);
    }

    /// Ends everything that is under way with a miss.
    ///
    /// # Errors
    /// If the thread had panicked.
    pub(in crate::storage) fn stop(&self) -> Result<()> {
        self.agent.stop()
    }

    /// What it says of itself.
    pub(in crate::storage) fn report_status(&self) -> PrefetchStatus {
        let adapters = self.adapters.snapshot();
        let draining = adapters.iter().filter(|entry| entry.is_draining()).count();
        let counters = &self.counters;
        PrefetchStatus {
            is_healthy: self.agent.is_healthy(),
            thread_alive: self.agent.thread_alive(),
            max_in_flight: self.settings.max_in_flight,
            submission_queue_size: self.agent.mailbox().len(),
            pending_queue_size: counters.pending(),
            in_flight_request_count: counters.in_flight(),
            lookup_phase_count: counters.looking_up(),
            load_phase_count: counters.in_flight().saturating_sub(counters.looking_up()),
            // Relaxed: a counter that orders nothing.
            completed_results_count: self
                .unclaimed_results
                .iter()
                .map(|count| count.0.load(Ordering::Relaxed))
                .sum(),
            num_l2_adapters: adapters.len(),
            num_active_adapters: adapters.len() - draining,
            num_draining_adapters: draining,
            given_up_request_count: counters.given_up(),
            shared_loads: counters.joined(),
            timed_out_requests: counters.timeouts(),
            cancelled_requests: counters.cancels(),
        }
    }
}

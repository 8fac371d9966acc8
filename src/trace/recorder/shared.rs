//! What the recording threads, the writer's thread and the host share.

use std::cell::Cell;
use std::fmt;

use crate::clock::TickSource;
use crate::error::Error;
use crate::format::native::schema::ThreadFacts;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Mutex, OnceLock, lock};
use crate::trace::recorder::lane::Lane;
use crate::trace::recorder::leftovers::Leftovers;
use crate::trace::recorder::options::FullPolicy;
use crate::trace::ring::Consumer;

/// Everything that outlives its threads.
pub(super) struct Shared {
    /// Whether calls are recorded. A word of its own: it is read at every call.
    gate: crossbeam::utils::CachePadded<AtomicBool>,
    gate_outside: OnceLock<&'static AtomicU32>,
    pub(super) source: TickSource,
    pub(super) full_policy: FullPolicy,
    pub(super) ring_bytes: usize,
    /// Tells recorders of one process apart.
    pub(super) id: u64,
    next_thread: AtomicU32,
    /// Rings that the writer has not seen yet.
    arrivals: Mutex<Vec<Arrival>>,
    has_arrivals: AtomicBool,
    /// Set when the writer takes no more: nobody waits for it then.
    is_over: AtomicBool,
    requests: Mutex<Requests>,
    answered: Condvar,
    pub(super) totals: Totals,
    leftovers: Leftovers,
    failure: Mutex<Option<Arc<Error>>>,
    pid: u32,
}

thread_local! {
    /// The recorder whose writer this thread is, or 0. Std's own name of a thread cannot be asked for while it ends, which is when some hosts
    /// close their recorders.
    static WRITES_FOR: Cell<u64> = const { Cell::new(0) };
}

/// A thread that begins to record.
pub(super) struct Arrival {
    pub(super) number: u32,
    pub(super) facts: ThreadFacts,
    pub(super) ring: Consumer,
    pub(super) losses: Arc<ThreadLosses>,
}

/// What a thread could not put into its ring.
#[derive(Debug, Default)]
pub(super) struct ThreadLosses {
    /// How many calls the thread had attempted when it last lost one, and when it ended.
    attempted: AtomicU64,
    /// Ticks at the last loss.
    last_ticks: AtomicU64,
}

impl ThreadLosses {
    pub(super) fn set(&self, attempted: u64, ticks: u64) {
        // Relaxed: the store below publishes it.
        self.last_ticks.store(ticks, Ordering::Relaxed);
        // Release: pairs with the Acquire in `attempted`: whoever sees this count sees, in the ring, every call
        // before it that was not lost.
        self.attempted.store(attempted, Ordering::Release);
    }

    /// To be read before the ring is looked at.
    pub(super) fn attempted(&self) -> u64 {
        // Acquire: pairs with the Release in `set`.
        self.attempted.load(Ordering::Acquire)
    }

    pub(super) fn last_ticks(&self) -> u64 {
        // Relaxed: `attempted` was read before.
        self.last_ticks.load(Ordering::Relaxed)
    }
}

/// Counts of the whole recording, for whoever asks while it runs.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) calls: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) completions: AtomicU64,
    pub(super) lost_completions: AtomicU64,
    /// Calls of threads that got no ring, and those that came after the writer's last look.
    pub(super) unrecorded: AtomicU64,
    pub(super) file_bytes: AtomicU64,
    pub(super) files: AtomicU64,
    pub(super) deleted_files: AtomicU64,
    pub(super) threads: AtomicU64,
}

/// What the host waits for.
#[derive(Debug, Default)]
struct Requests {
    flushes_asked: u64,
    flushes_done: u64,
    is_closing: bool,
}

/// What the writer is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) flush: Option<u64>,
    pub(super) is_closing: bool,
}

impl Shared {
    pub(super) fn new(
        source: TickSource,
        full_policy: FullPolicy,
        ring_bytes: usize,
        is_enabled: bool,
    ) -> Self {
        static NEXT_ID: OnceLock<AtomicU64> = OnceLock::new();
        Self {
            gate: crossbeam::utils::CachePadded::new(AtomicBool::new(is_enabled)),
            gate_outside: OnceLock::new(),
            source,
            full_policy,
            ring_bytes,
            // Relaxed: only uniqueness counts.
            id: NEXT_ID.get_or_init(|| AtomicU64::new(1)).fetch_add(1, Ordering::Relaxed),
            next_thread: AtomicU32::new(1),
            arrivals: Mutex::default(),
            has_arrivals: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            requests: Mutex::default(),
            answered: Condvar::default(),
            totals: Totals::default(),
            leftovers: Leftovers::default(),
            failure: Mutex::default(),
            pid: std::process::id(),
        }
    }

    /// Whether calls are recorded.
    #[inline(always)]
    pub(super) fn is_on(&self) -> bool {
        // Relaxed: a call at the moment of switching may be recorded or not; nothing else hangs on it.
        self.gate.load(Ordering::Relaxed)
    }

    /// Opens or shuts the gate; one that was shut for good stays shut.
    pub(super) fn set_on(&self, is_on: bool) {
        let failure = lock(&self.failure);
        // Relaxed: see `is_on`. Under the lock that `fail` takes, so that nothing opens the gate again after it.
        let is_on = is_on && failure.is_none() && !self.is_over();
        self.gate.store(is_on, Ordering::Relaxed);
        self.show_gate(is_on);
    }

    /// A copy of the gate for callers that look at it without us; `make` makes the word, once.
    pub(super) fn gate_outside(&self, make: impl FnOnce() -> &'static AtomicU32) -> &'static AtomicU32 {
        // Under the lock, so that nothing switches the gate meanwhile.
        let _failure = lock(&self.failure);
        let gate = self.gate_outside.get_or_init(make);
        self.show_gate(self.is_on());
        gate
    }

    fn show_gate(&self, is_on: bool) {
        if let Some(gate) = self.gate_outside.get() {
            // Relaxed: see `is_on`.
            gate.store(is_on.into(), Ordering::Relaxed);
        }
    }

    /// Whether this is a child of the process that recorded: it has the rings, and nobody who reads them.
    pub(super) fn is_forked(&self) -> bool {
        std::process::id() != self.pid
    }

    /// Said by the writer's thread when it begins.
    pub(super) fn begin(&self) {
        WRITES_FOR.set(self.id);
    }

    /// Whether the caller is the writer's thread: in a callback, which must not wait for itself.
    pub(super) fn is_writer(&self) -> bool {
        WRITES_FOR.get() == self.id
    }

    pub(super) fn next_thread(&self) -> u32 {
        // Relaxed: only uniqueness counts.
        self.next_thread.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether a thread got this number.
    pub(super) fn has_given(&self, thread: u32) -> bool {
        // Relaxed: whoever has the number of a thread got it after it was given.
        (1..self.next_thread.load(Ordering::Relaxed)).contains(&thread)
    }

    pub(super) fn arrive(&self, arrival: Arrival) {
        lock(&self.arrivals).push(arrival);
        // Release: pairs with the Acquire in `take_arrivals`, though the lock alone hands the ring over.
        self.has_arrivals.store(true, Ordering::Release);
    }

    pub(super) fn take_arrivals(&self) -> Vec<Arrival> {
        // Acquire: pairs with the Release in `arrive`. One load a round, instead of a lock.
        if !self.has_arrivals.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut arrivals = lock(&self.arrivals);
        // Relaxed: under the lock, as the push is.
        self.has_arrivals.store(false, Ordering::Relaxed);
        std::mem::take(&mut arrivals)
    }

    /// Whether the writer takes no more.
    pub(super) fn is_over(&self) -> bool {
        // Relaxed: only ends a wait.
        self.is_over.load(Ordering::Relaxed)
    }

    /// Asks the writer to write what is in the rings at this moment, and waits until it has.
    pub(super) fn flush(&self) {
        let mut requests = lock(&self.requests);
        requests.flushes_asked += 1;
        let mine = requests.flushes_asked;
        while requests.flushes_done < mine && !self.is_over() {
            requests = match self.answered.wait(requests) {
                Ok(requests) => requests,
                Err(_) => return,
            };
        }
    }

    pub(super) fn ask_to_close(&self) {
        lock(&self.requests).is_closing = true;
    }

    pub(super) fn asked(&self) -> Asked {
        let requests = lock(&self.requests);
        let flush = (requests.flushes_asked > requests.flushes_done).then_some(requests.flushes_asked);
        Asked { flush, is_closing: requests.is_closing }
    }

    pub(super) fn flushed(&self, number: u64) {
        lock(&self.requests).flushes_done = number;
        self.answered.notify_all();
    }

    /// Whether the host has closed the recording, or begun to.
    pub(super) fn is_closing(&self) -> bool {
        lock(&self.requests).is_closing
    }

    /// The writer's last act: nobody records or waits any more. `lanes` are the rings that it leaves.
    pub(super) fn end(&self, lanes: Vec<Lane>) {
        self.leftovers.take_over(lanes);
        // Relaxed, both: the locks below order them before whoever waits or switches under those.
        self.is_over.store(true, Ordering::Relaxed);
        self.gate.store(false, Ordering::Relaxed);
        let failure = lock(&self.failure);
        self.show_gate(false);
        drop(failure);
        drop(lock(&self.requests));
        self.answered.notify_all();
    }

    /// Counts calls that came into a ring after the writer's last look. `left` is a thread that records no more.
    pub(super) fn count_leftovers(&self, left: Option<u32>) {
        // A child of the process has the locks as its parent's threads held them.
        if self.is_over() && !self.is_forked() {
            self.leftovers.count(self.take_arrivals(), left, &self.totals);
        }
    }

    pub(super) fn fail(&self, error: Arc<Error>) {
        let mut failure = lock(&self.failure);
        failure.get_or_insert(error);
        // Relaxed: see `is_on`.
        self.gate.store(false, Ordering::Relaxed);
        self.show_gate(false);
    }

    pub(super) fn failure(&self) -> Option<Arc<Error>> {
        lock(&self.failure).clone()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("id", &self.id).field("is_on", &self.is_on()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_that_hosts_look_at_is_shut_however_the_writer_ends() {
        let shared = Shared::new(TickSource::detect(), FullPolicy::Drop, 1 << 16, true);
        let gate = shared.gate_outside(|| Box::leak(Box::new(AtomicU32::new(0))));
        assert_eq!(gate.load(Ordering::Relaxed), 1);
        // What is said of a writer that panics, too.
        shared.end(Vec::new());
        assert_eq!(gate.load(Ordering::Relaxed), 0);
        shared.set_on(true);
        assert_eq!((shared.is_on(), gate.load(Ordering::Relaxed)), (false, 0));
    }
}

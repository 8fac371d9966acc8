//! How far a replay is, told to the host while it runs.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::clock::monotonic_ns;
use crate::ffi::callbacks;
use crate::ffi::reader::record::LMCACHE_NOT_KNOWN;
use crate::replay::selection::LeftOut;
use crate::replay::{LiveView, Outcome, ReplayObserver, Status, StopFlag, TraceExtent};
use crate::sync::Arc;

/// How many records are counted between two looks at the clock.
const LOOK_EVERY_RECORDS: u64 = 1024;

/// The shortest time between two calls of the callback, in nanoseconds.
const LEAST_INTERVAL_NS: u64 = 10_000_000;

/// How far a replay is. Its fields are added at the end: a host sees those that its header has.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_replay_progress {
    /// Bytes of what the library knows of this struct.
    pub struct_size: u32,
    /// 1 at the last call, when the replay is over.
    pub is_over: u32,
    /// Records that were carried out: replayed, failed or skipped.
    pub records: u64,
    /// How many there will be, as far as that is known.
    pub total_records: u64,
    /// Of those that were carried out: calls that failed.
    pub failed: u64,
    /// Of those that were carried out: records that hold no call that can be made.
    pub skipped: u64,
    /// Since the replay began.
    pub elapsed_ns: u64,
    /// How long it takes altogether; LMCACHE_NOT_KNOWN at LMCACHE_PACE_ASAP, and at a rate for a part of a trace.
    pub expected_ns: u64,
    /// How late a call began, of those so far.
    pub max_lag_ns: u64,
    /// Chunks of the prompts of the prefetches that were answered.
    pub answered_chunks: u64,
    /// Of those, the chunks that could be served.
    pub served_chunks: u64,
    /// Keys that prefetches found in L1.
    pub l1_hit_keys: u64,
    /// Keys that prefetches got from L2.
    pub l2_hit_keys: u64,
    /// Objects that were evicted from L1.
    pub evicted_keys: u64,
    /// Bytes of L1 in use.
    pub l1_used_bytes: u64,
    /// Bytes that L1 has.
    pub l1_total_bytes: u64,
    /// Bytes of L2 in use; LMCACHE_NOT_KNOWN if there is no adapter.
    pub l2_used_bytes: u64,
}

/// Told how far a replay is, on the thread that called `lmcache_replay_run`, when it begins, at the asked interval, and when it is over, also if it failed. `progress` is
/// borrowed for the time of the call. It returns 0 to go on; any other number cancels the replay. It may call `lmcache_replay_cancel`; other calls on this
/// replay are BUSY. While it runs, calls are made all the same.
#[allow(non_camel_case_types, reason = "the name in C")]
pub type lmcache_progress_callback =
    Option<unsafe extern "C" fn(progress: *const lmcache_replay_progress, user_data: *mut c_void) -> u32>;

/// The callback of a host.
#[derive(Clone, Copy)]
pub(super) struct Teller {
    callback: unsafe extern "C" fn(*const lmcache_replay_progress, *mut c_void) -> u32,
    user_data: *mut c_void,
    interval_ns: u64,
}

// SAFETY: the host says that its callback may be called on the thread that runs the replay.
unsafe impl Send for Teller {}

impl Teller {
    pub(super) fn new(
        callback: lmcache_progress_callback,
        user_data: *mut c_void,
        interval_ns: u64,
    ) -> Option<Self> {
        let interval_ns = interval_ns.max(LEAST_INTERVAL_NS);
        callback.map(|callback| Self { callback, user_data, interval_ns })
    }
}

/// Counts, and tells the host.
pub(super) struct Observer<'a> {
    teller: Teller,
    stop: &'a StopFlag,
    view: LiveView,
    left_out: Arc<LeftOut>,
    most_records: u64,
    seen: lmcache_replay_progress,
    begun_ns: u64,
    due_ns: u64,
    unlooked_records: u64,
}

impl<'a> Observer<'a> {
    /// Begins, and tells so. `expected_s` is how long the replay takes, if that is known.
    pub(super) fn begin(
        teller: Teller,
        stop: &'a StopFlag,
        view: LiveView,
        left_out: Arc<LeftOut>,
        expected: &TraceExtent,
        expected_s: Option<f64>,
    ) -> Self {
        let begun_ns = monotonic_ns();
        let expected_ns =
            expected_s.map_or(LMCACHE_NOT_KNOWN, |seconds| (seconds * crate::clock::NS_PER_S as f64) as u64);
        let seen = lmcache_replay_progress {
            struct_size: size_of::<lmcache_replay_progress>() as u32,
            expected_ns,
            ..lmcache_replay_progress::default()
        };
        let most_records = expected.records;
        let mut observer = Self {
            teller,
            stop,
            view,
            left_out,
            most_records,
            seen,
            begun_ns,
            due_ns: 0,
            unlooked_records: 0,
        };
        observer.tell(begun_ns);
        observer
    }

    fn tell(&mut self, now_ns: u64) {
        self.sample();
        self.call_host(now_ns);
    }

    fn sample(&mut self) {
        let (sample, seen) = (self.view.sample(), &mut self.seen);
        (seen.answered_chunks, seen.served_chunks) = (sample.answered_chunks, sample.served_chunks);
        (seen.l1_hit_keys, seen.l2_hit_keys) = (sample.l1_hit_keys, sample.l2_hit_keys);
        seen.evicted_keys = sample.evicted_keys;
        (seen.l1_used_bytes, seen.l1_total_bytes) = (sample.l1_used_bytes, sample.l1_total_bytes);
        seen.l2_used_bytes = sample.l2_used_bytes.unwrap_or(LMCACHE_NOT_KNOWN);
    }

    fn call_host(&mut self, now_ns: u64) {
        let seen = &mut self.seen;
        seen.total_records = self.most_records.saturating_sub(self.left_out.records()).max(seen.records);
        seen.elapsed_ns = now_ns.saturating_sub(self.begun_ns);
        let Teller { callback, user_data, .. } = self.teller;
        // SAFETY: the host's promise; the struct stays for the time of the call.
        let answer = callbacks::call_host([0, 0], || unsafe { callback(&raw const *seen, user_data) });
        if answer != 0 {
            self.stop.set();
        }
        self.due_ns = now_ns.saturating_add(self.teller.interval_ns);
    }

    fn look(&mut self) {
        self.unlooked_records = 0;
        let now_ns = monotonic_ns();
        if now_ns >= self.due_ns {
            self.tell(now_ns);
        }
    }
}

impl Drop for Observer<'_> {
    /// It is over, however it ended: a host that counts on hearing so hears it.
    fn drop(&mut self) {
        self.seen.is_over = 1;
        // What made the replay panic can make a look at its manager panic, too.
        let _ = catch_unwind(AssertUnwindSafe(|| self.sample()));
        self.call_host(monotonic_ns());
    }
}

impl ReplayObserver for Observer<'_> {
    fn record(&mut self, outcome: &Outcome) {
        self.seen.records += 1;
        match outcome.status {
            Status::Replayed => {}
            Status::Failed => self.seen.failed += 1,
            Status::Skipped => self.seen.skipped += 1,
        }
        self.seen.max_lag_ns = self.seen.max_lag_ns.max(outcome.lag_ns.unwrap_or(0));
        self.unlooked_records += 1;
        if self.unlooked_records >= LOOK_EVERY_RECORDS {
            self.look();
        }
    }

    fn tick(&mut self) {
        self.look();
    }
}

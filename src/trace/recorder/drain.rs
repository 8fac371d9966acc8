//! The writer's thread: takes what is in the rings, in the order of time, into the file.
//!
//! A round: a reading of the clock, then a look at every ring, then all records that were stamped before the reading,
//! merged by their stamps. Because the clock is read first, a record that was published before another one was
//! stamped is never seen after it. What is not related may still come late: a thread can be stopped between
//! stamping a record and publishing it. Such a record is written with its time, and marked.

use crate::clock::{TickPair, monotonic_ns};
use crate::error::{Error, ErrorKind, Result};
use crate::os;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use crate::trace::recorder::files::{Files, now};
use crate::trace::recorder::lane::Lane;
use crate::trace::recorder::merge::{Round, Timeline};
use crate::trace::recorder::options::{Interning, RecorderOptions, StopCallback};
use crate::trace::recorder::push::Pusher;
use crate::trace::recorder::shared::Shared;
use crate::trace::recorder::sync_thread::SyncThread;

/// How long the writer sleeps, at most, between two looks at rings that stay empty: a default ring lasts that long at a
/// call of 16 keys in a microsecond.
const IDLE_POLL_NS: u64 = 1_000_000;

/// After how many looks in vain the writer sleeps twice as long.
const IDLE_ROUNDS_PER_DOUBLING: u32 = 32;

/// How often the sleep is doubled, at most.
const MAX_DOUBLINGS: u32 = 16;

/// After how many rounds the rings of threads that ended are let go of.
const ROUNDS_PER_TIDYING: u32 = 16;

/// How often the writer looks whether its file is still there.
const CHECK_INTERVAL_NS: u64 = 200_000_000;

/// What the writer's thread works on.
pub(super) struct Drain {
    shared: Arc<Shared>,
    files: Files,
    pusher: Option<Pusher>,
    lanes: Vec<Lane>,
    interning: Interning,
    poll_ns: u64,
    sync: Option<SyncThread>,
    on_stop: Option<StopCallback>,
    timeline: Timeline,
    lost: u64,
    next_check_ns: u64,
    /// Rounds in a row in which there was nothing to do.
    idle_rounds: u32,
    rounds: u32,
    /// The reading of a round that goes on, and what the host waits for in it.
    unfinished: Option<(TickPair, Option<u64>)>,
    /// Bytes of a file that could not be written to its end.
    abandoned_bytes: u64,
}

/// What a round did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// There was nothing.
    Idle,
    /// Something was written.
    Busy,
}

impl Drain {
    pub(super) fn new(shared: Arc<Shared>, options: RecorderOptions) -> Result<Self> {
        let mut files = Files::new(&options);
        let writer = files.open_next()?;
        let sync = match options.sync_interval {
            Some(interval) => Some(SyncThread::start(interval)?),
            None => None,
        };
        let drain = Self {
            timeline: Timeline::new(TickPair::take(shared.source)),
            shared,
            files,
            pusher: Some(Pusher::new(writer)),
            lanes: Vec::new(),
            interning: options.interning,
            poll_ns: u64::try_from(options.poll_interval.as_nanos()).unwrap_or(u64::MAX),
            sync,
            on_stop: options.on_stop,
            lost: 0,
            next_check_ns: 0,
            idle_rounds: 0,
            rounds: 0,
            unfinished: None,
            abandoned_bytes: 0,
        };
        drain.publish_totals();
        Ok(drain)
    }

    /// Runs until it is asked to close. Returns how the recording ended.
    pub(super) fn run(mut self) -> Result<()> {
        os::time::request_exact_wakeups();
        let mut idle_since_asked = 0;
        loop {
            let asked = self.shared.asked();
            let progress = match self.round(asked.flush) {
                Ok(progress) => progress,
                Err(error) => {
                    self.stop(error);
                    Progress::Idle
                }
            };
            // A call may have passed the gate before it was shut: the rings are looked at twice. What comes even later is counted.
            idle_since_asked += u32::from(asked.is_closing && progress == Progress::Idle);
            if idle_since_asked > 1 {
                break;
            }
            if progress == Progress::Idle {
                self.rest();
            }
        }
        self.close()
    }

    /// Sleeps for the poll interval; longer and longer while nothing is recorded.
    fn rest(&mut self) {
        let doublings = (self.idle_rounds / IDLE_ROUNDS_PER_DOUBLING).min(MAX_DOUBLINGS);
        let sleep_ns = self.poll_ns.saturating_mul(1 << doublings).min(self.poll_ns.max(IDLE_POLL_NS));
        os::time::sleep_until_ns(monotonic_ns().saturating_add(sleep_ns));
    }

    /// One round; `flush` is what the host waits for.
    fn round(&mut self, flush: Option<u64>) -> Result<Progress> {
        self.tidy();
        // A round that was not finished goes on: what the host waits for is in it, whatever is recorded meanwhile.
        let (pair, flush) =
            self.unfinished.take().unwrap_or_else(|| (TickPair::take(self.shared.source), flush));
        self.lanes.iter_mut().for_each(Lane::refresh);
        if !self.lanes.iter().any(Lane::has_work) {
            self.idle_rounds = self.idle_rounds.saturating_add(1);
            self.keep_durable()?;
            self.rotate()?;
            self.check_file()?;
            self.round_is_done(pair, flush);
            return Ok(Progress::Idle);
        }
        self.idle_rounds = 0;
        let is_done = self.merge(pair)?;
        if is_done {
            self.note_trailing_losses(pair)?;
        }
        self.commit()?;
        match is_done {
            true => self.round_is_done(pair, flush),
            false => self.unfinished = Some((pair, flush)),
        }
        Ok(Progress::Busy)
    }

    /// Everything that was stamped up to `pair` is in the file.
    fn round_is_done(&mut self, pair: TickPair, flush: Option<u64>) {
        self.timeline.passed(pair);
        flush.inspect(|number| self.shared.flushed(*number));
    }

    /// Takes in the threads that came, and, now and then, lets go of those that ended.
    fn tidy(&mut self) {
        for arrival in self.shared.take_arrivals() {
            self.lanes.push(Lane::new(arrival));
            // Relaxed: a count that somebody prints.
            self.shared.totals.threads.fetch_add(1, Ordering::Relaxed);
        }
        self.rounds = self.rounds.wrapping_add(1);
        if self.rounds.is_multiple_of(ROUNDS_PER_TIDYING) {
            self.lanes.retain_mut(|lane| !lane.is_finished());
        }
    }

    /// Merges what was stamped up to `pair`. False if the round ended before all of it was taken.
    fn merge(&mut self, pair: TickPair) -> Result<bool> {
        let intern = self.interns();
        let Some(pusher) = &mut self.pusher else {
            // A recording that cannot be written: every call in the rings is lost.
            for discarded in self.lanes.iter_mut().map(Lane::discard) {
                self.lost += discarded.calls;
                // Relaxed: a count that somebody prints.
                self.shared.totals.lost_completions.fetch_add(discarded.completions, Ordering::Relaxed);
            }
            return Ok(true);
        };
        let round = Round { pusher, timeline: &mut self.timeline, pair, intern };
        round.run(&mut self.lanes)
    }

    fn interns(&self) -> bool {
        match self.interning {
            Interning::Always => true,
            Interning::Never => false,
            Interning::WhenIdle => {
                self.lanes.iter().all(|lane| lane.readable_bytes < self.shared.ring_bytes / 4)
            }
        }
    }

    /// Calls that were lost after the last one that is in a ring.
    fn note_trailing_losses(&mut self, pair: TickPair) -> Result<()> {
        let Some(pusher) = &mut self.pusher else { return Ok(()) };
        for lane in self.lanes.iter_mut().filter(|lane| lane.has_trailing_loss()) {
            let t_ns = self.timeline.written_ns();
            let until_ns = self.timeline.roughly_ns(lane.last_loss_ticks(), pair).max(t_ns);
            pusher.push_trailing_loss(lane, t_ns, until_ns)?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        if let Some(pusher) = &mut self.pusher {
            pusher.writer().commit(now())?;
            pusher.settle(&self.shared.totals, true);
            self.lost += pusher.take_lost();
        }
        self.keep_durable()?;
        self.rotate()?;
        self.publish_totals();
        self.check_file()
    }

    /// Looks, now and then, whether the file is still there.
    fn check_file(&mut self) -> Result<()> {
        let now_ns = monotonic_ns();
        if now_ns < self.next_check_ns {
            return Ok(());
        }
        self.next_check_ns = now_ns + CHECK_INTERVAL_NS;
        let is_deleted = self.pusher.as_mut().is_some_and(|pusher| pusher.writer().store().is_deleted());
        match is_deleted {
            true => {
                Err(Error::new(ErrorKind::NotFound, "the trace file was deleted while it was being recorded"))
            }
            false => Ok(()),
        }
    }

    /// Hands the thread that syncs its next piece of work, if it has none.
    fn keep_durable(&mut self) -> Result<()> {
        let (Some(sync), Some(pusher)) = (&mut self.sync, &mut self.pusher) else { return Ok(()) };
        sync.keep_up(pusher.writer())
    }

    fn rotate(&mut self) -> Result<()> {
        let is_time = self
            .pusher
            .as_ref()
            .is_some_and(|pusher| pusher.has_calls() && self.files.is_time(pusher.file_bytes()));
        if is_time && let Some(pusher) = self.pusher.take() {
            self.finish_file(pusher, false)?;
            self.pusher = Some(Pusher::new(self.files.open_next()?));
        }
        Ok(())
    }

    fn finish_file(&mut self, mut pusher: Pusher, is_durable: bool) -> Result<()> {
        self.sync.as_mut().map_or(Ok(()), SyncThread::settle)?;
        if let Err(error) = pusher.writer().commit(now()) {
            self.abandon(pusher);
            return Err(error);
        }
        pusher.settle(&self.shared.totals, true);
        self.lost += pusher.take_lost();
        let writer = pusher.into_writer();
        let (_, store) = match is_durable || self.sync.is_some() {
            true => writer.finish(now(), None)?,
            false => writer.finish_unsynced(now())?,
        };
        self.files.closed(store.len_bytes()?);
        Ok(())
    }

    /// The file cannot be written: says so once, and from then on only counts.
    fn stop(&mut self, error: Error) {
        let error = Arc::new(error.with_context("path", self.files.current_path().display()));
        self.shared.fail(Arc::clone(&error));
        if let Some(pusher) = self.pusher.take() {
            self.abandon(pusher);
        }
        if let Some(on_stop) = self.on_stop.take() {
            // A callback that panics must not take the thread with it that others wait for.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| on_stop(&error)));
        }
        self.publish_totals();
    }

    /// Lets go of a file that cannot be written: what was pushed since the last commit or seal is not in it.
    fn abandon(&mut self, mut pusher: Pusher) {
        self.lost += pusher.uncommitted_calls() + pusher.take_lost();
        pusher.settle(&self.shared.totals, false);
        self.abandoned_bytes += self.files.current_len_bytes();
    }

    fn publish_totals(&self) {
        let totals = &self.shared.totals;
        // Relaxed, all: counts that somebody prints; each is right by itself.
        totals.lost.store(self.lost, Ordering::Relaxed);
        totals.deleted_files.store(self.files.deleted, Ordering::Relaxed);
        totals.files.store(self.files.opened(), Ordering::Relaxed);
        let open_bytes = self.pusher.as_ref().map_or(0, Pusher::file_bytes);
        totals
            .file_bytes
            .store(self.files.closed_bytes_ever + self.abandoned_bytes + open_bytes, Ordering::Relaxed);
    }

    fn close(mut self) -> Result<()> {
        let closed = match self.pusher.take() {
            Some(pusher) => self.finish_file(pusher, true),
            None => Ok(()),
        };
        if let Err(error) = closed {
            self.stop(error);
        }
        self.publish_totals();
        Ok(())
    }
}

impl Drop for Drain {
    /// Whatever ends the thread, nobody waits for it any more.
    fn drop(&mut self) {
        self.shared.end(std::mem::take(&mut self.lanes));
    }
}

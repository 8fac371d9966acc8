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
        };
        drain.publish_totals();
        Ok(drain)
    }

    /// Runs until it is asked to close. Returns how the recording ended.
    pub(super) fn run(mut self) -> Result<()> {
        os::thread::survive_file_size_limit();
        os::time::request_exact_wakeups();
        loop {
            let asked = self.shared.asked();
            let is_idle = match self.round() {
                Ok(is_idle) => is_idle,
                Err(error) => {
                    self.stop(error);
                    true
                }
            };
            if let Some(number) = asked.flush.filter(|_| is_idle) {
                self.shared.flushed(number);
            }
            if asked.is_closing && is_idle {
                break;
            }
            if is_idle {
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

    /// Takes what is there, at most some hundred kilobytes. True if nothing that was there at its start is left.
    fn round(&mut self) -> Result<bool> {
        for arrival in self.shared.take_arrivals() {
            self.lanes.push(Lane::new(arrival));
            // Relaxed: a count that somebody prints.
            self.shared.totals.threads.fetch_add(1, Ordering::Relaxed);
        }
        let pair = TickPair::take(self.shared.source);
        self.lanes.iter_mut().for_each(Lane::refresh);
        let has_work = self.lanes.iter().any(|lane| lane.has_work());
        if !has_work {
            self.lanes.retain_mut(|lane| !lane.is_finished());
            self.timeline.passed(pair);
            self.idle_rounds = self.idle_rounds.saturating_add(1);
            self.keep_durable()?;
            self.check_file()?;
            return Ok(true);
        }
        self.idle_rounds = 0;
        let is_all = self.merge(pair)?;
        if is_all {
            self.note_trailing_losses(pair)?;
            self.timeline.passed(pair);
        }
        self.commit()?;
        Ok(is_all)
    }

    /// Merges what was stamped up to `pair`. False if the round ended before all of it was taken.
    fn merge(&mut self, pair: TickPair) -> Result<bool> {
        let intern = self.interns();
        let Some(pusher) = &mut self.pusher else {
            // A recording that cannot be written: every call in the rings is lost.
            self.lost += self.lanes.iter_mut().map(Lane::discard).sum::<u64>();
            return Ok(true);
        };
        let round = Round { pusher, timeline: &mut self.timeline, pair, intern, lost: &mut self.lost };
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
        for lane in self.lanes.iter_mut().filter(|lane| lane.has_trailing_loss()) {
            let until_ns = self.timeline.roughly_ns(lane.last_loss_ticks(), pair);
            self.lost += lane.missing();
            if let Some(pusher) = &mut self.pusher {
                pusher.push_trailing_loss(lane, until_ns)?;
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        if let Some(pusher) = &mut self.pusher {
            pusher.writer().commit(now())?;
            pusher.committed(&self.shared.totals);
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
        let is_time = self.pusher.as_ref().is_some_and(|pusher| self.files.is_time(pusher.file_bytes()));
        if is_time && let Some(pusher) = self.pusher.take() {
            self.finish_file(pusher, false)?;
            self.pusher = Some(Pusher::new(self.files.open_next()?));
        }
        Ok(())
    }

    fn finish_file(&mut self, mut pusher: Pusher, is_durable: bool) -> Result<()> {
        self.sync.as_mut().map_or(Ok(()), SyncThread::settle)?;
        pusher.writer().commit(now())?;
        pusher.committed(&self.shared.totals);
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
            // What was pushed and not committed is not in the file.
            self.lost += pusher.uncommitted_calls();
        }
        if let Some(on_stop) = self.on_stop.take() {
            on_stop(&error);
        }
        self.publish_totals();
    }

    fn publish_totals(&self) {
        let totals = &self.shared.totals;
        // Relaxed, all: counts that somebody prints; each is right by itself.
        totals.lost.store(self.lost, Ordering::Relaxed);
        totals.deleted_files.store(self.files.deleted, Ordering::Relaxed);
        totals.files.store(self.files.opened(), Ordering::Relaxed);
        let open_bytes = self.pusher.as_ref().map_or(0, Pusher::file_bytes);
        totals.file_bytes.store(self.files.closed_bytes_ever + open_bytes, Ordering::Relaxed);
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
        self.shared.end();
    }
}

//! Bounds what a power cut may lose, on a thread of its own: a sync takes milliseconds, or a second, and the rings are
//! not to wait for it.

use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};

use crate::clock::monotonic_ns;
use crate::error::{Error, Result};
use crate::trace::recorder::files::now;
use crate::trace::store::{FileStore, TraceStore};
use crate::trace::writer::{DurableSlot, TraceWriter};

/// Syncs the file now and then.
pub(super) struct SyncThread {
    jobs: Option<Sender<Job>>,
    done: Receiver<std::io::Result<()>>,
    thread: Option<JoinHandle<()>>,
    interval_ns: u64,
    last_ns: u64,
    is_busy: bool,
}

struct Job {
    store: FileStore,
    slot: Option<DurableSlot>,
}

impl SyncThread {
    pub(super) fn start(interval: Duration) -> Result<Self> {
        let (jobs, inbox) = bounded::<Job>(1);
        let (answers, done) = bounded(1);
        let thread = std::thread::Builder::new().name("lmcache-sync".to_owned()).spawn(move || {
            for job in inbox {
                // The writer may be gone: then nobody wants the answer.
                let _ = answers.send(run(job));
            }
        });
        Ok(Self {
            jobs: Some(jobs),
            done,
            thread: Some(
                thread.map_err(|error| Error::io("cannot start the thread that syncs the trace", error))?,
            ),
            interval_ns: u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX),
            last_ns: monotonic_ns(),
            is_busy: false,
        })
    }

    /// Begins the next sync if it is time and the last one is done.
    ///
    /// # Errors
    /// If the last sync failed: what the disk has is not known then.
    pub(super) fn keep_up(&mut self, writer: &mut TraceWriter<FileStore>) -> Result<()> {
        if self.is_busy
            && let Ok(done) = self.done.try_recv()
        {
            self.is_busy = false;
            done.map_err(not_synced)?;
        }
        let now_ns = monotonic_ns();
        if self.is_busy || now_ns < self.last_ns.saturating_add(self.interval_ns) || !writer.needs_sync() {
            return Ok(());
        }
        let store = writer.store().clone();
        let slot = writer.durable_slot(now());
        if let Some(jobs) = &self.jobs
            && jobs.send(Job { store, slot }).is_ok()
        {
            (self.is_busy, self.last_ns) = (true, now_ns);
        }
        Ok(())
    }

    /// Waits for the sync that was begun: its slot must not be written into what comes next.
    ///
    /// # Errors
    /// If it failed.
    pub(super) fn settle(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_busy)
            && let Ok(done) = self.done.recv()
        {
            done.map_err(not_synced)?;
        }
        Ok(())
    }
}

impl Drop for SyncThread {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing more to say.
            let _ = thread.join();
        }
    }
}

/// Records first, then the slot that vouches for them.
fn run(mut job: Job) -> std::io::Result<()> {
    job.store.sync()?;
    if let Some(slot) = job.slot {
        job.store.write_at(slot.offset, &slot.bytes)?;
        job.store.sync()?;
    }
    Ok(())
}

fn not_synced(error: std::io::Error) -> Error {
    Error::io("cannot sync trace file", error)
}

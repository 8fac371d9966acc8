//! Records the calls of a running process.
//!
//! ```text
//!  caller's thread                                writer's thread                     sync's thread
//!  ThreadRecorder -- ring (1 MiB) --> lane \
//!  ThreadRecorder -- ring (1 MiB) --> lane  >- merge by time -> chunk -> file  ----->  file on the disk
//!  ThreadRecorder -- ring (1 MiB) --> lane /
//! ```
//!
//! * [`thread`]: the caller's side. A call is stamped and written into the thread's ring, once; [`numbers`] gives
//!   scopes and layouts numbers so that this is short, and `define` sends what they mean. `into_ring` makes room and
//!   writes rows; `wire` is the form in which all of it goes through the ring.
//! * `drain`: the writer's thread; `lane` is one thread's ring seen from there, `merge` takes what the rings hold in
//!   the order of time, `push` turns a ring's record into the file's. `files` rotates, `sync_thread` bounds what a power cut may lose;
//!   `leftovers` counts what comes when the writer is gone.
//! * `shared`: what all of them see: the gate, the threads that arrive, what the host asks for.
//!
//! What is not recorded is counted, by thread: every call has a number, so that a missing one is seen, and the file
//! says which are missing and where.

mod define;
mod drain;
mod files;
mod into_ring;
mod lane;
mod leftovers;
mod merge;
pub mod numbers;
pub mod options;
mod push;
mod shared;
mod sync_thread;
pub mod thread;
mod wire;

use std::cell::RefCell;
use std::thread::JoinHandle;

use crossbeam::channel::bounded;

use crate::clock::TickSource;
use crate::error::{Error, ErrorKind, Result};
use crate::os;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock, try_lock};

pub use numbers::ScopeNumber;
pub use options::{FullPolicy, Interning, RecorderOptions, Rotation, StopCallback};
pub use thread::{CallId, Completion, HashedCall, ThreadRecorder};

use drain::Drain;
use shared::Shared;

/// A recording. Calls may be recorded from any thread; dropping it closes it.
#[derive(Debug)]
pub struct TraceRecorder {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<Result<()>>>>,
}

/// What a recording has done so far. Numbers of calls are right once the recording is flushed or closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecorderStats {
    /// Calls that are in the files, those of files that were deleted since included.
    pub calls: u64,
    /// Calls that were attempted and are not: a ring was full, a call was too large, a file could not be written, or the call was being
    /// made while the recording was closed.
    pub lost: u64,
    /// Calls that came late: after later ones had been written.
    pub late: u64,
    /// Completions in the files.
    pub completions: u64,
    /// Completions that are not: they found the ring full, a file could not be written, or the recording was being closed.
    pub lost_completions: u64,
    /// Bytes of all files, those that were deleted since included.
    pub file_bytes: u64,
    /// Files.
    pub files: u64,
    /// Files that were deleted to keep to the bound.
    pub deleted_files: u64,
    /// Threads that have recorded.
    pub threads: u64,
}

impl TraceRecorder {
    /// Creates the file and starts the writer's thread.
    ///
    /// # Errors
    /// If the options are out of their limits, the file cannot be created, or the system gives no thread.
    pub fn open(options: RecorderOptions) -> Result<Self> {
        options.check()?;
        let shared = Arc::new(Shared::new(
            TickSource::detect(),
            options.full_policy,
            options.ring_bytes,
            options.is_enabled,
        ));
        let (opened, outcome) = bounded(1);
        let theirs = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("lmcache-record".to_owned())
            .spawn(move || {
                // Before the file is made: a limit on its length is to be an error, and no signal.
                os::thread::survive_file_size_limit();
                theirs.begin();
                let drain = Drain::new(theirs, options).map_err(|error| opened.send(Some(error)));
                drain.map_or(Ok(()), |drain| {
                    // Whoever opens waits for this.
                    let _ = opened.send(None);
                    drain.run()
                })
            })
            .map_err(|error| Error::io("cannot start the recorder's thread", error))?;
        match outcome.recv() {
            Ok(None) => Ok(Self { shared, writer: Mutex::new(Some(writer)) }),
            Ok(Some(error)) => Err(error),
            Err(_) => Err(Error::new(ErrorKind::Closed, "the recorder's thread ended before it began")),
        }
    }

    /// A recorder for the calls of one thread, with a ring of its own. When it is dropped the writer takes what is
    /// left in the ring, and the ring is freed.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] if the recording was closed, [`ErrorKind::OutOfMemory`] if there is no memory for the ring.
    pub fn thread(&self) -> Result<ThreadRecorder> {
        self.check_open()?;
        ThreadRecorder::new(Arc::clone(&self.shared))
    }

    /// Runs `record` with the calling thread's recorder, which is made at its first call and lives as long as the
    /// thread. Nothing if recording is off, or there is no memory for a ring.
    #[inline]
    pub fn with_thread<T>(&self, record: impl FnOnce(&mut ThreadRecorder) -> Option<T>) -> Option<T> {
        if !self.shared.is_on() {
            return None;
        }
        let recorded = RECORDERS.try_with(|recorders| match recorders.try_borrow_mut() {
            Ok(mut recorders) => own(&mut recorders, &self.shared).map(record),
            // A call from within a call of this function.
            Err(_) => None,
        });
        match recorded {
            Ok(Some(recorded)) => recorded,
            _ => self.count_unrecorded(),
        }
    }

    /// There is no ring for the call: no memory, a call within a call, a thread that is ending.
    #[cold]
    fn count_unrecorded<T>(&self) -> Option<T> {
        // Relaxed: a count that somebody prints.
        self.shared.totals.unrecorded.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Whether calls are recorded at the moment: one relaxed load.
    #[inline(always)]
    pub fn is_enabled(&self) -> bool {
        self.shared.is_on()
    }

    /// The gate for callers in another language: 1 while calls are recorded, else 0. It stays when the recorder is gone, and is 0
    /// then. `make` makes the word, when the recorder is asked for the first time.
    pub fn gate(&self, make: impl FnOnce() -> &'static AtomicU32) -> &'static AtomicU32 {
        self.shared.gate_outside(make)
    }

    /// Whether the recording was not closed.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] if it was, or is being closed.
    pub fn check_open(&self) -> Result<()> {
        match self.shared.is_closing() {
            false => Ok(()),
            true => Err(Error::new(ErrorKind::Closed, "the recording was closed")
                .with_hint("open another one, with a file of its own")),
        }
    }

    /// Switches recording on or off. A recording that has stopped by itself stays off.
    pub fn set_enabled(&self, is_enabled: bool) {
        self.shared.set_on(is_enabled && self.shared.failure().is_none());
    }

    /// Waits until everything that was recorded before this call is in the file, where a killed process does not
    /// lose it. Threads that go on recording make it wait for some of theirs too.
    ///
    /// # Errors
    /// If the recording has stopped by itself, that is why.
    pub fn flush(&self) -> Result<()> {
        self.check_process()?;
        if !self.shared.is_writer() {
            self.shared.flush();
        }
        self.shared.failure().map_or(Ok(()), |error| Err(stopped(&error)))
    }

    /// What has been done so far. After [`Self::close`], every call that was attempted is in one of the counts as soon as it has returned.
    pub fn stats(&self) -> RecorderStats {
        self.shared.count_leftovers(None);
        let totals = &self.shared.totals;
        // Relaxed, all: counts that somebody prints.
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        RecorderStats {
            calls: get(&totals.calls),
            lost: get(&totals.lost) + get(&totals.unrecorded),
            late: get(&totals.late),
            completions: get(&totals.completions),
            lost_completions: get(&totals.lost_completions),
            file_bytes: get(&totals.file_bytes),
            files: get(&totals.files),
            deleted_files: get(&totals.deleted_files),
            threads: get(&totals.threads),
        }
    }

    /// Stops recording, writes what is in the rings, closes the file with its index, and syncs it. Closing twice does
    /// no harm: whoever comes second waits, too, until the file is closed. A call that another thread is making meanwhile may have
    /// been recorded, as far as that thread can know, and still be in no file: [`RecorderStats::lost`] has it.
    ///
    /// # Errors
    /// If the recording had stopped by itself, that is why; what was committed before is in the file.
    pub fn close(&self) -> Result<RecorderStats> {
        self.check_process()?;
        self.shared.set_on(false);
        self.shared.ask_to_close();
        if !self.shared.is_writer() {
            // The lock is held until the file is closed, so that nobody returns before.
            let mut writer = lock(&self.writer);
            if writer.take().is_some_and(|writer| writer.join().is_err()) {
                let error = Error::new(ErrorKind::Closed, "the recorder's thread panicked");
                self.shared.fail(Arc::new(error.with_hint("what it had committed is in the file")));
            }
        }
        self.shared.failure().map_or_else(|| Ok(self.stats()), |error| Err(stopped(&error)))
    }

    /// A child of the process that records has no writer to wait for.
    fn check_process(&self) -> Result<()> {
        match self.shared.is_forked() {
            false => Ok(()),
            true => Err(Error::new(ErrorKind::Closed, "this process is a fork of the one that records")
                .with_hint("open a recorder of its own, with a file of its own")),
        }
    }
}

impl Drop for TraceRecorder {
    fn drop(&mut self) {
        if self.shared.is_forked() {
            // The thread is the parent's: there is nothing to join or to detach here. Whoever had the lock there has taken it.
            std::mem::forget(try_lock(&self.writer).and_then(|mut writer| writer.take()));
            return;
        }
        // Whoever wants to know how it ended calls `close`.
        let _ = self.close();
    }
}

fn stopped(error: &Error) -> Error {
    let mut stopped = Error::new(error.kind(), format!("the recording stopped: {}", error.message()));
    for (name, value) in error.context() {
        stopped = stopped.with_context(name, value);
    }
    match error.io_source().map(std::io::Error::raw_os_error) {
        Some(Some(number)) => stopped.with_source(std::io::Error::from_raw_os_error(number)),
        _ => stopped,
    }
}

thread_local! {
    /// The recorders of this thread: nearly always one.
    static RECORDERS: RefCell<Vec<ThreadRecorder>> = const { RefCell::new(Vec::new()) };
}

/// The thread's recorder for `shared`.
#[inline]
fn own<'a>(recorders: &'a mut Vec<ThreadRecorder>, shared: &Arc<Shared>) -> Option<&'a mut ThreadRecorder> {
    match recorders.iter().position(|recorder| recorder.recorder_id() == shared.id) {
        Some(position) => recorders.get_mut(position),
        None => join(recorders, shared),
    }
}

#[cold]
fn join<'a>(recorders: &'a mut Vec<ThreadRecorder>, shared: &Arc<Shared>) -> Option<&'a mut ThreadRecorder> {
    recorders.retain(|recorder| !recorder.is_over());
    recorders.push(ThreadRecorder::new(Arc::clone(shared)).ok()?);
    recorders.last_mut()
}

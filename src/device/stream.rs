//! What every device can do: move the bytes of plans, in order, and say when it is done.
//!
//! Nobody waits. A transfer is submitted with a [`Done`], which is called once, whatever becomes of the transfer; what is
//! waiting for it hears of it there, or looks at a [`Pending`] now and then.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::host_side::HostSide;
use super::memory::Memory;
use super::plan::Plan;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Mutex, OnceLock, lock};

/// Which way the bytes of a plan go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the engine's pages to objects, as a store does: the pages are gathered.
    DeviceToHost,
    /// From objects to the engine's pages, as a retrieve does: the objects are scattered.
    HostToDevice,
}

/// What a stream is given to do.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// Which bytes. One plan serves any number of transfers, both ways.
    pub plan: Arc<Plan>,
    /// Which way.
    pub direction: Direction,
    /// The memory in which the objects of the plan lie. It is held until the transfer is over; that nobody else uses the
    /// objects meanwhile is a matter of the caller's.
    pub host: Arc<dyn HostSide>,
}

/// What was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// How many bytes.
    pub bytes: u64,
    /// In how many runs.
    pub runs: u64,
}

/// A device: memory of its own, and streams that move bytes between it and the host's.
pub trait Device: std::fmt::Debug + Send + Sync {
    /// The device's memory, in which the tensors of a [`PagedLayout`](super::PagedLayout) lie.
    fn memory(&self) -> &dyn Memory;

    /// A new stream.
    ///
    /// # Errors
    /// If the device has as many as it can have, or is lost.
    fn open_stream(&self) -> Result<Box<dyn Stream>>;
}

/// Work in order. Two streams of a device know nothing of each other, but by events. What was submitted goes on when a
/// stream is dropped.
pub trait Stream: std::fmt::Debug + Send + Sync {
    /// Moves what `transfer` says, after all that was submitted before, and calls `done` then, with what was moved or
    /// with what went wrong, before that of the next transfer of the stream, which may be under way already. It does not
    /// wait: `done` is called on a thread of the device's. It is called at once, on the calling thread, if the device is lost or closed, or has no room for
    /// more work.
    fn submit(&self, transfer: Transfer, done: Done);

    /// An event that is reached when all that was submitted before is over.
    ///
    /// # Errors
    /// If the device is lost or closed, or has no room for more work.
    fn record(&self) -> Result<Event>;

    /// Lets what is submitted from now on wait for `event`.
    ///
    /// # Errors
    /// As [`Stream::record`], and if the event is not one of this device.
    fn wait_for(&self, event: &Event) -> Result<()>;

    /// Lets what is submitted from now on wait for all that the engine gave to its own stream so far: before a store, so that
    /// the pages are written when they are read.
    ///
    /// # Errors
    /// As [`Stream::record`]; [`ErrorKind::Unsupported`] where an engine has no streams.
    fn wait_for_engine(&self, engine: EngineStream) -> Result<()> {
        let _ = engine;
        Err(Error::unsupported("this device has no streams of an engine's"))
    }

    /// Lets what the engine gives to its own stream from now on wait for all that was submitted so far: after a retrieve, so
    /// that the pages are there when they are read. Whether they are is told by the retrieve's [`Done`] alone: one that fails
    /// keeps nobody waiting.
    ///
    /// # Errors
    /// As [`Stream::wait_for_engine`].
    fn let_engine_wait(&self, engine: EngineStream) -> Result<()> {
        let _ = engine;
        Err(Error::unsupported("this device has no streams of an engine's"))
    }
}

/// A stream of the engine's own, by the handle that the device's driver has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineStream {
    /// The driver's.
    pub(super) handle: usize,
}

/// A number that no other device of this process has.
pub(super) fn next_device_number() -> u64 {
    static DEVICES: OnceLock<AtomicU64> = OnceLock::new();
    // Relaxed: a number that nobody else has is all that is asked for.
    DEVICES.get_or_init(AtomicU64::default).fetch_add(1, Ordering::Relaxed)
}

/// A point in a stream. One that can no longer be reached, since its device is lost or closed, counts as reached.
#[derive(Clone, Debug)]
pub struct Event {
    /// The number of the device that it belongs to.
    pub(super) device: u64,
    pub(super) is_reached: Arc<AtomicBool>,
    /// What the device's driver has for it, where it has something.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "no driver has something"))]
    pub(super) native: Option<Arc<dyn Any + Send + Sync>>,
}

impl Event {
    /// Whether all that was submitted before it is over.
    pub fn is_reached(&self) -> bool {
        // Acquire: who sees this sees what was moved before; see `Recorded`.
        self.is_reached.load(Ordering::Acquire)
    }
}

/// The duty to reach an event, which is done when this is dropped, for whatever reason.
#[derive(Debug)]
pub(super) struct Recorded(pub(super) Event);

impl Drop for Recorded {
    fn drop(&mut self) {
        // Release: see `Event::is_reached`.
        self.0.is_reached.store(true, Ordering::Release);
    }
}

type Callback = Box<dyn FnOnce(Result<Moved>) + Send>;

/// Who is told that a transfer is over: once, and with an error if it is dropped untold. It must not wait for anything, for
/// the rest of its stream waits for it. A panic of it ends there.
pub struct Done(Option<Callback>);

impl Done {
    /// Tells `callback`.
    pub fn new(callback: impl FnOnce(Result<Moved>) + Send + 'static) -> Self {
        Self(Some(Box::new(callback)))
    }

    /// Tells how the transfer ended.
    pub fn tell(mut self, outcome: Result<Moved>) {
        self.take(outcome);
    }

    fn take(&mut self, outcome: Result<Moved>) {
        if let Some(callback) = self.0.take() {
            // The panic was printed. It is not one of the device's, whose other transfers go on.
            let _ = catch_unwind(AssertUnwindSafe(|| callback(outcome)));
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if self.0.is_none() {
            return;
        }
        self.take(Err(Error::new(ErrorKind::Closed, "the device was closed before the transfer was over")));
    }
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Done").finish_non_exhaustive()
    }
}

/// A transfer that is under way, for those who look instead of being told.
#[derive(Debug)]
pub struct Pending(Arc<Slot>);

#[derive(Debug, Default)]
struct Slot {
    outcome: Mutex<Option<Result<Moved>>>,
    is_there: Condvar,
}

/// A [`Done`] for a transfer, and where to look for its outcome.
pub fn pending() -> (Done, Pending) {
    let slot = Arc::new(Slot::default());
    let of_done = Arc::clone(&slot);
    let done = Done::new(move |outcome| {
        *lock(&of_done.outcome) = Some(outcome);
        of_done.is_there.notify_all();
    });
    (done, Pending(slot))
}

impl Pending {
    /// The outcome, if it is there and was not taken before.
    pub fn poll(&self) -> Option<Result<Moved>> {
        lock(&self.0.outcome).take()
    }

    /// The outcome, if it is there before `timeout` has passed and was not taken before. Blocks the calling thread: for
    /// tests, and for programs that have nothing else to do.
    pub fn wait(&self, timeout: Duration) -> Option<Result<Moved>> {
        let outcome = lock(&self.0.outcome);
        let waited = self.0.is_there.wait_timeout_while(outcome, timeout, |outcome| outcome.is_none());
        waited.ok().and_then(|(mut outcome, _)| outcome.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_is_told_once_and_who_is_forgotten_hears_of_it() {
        let (done, pending) = pending();
        assert!(pending.poll().is_none());
        done.tell(Ok(Moved { bytes: 3, runs: 1 }));
        assert_eq!(pending.poll().unwrap().unwrap(), Moved { bytes: 3, runs: 1 });
        assert!(pending.poll().is_none() && pending.wait(Duration::ZERO).is_none());
        let (done, pending) = super::pending();
        drop(done);
        assert_eq!(pending.wait(Duration::ZERO).unwrap().unwrap_err().kind(), ErrorKind::Closed);
    }

    #[test]
    fn a_panic_of_who_is_told_goes_no_further() {
        Done::new(|_| panic!("this panic is part of the test")).tell(Ok(Moved { bytes: 0, runs: 0 }));
    }
}

//! A device without a GPU: the reference.
//!
//! Its memory is memory of the host, and its copies are made by a thread of its own, or by whoever calls
//! [`HostDevice::pump`]. It does what every device must, in the simplest way that does it: what holds of order, completion
//! and failure here is what the storage manager may rely on.
//!
//! Streams take turns, a step each, so that a large transfer of one does not keep the others waiting. One thread at a time
//! is at work on a stream, and its completion is called before the stream goes on; nothing is called under the lock.

use std::collections::VecDeque;
use std::thread::JoinHandle;

use super::host_side::HostSide;
use super::memory::{HostMemory, Memory};
use super::stream::{Device, Direction, Done, Event, Moved, Recorded, Stream, Transfer, next_device_number};
use crate::error::{Error, ErrorKind, Result};
use crate::os;
use crate::sync::atomic::AtomicBool;
use crate::sync::{Arc, Condvar, Mutex, lock};

/// The most streams that are open at a time, those included that were dropped and have work left.
pub const MAX_STREAMS: usize = 256;

/// The most transfers and events that wait on a stream.
pub const MAX_QUEUED: usize = 4_096;

/// The most bytes that are copied before another stream has its turn.
pub const STEP_BYTES: u64 = 1 << 20;

/// The most runs that are copied before another stream has its turn.
pub const STEP_RUNS: usize = 1_024;

/// A device whose memory is the host's.
#[derive(Debug)]
pub struct HostDevice {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    memory: HostMemory,
    number: u64,
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Work {
    streams: Vec<Option<Queue>>,
    /// Which stream is asked first for the next step.
    turn: usize,
    end: Option<End>,
}

/// Why nothing is done any more.
#[derive(Clone, Debug)]
enum End {
    Lost(String),
    Closed,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Whether a thread is at work on what was the first item.
    is_busy: bool,
    /// Whether its handle was dropped: the place is free when the work is done.
    is_dropped: bool,
}

#[derive(Debug)]
enum Item {
    Transfer(Running),
    /// A transfer that can never be made, in its place in the order.
    Refused(Done, Error),
    Record(Recorded),
    Wait(Event),
}

/// A transfer, and how far it is.
#[derive(Debug)]
struct Running {
    transfer: Transfer,
    done: Done,
    run: usize,
    in_run: u64,
}

#[derive(Debug)]
struct HostStream {
    shared: Arc<Shared>,
    index: usize,
}

impl HostDevice {
    /// A device that does nothing but in [`HostDevice::pump`].
    pub fn new(memory: HostMemory) -> Self {
        let number = next_device_number();
        let shared = Shared { memory, number, work: Mutex::default(), changed: Condvar::new() };
        Self { shared: Arc::new(shared), thread: Mutex::default() }
    }

    /// A device with a thread that does its work.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub fn with_thread(memory: HostMemory) -> Result<Self> {
        let device = Self::new(memory);
        let of_thread = Arc::clone(&device.shared);
        let thread = std::thread::Builder::new().name("host-device".to_owned());
        let thread = thread.spawn(move || of_thread.run());
        let thread = thread.map_err(|error| Error::io("cannot start the thread of a device", error))?;
        *lock(&device.thread) = Some(thread);
        Ok(device)
    }

    /// Does one step of one stream. Returns whether there was one to do.
    pub fn pump(&self) -> bool {
        let mut work = lock(&self.shared.work);
        let step = work.next();
        drop(work);
        step.map(|step| self.shared.take(step)).is_some()
    }

    /// The memory.
    pub fn host_memory(&self) -> &HostMemory {
        &self.shared.memory
    }

    /// Ends it: what is queued fails, and so does all that comes later. When this returns, its thread touches no memory any more,
    /// unless it is that thread that calls. Closing twice does no harm.
    pub fn close(&self) {
        self.shared.end(End::Closed);
        // A completion can be the last to hold the device: the thread does not wait for itself.
        let is_own = |thread: &JoinHandle<()>| os::thread::is_current(thread);
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread.filter(|thread| !is_own(thread)) {
            // A panic of the thread was printed; there is nobody here to pass it on to.
            let _ = thread.join();
        }
    }

    /// What becomes of a device that falls off the bus: all that is queued fails, and so does all that comes later. What
    /// was moved before stays moved, and of a transfer under way an unknown part is.
    pub fn lose(&self, why: &str) {
        self.shared.end(End::Lost(why.to_owned()));
    }
}

impl Drop for HostDevice {
    fn drop(&mut self) {
        self.close();
    }
}

impl Device for HostDevice {
    fn memory(&self) -> &dyn Memory {
        &self.shared.memory
    }

    fn open_stream(&self) -> Result<Box<dyn Stream>> {
        let mut work = lock(&self.shared.work);
        if let Some(end) = &work.end {
            return Err(end.error());
        }
        let index = match work.streams.iter().position(Option::is_none) {
            Some(free) => free,
            None if work.streams.len() < MAX_STREAMS => {
                work.streams.push(None);
                work.streams.len() - 1
            }
            None => {
                return Err(Error::invalid("the device has as many streams as it can have")
                    .with_context("limit", MAX_STREAMS));
            }
        };
        work.streams[index] = Some(Queue::default());
        Ok(Box::new(HostStream { shared: Arc::clone(&self.shared), index }))
    }
}

impl HostStream {
    /// Puts `item` behind what is queued; gives it back with the reason if that cannot be.
    fn queue(&self, item: Item) -> std::result::Result<(), (Item, Error)> {
        let mut work = lock(&self.shared.work);
        if let Some(end) = &work.end {
            return Err((item, end.error()));
        }
        let items = &mut work.queue(self.index).items;
        if items.len() == MAX_QUEUED {
            let error = Error::new(ErrorKind::OutOfMemory, "the stream has as much work as it can hold");
            return Err((item, error.with_context("limit", MAX_QUEUED)));
        }
        items.push_back(item);
        drop(work);
        self.shared.changed.notify_one();
        Ok(())
    }

    fn check(&self, transfer: &Transfer) -> Result<()> {
        let sides = [
            ("device", transfer.plan.device_end(), Memory::len_bytes(&self.shared.memory)),
            ("host", transfer.plan.host_end(), transfer.host.len_bytes()),
        ];
        for (side, end, len_bytes) in sides {
            if end > len_bytes {
                return Err(Error::invalid("a transfer ends outside of the memory")
                    .with_context("memory", side)
                    .with_context("end", end)
                    .with_context("memory_bytes", len_bytes));
            }
        }
        Ok(())
    }
}

impl Stream for HostStream {
    fn submit(&self, transfer: Transfer, done: Done) {
        let item = match self.check(&transfer) {
            Ok(()) => Item::Transfer(Running { transfer, done, run: 0, in_run: 0 }),
            Err(error) => Item::Refused(done, error),
        };
        if let Err((item, error)) = self.queue(item) {
            item.fail(error);
        }
    }

    fn record(&self) -> Result<Event> {
        let is_reached = Arc::new(AtomicBool::new(false));
        let event = Event { device: self.shared.number, is_reached, native: None };
        self.queue(Item::Record(Recorded(event.clone()))).map_err(|(_, error)| error)?;
        Ok(event)
    }

    fn wait_for(&self, event: &Event) -> Result<()> {
        if event.device != self.shared.number {
            return Err(Error::invalid("a stream can wait for events of its own device only"));
        }
        self.queue(Item::Wait(event.clone())).map_err(|(_, error)| error)
    }
}

impl Drop for HostStream {
    fn drop(&mut self) {
        let mut work = lock(&self.shared.work);
        work.queue(self.index).is_dropped = true;
        work.free_if_over(self.index);
    }
}

impl Shared {
    /// The thread: does steps, and sleeps where there is none to do, until the device is closed.
    fn run(&self) {
        let mut work = lock(&self.work);
        loop {
            if let Some(step) = work.next() {
                drop(work);
                self.take(step);
                work = lock(&self.work);
            } else if matches!(work.end, Some(End::Closed)) {
                return;
            } else if let Ok(woken) = self.changed.wait(work) {
                work = woken;
            } else {
                return;
            }
        }
    }

    /// Takes a step of the stream at `index`, whose queue is busy meanwhile.
    fn take(&self, (index, item): (usize, Item)) {
        let unfinished = match item {
            Item::Transfer(running) => self.advance(running),
            Item::Refused(done, error) => {
                done.tell(Err(error));
                None
            }
            Item::Record(recorded) => {
                // Before the thread is woken, which looks at the event.
                drop(recorded);
                None
            }
            Item::Wait(_) => None,
        };
        let mut work = lock(&self.work);
        let end = work.end.clone();
        let queue = work.queue(index);
        queue.is_busy = false;
        let lost = match (unfinished, end) {
            (Some(running), None) => {
                queue.items.push_front(Item::Transfer(running));
                None
            }
            (Some(running), Some(end)) => Some((running, end)),
            (None, _) => None,
        };
        work.free_if_over(index);
        drop(work);
        if let Some((running, end)) = lost {
            running.done.tell(Err(end.error()));
        }
        // An event may have been reached, which the thread of the device sleeps on while another one pumps.
        self.changed.notify_one();
    }

    /// Copies a step's worth. Gives the transfer back if it is not over.
    fn advance(&self, mut running: Running) -> Option<Running> {
        if !running.step(&self.memory) {
            return Some(running);
        }
        let plan = &running.transfer.plan;
        let moved = Moved { bytes: plan.bytes(), runs: plan.runs().len() as u64 };
        let outcome = lock(&self.work).end.as_ref().map_or(Ok(moved), |end| Err(end.error()));
        running.done.tell(outcome);
        None
    }

    /// Nothing is done any more, and all that was to be is told so. The first reason stays, but a device that was lost
    /// can be closed.
    fn end(&self, end: End) {
        let mut work = lock(&self.work);
        if matches!(end, End::Closed) || work.end.is_none() {
            work.end = Some(end.clone());
        }
        let queues = work.streams.iter_mut().flatten();
        let items: Vec<_> = queues.flat_map(|queue| std::mem::take(&mut queue.items)).collect();
        drop(work);
        self.changed.notify_all();
        items.into_iter().for_each(|item| item.fail(end.error()));
    }
}

impl Work {
    /// The queue of a stream whose handle or whose work is there.
    fn queue(&mut self, index: usize) -> &mut Queue {
        self.streams[index].as_mut().expect("a stream keeps its place while it is used")
    }

    /// Gives up the place of a stream that nobody has and that has nothing to do.
    fn free_if_over(&mut self, index: usize) {
        let queue = self.queue(index);
        if queue.is_dropped && !queue.is_busy && queue.items.is_empty() {
            self.streams[index] = None;
        }
    }

    /// The next step, of the next stream that has one. Its queue is busy then.
    fn next(&mut self) -> Option<(usize, Item)> {
        let count = self.streams.len();
        for index in (0..count).map(|i| (self.turn + i) % count) {
            let Some(queue) = &mut self.streams[index] else { continue };
            if queue.is_busy || !queue.items.front().is_some_and(Item::can_go) {
                continue;
            }
            queue.is_busy = true;
            self.turn = index + 1;
            return queue.items.pop_front().map(|item| (index, item));
        }
        None
    }
}

impl Item {
    fn can_go(&self) -> bool {
        match self {
            Self::Wait(event) => event.is_reached(),
            Self::Transfer(_) | Self::Refused(..) | Self::Record(_) => true,
        }
    }

    fn fail(self, error: Error) {
        match self {
            Self::Transfer(running) => running.done.tell(Err(error)),
            Self::Refused(done, first) => done.tell(Err(first)),
            Self::Record(_) | Self::Wait(_) => {}
        }
    }
}

impl Running {
    /// Copies up to [`STEP_BYTES`] in up to [`STEP_RUNS`] runs. Returns whether that was all.
    fn step(&mut self, device: &HostMemory) -> bool {
        let Transfer { plan, direction, host } = &self.transfer;
        let mut left = STEP_BYTES;
        for _ in 0..STEP_RUNS {
            let Some(run) = plan.runs().get(self.run).filter(|_| left > 0) else { break };
            let len_bytes = (run.len_bytes - self.in_run).min(left);
            let (at_device, at_host) = (run.device_offset + self.in_run, run.host_offset + self.in_run);
            let (device, host, len) = (device.region(), host.region(), len_bytes as usize);
            // The plan was checked against the lengths of both, which no region is shorter than.
            match direction {
                Direction::DeviceToHost => device.copy_to(at_device as usize, host, at_host as usize, len),
                Direction::HostToDevice => host.copy_to(at_host as usize, device, at_device as usize, len),
            }
            left -= len_bytes;
            self.in_run += len_bytes;
            if self.in_run == run.len_bytes {
                (self.run, self.in_run) = (self.run + 1, 0);
            }
        }
        self.run == plan.runs().len()
    }
}

impl End {
    fn error(&self) -> Error {
        match self {
            Self::Lost(why) => Error::new(ErrorKind::Io, "the device is lost").with_context("reason", why),
            Self::Closed => Error::new(ErrorKind::Closed, "the device was closed"),
        }
    }
}

//! A CUDA device.

use std::ptr::NonNull;
use std::thread::JoinHandle;
use std::time::Duration;

use super::bell::LentBell;
use super::context::Context;
use super::crossover::{Crossover, SharedCrossover};
use super::handles::RawStream;
use super::ipc::IpcHandle;
use super::kernel::{Kernel, KernelOrigin};
use super::lane::{Lane, State};
use super::memory::{AddressSpace, DeviceMemory};
use super::pool::PinnedPool;
use super::probe;
use super::registered;
use super::stream::CudaStream;
use super::transfer::Mover;
use crate::device::memory::Memory;
use crate::device::registrar::{PageRegistrar, Registration, RegistrationKind};
use crate::device::stream::{Device, Stream, next_device_number};
use crate::error::{Error, ErrorKind, Result};
use crate::os;
use crate::sync::{Arc, Mutex, lock};

/// The most streams that are open at a time, those included that were dropped and have work left.
pub const MAX_STREAMS: usize = 256;

/// How often the thread looks at what is under way when the driver does not wake it: it does not where a device was lost.
const LONGEST_SLEEP: Duration = Duration::from_millis(10);

/// What a [`CudaDevice`] is opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CudaOptions {
    /// Which runs go by the copy engine.
    pub crossover: Crossover,
    /// How many bytes of memory that is not registered pass through a page-locked buffer at once; a power of two from 64 KiB on.
    pub bounce_bytes: usize,
}

impl Default for CudaOptions {
    fn default() -> Self {
        Self { crossover: Crossover::default(), bounce_bytes: 4 << 20 }
    }
}

/// A CUDA device, through its primary context, which it shares with the engine.
///
/// What is under way when it is dropped is waited for; what is submitted to its streams afterwards is answered with
/// [`ErrorKind::Closed`].
#[derive(Debug)]
pub struct CudaDevice {
    shared: Arc<Shared>,
    space: Arc<AddressSpace>,
    thread: Option<JoinHandle<()>>,
}

/// What the device, its streams and its thread have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) number: u64,
    pub(super) mover: Mover,
    pub(super) space: Arc<AddressSpace>,
    pub(super) bell: LentBell,
    lanes: Mutex<Lanes>,
}

#[derive(Debug, Default)]
struct Lanes {
    open: Vec<Arc<Lane>>,
    is_closed: bool,
}

impl CudaDevice {
    /// The device of this number, as `CUDA_VISIBLE_DEVICES` shows them.
    ///
    /// # Errors
    /// [`ErrorKind::NoDevice`] if there is no driver or no device that works; what the driver says.
    pub fn open(ordinal: u32) -> Result<Arc<Self>> {
        Self::open_with(ordinal, CudaOptions::default())
    }

    /// As [`CudaDevice::open`], with options.
    ///
    /// # Errors
    /// As [`CudaDevice::open`], and if a buffer has no size that it can have.
    pub fn open_with(ordinal: u32, options: CudaOptions) -> Result<Arc<Self>> {
        let CudaOptions { crossover, bounce_bytes } = options;
        if !bounce_bytes.is_power_of_two() || !(64 << 10..=1 << 30).contains(&bounce_bytes) {
            return Err(Error::invalid("a buffer has a power of two of bytes, from 64 KiB to 1 GiB")
                .with_context("bounce_bytes", bounce_bytes));
        }
        let driver = probe::probe()?;
        let context = Context::retain(driver, ordinal)?;
        let mover = Mover {
            kernel: Kernel::load(&context)?,
            batch: driver.batch(),
            pool: PinnedPool::new(Arc::clone(&context)),
            crossover: SharedCrossover::new(crossover),
            bounce_bytes,
            context: Arc::clone(&context),
        };
        let space = AddressSpace::new(context);
        let (bell, lanes) = (LentBell::new(), Mutex::default());
        let shared = Shared { number: next_device_number(), mover, space: Arc::clone(&space), bell, lanes };
        let shared = Arc::new(shared);
        let thread = std::thread::Builder::new().name(format!("cuda-device-{ordinal}"));
        let of_thread = Arc::clone(&shared);
        let thread = thread.spawn(move || of_thread.run());
        let thread = thread.map_err(|error| Error::io("cannot start the thread of a device", error))?;
        Ok(Arc::new(Self { shared, space, thread: Some(thread) }))
    }

    /// What the driver calls it.
    pub fn name(&self) -> &str {
        &self.shared.mover.context.facts().name
    }

    /// Its number.
    pub fn ordinal(&self) -> u32 {
        self.shared.mover.context.ordinal()
    }

    /// Where its kernel came from.
    pub fn kernel_origin(&self) -> &KernelOrigin {
        self.shared.mover.kernel.origin()
    }

    /// Why it is of no use any more, if that is so. It does not come back: the process has to be started again.
    pub fn lost(&self) -> Option<Error> {
        self.shared.mover.context.lost()
    }

    /// Which runs go by the copy engine.
    pub fn crossover(&self) -> Crossover {
        self.shared.mover.crossover.get()
    }

    /// Changes which runs go by the copy engine, for what is submitted from now on.
    pub fn set_crossover(&self, crossover: Crossover) {
        self.shared.mover.crossover.set(crossover);
    }

    /// New memory of the device, with whatever bytes.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] if there is not as much; what the driver says.
    pub fn allocate(&self, len_bytes: u64) -> Result<DeviceMemory> {
        self.shared.check_open()?;
        self.space.allocate(len_bytes)
    }

    /// A tensor of another process, `offset` bytes into the memory that it exported `handle` for.
    ///
    /// # Errors
    /// If the handle is none, or of this process, or the memory ends before the tensor does; what the driver says.
    pub fn open_ipc(&self, handle: &IpcHandle, offset: u64, len_bytes: u64) -> Result<DeviceMemory> {
        self.shared.check_open()?;
        self.space.open_ipc(handle, offset, len_bytes)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for CudaDevice {
    fn drop(&mut self) {
        lock(&self.shared.lanes).is_closed = true;
        self.shared.bell.ring();
        // A completion can be the last to hold the device: the thread does not wait for itself.
        let is_own = |thread: &JoinHandle<()>| os::thread::is_current(thread);
        if let Some(thread) = self.thread.take().filter(|thread| !is_own(thread)) {
            // A panic of the thread was printed; there is nobody here to pass it on to.
            let _ = thread.join();
        }
    }
}

impl PageRegistrar for CudaDevice {
    fn kind(&self) -> RegistrationKind {
        RegistrationKind::Registered
    }

    fn register(&self, base: NonNull<u8>, len_bytes: usize) -> Result<Registration> {
        self.shared.check_open()?;
        registered::register(&self.shared.mover.context, base, len_bytes)
    }
}

impl Device for CudaDevice {
    fn memory(&self) -> &dyn Memory {
        &*self.space
    }

    fn open_stream(&self) -> Result<Box<dyn Stream>> {
        self.shared.check_open()?;
        let cannot = |failure| self.shared.mover.context.error(failure, "cannot open a stream");
        // Before the lock, which the thread needs.
        let stream = RawStream::new(&self.shared.mover.context).map_err(cannot)?;
        let mut lanes = lock(&self.shared.lanes);
        if lanes.is_closed {
            return Err(closed());
        }
        if lanes.open.len() >= MAX_STREAMS {
            return Err(Error::invalid("the device has as many streams as it can have")
                .with_context("limit", MAX_STREAMS));
        }
        let lane = Arc::new(Lane::new(stream));
        lanes.open.push(Arc::clone(&lane));
        Ok(Box::new(CudaStream::new(Arc::clone(&self.shared), lane)))
    }
}

impl Shared {
    /// Whether there is anything to be had of the device.
    pub(super) fn check_open(&self) -> Result<()> {
        if lock(&self.lanes).is_closed {
            return Err(closed());
        }
        self.mover.context.lost().map_or(Ok(()), Err)
    }

    /// The thread: tells who has to be told, and sleeps meanwhile, until the device is closed and nothing is under way.
    fn run(&self) {
        loop {
            let lanes = lock(&self.lanes);
            let (open, is_closed) = (lanes.open.clone(), lanes.is_closed);
            drop(lanes);
            let mut left = Vec::new();
            let states: Vec<State> = open.iter().map(|lane| lane.settle(&self.mover, &mut left)).collect();
            // When all are told, and before the device can be closed.
            drop(left);
            let is_busy = states.contains(&State::Busy);
            self.forget(
                open.iter().zip(&states).filter(|(_, state)| **state == State::Over).map(|(lane, _)| lane),
            );
            if is_closed && self.seal() {
                return;
            }
            drop(open);
            self.bell.wait(is_busy.then_some(LONGEST_SLEEP));
        }
    }

    /// Lets the lanes take nothing any more, if nothing is under way on any. Returns whether that is so. No lane comes to those there are:
    /// the device is closed.
    fn seal(&self) -> bool {
        let open = lock(&self.lanes).open.clone();
        open.iter().all(|lane| lane.seal())
    }

    /// Gives up lanes that are over. Their streams are destroyed without the lock.
    fn forget<'a>(&self, over: impl Iterator<Item = &'a Arc<Lane>>) {
        for lane in over {
            lock(&self.lanes).open.retain(|other| !Arc::ptr_eq(other, lane));
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the device was closed")
}

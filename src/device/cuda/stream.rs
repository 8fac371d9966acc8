//! A stream of a CUDA device, as everybody sees it.
#![expect(unsafe_code, reason = "the driver is called")]

use std::ffi::c_int;

use cudarc::driver::sys::CUstream;

use super::context::{Entered, call};
use super::device::{CudaDevice, Shared};
use super::failure::{CAPTURED, Failure};
use super::handles::RawEvent;
use super::lane::Lane;
use super::memory::DeviceMemory;
use super::transfer::Holds;
use crate::device::stream::{Done, EngineStream, Event, Recorded, Stream, Transfer};
use crate::error::{Error, Result};
use crate::sync::Arc;
use crate::sync::atomic::AtomicBool;

/// `CU_STREAM_CAPTURE_STATUS_NONE`.
const NOT_CAPTURED: c_int = 0;

/// A stream.
#[derive(Debug)]
pub(super) struct CudaStream {
    shared: Arc<Shared>,
    lane: Arc<Lane>,
}

impl EngineStream {
    /// The engine's stream with this handle: a `CUstream`, which is what a `cudaStream_t` and PyTorch's `Stream.cuda_stream` are. 0 is the
    /// default stream.
    ///
    /// # Safety
    /// It is a stream that exists, of the device whose streams it is used with, for as long as this is used: the driver does not check
    /// what it is given.
    pub unsafe fn from_raw(handle: usize) -> Self {
        Self { handle }
    }

    fn raw(self) -> CUstream {
        std::ptr::with_exposed_provenance_mut(self.handle)
    }
}

impl CudaDevice {
    /// A tensor of the engine's, which lies in memory of this device.
    ///
    /// # Errors
    /// If the driver does not know the address, or has it for memory of the host or of another device.
    ///
    /// # Safety
    /// The memory stays until what is returned was dropped, and all transfers are over that use it.
    pub unsafe fn adopt(&self, address: u64, len_bytes: u64) -> Result<DeviceMemory> {
        self.shared().check_open()?;
        self.shared().space.adopt(address, len_bytes)
    }
}

impl CudaStream {
    pub(super) fn new(shared: Arc<Shared>, lane: Arc<Lane>) -> Self {
        Self { shared, lane }
    }

    /// What a transfer needs of the device, if all that it names is there.
    fn admit(&self, transfer: &Transfer) -> Result<Holds> {
        let (plan, region) = (&transfer.plan, transfer.host.region());
        let host_bytes = transfer.host.len_bytes().min(region.len_bytes() as u64);
        if plan.host_end() > host_bytes {
            return Err(Error::invalid("a transfer ends outside of the memory")
                .with_context("memory", "host")
                .with_context("end", plan.host_end())
                .with_context("memory_bytes", host_bytes));
        }
        let spans = plan.runs().iter().map(|run| (run.device_offset, run.len_bytes));
        Ok(Holds::new(self.shared.space.book().holders(spans)?))
    }
}

impl Stream for CudaStream {
    fn submit(&self, transfer: Transfer, done: Done) {
        if let Err(error) = self.shared.check_open() {
            return done.tell(Err(error));
        }
        let holds = self.admit(&transfer);
        let refused = self.lane.submit(&self.shared.mover, &self.shared.bell, &transfer, done, holds);
        // The thread has something to look at now, whether the driver will wake it or not.
        self.shared.bell.ring();
        if let Err((done, error)) = refused {
            done.tell(Err(error));
        }
    }

    fn record(&self) -> Result<Event> {
        self.shared.check_open()?;
        let is_reached = Arc::new(AtomicBool::new(false));
        let event = Event { device: self.shared.number, is_reached, native: None };
        let recorded = Recorded(event.clone());
        let native = self.lane.record(&self.shared.mover, &self.shared.bell, recorded);
        // Also where it failed: the thread may wait for the outcome, to end.
        self.shared.bell.ring();
        Ok(Event { native: Some(native?), ..event })
    }

    fn wait_for(&self, event: &Event) -> Result<()> {
        if event.device != self.shared.number {
            return Err(Error::invalid("a stream can wait for events of its own device only"));
        }
        self.shared.check_open()?;
        let Some(native) = event.native.as_ref().and_then(|native| native.downcast_ref::<RawEvent>()) else {
            return Ok(());
        };
        let context = &self.shared.mover.context;
        let waits = context.enter().and_then(|entered| self.lane.stream.wait_for(&entered, native));
        waits.map_err(|failure| context.error(failure, "cannot let a stream wait for an event"))
    }

    fn wait_for_engine(&self, engine: EngineStream) -> Result<()> {
        self.shared.check_open()?;
        let context = &self.shared.mover.context;
        let waits = context.enter().and_then(|entered| {
            check_not_captured(&entered, engine)?;
            let event = RawEvent::new(context, &entered)?;
            // SAFETY: the event is there, and so is the stream: see `EngineStream::from_raw`.
            entered.outcome(unsafe { call!(cuEventRecord(event.handle(), engine.raw())) })?;
            self.lane.stream.wait_for(&entered, &event)
        });
        waits.map_err(|failure| context.error(failure, "cannot wait for the engine's stream"))
    }

    fn let_engine_wait(&self, engine: EngineStream) -> Result<()> {
        self.shared.check_open()?;
        let context = &self.shared.mover.context;
        let waits = context.enter().and_then(|entered| {
            check_not_captured(&entered, engine)?;
            let event = RawEvent::new(context, &entered)?;
            event.record(&entered, &self.lane.stream)?;
            // SAFETY: as in `wait_for_engine`.
            entered.outcome(unsafe { call!(cuStreamWaitEvent(engine.raw(), event.handle(), 0)) })
        });
        waits.map_err(|failure| context.error(failure, "cannot let the engine's stream wait"))
    }
}

/// Refuses a stream of the engine's that becomes a graph. The driver would not: an event on it is a part of the graph, and so is, from then
/// on, the stream that waits for the event, on which nothing is done any more.
fn check_not_captured(entered: &Entered<'_>, engine: EngineStream) -> std::result::Result<(), Failure> {
    let mut status = NOT_CAPTURED;
    // SAFETY: the stream is there: see `EngineStream::from_raw`. The driver writes one number.
    entered.outcome(unsafe { call!(cuStreamIsCapturing(engine.raw(), &raw mut status)) })?;
    match status {
        NOT_CAPTURED => Ok(()),
        _ => Err(Failure { function: "cuStreamIsCapturing", code: CAPTURED }),
    }
}

impl Drop for CudaStream {
    fn drop(&mut self) {
        self.lane.leave();
        self.shared.bell.ring();
    }
}

//! What is had of the driver and given back: streams, events, memory of the host, a module.
#![expect(unsafe_code, reason = "the driver is called")]

use std::ffi::{CStr, c_char, c_uint, c_void};

use cudarc::driver::sys::{
    CU_MEMHOSTALLOC_DEVICEMAP, CU_MEMHOSTALLOC_PORTABLE, CUevent, CUevent_flags_enum, CUfunction, CUmodule,
    CUstream, CUstream_flags_enum,
};

use super::context::{Context, Entered, call};
use super::failure::{Failure, NOT_READY};
use crate::sync::Arc;

/// A stream of ours, which waits for no other one.
#[derive(Debug)]
pub(super) struct RawStream {
    context: Arc<Context>,
    handle: CUstream,
}

// SAFETY: a handle that every thread may use; the driver has the locks.
unsafe impl Send for RawStream {}
// SAFETY: as above.
unsafe impl Sync for RawStream {}

impl RawStream {
    pub(super) fn new(context: &Arc<Context>) -> Result<Self, Failure> {
        let mut handle = std::ptr::null_mut();
        let entered = context.enter()?;
        let flags = CUstream_flags_enum::CU_STREAM_NON_BLOCKING as c_uint;
        // SAFETY: the driver writes one handle.
        entered.outcome(unsafe { call!(cuStreamCreate(&raw mut handle, flags)) })?;
        Ok(Self { context: Arc::clone(context), handle })
    }

    pub(super) fn handle(&self) -> CUstream {
        self.handle
    }

    /// Whether all is done that was asked of it. For what has no event.
    pub(super) fn is_idle(&self, entered: &Entered<'_>) -> Result<bool, Failure> {
        // SAFETY: the stream is there.
        is_ready(entered, unsafe { call!(cuStreamQuery(self.handle)) })
    }

    /// Lets what comes from now on wait for `event`.
    pub(super) fn wait_for(&self, entered: &Entered<'_>, event: &RawEvent) -> Result<(), Failure> {
        // SAFETY: both are there.
        entered.outcome(unsafe { call!(cuStreamWaitEvent(self.handle, event.handle, 0)) })
    }

    /// Lets the driver call `function` with `data` when all is done that was asked of the stream so far.
    ///
    /// # Safety
    /// `data` is good for `function` whenever it is called, or it is never called.
    pub(super) unsafe fn call_host(
        &self,
        entered: &Entered<'_>,
        function: unsafe extern "C" fn(*mut c_void),
        data: *mut c_void,
    ) -> Result<(), Failure> {
        // SAFETY: as the caller promises.
        entered.outcome(unsafe { call!(cuLaunchHostFunc(self.handle, Some(function), data)) })
    }
}

impl Drop for RawStream {
    fn drop(&mut self) {
        let Some(entered) = self.context.enter_to_free() else { return };
        // SAFETY: the stream is there, and nobody uses it any more.
        let _ = entered.outcome(unsafe { call!(cuStreamDestroy_v2(self.handle)) });
    }
}

/// An event.
#[derive(Debug)]
pub(super) struct RawEvent {
    context: Arc<Context>,
    handle: CUevent,
}

// SAFETY: as `RawStream`.
unsafe impl Send for RawEvent {}
// SAFETY: as `RawStream`.
unsafe impl Sync for RawEvent {}

impl RawEvent {
    pub(super) fn new(context: &Arc<Context>, entered: &Entered<'_>) -> Result<Self, Failure> {
        let mut handle = std::ptr::null_mut();
        let flags = CUevent_flags_enum::CU_EVENT_DISABLE_TIMING as c_uint;
        // SAFETY: the driver writes one handle.
        entered.outcome(unsafe { call!(cuEventCreate(&raw mut handle, flags)) })?;
        Ok(Self { context: Arc::clone(context), handle })
    }

    pub(super) fn handle(&self) -> CUevent {
        self.handle
    }

    /// Puts it behind all that was asked of `stream`.
    pub(super) fn record(&self, entered: &Entered<'_>, stream: &RawStream) -> Result<(), Failure> {
        // SAFETY: both are there.
        entered.outcome(unsafe { call!(cuEventRecord(self.handle, stream.handle)) })
    }

    /// Whether it is reached.
    pub(super) fn is_reached(&self, entered: &Entered<'_>) -> Result<bool, Failure> {
        // SAFETY: the event is there.
        is_ready(entered, unsafe { call!(cuEventQuery(self.handle)) })
    }
}

/// What a question whether something is over was answered.
fn is_ready(entered: &Entered<'_>, answer: Result<(), Failure>) -> Result<bool, Failure> {
    match answer {
        Ok(()) => Ok(true),
        Err(failure) if failure.code == NOT_READY => Ok(false),
        Err(failure) => entered.outcome(Err(failure)).map(|()| false),
    }
}

impl Drop for RawEvent {
    fn drop(&mut self) {
        let Some(entered) = self.context.enter_to_free() else { return };
        // SAFETY: the event is there, and nobody uses it any more; who waits for it on the device goes on to do so.
        let _ = entered.outcome(unsafe { call!(cuEventDestroy_v2(self.handle)) });
    }
}

/// Memory of the host that the driver locked, which the device reaches under its own address.
#[derive(Debug)]
pub(super) struct PinnedBuffer {
    context: Arc<Context>,
    start: *mut u8,
    len_bytes: usize,
}

// SAFETY: plain memory that belongs to no thread.
unsafe impl Send for PinnedBuffer {}
// SAFETY: nothing is done with its bytes through a shared reference, but by those who hold the duty to know who else does.
unsafe impl Sync for PinnedBuffer {}

impl PinnedBuffer {
    pub(super) fn new(context: &Arc<Context>, len_bytes: usize) -> Result<Self, Failure> {
        let mut start: *mut c_void = std::ptr::null_mut();
        let entered = context.enter()?;
        let flags = CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP;
        // SAFETY: the driver writes one address.
        entered.outcome(unsafe { call!(cuMemHostAlloc(&raw mut start, len_bytes, flags)) })?;
        Ok(Self { context: Arc::clone(context), start: start.cast(), len_bytes })
    }

    pub(super) fn start(&self) -> *mut u8 {
        self.start
    }

    /// Where it is, for the device.
    pub(super) fn address(&self) -> u64 {
        self.start.addr() as u64
    }

    pub(super) fn len_bytes(&self) -> usize {
        self.len_bytes
    }
}

impl Drop for PinnedBuffer {
    fn drop(&mut self) {
        let Some(entered) = self.context.enter_to_free() else { return };
        // SAFETY: the memory is there, and nobody uses it any more.
        let _ = entered.outcome(unsafe { call!(cuMemFreeHost(self.start.cast())) });
    }
}

/// A module with one function.
#[derive(Debug)]
pub(super) struct Module {
    context: Arc<Context>,
    handle: CUmodule,
    function: CUfunction,
}

// SAFETY: as `RawStream`.
unsafe impl Send for Module {}
// SAFETY: as `RawStream`.
unsafe impl Sync for Module {}

impl Module {
    /// Loads `ptx`, which is compiled for the device, and finds `function` in it.
    pub(super) fn load(context: &Arc<Context>, ptx: &CStr, function: &CStr) -> Result<Self, Failure> {
        let mut handle = std::ptr::null_mut();
        let entered = context.enter()?;
        // SAFETY: the driver reads the text up to its NUL, and writes one handle.
        entered.outcome(unsafe { call!(cuModuleLoadData(&raw mut handle, ptx.as_ptr().cast())) })?;
        let mut module = Self { context: Arc::clone(context), handle, function: std::ptr::null_mut() };
        let (place, name): (_, *const c_char) = (&raw mut module.function, function.as_ptr());
        // SAFETY: the module is there, the name ends with a NUL, and the driver writes one handle.
        entered.outcome(unsafe { call!(cuModuleGetFunction(place, module.handle, name)) })?;
        drop(entered);
        Ok(module)
    }

    pub(super) fn function(&self) -> CUfunction {
        self.function
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let Some(entered) = self.context.enter_to_free() else { return };
        // SAFETY: the module is there, and nothing of it runs any more.
        let _ = entered.outcome(unsafe { call!(cuModuleUnload(self.handle)) });
    }
}

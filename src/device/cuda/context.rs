//! A device's primary context: the one that the engine uses too, in whatever way it uses CUDA.
//!
//! It is made the calling thread's for the time of a call, and put away after it, so that an engine's thread finds its own
//! device as it left it. What is done with it is a method of [`Entered`], the proof that it is the thread's.
#![expect(unsafe_code, reason = "the driver is called")]

use std::ffi::c_int;
use std::marker::PhantomData;

use cudarc::driver::sys::{CUcontext, CUdevice, CUdevice_attribute_enum as Attribute};

use super::driver::Driver;
use super::failure::Failure;
use crate::error::{Error, Result};
use crate::sync::{Arc, OnceLock};

/// `CU_STREAM_CAPTURE_MODE_RELAXED`.
const RELAXED: c_int = 2;

/// A device and its primary context, which is held as long as this is.
#[derive(Debug)]
pub(super) struct Context {
    ordinal: u32,
    device: CUdevice,
    handle: CUcontext,
    facts: Facts,
    /// The call after which nothing worked any more.
    lost: OnceLock<Failure>,
}

/// What is asked of a device once.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) name: String,
    /// 10 times the major number of its compute capability and the minor one.
    pub(super) capability: i32,
    pub(super) multiprocessors: u32,
    /// Whether kernels reach registered memory of the host under its own address.
    pub(super) has_host_addresses: bool,
}

// SAFETY: a context is a handle that every thread may make its own; the driver has the locks.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

/// The code of a call, as an outcome.
pub(super) fn check(function: &'static str, code: c_int) -> Result<(), Failure> {
    match code {
        0 => Ok(()),
        code => Err(Failure { function, code }),
    }
}

/// A call of the driver, inside of `unsafe`, and its outcome.
macro_rules! call {
    ($function:ident($($argument:expr),* $(,)?)) => {
        match super::functions::functions() {
            Some(all) => super::context::check(stringify!($function), (all.$function)($($argument),*)),
            None => Err(super::failure::Failure {
                function: stringify!($function),
                code: super::failure::NOT_INITIALIZED,
            }),
        }
    };
}
pub(super) use call;

impl Context {
    /// The primary context of the device with this number, counted as `CUDA_VISIBLE_DEVICES` shows them.
    pub(super) fn retain(driver: &Driver, ordinal: u32) -> Result<Arc<Self>> {
        if ordinal >= driver.device_count() {
            return Err(Error::invalid("there is no device of this number")
                .with_context("ordinal", ordinal)
                .with_context("devices", driver.device_count())
                .with_hint("they count from 0, as CUDA_VISIBLE_DEVICES shows them"));
        }
        let cannot =
            |failure: Failure| failure.error("cannot use the device").with_context("ordinal", ordinal);
        let mut device = 0;
        // SAFETY: the driver writes one number.
        unsafe { call!(cuDeviceGet(&raw mut device, ordinal as c_int)) }.map_err(cannot)?;
        let facts = Facts::of(device).map_err(cannot)?;
        if facts.capability < super::kernel::MIN_CAPABILITY {
            return Err(Error::unsupported("the device is older than any that is supported")
                .with_context("device", facts.name)
                .with_context("compute_capability", facts.capability)
                .with_context("oldest", super::kernel::MIN_CAPABILITY));
        }
        let mut handle = std::ptr::null_mut();
        // SAFETY: the driver writes one handle.
        unsafe { call!(cuDevicePrimaryCtxRetain(&raw mut handle, device)) }.map_err(cannot)?;
        Ok(Arc::new(Self { ordinal, device, handle, facts, lost: OnceLock::new() }))
    }

    pub(super) fn ordinal(&self) -> u32 {
        self.ordinal
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Makes the context the calling thread's, until what is returned is dropped.
    pub(super) fn enter(&self) -> Result<Entered<'_>, Failure> {
        // SAFETY: the context is held.
        unsafe { call!(cuCtxPushCurrent_v2(self.handle)) }.map_err(|failure| self.note(failure))?;
        let mut mode = RELAXED;
        // SAFETY: the driver reads and writes one mode.
        let exchanged = unsafe { call!(cuThreadExchangeStreamCaptureMode(&raw mut mode)) };
        // From here on, the context is put away whatever happens.
        let before = exchanged.is_ok().then_some(mode);
        let entered = Entered { context: self, before, _of_thread: PhantomData };
        entered.outcome(exchanged)?;
        Ok(entered)
    }

    /// As [`Context::enter`], to give something back: it is tried twice, because what cannot be given back stays taken for the
    /// life of the process.
    pub(super) fn enter_to_free(&self) -> Option<Entered<'_>> {
        self.enter().or_else(|_| self.enter()).ok()
    }

    /// Remembers a failure after which the device is of no use.
    pub(super) fn note(&self, failure: Failure) -> Failure {
        if failure.is_loss() {
            self.lose(failure);
        }
        failure
    }

    /// Nothing is asked of the device any more. The first reason stays.
    pub(super) fn lose(&self, failure: Failure) {
        self.lost.get_or_init(|| failure);
    }

    /// Why the device is lost, if it is.
    pub(super) fn lost(&self) -> Option<Error> {
        self.lost.get().map(|failure| failure.lost_error().with_context("ordinal", self.ordinal))
    }

    /// Whether the device is lost by a failure that ended all that was under way on it.
    pub(super) fn is_stopped(&self) -> bool {
        self.lost.get().is_some_and(|failure| failure.is_stop())
    }

    /// What a caller is told of a call that failed.
    pub(super) fn error(&self, failure: Failure, what: &'static str) -> Error {
        match self.lost.get() {
            Some(_) if failure.is_loss() => failure.lost_error().with_context("ordinal", self.ordinal),
            _ => failure.error(what),
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: it was retained once, and nobody uses it any more. There is nobody to tell if it fails.
        let _ = unsafe { call!(cuDevicePrimaryCtxRelease_v2(self.device)) };
    }
}

impl Facts {
    fn of(device: CUdevice) -> Result<Self, Failure> {
        let mut name = [0_u8; 128];
        // SAFETY: the driver writes up to 128 bytes, the last of which is a NUL.
        unsafe { call!(cuDeviceGetName(name.as_mut_ptr().cast(), name.len() as c_int, device)) }?;
        let len = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        let major = attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        let multiprocessors = attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let host_pointers = Attribute::CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM;
        Ok(Self {
            name: String::from_utf8_lossy(&name[..len]).into_owned(),
            capability: major.saturating_mul(10).saturating_add(minor),
            multiprocessors: u32::try_from(multiprocessors).unwrap_or(1).max(1),
            has_host_addresses: attribute(device, host_pointers)? == 1,
        })
    }
}

fn attribute(device: CUdevice, attribute: Attribute) -> Result<i32, Failure> {
    let mut value = 0;
    // SAFETY: the driver writes one number.
    unsafe { call!(cuDeviceGetAttribute(&raw mut value, attribute, device)) }?;
    Ok(value)
}

/// The context is the calling thread's. It is put away when this is dropped, by the same thread.
///
/// Meanwhile calls of the thread disturb no graph that the engine captures on whatever thread: without saying so, nearly any call
/// here would end the capture in failure.
#[derive(Debug)]
pub(super) struct Entered<'a> {
    context: &'a Context,
    /// How the thread had it with captures before.
    before: Option<c_int>,
    _of_thread: PhantomData<*mut ()>,
}

impl Entered<'_> {
    /// The outcome of a call, of which a loss is remembered.
    pub(super) fn outcome(&self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        outcome.map_err(|failure| self.context.note(failure))
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if let Some(mut mode) = self.before {
            // SAFETY: the driver reads and writes one mode.
            let _ = unsafe { call!(cuThreadExchangeStreamCaptureMode(&raw mut mode)) };
        }
        let mut popped = std::ptr::null_mut();
        // SAFETY: the driver writes one handle. What was pushed by `enter` is on top, since the guards of a thread nest.
        let _ = unsafe { call!(cuCtxPopCurrent_v2(&raw mut popped)) };
    }
}

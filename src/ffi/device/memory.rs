//! Opening a device, and its memory.

use std::ptr::NonNull;

use crate::device::{Device, HostDevice, HostMemory, HostMemoryOptions, HostSide, PageRegistrar, cuda};
#[cfg(not(feature = "cuda"))]
use crate::error::Error;
use crate::ffi::border::args::{Growing, growing, output, reserved};
use crate::ffi::border::boundary::{Failure, OK, guard};
use crate::ffi::border::status::Status;
use crate::ffi::callbacks;
use crate::ffi::handles::{self, Kind, Object, Shared};
use crate::os::copy::WORD_BYTES;
use crate::os::region::Region;
use crate::sync::Arc;

/// A device: memory in which an engine's cache lies, and streams that move bytes between it and L1. Any number of threads may use it
/// at once.
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_device(());

/// What a device in the memory of the host is made of. `LMCACHE_HOST_DEVICE_OPTIONS_INIT` sets the size; the rest is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_host_device_options {
    /// `sizeof(lmcache_host_device_options)`.
    pub struct_size: u32,
    /// Nothing; 0.
    pub reserved: u32,
    /// Memory of the host's, in which its caches lie, aligned to 8 bytes; it has to stay until `lmcache_device_free` has returned. NULL
    /// is memory that the library takes.
    pub memory: *mut u8,
    /// How many bytes there are, or are to be: a multiple of 8.
    pub memory_bytes: u64,
}

// SAFETY: numbers and a pointer; the first field is the size.
unsafe impl Growing for lmcache_host_device_options {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

#[derive(Debug)]
pub(in crate::ffi) enum OpenDevice {
    Host(HostDevice),
    #[cfg(feature = "cuda")]
    Cuda(Arc<cuda::CudaDevice>),
}

impl OpenDevice {
    pub(super) fn device(&self) -> &dyn Device {
        match self {
            Self::Host(device) => device,
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => &**device,
        }
    }

    /// What tells it of memory of the host.
    pub(in crate::ffi) fn registrar(&self) -> Result<Arc<dyn PageRegistrar>, Failure> {
        match self {
            Self::Host(_) => Err(Failure::misuse(
                Status::LMCACHE_STATUS_UNSUPPORTED,
                "a device in the memory of the host has no use for memory that is pinned",
            )),
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => Ok(Arc::clone(device) as _),
        }
    }

    /// Ends what is under way, of a device in the memory of the host. A GPU waits for it, when its last user is gone.
    fn close(&self) {
        match self {
            Self::Host(device) => device.close(),
            #[cfg(feature = "cuda")]
            Self::Cuda(_) => {}
        }
    }
}

impl Object for OpenDevice {
    const KIND: Kind = Kind::Device;
    const NAME: &'static str = "device";
}

impl Shared for OpenDevice {}

fn host_memory(options: &lmcache_host_device_options) -> Result<HostMemory, Failure> {
    reserved("reserved", options.reserved)?;
    let Some(base) = NonNull::new(options.memory) else {
        return Ok(HostMemory::new(&HostMemoryOptions::new(options.memory_bytes))?);
    };
    let len_bytes = usize::try_from(options.memory_bytes).ok().filter(|len| *len <= isize::MAX as usize);
    let is_whole = base.addr().get().is_multiple_of(WORD_BYTES)
        && len_bytes.is_some_and(|len| len > 0 && len.is_multiple_of(WORD_BYTES));
    let Some(len_bytes) = len_bytes.filter(|_| is_whole) else {
        return Err(Failure::invalid(format!(
            "the memory of a device begins and ends at multiples of {WORD_BYTES} bytes, and has some"
        )));
    };
    // SAFETY: the caller of `lmcache_device_open_host` says that so many bytes are there and stay until the device is freed, which ends
    // every copy first.
    let region = unsafe { Region::borrowed(base, len_bytes) };
    Ok(HostMemory::over(region))
}

/// Opens a device in the memory of this process: for engines on CPUs, and for tests. A thread of its own moves the bytes.
///
/// # Safety
/// `options` points to options, whose memory, if there is some, stays until `lmcache_device_free` has returned; `out` points to room for
/// a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_device_open_host(
    options: *const lmcache_host_device_options,
    out: *mut *mut lmcache_device,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let out = unsafe { output(out, "out") }?;
        // SAFETY: as above.
        let options = unsafe { growing(options, "options") }?;
        let device = HostDevice::with_thread(host_memory(&options)?)?;
        out.write(handles::new(OpenDevice::Host(device))?);
        OK
    })
}

/// Opens the CUDA device of that number, from 0, through its primary context, which it shares with the engine. NO_DEVICE if there is no
/// driver, one that does not work, or no device that does, and the hint says what to do; INVALID_ARGUMENT if there are, and none has the number. UNSUPPORTED of a library that was built
/// without CUDA, where there is a device.
///
/// # Safety
/// `out` points to room for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_device_open_cuda(ordinal: u32, out: *mut *mut lmcache_device) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        out.write(handles::new(open_cuda(ordinal)?)?);
        OK
    })
}

#[cfg(feature = "cuda")]
fn open_cuda(ordinal: u32) -> Result<OpenDevice, Failure> {
    Ok(OpenDevice::Cuda(cuda::CudaDevice::open(ordinal)?))
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(ordinal: u32) -> Result<OpenDevice, Failure> {
    let driver = cuda::probe().map_err(|no_device| Failure::from(Error::from(no_device)))?;
    Err(Error::unsupported("this build of the library has no CUDA")
        .with_context("device", ordinal)
        .with_context("devices", driver.device_count())
        .with_hint("build it with the feature cuda, or open a device in the memory of the host")
        .into())
}

/// Where the memory of a device in the memory of the host begins, and how many bytes it has. Offsets of tensors count from there. It is
/// valid until the device is freed. UNSUPPORTED of any other device.
///
/// # Safety
/// `data` and `bytes` point to room for a value each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_device_get_memory(
    device: *const lmcache_device,
    data: *mut *mut u8,
    bytes: *mut u64,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let data = unsafe { output(data, "data") }?;
        // SAFETY: as above.
        let bytes = unsafe { output(bytes, "bytes") }?;
        handles::with::<OpenDevice, _>(device, |device| {
            let memory = host_memory_of(device)?;
            data.write(memory.region().base().as_ptr());
            bytes.write(HostSide::len_bytes(memory));
            OK
        })
    })
}

fn host_memory_of(device: &OpenDevice) -> Result<&HostMemory, Failure> {
    match device {
        OpenDevice::Host(device) => Ok(device.host_memory()),
        #[cfg(feature = "cuda")]
        OpenDevice::Cuda(_) => Err(Failure::misuse(
            Status::LMCACHE_STATUS_UNSUPPORTED,
            "the memory of this device is not the host's: its offsets are addresses",
        )),
    }
}

/// Gives a device back; NULL is fine. What is under way on the streams of one in the memory of the host fails, as CLOSED, and when this returns, no byte
/// of that memory is touched any more. Transfers of a GPU go on: wait for them before the engine's tensors go. Within a callback it is BUSY, since it waits for the device.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_device_free(device: *mut lmcache_device) -> Status {
    guard(|| {
        if !device.is_null() {
            callbacks::refuse_in_callback("freeing a device")?;
        }
        handles::free_after::<OpenDevice, _>(device, OpenDevice::close)
    })
}

//! Memory and streams of an engine's on a GPU.

use std::ffi::c_void;

use super::memory::{OpenDevice, lmcache_device};
use super::paged::lmcache_device_tensor;
use super::stream::{OpenStream, lmcache_device_stream};
use crate::device::{EngineStream, Stream};
use crate::error::Result as LibraryResult;
use crate::ffi::border::args::{output, slice};
use crate::ffi::border::boundary::{Ended, Failure, OK, guard};
use crate::ffi::border::status::Status;
use crate::ffi::handles::{self, Kind, Object, Shared};

/// Bytes of a handle by which a process exports memory of a device: `sizeof(cudaIpcMemHandle_t)`.
pub const LMCACHE_IPC_HANDLE_BYTES: usize = 64;

/// Memory of a GPU that its device was told of: a tensor of this process or of another. Any number of threads may use it at once.
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_device_memory(());

#[cfg(feature = "cuda")]
type KnownMemory = crate::device::cuda::DeviceMemory;

/// There is none without CUDA.
#[cfg(not(feature = "cuda"))]
#[derive(Debug)]
enum KnownMemory {}

#[derive(Debug)]
struct OpenMemory(KnownMemory);

impl Object for OpenMemory {
    const KIND: Kind = Kind::DeviceMemory;
    const NAME: &'static str = "device memory";
}

impl Shared for OpenMemory {}

impl OpenMemory {
    fn tensor(&self) -> lmcache_device_tensor {
        #[cfg(feature = "cuda")]
        {
            let tensor = self.0.tensor();
            lmcache_device_tensor { offset: tensor.offset, len_bytes: tensor.len_bytes }
        }
        #[cfg(not(feature = "cuda"))]
        match self.0 {}
    }
}

fn no_gpu() -> Failure {
    Failure::misuse(
        Status::LMCACHE_STATUS_UNSUPPORTED,
        "this is no GPU, whose memory has addresses of its own",
    )
    .with_hint("the tensors of a device in the memory of the host are offsets into it")
}

/// Tells a GPU of a tensor of the engine's in this process: `address` is its device pointer. INVALID_ARGUMENT if the driver has it for memory of
/// the host or of another device; UNSUPPORTED of a device that is no GPU.
///
/// # Safety
/// The tensor stays until the memory was given back and all transfers are over that use it; `out` points to room for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_device_adopt(
    device: *const lmcache_device,
    address: u64,
    len_bytes: u64,
    out: *mut *mut lmcache_device_memory,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        handles::with::<OpenDevice, _>(device, |device| {
            // SAFETY: the caller's promise.
            let memory = unsafe { adopt(device, address, len_bytes) }?;
            out.write(handles::new(OpenMemory(memory))?);
            OK
        })
    })
}

/// # Safety
/// As for [`lmcache_device_adopt`].
#[cfg(feature = "cuda")]
unsafe fn adopt(device: &OpenDevice, address: u64, len_bytes: u64) -> Result<KnownMemory, Failure> {
    let OpenDevice::Cuda(device) = device else { return Err(no_gpu()) };
    // SAFETY: passed on.
    Ok(unsafe { device.adopt(address, len_bytes) }?)
}

#[cfg(not(feature = "cuda"))]
unsafe fn adopt(_: &OpenDevice, _: u64, _: u64) -> Result<KnownMemory, Failure> {
    Err(no_gpu())
}

/// Tells a GPU of a tensor of another process, which exported the allocation that it is in (`cudaIpcGetMemHandle`): `offset` says where
/// in the allocation it begins. It stays mapped until the memory was given back. UNSUPPORTED of a device that is no GPU.
///
/// # Safety
/// `handle` points to LMCACHE_IPC_HANDLE_BYTES bytes; `out` points to room for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_device_open_ipc(
    device: *const lmcache_device,
    handle: *const u8,
    offset: u64,
    len_bytes: u64,
    out: *mut *mut lmcache_device_memory,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let out = unsafe { output(out, "out") }?;
        let (bytes, most) = (LMCACHE_IPC_HANDLE_BYTES, LMCACHE_IPC_HANDLE_BYTES);
        // SAFETY: as above.
        let handle = unsafe { slice(handle, bytes, most, "handle") }?;
        let handle = handle.first_chunk().ok_or_else(|| Failure::null("handle"))?;
        handles::with::<OpenDevice, _>(device, |device| {
            let memory = open_ipc(device, handle, offset, len_bytes)?;
            out.write(handles::new(OpenMemory(memory))?);
            OK
        })
    })
}

#[cfg(feature = "cuda")]
fn open_ipc(
    device: &OpenDevice,
    handle: &[u8; LMCACHE_IPC_HANDLE_BYTES],
    offset: u64,
    len_bytes: u64,
) -> Result<KnownMemory, Failure> {
    let OpenDevice::Cuda(device) = device else { return Err(no_gpu()) };
    Ok(device.open_ipc(&crate::device::cuda::IpcHandle(*handle), offset, len_bytes)?)
}

#[cfg(not(feature = "cuda"))]
fn open_ipc(
    _: &OpenDevice,
    _: &[u8; LMCACHE_IPC_HANDLE_BYTES],
    _: u64,
    _: u64,
) -> Result<KnownMemory, Failure> {
    Err(no_gpu())
}

/// Where the memory lies, as a tensor of a paged cache: on a GPU, offsets are addresses of this process.
///
/// # Safety
/// `out` points to room for a tensor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_device_memory_get_tensor(
    memory: *const lmcache_device_memory,
    out: *mut lmcache_device_tensor,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        handles::with::<OpenMemory, _>(memory, |memory| {
            out.write(memory.tensor());
            OK
        })
    })
}

/// Gives memory back; NULL is fine. Transfers that are under way hold it until they are over; later ones are refused.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_device_memory_free(memory: *mut lmcache_device_memory) -> Status {
    guard(|| handles::free::<OpenMemory, _>(memory))
}

fn with_engine(
    stream: *const lmcache_device_stream,
    engine_stream: *mut c_void,
    call: impl FnOnce(&dyn Stream, EngineStream) -> LibraryResult<()>,
) -> Ended {
    handles::with::<OpenStream, _>(stream, |stream| {
        #[cfg(feature = "cuda")]
        {
            // SAFETY: the callers of the two functions below promise it.
            let engine = unsafe { EngineStream::from_raw(engine_stream.expose_provenance()) };
            call(&*stream.0, engine)?;
            OK
        }
        #[cfg(not(feature = "cuda"))]
        {
            let _ = (stream, engine_stream, call);
            Err(no_gpu())
        }
    })
}

/// Lets what is submitted from now on wait for all that the engine gave to its own stream so far: before a store, so that the pages are
/// written when they are read. `engine_stream` is a `cudaStream_t`; NULL is the legacy default stream: a host that is built with a default stream of
/// each thread passes `cudaStreamPerThread`, on that thread. UNSUPPORTED of a device that is no GPU.
///
/// # Safety
/// `engine_stream` is a stream that exists, of the same GPU.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_device_stream_wait_for_engine(
    stream: *const lmcache_device_stream,
    engine_stream: *mut c_void,
) -> Status {
    guard(|| with_engine(stream, engine_stream, |stream, engine| stream.wait_for_engine(engine)))
}

/// Lets what the engine gives to its own stream from now on wait for all that was submitted so far: after a retrieve, so that the pages are
/// there when they are read. Whether they are, the transfer alone tells. UNSUPPORTED of a device that is no GPU.
///
/// # Safety
/// As for `lmcache_device_stream_wait_for_engine`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_device_stream_let_engine_wait(
    stream: *const lmcache_device_stream,
    engine_stream: *mut c_void,
) -> Status {
    guard(|| with_engine(stream, engine_stream, |stream, engine| stream.let_engine_wait(engine)))
}

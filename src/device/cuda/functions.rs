//! The functions of the driver that are called, by name.
#![cfg_attr(feature = "cuda", expect(unsafe_code, reason = "functions of a shared library are looked up"))]

#[cfg(feature = "cuda")]
use std::ffi::{c_char, c_int, c_uint, c_void};

#[cfg(feature = "cuda")]
use cudarc::driver::sys::{
    CUcontext, CUdevice, CUdevice_attribute, CUevent, CUfunction, CUipcMemHandle, CUmodule,
    CUpointer_attribute, CUstream,
};

#[cfg(feature = "cuda")]
use super::driver::{Driver, function};
#[cfg(feature = "cuda")]
use super::no_device::NoDevice;
#[cfg(feature = "cuda")]
use super::probe::probe;

/// What a driver must have, as functions that return numbers. All of it is looked up before anything is called.
#[cfg(feature = "cuda")]
macro_rules! functions {
    ($($function:ident($($argument:ty),*);)*) => {
        /// What a driver must have. All of it is looked up before anything is called.
        pub const REQUIRED_FUNCTIONS: &[&str] =
            &["cuInit", "cuDriverGetVersion", "cuDeviceGetCount", $(stringify!($function)),*];

        /// The functions, of a library that is never unloaded. The bindings have them too, but as functions that return an enumeration: a
        /// code of a newer driver that it does not have would be undefined behaviour.
        #[derive(Clone, Copy, Debug)]
        #[expect(non_snake_case, reason = "they are called as the driver calls them")]
        pub(super) struct Functions {
            $(pub(super) $function: unsafe extern "C" fn($($argument),*) -> c_int,)*
        }

        impl Functions {
            /// Those of the library that was found under `library`.
            pub(super) fn look_up(code: &libloading::Library, library: &str) -> Result<Self, NoDevice> {
                Ok(Self {
                    // SAFETY: the types are those of the functions in `cuda.h`, of 12.0 and later; it returns an `int`-sized enumeration.
                    $($function: unsafe { function(code, stringify!($function), library) }?,)*
                })
            }
        }
    };
}

#[cfg(feature = "cuda")]
functions! {
    cuDeviceGet(*mut CUdevice, c_int);
    cuDeviceGetName(*mut c_char, c_int, CUdevice);
    cuDeviceGetAttribute(*mut c_int, CUdevice_attribute, CUdevice);
    cuDevicePrimaryCtxRetain(*mut CUcontext, CUdevice);
    cuDevicePrimaryCtxRelease_v2(CUdevice);
    cuCtxPushCurrent_v2(CUcontext);
    cuCtxPopCurrent_v2(*mut CUcontext);
    cuThreadExchangeStreamCaptureMode(*mut c_int);
    cuMemAlloc_v2(*mut u64, usize);
    cuMemFree_v2(u64);
    cuMemHostAlloc(*mut *mut c_void, usize, c_uint);
    cuMemFreeHost(*mut c_void);
    cuMemHostRegister_v2(*mut c_void, usize, c_uint);
    cuMemHostUnregister(*mut c_void);
    cuPointerGetAttribute(*mut c_void, CUpointer_attribute, u64);
    cuIpcGetMemHandle(*mut CUipcMemHandle, u64);
    cuIpcOpenMemHandle_v2(*mut u64, CUipcMemHandle, c_uint);
    cuIpcCloseMemHandle(u64);
    cuStreamCreate(*mut CUstream, c_uint);
    cuStreamDestroy_v2(CUstream);
    cuStreamQuery(CUstream);
    cuStreamWaitEvent(CUstream, CUevent, c_uint);
    cuStreamIsCapturing(CUstream, *mut c_int);
    cuEventCreate(*mut CUevent, c_uint);
    cuEventDestroy_v2(CUevent);
    cuEventRecord(CUevent, CUstream);
    cuEventQuery(CUevent);
    cuMemcpyHtoDAsync_v2(u64, *const c_void, usize, CUstream);
    cuMemcpyDtoHAsync_v2(*mut c_void, u64, usize, CUstream);
    cuMemcpyHtoD_v2(u64, *const c_void, usize);
    cuMemcpyDtoH_v2(*mut c_void, u64, usize);
    cuLaunchHostFunc(CUstream, Option<HostFn>, *mut c_void);
    cuLaunchKernel(CUfunction, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, CUstream, *mut *mut c_void, *mut *mut c_void);
    cuModuleLoadData(*mut CUmodule, *const c_void);
    cuModuleUnload(CUmodule);
    cuModuleGetFunction(*mut CUfunction, CUmodule, *const c_char);
}

/// A function of ours that the driver calls in a stream's order.
#[cfg(feature = "cuda")]
type HostFn = unsafe extern "C" fn(*mut c_void);

/// Those of the driver of this process, if it has one that works.
#[cfg(feature = "cuda")]
pub(super) fn functions() -> Option<&'static Functions> {
    probe().ok().map(Driver::functions)
}

/// What a driver must have. All of it is looked up before anything is called.
#[cfg(not(feature = "cuda"))]
pub const REQUIRED_FUNCTIONS: &[&str] = &["cuInit", "cuDriverGetVersion", "cuDeviceGetCount"];

/// What a driver has from CUDA 12.8 on, and is used where it is there.
pub const BATCH_FUNCTION: &str = "cuMemcpyBatchAsync";

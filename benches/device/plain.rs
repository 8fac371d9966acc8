//! What is compared with: a call of the driver for each page, as a program has it that does not care.

use cudarc::driver::sys;
use lmcache::device::{Direction, Run};

/// A stream of its own, with nothing around it. The device's context is the calling thread's while this is there.
pub(crate) struct Plain {
    device: sys::CUdevice,
    stream: sys::CUstream,
}

fn check(code: sys::CUresult) {
    assert_eq!(code as i32, 0, "a call of the driver");
}

impl Plain {
    pub(crate) fn new() -> Self {
        let (mut device, mut context, mut stream) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the driver writes one number.
        check(unsafe { sys::cuDeviceGet(&raw mut device, 0) });
        // SAFETY: the driver writes one handle.
        check(unsafe { sys::cuDevicePrimaryCtxRetain(&raw mut context, device) });
        // SAFETY: the context is there.
        check(unsafe { sys::cuCtxPushCurrent_v2(context) });
        // SAFETY: the driver writes one handle.
        check(unsafe { sys::cuStreamCreate(&raw mut stream, 1) });
        Self { device, stream }
    }

    /// Copies all runs, and waits.
    pub(crate) fn copy(&self, runs: &[Run], direction: Direction, host: *mut u8) {
        for run in runs {
            let (at_host, len) = (host.wrapping_add(run.host_offset as usize).cast(), run.len_bytes as usize);
            check(match direction {
                // SAFETY: both memories hold the runs, and stay until the copies are over, which is waited for.
                Direction::DeviceToHost => unsafe {
                    sys::cuMemcpyDtoHAsync_v2(at_host, run.device_offset, len, self.stream)
                },
                // SAFETY: as above.
                Direction::HostToDevice => unsafe {
                    sys::cuMemcpyHtoDAsync_v2(run.device_offset, at_host, len, self.stream)
                },
            });
        }
        // SAFETY: the stream is there.
        check(unsafe { sys::cuStreamSynchronize(self.stream) });
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let mut popped = std::ptr::null_mut();
        // SAFETY: the stream is there, and nothing is under way.
        check(unsafe { sys::cuStreamDestroy_v2(self.stream) });
        // SAFETY: it was pushed in `new`.
        check(unsafe { sys::cuCtxPopCurrent_v2(&raw mut popped) });
        // SAFETY: it was retained in `new`.
        check(unsafe { sys::cuDevicePrimaryCtxRelease_v2(self.device) });
    }
}

/// The processor time that all threads of this process have had, in nanoseconds.
pub(crate) fn cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one time.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

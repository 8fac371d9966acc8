//! The streams of a device.

use super::memory::{OpenDevice, lmcache_device};
use crate::device::Stream;
use crate::ffi::border::args::output;
use crate::ffi::border::boundary::{OK, guard};
use crate::ffi::border::status::Status;
use crate::ffi::handles::{self, Kind, Object, Shared};

/// A stream of a device: transfers on it happen one after the other, those of two streams at the same time. Any number of threads may
/// use it at once.
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_device_stream(());

#[derive(Debug)]
pub(in crate::ffi) struct OpenStream(pub(in crate::ffi) Box<dyn Stream>);

impl Object for OpenStream {
    const KIND: Kind = Kind::DeviceStream;
    const NAME: &'static str = "device stream";
}

impl Shared for OpenStream {}

/// Opens a stream of a device. CLOSED or IO if the device is gone.
///
/// # Safety
/// `out` points to room for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_device_stream_open(
    device: *const lmcache_device,
    out: *mut *mut lmcache_device_stream,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        handles::with::<OpenDevice, _>(device, |device| {
            out.write(handles::new(OpenStream(device.device().open_stream()?))?);
            OK
        })
    })
}

/// Gives a stream back, before or after its device; NULL is fine. What was submitted to it goes on.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_device_stream_free(stream: *mut lmcache_device_stream) -> Status {
    guard(|| handles::free::<OpenStream, _>(stream))
}

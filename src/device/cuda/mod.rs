//! CUDA, as far as it can be without a GPU: whether this machine has a driver and a device.
//!
//! * [`probe`](mod@probe): asks once, and never panics. [`no_device`]: why there is none.
//! * `driver`: the driver's library, and the few functions of it that are called.
//!
//! What copies to and from a device comes behind the probe, and is not there yet.

mod driver;
pub mod no_device;
pub mod probe;

pub use driver::Driver;
pub use no_device::{NoDevice, NoDeviceReason};
pub use probe::probe;

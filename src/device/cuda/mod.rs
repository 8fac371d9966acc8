//! CUDA: whether this machine has a driver and a device, and the device, if it has one. Nothing of CUDA is needed to build this.
//!
//! * [`probe`](mod@probe): asks once, and never panics. [`no_device`]: why there is none. `driver`, [`functions`]: the driver's library, and
//!   what is called of it. Of the bindings (`cudarc`) only the types are taken.
//! * `context`: the device's primary context, and the one way to make it a thread's. `failure`: a call that failed. `handles`, `pool`: what is
//!   had of the driver and given back.
//! * [`memory`]: memory of the device, of the engine, and, by `ipc`, of another process; `addresses` knows them all. `registered`: memory of the
//!   host that the driver was told of.
//! * `transfer`: a plan as calls of the driver: by the copy engine (`batch`), by a kernel ([`kernel`], `nvrtc`), around by a buffer (`bounce`).
//!   [`crossover`]: which way; [`calibrate`]: measured.
//! * [`device`], [`lane`], `stream`, `bell`: the device, what is under way on its streams, and how it is known that it is over.

#[cfg(feature = "cuda")]
mod addresses;
#[cfg(feature = "cuda")]
mod batch;
#[cfg(feature = "cuda")]
mod bell;
#[cfg(feature = "cuda")]
mod bounce;
#[cfg(feature = "cuda")]
pub mod calibrate;
#[cfg(feature = "cuda")]
mod context;
#[cfg(feature = "cuda")]
pub mod crossover;
#[cfg(feature = "cuda")]
pub mod device;
mod driver;
#[cfg(feature = "cuda")]
mod failure;
pub mod functions;
#[cfg(feature = "cuda")]
mod handles;
#[cfg(feature = "cuda")]
mod ipc;
#[cfg(feature = "cuda")]
pub mod kernel;
#[cfg(feature = "cuda")]
pub mod lane;
#[cfg(feature = "cuda")]
pub mod memory;
pub mod no_device;
#[cfg(feature = "cuda")]
mod nvrtc;
#[cfg(feature = "cuda")]
mod pool;
pub mod probe;
#[cfg(feature = "cuda")]
mod registered;
#[cfg(feature = "cuda")]
mod registered_memory;
#[cfg(feature = "cuda")]
mod stream;
#[cfg(feature = "cuda")]
mod transfer;

#[cfg(feature = "cuda")]
pub use crossover::Crossover;
#[cfg(feature = "cuda")]
pub use device::{CudaDevice, CudaOptions};
pub use driver::Driver;
#[cfg(feature = "cuda")]
pub use ipc::IpcHandle;
#[cfg(feature = "cuda")]
pub use kernel::KernelOrigin;
#[cfg(feature = "cuda")]
pub use memory::DeviceMemory;
pub use no_device::{NoDevice, NoDeviceReason};
pub use probe::probe;
#[cfg(feature = "cuda")]
pub use registered_memory::RegisteredMemory;

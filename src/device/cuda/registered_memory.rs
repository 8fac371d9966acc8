//! Memory of the host that the driver was told of.

use super::device::CudaDevice;
use crate::device::host_side::HostSide;
use crate::device::memory::{HostMemory, HostMemoryOptions, Memory, MemoryKind};
use crate::device::registrar::{PageRegistrar, Registration};
use crate::error::Result;
use crate::os::region::Region;

/// A [`HostMemory`] whose pages the driver knows: kernels read and write it where it lies, and copies go on by themselves.
#[derive(Debug)]
pub struct RegisteredMemory {
    // Undone before the pages go.
    _registration: Registration,
    memory: HostMemory,
}

impl RegisteredMemory {
    /// Memory as `options` describe it, registered with the driver of `device`, for all devices of the process. It may outlive the device,
    /// and no transfer that uses it.
    ///
    /// # Errors
    /// Those of [`HostMemory::new`]; what the driver says.
    pub fn new(device: &CudaDevice, options: &HostMemoryOptions) -> Result<Self> {
        let memory = HostMemory::new(options)?;
        let region = memory.region();
        let registration = device.register(region.base(), region.len_bytes())?;
        Ok(Self { _registration: registration, memory })
    }
}

impl HostSide for RegisteredMemory {
    fn region(&self) -> &Region {
        self.memory.region()
    }

    fn len_bytes(&self) -> u64 {
        HostSide::len_bytes(&self.memory)
    }

    fn is_registered(&self) -> bool {
        true
    }

    fn is_unregistered_at_the_end(&self) -> bool {
        true
    }
}

impl Memory for RegisteredMemory {
    fn kind(&self) -> MemoryKind {
        MemoryKind::PinnedHost
    }

    fn len_bytes(&self) -> u64 {
        Memory::len_bytes(&self.memory)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.memory.read(offset, out)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.memory.write(offset, bytes)
    }
}

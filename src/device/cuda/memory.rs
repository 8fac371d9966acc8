//! Memory of a device: its own, an engine's, and that of another process.
#![expect(unsafe_code, reason = "the driver is called")]

use std::ffi::c_void;

use cudarc::driver::sys::{CUmemorytype_enum, CUpointer_attribute_enum as PointerAttribute};

use super::addresses::{AddressBook, Keeper, Range};
use super::context::{Context, Entered, call};
use super::failure::Failure;
use super::ipc::{self, IpcHandle};
use crate::device::layout::Tensor;
use crate::device::memory::{Memory, MemoryKind};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Arc;

/// Memory of a device that it was told of. Transfers may use it until this is dropped; those that are under way then hold it until they are
/// over.
#[derive(Debug)]
pub struct DeviceMemory {
    space: Arc<AddressSpace>,
    range: Arc<Range>,
}

/// All memory that a device was told of, by address: what the offsets of a plan count in. Reading and writing it here waits for the device;
/// it is for tests, and for a few bytes.
#[derive(Debug)]
pub struct AddressSpace {
    context: Arc<Context>,
    book: AddressBook,
}

/// An allocation of ours.
#[derive(Debug)]
struct Allocation {
    context: Arc<Context>,
    start: u64,
}

impl Keeper for Allocation {}

impl Drop for Allocation {
    fn drop(&mut self) {
        let Some(entered) = self.context.enter_to_free() else { return };
        // SAFETY: the memory is there, and nothing that was submitted uses it any more.
        let _ = entered.outcome(unsafe { call!(cuMemFree_v2(self.start)) });
    }
}

impl AddressSpace {
    pub(super) fn new(context: Arc<Context>) -> Arc<Self> {
        Arc::new(Self { context, book: AddressBook::default() })
    }

    pub(super) fn book(&self) -> &AddressBook {
        &self.book
    }

    /// New memory, whose bytes are whatever was there.
    pub(super) fn allocate(self: &Arc<Self>, len_bytes: u64) -> Result<DeviceMemory> {
        let cannot = |failure| {
            let error = self.context.error(failure, "cannot allocate memory of the device");
            error.with_context("bytes", len_bytes)
        };
        let size = usize::try_from(len_bytes).ok().filter(|size| *size > 0);
        let size = size.ok_or_else(|| Error::invalid("memory of a device has a byte or more"))?;
        let entered = self.context.enter().map_err(cannot)?;
        let mut start = 0;
        // SAFETY: the driver writes one address.
        entered.outcome(unsafe { call!(cuMemAlloc_v2(&raw mut start, size)) }).map_err(cannot)?;
        let keeper = Allocation { context: Arc::clone(&self.context), start };
        Ok(self.tell(Range::new(start, len_bytes, Some(Arc::new(keeper)))))
    }

    /// Memory of the engine's. That it stays is the caller's promise; that it is this device's is asked of the driver.
    pub(super) fn adopt(self: &Arc<Self>, address: u64, len_bytes: u64) -> Result<DeviceMemory> {
        let place = |error: Error| {
            error.with_context("address", format_args!("{address:#x}")).with_context("bytes", len_bytes)
        };
        let last = len_bytes.checked_sub(1).and_then(|last| address.checked_add(last));
        let last = last.ok_or_else(|| {
            place(Error::invalid("a tensor has a byte or more, and all of them have addresses"))
        })?;
        let cannot = |failure| place(self.context.error(failure, "the driver does not know this memory"));
        let entered = self.context.enter().map_err(cannot)?;
        for byte in [address, last] {
            self.check_owner(&entered, byte).map_err(place)?;
        }
        Ok(self.tell(Range::new(address, len_bytes, None)))
    }

    /// Memory of another process, which exported `handle`.
    pub(super) fn open_ipc(
        self: &Arc<Self>,
        handle: &IpcHandle,
        offset: u64,
        len_bytes: u64,
    ) -> Result<DeviceMemory> {
        let opened = ipc::open(&self.context, handle)?;
        let start = opened.start().checked_add(offset);
        let start = start
            .ok_or_else(|| Error::invalid("an offset past all addresses").with_context("offset", offset))?;
        let end = len_bytes.checked_sub(1).and_then(|last| start.checked_add(last));
        let last = end
            .ok_or_else(|| Error::invalid("a tensor has a byte or more").with_context("bytes", len_bytes))?;
        let cannot = |failure| self.context.error(failure, "the driver does not know this memory");
        let entered = self.context.enter().map_err(cannot)?;
        for byte in [start, last] {
            self.check_owner(&entered, byte)
                .map_err(|error| error.with_context("offset", offset).with_context("bytes", len_bytes))?;
        }
        drop(entered);
        Ok(self.tell(Range::new(start, len_bytes, Some(opened))))
    }

    /// Whether a byte is in memory of this device.
    fn check_owner(&self, entered: &Entered<'_>, address: u64) -> Result<()> {
        let cannot = |failure| self.context.error(failure, "the driver does not know this memory");
        let kind: u32 = attribute(entered, PointerAttribute::CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address)
            .map_err(cannot)?;
        let ordinal = PointerAttribute::CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL;
        let ordinal: i32 = attribute(entered, ordinal, address).map_err(cannot)?;
        if kind != CUmemorytype_enum::CU_MEMORYTYPE_DEVICE as u32 {
            return Err(Error::invalid("this is memory of the host, not of a device"));
        }
        if u32::try_from(ordinal) != Ok(self.context.ordinal()) {
            return Err(Error::invalid("this is memory of another device")
                .with_context("ordinal", self.context.ordinal())
                .with_context("its_ordinal", ordinal));
        }
        Ok(())
    }

    fn tell(self: &Arc<Self>, range: Arc<Range>) -> DeviceMemory {
        self.book.add(&range);
        DeviceMemory { space: Arc::clone(self), range }
    }

    /// What keeps these bytes while they are read or written, and the thread in the device's context.
    fn ready(&self, address: u64, len_bytes: usize) -> Result<(Vec<Arc<Range>>, Entered<'_>)> {
        if let Some(lost) = self.context.lost() {
            return Err(lost);
        }
        let holders = self.book.holders(std::iter::once((address, len_bytes as u64)))?;
        let cannot = |failure| self.context.error(failure, "cannot use the device");
        Ok((holders, self.context.enter().map_err(cannot)?))
    }
}

/// What the driver knows of an address, in a number of four bytes.
fn attribute<T: Default>(
    entered: &Entered<'_>,
    attribute: PointerAttribute,
    address: u64,
) -> Result<T, Failure> {
    const { assert!(size_of::<T>() == 4) };
    let mut value = T::default();
    let place: *mut c_void = (&raw mut value).cast();
    // SAFETY: the driver writes four bytes for the attributes that are asked for here. Any address may be asked about.
    entered.outcome(unsafe { call!(cuPointerGetAttribute(place, attribute, address)) })?;
    Ok(value)
}

impl Memory for AddressSpace {
    fn kind(&self) -> MemoryKind {
        MemoryKind::Device
    }

    /// As many as there are addresses: where there is memory is a matter of what the device was told of.
    fn len_bytes(&self) -> u64 {
        u64::MAX
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let (_holders, entered) = self.ready(offset, out.len())?;
        if out.is_empty() {
            return Ok(());
        }
        let to = out.as_mut_ptr().cast();
        // SAFETY: the bytes lie in memory of the device that is held, and there is as much room for them.
        let copied = entered.outcome(unsafe { call!(cuMemcpyDtoH_v2(to, offset, out.len())) });
        copied.map_err(|failure| self.context.error(failure, "cannot read memory of the device"))
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let (_holders, entered) = self.ready(offset, bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        let from = bytes.as_ptr().cast();
        // SAFETY: as in `read`.
        let copied = entered.outcome(unsafe { call!(cuMemcpyHtoD_v2(offset, from, bytes.len())) });
        copied.map_err(|failure| self.context.error(failure, "cannot write memory of the device"))
    }
}

impl DeviceMemory {
    /// Where it starts.
    pub fn address(&self) -> u64 {
        self.range.start
    }

    /// As a tensor of a [`PagedLayout`](crate::device::PagedLayout), whose offsets are addresses here.
    pub fn tensor(&self) -> Tensor {
        Tensor { offset: self.range.start, len_bytes: self.range.len_bytes }
    }

    /// What another process opens this memory by, as long as it is there. The handle is that of the whole allocation in which the
    /// memory lies; an engine's tensor may begin somewhere within.
    ///
    /// # Errors
    /// If the driver exports no memory of that kind: that of PyTorch's expandable segments, for one.
    pub fn export_ipc(&self) -> Result<IpcHandle> {
        ipc::export(&self.space.context, self.range.start)
    }

    fn check(&self, offset: u64, len_bytes: usize) -> Result<u64> {
        let end = offset.checked_add(len_bytes as u64);
        if end.is_some_and(|end| end <= self.range.len_bytes) {
            return Ok(self.range.start + offset);
        }
        Err(Error::new(ErrorKind::InvalidArgument, "the memory of the device ends before these bytes do")
            .with_context("offset", offset)
            .with_context("bytes", len_bytes)
            .with_context("memory_bytes", self.range.len_bytes))
    }
}

impl Memory for DeviceMemory {
    fn kind(&self) -> MemoryKind {
        MemoryKind::Device
    }

    fn len_bytes(&self) -> u64 {
        self.range.len_bytes
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.space.read(self.check(offset, out.len())?, out)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.space.write(self.check(offset, bytes.len())?, bytes)
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        self.space.book.remove(&self.range);
    }
}

//! Where bytes live.

use super::pinned::{self, PageLock};
use crate::error::{Error, ErrorKind, Result};
use crate::os::region::Region;

/// Where bytes live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// In this process.
    Host,
    /// In this process, in pages that the kernel neither moves nor swaps out.
    PinnedHost,
    /// In a device.
    Device,
}

/// Bytes of a fixed number, which any thread may read and write. Who may do so when is a matter of the owner's; bytes
/// that are read while they are written are torn, and nothing worse.
pub trait Memory: std::fmt::Debug + Send + Sync {
    /// Where the bytes live.
    fn kind(&self) -> MemoryKind;

    /// How many there are.
    fn len_bytes(&self) -> u64;

    /// Fills `out` from `offset` on.
    ///
    /// # Errors
    /// If the memory does not hold as many bytes; what a device says.
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()>;

    /// Writes `bytes` to `offset`.
    ///
    /// # Errors
    /// As [`Memory::read`].
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()>;
}

/// What a [`HostMemory`] is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostMemoryOptions {
    /// How many bytes; at least one.
    pub len_bytes: u64,
    /// The first one is at a multiple of this power of two.
    pub align_bytes: u64,
    /// Whether the pages have 2 MiB; the operator has to have set them aside.
    pub huge_pages: bool,
    /// Whether the pages are to stay where they are. The kernel may refuse: see [`HostMemory::page_lock`].
    pub page_locked: bool,
}

/// Memory of this process.
#[derive(Debug)]
pub struct HostMemory {
    region: Region,
    len_bytes: u64,
    page_lock: PageLock,
}

impl HostMemoryOptions {
    /// Plain memory in small pages.
    pub fn new(len_bytes: u64) -> Self {
        Self { len_bytes, align_bytes: 1, huge_pages: false, page_locked: false }
    }
}

impl HostMemory {
    /// All of `region`, whoever it belongs to.
    pub fn over(region: Region) -> Self {
        Self { len_bytes: region.len_bytes() as u64, region, page_lock: PageLock::NotAsked }
    }

    /// Memory as `options` describe it, zeroed.
    ///
    /// # Errors
    /// If the alignment is no power of two. [`ErrorKind::OutOfMemory`] if there is no such memory. Pages that cannot be
    /// locked are no error.
    pub fn new(options: &HostMemoryOptions) -> Result<Self> {
        if !options.align_bytes.is_power_of_two() {
            return Err(Error::invalid("an alignment is a power of two")
                .with_context("align_bytes", options.align_bytes));
        }
        let size = |bytes| {
            usize::try_from(bytes).map_err(|_| {
                Error::new(ErrorKind::OutOfMemory, "more memory than there are addresses")
                    .with_context("bytes", bytes)
            })
        };
        let (len, align) = (size(options.len_bytes)?, size(options.align_bytes)?);
        let region = match options.huge_pages {
            true => Region::huge_pages(len, align)
                .map_err(|error| error.with_hint("raise vm.nr_hugepages, or run without huge pages"))?,
            false => Region::anonymous(len, align)?,
        };
        let page_lock = match options.page_locked {
            true => pinned::lock(&region, len),
            false => PageLock::NotAsked,
        };
        Ok(Self { region, len_bytes: options.len_bytes, page_lock })
    }

    /// Whether the pages stay where they are; if not, why not. Someone should tell the operator.
    pub fn page_lock(&self) -> &PageLock {
        &self.page_lock
    }

    /// The pages, of which the last one may be longer than the memory.
    pub(super) fn memory_region(&self) -> &Region {
        &self.region
    }

    fn check(&self, offset: u64, len_bytes: u64) -> Result<()> {
        if offset.checked_add(len_bytes).is_some_and(|end| end <= self.len_bytes) {
            return Ok(());
        }
        Err(Error::invalid("the memory of the host ends before these bytes do")
            .with_context("offset", offset)
            .with_context("bytes", len_bytes)
            .with_context("memory_bytes", self.len_bytes))
    }
}

impl Memory for HostMemory {
    fn kind(&self) -> MemoryKind {
        match self.page_lock {
            PageLock::Locked => MemoryKind::PinnedHost,
            PageLock::NotAsked | PageLock::Refused(_) => MemoryKind::Host,
        }
    }

    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.check(offset, out.len() as u64)?;
        self.region.read(offset as usize, out);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check(offset, bytes.len() as u64)?;
        self.region.write(offset as usize, bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_up_to_the_last_one_are_there_and_none_behind() {
        let memory = HostMemory::new(&HostMemoryOptions::new(10)).unwrap();
        memory.write(7, &[1, 2, 3]).unwrap();
        let mut out = [0; 4];
        memory.read(6, &mut out).unwrap();
        assert_eq!(out, [0, 1, 2, 3]);
        assert!(memory.read(10, &mut []).is_ok());
        for offset in [7, 10, u64::MAX - 3, u64::MAX] {
            assert!(memory.read(offset, &mut out).is_err(), "{offset}");
            assert!(memory.write(offset, &out).is_err(), "{offset}");
        }
    }

    #[test]
    fn memory_that_cannot_be_is_an_error() {
        for len_bytes in [0, u64::MAX, 1 << 60] {
            let error = HostMemory::new(&HostMemoryOptions::new(len_bytes)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        }
        for align_bytes in [0, 3] {
            let options = HostMemoryOptions { align_bytes, ..HostMemoryOptions::new(1) };
            assert_eq!(HostMemory::new(&options).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
        let huge = HostMemoryOptions { huge_pages: true, ..HostMemoryOptions::new(1 << 45) };
        assert!(HostMemory::new(&huge).unwrap_err().hint().unwrap().contains("nr_hugepages"));
    }

    #[test]
    fn memory_is_pinned_if_the_kernel_allows_it_and_works_if_not() {
        let options = HostMemoryOptions { page_locked: true, ..HostMemoryOptions::new(4_096) };
        let memory = HostMemory::new(&options).unwrap();
        match memory.page_lock() {
            PageLock::Locked => assert_eq!(memory.kind(), MemoryKind::PinnedHost),
            PageLock::Refused(why) => assert!(memory.kind() == MemoryKind::Host && !why.is_empty()),
            PageLock::NotAsked => panic!("it was asked for"),
        }
        memory.write(4_095, &[1]).unwrap();
        let plain = HostMemory::new(&HostMemoryOptions::new(1)).unwrap();
        assert_eq!((plain.kind(), plain.page_lock()), (MemoryKind::Host, &PageLock::NotAsked));
    }

    #[test]
    fn more_than_may_be_locked_is_memory_that_is_not_locked() {
        // Address space alone: no machine has so much memory, and no kernel locks it.
        let options = HostMemoryOptions { page_locked: true, ..HostMemoryOptions::new(1 << 45) };
        let memory = HostMemory::new(&options).unwrap();
        assert!(matches!(memory.page_lock(), PageLock::Refused(_)), "{:?}", memory.page_lock());
        memory.write((1 << 45) - 1, &[1]).unwrap();
    }
}

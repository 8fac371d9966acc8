//! Memory that starts where its owner wants it to: at a multiple of any alignment, from any of three sources.
//!
//! Address space is reserved first, longer than needed; the memory is mapped over the part of it that starts at a
//! multiple of the alignment, and the rest is given back.

use std::hint::black_box;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use super::copy;
use super::page_lock;
use super::shm::ShmSegment;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::atomic::{AtomicU64, Ordering};

/// The huge pages that a region can come from.
pub const HUGE_PAGE_BYTES: usize = 2 << 20;

/// The kernel's advice to commit pages for writing; Linux 5.14 and later.
const MADV_POPULATE_WRITE: libc::c_int = 23;

/// Zeroed memory of this process, or shared with others.
///
/// As with [`AnonymousMap`](super::map::AnonymousMap), who may touch which bytes is the owner's business. Nobody makes a
/// reference to them: they are copied by [`copy`] or go to the kernel.
#[derive(Debug)]
pub struct Region {
    base: NonNull<u8>,
    len_bytes: usize,
    page_bytes: usize,
    /// Whether it is unmapped when this goes.
    is_owned: bool,
}

// SAFETY: the region is plain memory that belongs to no thread; access to its bytes is the owner's business.
unsafe impl Send for Region {}
// SAFETY: as above; `&Region` touches bytes in `populate`, by an atomic operation that changes none, and in copies that
// behave as atomic ones.
unsafe impl Sync for Region {}

impl Region {
    /// Private memory of at least `len_bytes`, which costs memory only where it is written.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] if the address space has no room for it.
    pub fn anonymous(len_bytes: usize, align_bytes: usize) -> Result<Self> {
        let region = Self::reserve(len_bytes, align_bytes, page_bytes())?;
        region.map_over(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1)?;
        Ok(region)
    }

    /// Private memory of at least `len_bytes`, in pages of 2 MiB that the kernel sets aside at once.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] if the pool of huge pages has fewer, or the address space has no room.
    pub fn huge_pages(len_bytes: usize, align_bytes: usize) -> Result<Self> {
        let region = Self::reserve(len_bytes, align_bytes, HUGE_PAGE_BYTES)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB | libc::MAP_HUGE_2MB;
        region.map_over(flags, -1)?;
        Ok(region)
    }

    /// The whole of `segment`.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] if the address space has no room for it.
    pub fn shared(segment: &ShmSegment, align_bytes: usize) -> Result<Self> {
        let region = Self::reserve(segment.len_bytes(), align_bytes, page_bytes())?;
        region.map_over(libc::MAP_SHARED, segment.fd().as_raw_fd())?;
        Ok(region)
    }

    /// The `len_bytes` at `base`, which belong to somebody else and stay his.
    ///
    /// # Safety
    /// They begin and end at multiples of [`copy::WORD_BYTES`], and stay mapped until the region is dropped; nobody has a reference to
    /// them. Who else reads or writes them meanwhile may find them torn.
    pub unsafe fn borrowed(base: NonNull<u8>, len_bytes: usize) -> Self {
        Self { base, len_bytes, page_bytes: page_bytes(), is_owned: false }
    }

    /// Address space alone, as long as `len_bytes` in whole pages.
    fn reserve(len_bytes: usize, align_bytes: usize, page_bytes: usize) -> Result<Self> {
        let align = align_bytes.max(page_bytes);
        let len = len_bytes.checked_next_multiple_of(page_bytes).filter(|len| *len > 0);
        // The kernel aligns address space to small pages.
        let reserved = len.and_then(|len| Some((len, len.checked_add(align - self::page_bytes())?)));
        let Some((len, total_bytes)) = reserved else {
            return Err(Error::new(ErrorKind::OutOfMemory, "a region must have a size that memory can have")
                .with_context("bytes", len_bytes));
        };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: an anonymous map at an address of the kernel's choice touches no memory of ours.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), total_bytes, libc::PROT_NONE, flags, -1, 0) };
        let Some(base) = NonNull::new(base).filter(|base| base.as_ptr() != libc::MAP_FAILED) else {
            return Err(Error::new(ErrorKind::OutOfMemory, "cannot reserve address space (mmap)")
                .with_context("bytes", total_bytes)
                .with_source(std::io::Error::last_os_error()));
        };
        let mut region = Self { base: base.cast(), len_bytes: total_bytes, page_bytes, is_owned: true };
        region.trim(align, len)?;
        Ok(region)
    }

    /// Gives back all but the `len_bytes` from the first multiple of `align` on.
    fn trim(&mut self, align: usize, len_bytes: usize) -> Result<()> {
        let head_bytes = self.base.addr().get().next_multiple_of(align) - self.base.addr().get();
        let start = self.base.as_ptr().wrapping_add(head_bytes);
        unmap(self.base.as_ptr(), head_bytes)?;
        let tail_bytes = self.len_bytes - head_bytes - len_bytes;
        // What is unmapped when this is dropped is what is left, whether the tail can be given back or not.
        // SAFETY: the address lies in the reservation, which does not hold page 0.
        self.base = unsafe { NonNull::new_unchecked(start) };
        self.len_bytes = len_bytes;
        unmap(start.wrapping_add(len_bytes), tail_bytes)
    }

    /// Puts memory in the place of the reservation.
    fn map_over(&self, flags: libc::c_int, fd: libc::c_int) -> Result<()> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let (at, flags) = (self.base.as_ptr().cast(), flags | libc::MAP_FIXED);
        // SAFETY: what is replaced is a reservation of our own that nobody has an address in.
        let mapped = unsafe { libc::mmap(at, self.len_bytes, protection, flags, fd, 0) };
        if mapped != libc::MAP_FAILED {
            return Ok(());
        }
        Err(Error::new(ErrorKind::OutOfMemory, "cannot map memory (mmap)")
            .with_context("bytes", self.len_bytes)
            .with_context("page_bytes", self.page_bytes)
            .with_source(std::io::Error::last_os_error()))
    }

    /// Where the memory starts.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// How long it is: what was asked for, in whole pages.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Commits the pages that hold the `len_bytes` at `offset`, so that no later write waits for one or fails for
    /// want of one. Bytes that are there stay, whoever writes them meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] if the machine, or the node that the memory is bound to, has no pages left.
    ///
    /// # Panics
    /// If the bytes are not in the region.
    pub fn populate(&self, offset: usize, len_bytes: usize) -> Result<()> {
        let end = offset.checked_add(len_bytes).filter(|end| *end <= self.len_bytes);
        let end = end.expect("the bytes lie in the region").next_multiple_of(self.page_bytes);
        let start = offset / self.page_bytes * self.page_bytes;
        loop {
            let at = self.base.as_ptr().wrapping_add(start).cast();
            // SAFETY: the pages are ours, and the advice changes no byte of them.
            if unsafe { libc::madvise(at, end - start, MADV_POPULATE_WRITE) } == 0 {
                return Ok(());
            }
            let cause = std::io::Error::last_os_error();
            match cause.raw_os_error() {
                Some(libc::EINTR | libc::EAGAIN) => {}
                // A kernel that does not know the advice.
                Some(libc::EINVAL) => {
                    self.touch(start, end);
                    return Ok(());
                }
                _ => {
                    return Err(Error::new(ErrorKind::OutOfMemory, "cannot commit memory (madvise)")
                        .with_context("offset", start)
                        .with_context("bytes", end - start)
                        .with_source(cause));
                }
            }
        }
    }

    /// A child of `fork` does not get the pages that hold the `len_bytes` at `offset` (`MADV_DONTFORK`). A driver that copies from and to them by
    /// their physical addresses needs that: else a fork copies them all at once, or, on older kernels, leaves them to the child, and
    /// gives this process others when it writes.
    ///
    /// # Errors
    /// If the kernel has no memory for the note.
    ///
    /// # Panics
    /// If the bytes are not in the region.
    pub fn keep_from_children(&self, offset: usize, len_bytes: usize) -> Result<()> {
        let first = offset / self.page_bytes * self.page_bytes;
        let start = self.at(first, offset - first + len_bytes);
        let len = (offset - first + len_bytes).next_multiple_of(self.page_bytes);
        // SAFETY: the pages are this region's; whoever forks has no use for them in the child, whose handles are refused.
        match unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_DONTFORK) } {
            0 => Ok(()),
            _ => Err(Error::io("cannot keep pages from children (madvise)", std::io::Error::last_os_error())
                .with_context("bytes", len)),
        }
    }

    /// Keeps the pages that hold the `len_bytes` at `offset` in memory (`mlock`), those that were not there included,
    /// until the region goes.
    ///
    /// # Errors
    /// If the kernel does not let this process keep so much, or has no pages left. Some may be locked then.
    ///
    /// # Panics
    /// If the bytes are not in the region.
    pub fn lock(&self, offset: usize, len_bytes: usize) -> Result<()> {
        page_lock::lock(self.at(offset, len_bytes), len_bytes)
    }

    /// The address of the byte at `offset`, which is followed by `len_bytes` of the region.
    ///
    /// # Panics
    /// If the region does not hold as many.
    pub fn at(&self, offset: usize, len_bytes: usize) -> NonNull<u8> {
        let end = offset.checked_add(len_bytes);
        assert!(end.is_some_and(|end| end <= self.len_bytes), "the bytes lie in the region");
        // SAFETY: the offset is at most the length of the region.
        unsafe { self.base.add(offset) }
    }

    /// Copies the bytes from `offset` on into `out`. Whoever writes them meanwhile may tear them.
    ///
    /// # Panics
    /// If the region does not hold as many.
    pub fn read(&self, offset: usize, out: &mut [u8]) {
        // SAFETY: the bytes lie in the region, which begins and ends at a page, and of which nobody has a reference.
        unsafe { copy::copy_out(self.at(offset, out.len()).as_ptr(), out) }
    }

    /// Copies `bytes` to `offset`. Whoever reads them meanwhile may see them torn.
    ///
    /// # Panics
    /// If the region does not hold as many.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        // SAFETY: as in `read`.
        unsafe { copy::copy_in(self.at(offset, bytes.len()).as_ptr(), bytes) }
    }

    /// Copies `len_bytes` from `offset` to `to_offset` of `to`, which may be the same region.
    ///
    /// # Panics
    /// If one of the two does not hold as many.
    pub fn copy_to(&self, offset: usize, to: &Self, to_offset: usize, len_bytes: usize) {
        let (from, to) = (self.at(offset, len_bytes), to.at(to_offset, len_bytes));
        // SAFETY: as in `read`, on both sides.
        unsafe { copy::copy_across(from.as_ptr(), to.as_ptr(), len_bytes) }
    }

    /// Writes every page from `start` to `end` without changing it.
    fn touch(&self, start: usize, end: usize) {
        for page in (start..end).step_by(self.page_bytes) {
            let word = self.base.as_ptr().wrapping_add(page).cast::<AtomicU64>();
            // SAFETY: the start of a page of ours, which others access atomically if at all.
            let word = unsafe { &*word };
            // Relaxed: it orders nothing. To the optimiser an `or` with a known 0 is a load, which commits nothing.
            word.fetch_or(black_box(0), Ordering::Relaxed);
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if !self.is_owned {
            return;
        }
        // Not an error that anybody could do something about; the address space stays taken.
        let _ = unmap(self.base.as_ptr(), self.len_bytes);
    }
}

/// Gives back `len_bytes` of address space at `start`, which are ours and nobody's any more.
fn unmap(start: *mut u8, len_bytes: usize) -> Result<()> {
    // SAFETY: see above; the callers are this file's.
    if len_bytes == 0 || unsafe { libc::munmap(start.cast(), len_bytes) } == 0 {
        return Ok(());
    }
    Err(Error::io("cannot give back address space (munmap)", std::io::Error::last_os_error())
        .with_context("bytes", len_bytes))
}

/// The size of a page of this machine.
pub fn page_bytes() -> usize {
    // SAFETY: a question without arguments in memory.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes of the region are in memory.
    fn resident_bytes(region: &Region) -> usize {
        let mut pages = vec![0_u8; region.len_bytes() / page_bytes()];
        // SAFETY: one byte a page of the region.
        let status =
            unsafe { libc::mincore(region.base().as_ptr().cast(), region.len_bytes(), pages.as_mut_ptr()) };
        assert_eq!(status, 0);
        pages.iter().filter(|page| **page & 1 == 1).count() * page_bytes()
    }

    #[test]
    fn a_region_starts_at_any_alignment_and_costs_nothing_until_it_is_populated() {
        for align in [1, 4096, HUGE_PAGE_BYTES, 1 << 30] {
            let region = Region::anonymous(3 * page_bytes() - 1, align).unwrap();
            assert_eq!(region.base().addr().get() % align, 0);
            assert_eq!((region.len_bytes(), resident_bytes(&region)), (3 * page_bytes(), 0));
            region.populate(page_bytes(), 1).unwrap();
            assert_eq!(resident_bytes(&region), page_bytes());
            region.touch(0, 3 * page_bytes());
            assert_eq!(resident_bytes(&region), 3 * page_bytes());
        }
    }

    #[test]
    fn sizes_that_memory_cannot_have_are_refused() {
        for len_bytes in [0, usize::MAX, usize::MAX - page_bytes(), 1 << 60] {
            let error = Region::anonymous(len_bytes, 4096).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{len_bytes}");
        }
        assert!(Region::anonymous(4096, 1 << 63).is_err());
    }

    #[test]
    fn bytes_are_copied_in_across_and_out_up_to_the_last_one() {
        let len = page_bytes();
        let (from, to) = (Region::anonymous(len, 1).unwrap(), Region::anonymous(len, 1).unwrap());
        from.write(len - 3, &[1, 2, 3]);
        from.copy_to(len - 2, &to, 5, 2);
        let mut out = [9; 4];
        to.read(4, &mut out);
        assert_eq!(out, [0, 2, 3, 0]);
        from.read(len, &mut []);
    }

    #[test]
    fn what_belongs_to_somebody_else_is_his_when_the_region_is_gone() {
        let owner = Region::anonymous(page_bytes(), 1).unwrap();
        // SAFETY: the owner outlives it.
        let borrowed = unsafe { Region::borrowed(owner.at(16, 8), 8) };
        borrowed.write(0, b"borrowed");
        assert_eq!(borrowed.len_bytes(), 8);
        drop(borrowed);
        let mut out = [0; 10];
        owner.read(15, &mut out);
        assert_eq!(&out, b"\0borrowed\0");
    }

    #[test]
    #[should_panic(expected = "the bytes lie in the region")]
    fn a_byte_past_the_region_is_not_read() {
        Region::anonymous(page_bytes(), 1).unwrap().read(page_bytes(), &mut [0]);
    }

    #[test]
    #[should_panic(expected = "the bytes lie in the region")]
    fn a_copy_past_the_other_region_is_not_made() {
        let (from, to) = (Region::anonymous(1, 1).unwrap(), Region::anonymous(1, 1).unwrap());
        from.copy_to(0, &to, usize::MAX, 2);
    }

    #[test]
    fn locked_pages_are_there_or_the_error_says_what_to_do() {
        let region = Region::anonymous(2 * page_bytes(), 1).unwrap();
        match region.lock(0, page_bytes()) {
            Ok(()) => assert_eq!(resident_bytes(&region), page_bytes()),
            Err(error) => assert!(error.hint().is_some_and(|hint| hint.contains("ulimit -l")), "{error}"),
        }
    }

    #[test]
    #[should_panic(expected = "the bytes lie in the region")]
    fn what_is_not_in_the_region_is_not_populated() {
        let region = Region::anonymous(page_bytes(), 1).unwrap();
        let _ = region.populate(1, page_bytes());
    }

    /// What a child of `fork` reads of a page that it did not get ends it, so the child asks the kernel: a page that is not mapped is no address.
    #[test]
    fn pages_that_are_kept_from_children_are_not_there_in_one() {
        let region = Region::anonymous(3 * page_bytes(), 1).unwrap();
        region.write(0, &vec![1; 3 * page_bytes()]);
        region.keep_from_children(page_bytes() + 1, 1).unwrap();
        assert_eq!([0, 1, 2].map(|page| is_in_child(&region, page)), [true, false, true]);
        assert!(is_mapped(&region, 1));
    }

    fn is_mapped(region: &Region, page: usize) -> bool {
        let mut there = 0_u8;
        let address = region.at(page * page_bytes(), 1);
        // SAFETY: the kernel writes one byte for one page, and says of an address that nothing is mapped at.
        unsafe { libc::mincore(address.as_ptr().cast(), page_bytes(), &raw mut there) == 0 }
    }

    fn is_in_child(region: &Region, page: usize) -> bool {
        // SAFETY: the child makes two system calls and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let status = i32::from(!is_mapped(region, page));
            // SAFETY: it never returns.
            unsafe { libc::_exit(status) };
        }
        let mut status = 0;
        // SAFETY: the kernel writes the status, for which there is room.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
    }
}

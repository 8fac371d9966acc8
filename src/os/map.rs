//! Maps: files to read in place, and anonymous memory that is there already when it is written.

use std::fs::File;
use std::ptr::NonNull;

use crate::error::{Error, ErrorKind, Result};

/// A read-only map of a whole file.
#[derive(Debug)]
pub struct FileMap(memmap2::Mmap);

impl FileMap {
    /// Maps `file` as long as it is; what is appended later is not seen.
    ///
    /// # Safety
    /// Until the map is dropped nobody may shorten the file or change its bytes. A file that is shortened
    /// under a map kills the process with SIGBUS at the first touch of a page that is gone; bytes that
    /// change under it make every check of them void. A process cannot prevent either, so its caller has
    /// to know that the file is finished, or that its writer only appends.
    pub unsafe fn new(file: &File) -> Result<Self> {
        // SAFETY: the caller keeps the file as it is, which is all that memmap2 asks.
        let map = unsafe { memmap2::Mmap::map(file) };
        let map = map.map_err(|error| Error::io("cannot map file", error))?;
        // The advice is a hint; a kernel that ignores it only reads ahead less.
        let _ = map.advise(memmap2::Advice::Sequential);
        Ok(Self(map))
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Private memory, zeroed.
///
/// Its owner hands out disjoint parts of it (see the ring); this type only keeps the map alive and says where it is.
#[derive(Debug)]
pub struct AnonymousMap {
    base: NonNull<u8>,
    len_bytes: usize,
}

// SAFETY: the map is plain memory that belongs to no thread; access to its bytes is the owner's business.
unsafe impl Send for AnonymousMap {}
// SAFETY: as above; `&AnonymousMap` gives out an address and a length only.
unsafe impl Sync for AnonymousMap {}

impl AnonymousMap {
    /// Maps `len_bytes` (at least one) with every page there already, so that no later write waits for one. A
    /// machine that is out of memory may still leave pages to be had at the first touch.
    pub fn populated(len_bytes: usize) -> Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        // SAFETY: an anonymous map at an address of the kernel's choice touches no memory of ours.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), len_bytes, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            let cause = std::io::Error::last_os_error();
            return Err(Error::new(ErrorKind::OutOfMemory, "cannot reserve address space")
                .with_context("bytes", len_bytes)
                .with_source(cause));
        }
        let base = NonNull::new(base.cast())
            .ok_or_else(|| Error::new(ErrorKind::OutOfMemory, "mmap gave page 0"))?;
        Ok(Self { base, len_bytes })
    }

    /// Where the memory starts; page-aligned.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// How long it is.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }
}

impl Drop for AnonymousMap {
    fn drop(&mut self) {
        // SAFETY: base and length are those of the map that `populated` made; it is unmapped once, here.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len_bytes) };
    }
}

//! Memory and addresses together: what L1 allocates from.

use std::thread::JoinHandle;

use super::allocator::AddressAllocator;
use super::arena::Arena;
use super::either::Allocator;
use super::growth::{Growth, GrowthState, HeapSize};
use super::pins::Released;
use super::registration::Pinning;
use super::source::{ArenaOptions, ArenaSource, shm_name};
use super::span::Span;
use crate::error::{Error, Result};
use crate::storage::config::L1MemoryManagerConfig;
use crate::sync::Arc;

/// LMCache's L1 memory manager: an arena, the allocator of its addresses, and the thread that makes it grow, where it
/// is lazy.
///
/// It stands under the allocator's mutex. What is freed while an I/O works on it is kept, and counted as used, until the I/O is
/// over; what the arena has grown by is taken in. Both happen at the next allocation.
#[derive(Debug)]
pub struct L1MemoryManager {
    growth: Option<Growth>,
    allocator: Allocator,
    arena: Arc<Arena>,
}

impl L1MemoryManager {
    /// The memory that `config` describes. A lazy heap ends where it is configured to.
    ///
    /// # Errors
    /// If two settings exclude each other, or the memory cannot be had.
    pub fn new(config: &L1MemoryManagerConfig) -> Result<Self> {
        Self::with_pinning(config, Pinning::default())
    }

    /// As [`Self::new`], pinned by `pinning`, which comes before what `config` says of that. Memory that cannot be pinned is no error:
    /// see [`Arena::registration`].
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_pinning(config: &L1MemoryManagerConfig, pinning: Pinning) -> Result<Self> {
        Self::build(config, HeapSize::exact(config.init_size_bytes, config.size_bytes), pinning)
    }

    /// As [`Self::new`], with a heap of another size if `config` is lazy: [`HeapSize::lmcache`] is LMCache's, which
    /// can end up to 64 MiB behind the configured size.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_heap(config: &L1MemoryManagerConfig, heap: HeapSize) -> Result<Self> {
        Self::build(config, heap, Pinning::default())
    }

    fn build(config: &L1MemoryManagerConfig, heap: HeapSize, mut pinning: Pinning) -> Result<Self> {
        pinning.registrar = pinning.registrar.or_else(|| config.pin.registrar());
        let heap = config.use_lazy.then_some(heap);
        let options = ArenaOptions {
            size_bytes: heap.map_or(config.size_bytes, |heap| heap.final_bytes),
            align_bytes: config.align_bytes,
            source: source(config)?,
            numa_node: config.numa_node,
            // The thread touches what is lazy.
            first_touch: config.first_touch && heap.is_none(),
        };
        let usable_bytes = heap.map_or(config.size_bytes, |heap| heap.initial_bytes);
        let allocator = Allocator::new(config.allocator, usable_bytes, config.align_bytes)?;
        let arena = Arc::new(Arena::pinned(&options, pinning)?);
        let growth = heap.map(|heap| Growth::start(&arena, heap)).transpose()?;
        if growth.is_none() {
            arena.register_whole(config.size_bytes);
        }
        Ok(Self { growth, allocator, arena })
    }

    /// The bytes.
    pub fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }

    /// As [`AddressAllocator::batched_allocate`], from what is there by now.
    ///
    /// # Errors
    /// As there.
    pub fn batched_allocate(
        &mut self,
        size_bytes: u64,
        count: usize,
        addresses: &mut Vec<u64>,
    ) -> Result<bool> {
        self.free_unpinned();
        self.take_in_growth()?;
        self.allocator.batched_allocate(size_bytes, count, addresses)
    }

    /// As [`AddressAllocator::free`], or later, where an I/O works on the block.
    ///
    /// # Errors
    /// As there, if nobody works on it.
    pub fn free(&mut self, address: u64, size_bytes: u64) -> Result<()> {
        let span = Span { offset_bytes: address, phy_size_bytes: size_bytes, size_bytes };
        match self.arena.release(span) {
            Released::Now => self.allocator.free(address, size_bytes),
            Released::WhenUnpinned => Ok(()),
        }
    }

    /// As [`Self::free`], for a block that the arena was asked about already, and that nobody works on.
    ///
    /// # Errors
    /// As [`AddressAllocator::free`].
    pub fn free_released(&mut self, address: u64, size_bytes: u64) -> Result<()> {
        self.allocator.free(address, size_bytes)
    }

    /// Frees what was released under an I/O that is over by now. Returns how many blocks.
    pub fn free_unpinned(&mut self) -> usize {
        let spans = self.arena.take_unpinned();
        for span in &spans {
            let freed = self.allocator.free(span.offset_bytes, span.phy_size_bytes);
            // What was pinned had come from the allocator. Should that be untrue, `memcheck` says so.
            debug_assert!(freed.is_ok(), "{freed:?}");
        }
        spans.len()
    }

    fn take_in_growth(&mut self) -> Result<()> {
        let published_bytes = self.growth.as_ref().map_or(0, Growth::published_bytes);
        match published_bytes.checked_sub(self.allocator.total_bytes()) {
            None | Some(0) => Ok(()),
            Some(more_bytes) => self.allocator.extend(more_bytes),
        }
    }

    /// Ends the growth of a lazy heap, which stays as large as it is. For a manager that closes: it waits for the
    /// step that the thread is in, some tens of milliseconds.
    pub fn stop_growth(&mut self) {
        if let Some(growth) = &mut self.growth {
            growth.stop();
        }
    }

    /// As [`Self::stop_growth`], without waiting for the thread that it returns: that is for who holds no lock.
    pub(in crate::storage) fn cancel_growth(&mut self) -> Option<JoinHandle<()>> {
        self.growth.as_mut().and_then(Growth::cancel)
    }

    /// How far a lazy heap has grown.
    pub fn growth(&self) -> GrowthState {
        self.growth.as_ref().map_or(GrowthState::Complete, Growth::state)
    }

    /// As [`AddressAllocator::aligned_size_bytes`].
    pub fn aligned_size_bytes(&self, size_bytes: u64) -> Option<u64> {
        self.allocator.aligned_size_bytes(size_bytes)
    }

    /// Bytes in use: by objects, and by I/O on what objects were.
    pub fn used_bytes(&self) -> u64 {
        self.allocator.used_bytes()
    }

    /// Bytes that can be used by now.
    pub fn total_bytes(&self) -> u64 {
        let published_bytes = self.growth.as_ref().map_or(0, Growth::published_bytes);
        self.allocator.total_bytes().max(published_bytes)
    }

    /// As [`AddressAllocator::is_sound`].
    pub fn is_sound(&self) -> bool {
        self.allocator.is_sound()
    }

    /// As [`AddressAllocator::memcheck`].
    pub fn memcheck(&self) -> bool {
        self.allocator.memcheck()
    }

    /// The allocator, for its figures.
    pub fn allocator(&self) -> &Allocator {
        &self.allocator
    }
}

/// Where the bytes come from. LMCache's lazy heap is private memory, whatever name a segment would have.
fn source(config: &L1MemoryManagerConfig) -> Result<ArenaSource> {
    let is_named = !config.shm_name.is_empty();
    match (config.use_hugepages, config.use_lazy, is_named) {
        (false, false, false) | (false, true, _) => Ok(ArenaSource::Anonymous),
        (false, false, true) => Ok(ArenaSource::SharedMemory { name: shm_name(&config.shm_name)? }),
        (true, false, false) => Ok(ArenaSource::HugePages),
        (true, true, _) => Err(Error::invalid("2 MiB pages and lazy growth exclude each other")
            .with_hint("huge pages are all there from the start: leave lazy growth out")),
        (true, false, true) => Err(Error::invalid("2 MiB pages and shared memory exclude each other")
            .with_context("shm_name", &config.shm_name)
            .with_hint("leave one of them out")),
    }
}

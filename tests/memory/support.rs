//! What the tests of this theme share.

use lmcache::storage::config::L1MemoryManagerConfig;
use lmcache::storage::memory::{GrowthState, L1MemoryManager};

/// A small random number generator (xorshift), so that a failure comes back with its seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A heap that grows.
pub(crate) fn lazy(init_size_bytes: u64, size_bytes: u64) -> L1MemoryManagerConfig {
    L1MemoryManagerConfig { size_bytes, init_size_bytes, use_lazy: true, ..Default::default() }
}

/// Waits for the growth to end, well below any test's time.
pub(crate) fn wait_until_grown(memory: &L1MemoryManager) {
    let until_ns = lmcache::clock::monotonic_ns() + 60_000_000_000;
    while memory.growth() == GrowthState::Growing {
        assert!(lmcache::clock::monotonic_ns() < until_ns, "the growth takes for ever");
        std::thread::yield_now();
    }
}

//! One L1 manager: its memory, its lock times, its eviction.
//!
//! * This file: the settings. * [`tagged`]: LMCache's JSON of them, one object per `--l1-manager`.

pub mod tagged;

use super::EvictionConfig;
use crate::device::{PageLocker, PageRegistrar};
use crate::sync::Arc;

/// LMCache's default for `--l1-align-bytes`.
pub const DEFAULT_ALIGN_BYTES: u64 = 4096;

/// The tag of the L1 manager that the legacy flags describe.
pub const DEFAULT_L1_TAG: &str = "_default";

/// LMCache's default for `--l1-write-ttl-seconds`.
pub const DEFAULT_WRITE_TTL_SECONDS: i64 = 600;

/// LMCache's default for `--l1-read-ttl-seconds`.
pub const DEFAULT_READ_TTL_SECONDS: i64 = 300;

/// One L1 manager: its memory, its lock times, its eviction.
#[derive(Clone, Debug, PartialEq)]
pub struct L1ManagerConfig {
    /// How adapters and reports name it.
    pub tag: String,
    /// The memory that it hands out.
    pub memory: L1MemoryManagerConfig,
    /// How long a write reservation lives.
    pub write_ttl_seconds: i64,
    /// How long a read lock lives after the last time that anybody took one.
    pub read_ttl_seconds: i64,
    /// Its eviction settings.
    pub eviction: EvictionConfig,
}

impl L1ManagerConfig {
    /// Plain host memory of `size_bytes`, everything else as LMCache has it by default.
    pub fn dram(size_bytes: u64, eviction: EvictionConfig) -> Self {
        let memory = L1MemoryManagerConfig { size_bytes, init_size_bytes: size_bytes, ..Default::default() };
        Self {
            tag: DEFAULT_L1_TAG.to_owned(),
            memory,
            write_ttl_seconds: DEFAULT_WRITE_TTL_SECONDS,
            read_ttl_seconds: DEFAULT_READ_TTL_SECONDS,
            eviction,
        }
    }
}

/// Where L1's bytes live. Host memory is what this build has; the Device-DAX fields are kept because they
/// are part of the configuration's digest.
#[derive(Clone, Debug, PartialEq)]
pub struct L1MemoryManagerConfig {
    /// How much memory L1 hands out.
    pub size_bytes: u64,
    /// Whether the memory grows in the background. LMCache turns it off where memory cannot be pinned.
    pub use_lazy: bool,
    /// How much of it is there from the start, if lazy.
    pub init_size_bytes: u64,
    /// The alignment of every object; a power of two.
    pub align_bytes: u64,
    /// The POSIX shared-memory segment that holds the pool; empty for private memory.
    pub shm_name: String,
    /// Whether the pool comes from 2 MiB pages.
    pub use_hugepages: bool,
    /// The Device-DAX file that holds the pool.
    pub devdax_path: Option<String>,
    /// How much of the Device-DAX file is overflow for host memory.
    pub devdax_size_bytes: u64,
    /// Who hands the memory out. Ours.
    pub allocator: L1AllocatorKind,
    /// The NUMA node that the memory is bound to. Ours: LMCache leaves it to the kernel.
    pub numa_node: Option<u32>,
    /// Whether every page is touched at the start, so that no write waits for one. Ours.
    pub first_touch: bool,
    /// What pins the memory, where no device does. Ours: LMCache pins it where it finds CUDA.
    pub pin: PinKind,
}

impl Default for L1MemoryManagerConfig {
    fn default() -> Self {
        Self {
            size_bytes: 0,
            use_lazy: false,
            init_size_bytes: 0,
            align_bytes: DEFAULT_ALIGN_BYTES,
            shm_name: String::new(),
            use_hugepages: false,
            devdax_path: None,
            devdax_size_bytes: 0,
            allocator: L1AllocatorKind::FirstFit,
            numa_node: None,
            first_touch: false,
            pin: PinKind::None,
        }
    }
}

/// `--l1-pin`: what keeps L1's pages where they are, where no device is given to do that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PinKind {
    /// `none`: nothing does.
    #[default]
    None,
    /// `mlock`: the kernel, within the limit of locked memory.
    Mlock,
}

impl PinKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::None, Self::Mlock];

    /// The name in flags and configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Mlock => "mlock",
        }
    }

    /// What does it.
    pub(in crate::storage) fn registrar(self) -> Option<Arc<dyn PageRegistrar>> {
        match self {
            Self::None => None,
            Self::Mlock => Some(Arc::new(PageLocker)),
        }
    }
}

/// `--l1-allocator`: who hands L1's memory out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum L1AllocatorKind {
    /// `first-fit`: LMCache's, address for address.
    #[default]
    FirstFit,
    /// `tlsf`: two-level segregated fit, which takes the same time whatever is free and fragments less.
    Tlsf,
}

impl L1AllocatorKind {
    /// All allocators.
    pub const ALL: [Self; 2] = [Self::FirstFit, Self::Tlsf];

    /// The name in flags and configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstFit => "first-fit",
            Self::Tlsf => "tlsf",
        }
    }
}

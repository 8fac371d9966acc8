//! What a storage manager is told: the tree of LMCache's `StorageManagerConfig`, field by field.
//!
//! * This file holds the tree. A configuration is built in code ([`StorageManagerConfig::l1_only`]), from
//!   flags (the command line does that), or from LMCache's tagged JSON ([`tagged`]).
//! * [`checks`]: what must hold before a manager starts under it.
//! * [`digest`] writes the tree as LMCache's recorder does and hashes it, through [`python_json`], so that a
//!   trace's digest and ours can be compared; [`compare`] names the settings in which they differ.

use std::fmt;

use crate::error::{Error, Result};

pub mod checks;
pub mod compare;
pub mod digest;
pub mod python_json;
pub mod tagged;

pub use compare::{ConfigDifference, differences};

/// Bytes in the "GB" of LMCache's flags, which are GiB.
pub const GIB_BYTES: u64 = 1 << 30;

/// LMCache's default for `--l1-align-bytes`.
pub const DEFAULT_ALIGN_BYTES: u64 = 4096;

/// The tag of the L1 manager that the legacy flags describe.
pub const DEFAULT_L1_TAG: &str = "_default";

/// The whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageManagerConfig {
    /// The L1 managers, in the order in which writes try them. This build runs exactly one.
    pub l1_managers: Vec<L1ManagerConfig>,
    /// The eviction settings that an L1 manager without its own inherits.
    pub eviction: EvictionConfig,
    /// What happens to objects once they are in L2.
    pub store_policy: StorePolicy,
    /// Whether objects loaded from L2 stay in L1 after their readers are done.
    pub prefetch_policy: PrefetchPolicy,
    /// How many prefetches are in flight at once; the others queue.
    pub prefetch_max_in_flight: i64,
    /// The period of LMCache's notifier for adapters that need polling.
    pub periodic_notifier_interval_ms: i64,
}

impl StorageManagerConfig {
    /// One L1 manager in host memory and no L2, with LMCache's defaults for everything else.
    pub fn l1_only(size_bytes: u64, policy: EvictionPolicyKind) -> Self {
        let eviction = EvictionConfig { policy, ..EvictionConfig::default() };
        Self {
            l1_managers: vec![L1ManagerConfig::dram(size_bytes, eviction.clone())],
            eviction,
            store_policy: StorePolicy::Default,
            prefetch_policy: PrefetchPolicy::Default,
            prefetch_max_in_flight: 8,
            periodic_notifier_interval_ms: 5,
        }
    }
}

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
            write_ttl_seconds: 600,
            read_ttl_seconds: 300,
            eviction,
        }
    }
}

/// Where L1's bytes live. Host memory is what this build has; the other fields are kept because they are
/// part of the configuration's digest.
#[derive(Clone, Debug, PartialEq)]
pub struct L1MemoryManagerConfig {
    /// How much memory L1 hands out.
    pub size_bytes: u64,
    /// Whether the memory is pinned little by little. LMCache turns it off where memory cannot be pinned.
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
    /// The NUMA node that the memory comes from; ours, not part of LMCache's configuration or its digest.
    pub numa_node: Option<u32>,
    /// Whether all pages are touched before the first object is written; ours.
    pub first_touch: bool,
    /// Which allocator gives objects their addresses; ours.
    pub allocator: AllocatorKind,
}

/// Which allocator gives objects their addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AllocatorKind {
    /// First fit in address order: LMCache's addresses.
    #[default]
    FirstFit,
    /// A two-level segregated fit: fewer holes, longer runs, other addresses.
    Tlsf,
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
            numa_node: None,
            first_touch: false,
            allocator: AllocatorKind::default(),
        }
    }
}

/// When and what L1 evicts.
#[derive(Clone, Debug, PartialEq)]
pub struct EvictionConfig {
    /// Which keys go first.
    pub policy: EvictionPolicyKind,
    /// A pass evicts when `used / total` is not below this.
    pub trigger_watermark: f64,
    /// The share of the tracked keys that one pass evicts.
    pub eviction_ratio: f64,
    /// Whether memory use is logged now and then.
    pub extra_logging_enabled: bool,
    /// How often, in seconds.
    pub extra_logging_interval_s: f64,
    /// Which of the two shares are spelled without a decimal point.
    pub whole_numbers: WholeNumbers,
}

/// Which shares of an [`EvictionConfig`] tagged JSON spelled as `1` instead of `1.0`. The meaning is the
/// same; LMCache's digest keeps the spelling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WholeNumbers {
    /// [`EvictionConfig::trigger_watermark`] is a whole number.
    pub trigger_watermark: bool,
    /// [`EvictionConfig::eviction_ratio`] is a whole number.
    pub eviction_ratio: bool,
}

impl Default for EvictionConfig {
    fn default() -> Self {
        Self {
            policy: EvictionPolicyKind::Lru,
            trigger_watermark: 0.8,
            eviction_ratio: 0.2,
            extra_logging_enabled: false,
            extra_logging_interval_s: 10.0,
            whole_numbers: WholeNumbers::default(),
        }
    }
}

/// The eviction policies of LMCache 0.5.6, by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictionPolicyKind {
    /// `LRU`: least recently used first.
    Lru,
    /// `ARC`: recency and frequency, balanced by what was evicted too early.
    Arc,
    /// `IsolatedLRU`: one LRU list per `cache_salt`.
    IsolatedLru,
    /// `noop`: evicts nothing.
    Noop,
}

impl EvictionPolicyKind {
    /// All policies, in the order of LMCache's help text.
    pub const ALL: [Self; 4] = [Self::Lru, Self::Arc, Self::IsolatedLru, Self::Noop];

    /// The name in flags and configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lru => "LRU",
            Self::Arc => "ARC",
            Self::IsolatedLru => "IsolatedLRU",
            Self::Noop => "noop",
        }
    }

    /// The policy of that name.
    ///
    /// # Errors
    /// If there is none; the message lists them.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            Error::invalid("unknown eviction policy")
                .with_context("policy", name)
                .with_hint("the policies are LRU, ARC, IsolatedLRU and noop")
        })
    }
}

impl fmt::Display for EvictionPolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `--l2-store-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorePolicy {
    /// `default`: store to every adapter, keep in L1.
    Default,
    /// `skip_l1`: store to every adapter, then delete from L1.
    SkipL1,
}

impl StorePolicy {
    /// All policies.
    pub const ALL: [Self; 2] = [Self::Default, Self::SkipL1];

    /// The name in flags and configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::SkipL1 => "skip_l1",
        }
    }
}

/// `--l2-prefetch-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefetchPolicy {
    /// `default`: objects loaded from L2 leave L1 with their last reader.
    Default,
    /// `retain`: they stay.
    Retain,
}

impl PrefetchPolicy {
    /// All policies.
    pub const ALL: [Self; 2] = [Self::Default, Self::Retain];

    /// The name in flags and configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Retain => "retain",
        }
    }
}

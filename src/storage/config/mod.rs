//! What a storage manager is told: the tree of LMCache's `StorageManagerConfig`, field by field, and ours.
//!
//! * This file: the root of the tree. A configuration is built in code ([`StorageManagerConfig::l1_only`]) or
//!   from flags (the command line does that), which hold LMCache's JSON. [`json`]: all of it as one object.
//! * [`l1`]: the L1 managers, and their tagged JSON. [`l2`]: the L2 adapters, and theirs, a file for each.
//!   `fields` reads either, after `strict_json`. [`eviction`]: of both tiers.
//! * [`controllers`]: how objects travel between the tiers. [`compat`]: whose behaviour counts.
//! * [`checks`]: what must hold before a manager starts under it. [`warnings`]: what is hardly meant.
//!   [`secret`]: what must not be seen.
//! * [`digest`] writes the tree as LMCache's recorder does and hashes it, through [`python_json`], so that a
//!   trace's digest and ours can be compared; [`compare`] names the settings in which they differ.
//!
//! Settings that LMCache does not have say "ours". They are no part of LMCache's digest.

pub mod checks;
pub mod compare;
pub mod compat;
pub mod controllers;
pub mod digest;
pub mod eviction;
mod fields;
pub mod json;
pub mod l1;
pub mod l2;
pub mod python_json;
pub mod secret;
mod strict_json;
pub mod warnings;

pub use compare::{ConfigDifference, differences};
pub use compat::Compat;
pub use controllers::{PrefetchConfig, PrefetchPolicy, StoreConfig, StorePolicy};
pub use eviction::{EvictionConfig, EvictionMeasure, EvictionPolicyKind, WholeNumbers};
pub use l1::{
    DEFAULT_ALIGN_BYTES, DEFAULT_L1_TAG, L1AllocatorKind, L1ManagerConfig, L1MemoryManagerConfig, PinKind,
};
pub use l2::{AdapterKind, L2AdapterConfig};
pub use secret::Secret;

/// Bytes in the "GB" of LMCache's flags, which are GiB.
pub const GIB_BYTES: u64 = 1 << 30;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageManagerConfig {
    /// The L1 managers, in the order in which writes try them.
    pub l1_managers: Vec<L1ManagerConfig>,
    /// The eviction settings that an L1 manager without its own inherits.
    pub eviction: EvictionConfig,
    /// The L2 adapters. The position of an adapter is its id.
    pub l2_adapters: Vec<L2AdapterConfig>,
    /// What happens to objects once they are in L2.
    pub store_policy: StorePolicy,
    /// Whether objects loaded from L2 stay in L1 after their readers are done.
    pub prefetch_policy: PrefetchPolicy,
    /// How many prefetches are in flight at once; the others queue.
    pub prefetch_max_in_flight: i64,
    /// The period of LMCache's notifier for adapters that need polling. Part of the digest only: none of ours does.
    pub periodic_notifier_interval_ms: i64,
    /// Whether known faults of LMCache are reproduced. Ours.
    pub compat: Compat,
    /// How stores to L2 wait and are repeated. Ours.
    pub store: StoreConfig,
    /// How long prefetches wait for L2. Ours.
    pub prefetch: PrefetchConfig,
    /// How many bytes each of these `cache_salt`s may have, for policies that keep tenants apart. Ours: LMCache
    /// has them set through its HTTP API.
    pub quotas: Vec<(String, u64)>,
}

impl StorageManagerConfig {
    /// One L1 manager in host memory and no L2, with LMCache's defaults for everything else.
    pub fn l1_only(size_bytes: u64, policy: EvictionPolicyKind) -> Self {
        let eviction = EvictionConfig { policy, ..EvictionConfig::default() };
        let l1 = L1ManagerConfig::dram(size_bytes, eviction.clone());
        Self::with_l1_managers(vec![l1], eviction)
    }

    /// These L1 managers and no L2, with the defaults for everything else.
    pub fn with_l1_managers(l1_managers: Vec<L1ManagerConfig>, eviction: EvictionConfig) -> Self {
        Self {
            l1_managers,
            eviction,
            l2_adapters: Vec::new(),
            store_policy: StorePolicy::Default,
            prefetch_policy: PrefetchPolicy::Default,
            prefetch_max_in_flight: 8,
            periodic_notifier_interval_ms: 5,
            compat: Compat::default(),
            store: StoreConfig::default(),
            prefetch: PrefetchConfig::default(),
            quotas: Vec::new(),
        }
    }
}

//! How objects travel between L1 and L2.

use super::Compat;

/// Keys that may wait to be stored to one adapter, by default. A key is 48 bytes, so the queue itself is
/// at most 6 MiB.
pub const DEFAULT_STORE_QUEUE_KEYS: usize = 1 << 17;

/// The most keys that a store queue can be bounded by.
pub const MAX_STORE_QUEUE_KEYS: usize = 1 << 26;

/// How often a store is tried again, by default.
pub const DEFAULT_STORE_RETRIES: u32 = 3;

/// The most often that a store can be tried again.
pub const MAX_STORE_RETRIES: u32 = 100;

/// The pause before the first repetition of a store, by default.
pub const DEFAULT_STORE_RETRY_BACKOFF_MS: u64 = 50;

/// How long a prefetch may wait for L2, by default.
pub const DEFAULT_PREFETCH_TIMEOUT_MS: u64 = 60_000;

/// The longest that a prefetch can be allowed to wait: a day.
pub const MAX_PREFETCH_TIMEOUT_MS: u64 = 24 * 60 * 60 * 1000;

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

/// How stores wait and are repeated. Ours: LMCache's queue has no bound, and a store that fails is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// How many keys may wait for one adapter. What comes on top is not stored, and counted.
    pub queue_keys: usize,
    /// How often a store that failed is tried again; 0 is never.
    pub retries: u32,
    /// The pause before the first repetition; it doubles with each.
    pub retry_backoff_ms: u64,
}

impl StoreConfig {
    /// The defaults of a mode: LMCache repeats nothing.
    pub fn for_compat(compat: Compat) -> Self {
        let retries = match compat {
            Compat::Lmcache => 0,
            Compat::Native => DEFAULT_STORE_RETRIES,
        };
        Self {
            queue_keys: DEFAULT_STORE_QUEUE_KEYS,
            retries,
            retry_backoff_ms: DEFAULT_STORE_RETRY_BACKOFF_MS,
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self::for_compat(Compat::default())
    }
}

/// How long prefetches wait. Ours: LMCache's wait for ever, and block the queue behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefetchConfig {
    /// When a request gives up on L2 and ends with what it has; nothing is never.
    pub timeout_ms: Option<u64>,
}

impl PrefetchConfig {
    /// The defaults of a mode: LMCache has no time limit.
    pub fn for_compat(compat: Compat) -> Self {
        match compat {
            Compat::Lmcache => Self { timeout_ms: None },
            Compat::Native => Self { timeout_ms: Some(DEFAULT_PREFETCH_TIMEOUT_MS) },
        }
    }
}

impl Default for PrefetchConfig {
    fn default() -> Self {
        Self::for_compat(Compat::default())
    }
}

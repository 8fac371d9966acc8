//! When and what a tier evicts.

use std::fmt;

use crate::error::{Error, Result};

/// When and what a tier evicts: an L1 manager, or an L2 adapter that has a capacity.
#[derive(Clone, Debug, PartialEq)]
pub struct EvictionConfig {
    /// Which keys go first.
    pub policy: EvictionPolicyKind,
    /// A pass evicts when `used / total` is not below this.
    pub trigger_watermark: f64,
    /// The share of what is tracked that one pass evicts, measured by [`Self::by`].
    pub eviction_ratio: f64,
    /// What the ratio is a share of. Ours: LMCache counts keys.
    pub by: EvictionMeasure,
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
            by: EvictionMeasure::Keys,
            extra_logging_enabled: false,
            extra_logging_interval_s: 10.0,
            whole_numbers: WholeNumbers::default(),
        }
    }
}

/// The eviction policies of LMCache 0.5.6, by their names, and three of ours, which LMCache refuses.
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
    /// `FIFO`, ours: first come, first to go.
    Fifo,
    /// `S3FIFO`, ours: three queues, which keep what is used once from displacing the rest.
    S3Fifo,
    /// `SIEVE`, ours: first come, first to go, but what was used since it was last looked at stays.
    Sieve,
}

impl EvictionPolicyKind {
    /// All policies: LMCache's, in the order of its help text, then ours.
    pub const ALL: [Self; 7] =
        [Self::Lru, Self::Arc, Self::IsolatedLru, Self::Noop, Self::Fifo, Self::S3Fifo, Self::Sieve];

    /// The name in flags and configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lru => "LRU",
            Self::Arc => "ARC",
            Self::IsolatedLru => "IsolatedLRU",
            Self::Noop => "noop",
            Self::Fifo => "FIFO",
            Self::S3Fifo => "S3FIFO",
            Self::Sieve => "SIEVE",
        }
    }

    /// The policy of that name.
    ///
    /// # Errors
    /// If there is none; the message lists them.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            Error::invalid("unknown eviction policy").with_context("policy", name.escape_debug()).with_hint(
                "the policies are LRU, ARC, IsolatedLRU and noop, and ours: FIFO, S3FIFO and SIEVE",
            )
        })
    }
}

impl fmt::Display for EvictionPolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `--eviction-by`: what [`EvictionConfig::eviction_ratio`] is a share of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EvictionMeasure {
    /// `keys`: of the number of tracked keys, as LMCache. A pass over small objects frees little.
    #[default]
    Keys,
    /// `bytes`: of the bytes in use, however many objects they are.
    Bytes,
}

impl EvictionMeasure {
    /// All measures.
    pub const ALL: [Self; 2] = [Self::Keys, Self::Bytes];

    /// The name in flags and configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Bytes => "bytes",
        }
    }
}

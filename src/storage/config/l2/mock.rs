//! `mock`: an adapter in memory, for trials.

use std::time::Duration;

use super::spec::Spec;
use crate::error::Result;
use crate::storage::config::GIB_BYTES;
use crate::storage::config::fields::gib_to_capacity;

/// The type in JSON.
pub const TYPE: &str = "mock";

/// The keys of its own.
pub const KEYS: &[&str] = &[
    "max_size_gb",
    "mock_bandwidth_gb",
    "load_bandwidth_gb",
    "latency_ms",
    "jitter_ms",
    "jitter_seed",
    "keep_bytes",
];

/// An adapter in memory that answers as late as a slower one would.
#[derive(Clone, Debug, PartialEq)]
pub struct MockAdapterConfig {
    /// `max_size_gb`, above 0: how much it holds. What does not fit is not stored.
    pub max_size_bytes: u64,
    /// `mock_bandwidth_gb`, above 0: bytes that a store, or a load, transfers in a second.
    pub bandwidth_bytes_per_s: f64,
    /// `load_bandwidth_gb`, above 0: the same for loads alone. Ours; as the other by default.
    pub load_bandwidth_bytes_per_s: f64,
    /// `latency_ms`: what every task, lookups included, takes beside its transfer. Ours; 0 by default.
    pub latency: Duration,
    /// `jitter_ms`: up to this much more, evenly spread. Ours; 0 by default.
    pub jitter: Duration,
    /// `jitter_seed`: the same seed gives the same jitter. Ours; 0 by default.
    pub jitter_seed: u64,
    /// `keep_bytes`: false keeps the objects' sizes alone, and a load leaves its buffers as they are. For replays, whose
    /// objects have no bytes worth keeping. Ours; true by default.
    pub keep_bytes: bool,
}

pub(super) fn read(spec: Spec<'_>) -> Result<MockAdapterConfig> {
    let fields = spec.fields;
    let max_size_gib = fields.required_positive_number("max_size_gb", "8")?;
    let bandwidth_gib = fields.required_positive_number("mock_bandwidth_gb", "2")?;
    let load_bandwidth_gib = fields.positive_number("load_bandwidth_gb", bandwidth_gib)?;
    Ok(MockAdapterConfig {
        max_size_bytes: gib_to_capacity("max_size_gb", max_size_gib)?,
        bandwidth_bytes_per_s: bandwidth_gib * GIB_BYTES as f64,
        load_bandwidth_bytes_per_s: load_bandwidth_gib * GIB_BYTES as f64,
        latency: fields.milliseconds("latency_ms", Duration::ZERO)?,
        jitter: fields.milliseconds("jitter_ms", Duration::ZERO)?,
        jitter_seed: fields.integer("jitter_seed", 0, 0..=u64::MAX)?,
        keep_bytes: fields.bool("keep_bytes", true)?,
    })
}

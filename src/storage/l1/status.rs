//! What L1 says of itself.

use std::collections::BTreeMap;

use serde::Serialize;

/// The fields of LMCache's `L1Manager.report_status()`, by its names.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct L1Status {
    /// Whether nothing was given back to the allocator that it had not handed out; `memcheck` looks at every free block.
    pub is_healthy: bool,
    /// Resident and staged objects.
    pub total_object_count: u64,
    /// Staged objects whose reservation is live.
    pub write_locked_count: u64,
    /// Resident objects with a live read lock.
    pub read_locked_count: u64,
    /// Objects that leave with their last reader.
    pub temporary_count: u64,
    /// Objects being written, or left by a writer that never finished.
    pub staging_object_count: u64,
    /// Logical bytes of the staged objects.
    pub staging_bytes: u64,
    /// Bytes in use, alignment included.
    pub memory_used_bytes: u64,
    /// Bytes that can be used.
    pub memory_total_bytes: u64,
    /// Bytes that the configuration asks for.
    pub memory_configured_bytes: u64,
    /// The same per kind of memory; this build has `dram`.
    pub capacity_bytes_by_backend: BTreeMap<&'static str, u64>,
    /// `memory_used_bytes / memory_total_bytes`.
    pub memory_usage_ratio: f64,
    /// What became of the pinning of the memory, by the names of [`RegistrationState`](crate::storage::memory::RegistrationState). Ours,
    /// as the next two.
    pub memory_registration: &'static str,
    /// Bytes that are pinned; of a lazy heap it can be more than can be used by now.
    pub memory_registered_bytes: u64,
    /// Why some of the memory is not pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_registration_failure: Option<String>,
    /// How long a write reservation lives.
    pub write_ttl_seconds: i64,
    /// How long a read lock lives.
    pub read_ttl_seconds: i64,
}

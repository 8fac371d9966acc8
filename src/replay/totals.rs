//! What the storage manager answered, summed over a replay.

use std::fmt;

use crate::replay::latency::{AccountSummary, AnswerSummary};
use crate::storage::l1::L1Status;
use crate::storage::l1_eviction::EvictionStatus;
use crate::storage::l2::AdapterStatus;
use crate::storage::memory::RegistrationState;
use crate::storage::status::StorageManagerStatus;

/// Everything that a manager had to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ManagerTotals {
    /// What it answered.
    pub storage: StorageTotals,
    /// When it answered prefetches.
    pub answers: AnswerSummary,
    /// The L1s that could not evict.
    pub failed_evictions: Vec<FailedEviction>,
    /// The L1s that are pinned, or were to be.
    pub pinned_l1s: Vec<PinnedL1>,
    /// What became of the objects in L2.
    pub l2: L2Totals,
    /// What was noted beside the calls: bytes, times of L2, why something was missed.
    pub account: AccountSummary,
    /// In causal order: the calls at which L2 was not done in time, so that they or later ones may have seen it work.
    pub unsettled_calls: u64,
}

/// Counts of keys and reads. A key that is asked for twice counts twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorageTotals {
    /// Chunks of the prompts of all prefetches: the columns, which is the length of the longest row.
    pub requested_chunks: u64,
    /// Of those, the chunks that all rows together can serve: for the prefix policy the length of the prefix that
    /// hit, for the full policy the columns that every row has.
    pub served_chunks: u64,
    /// Cells of all prefetches: rows times columns.
    pub requested_keys: u64,
    /// Of those, the cells that the manager reported as hits. A row with a sliding window keeps its last chunks
    /// alone, so that fewer cells than chunks are hits.
    pub hit_keys: u64,
    /// Of the hits, those that were in L1 already.
    pub l1_hit_keys: u64,
    /// Of the hits, those that came from L2.
    pub l2_hit_keys: u64,
    /// Objects that eviction removed from L1.
    pub evicted_keys: u64,
    /// Objects in L1 that were locked for reading when the replay ended: prefetches locked them, and the trace has no reader that
    /// lets them go. They cannot be evicted.
    pub locked_at_end: u64,
    /// Prefetches whose result was not there when the replay ended.
    pub unresolved_prefetches: u64,
    /// Reads that got nothing: at least one key could not be read, and the others are not given out then.
    pub reads_found_nothing: u64,
    /// Keys that reads did not find, of those reads.
    pub keys_not_found: u64,
    /// Keys that reads found, of those reads, but without the lock of a prefetch or not yet written.
    pub keys_not_readable: u64,
    /// Exits without an open read.
    pub unmatched_exits: u64,
    /// Reads that the trace left open and the replay closed.
    pub closed_leftovers: u64,
    /// Keys of writes that were reserved.
    pub keys_reserved: u64,
    /// Keys of writes that were there already, or are being written.
    pub keys_not_writable: u64,
    /// Keys of writes for which there was no memory.
    pub keys_out_of_memory: u64,
}

impl std::ops::AddAssign for StorageTotals {
    fn add_assign(&mut self, other: Self) {
        let Self {
            requested_chunks,
            served_chunks,
            requested_keys,
            hit_keys,
            l1_hit_keys,
            l2_hit_keys,
            evicted_keys,
            locked_at_end,
            unresolved_prefetches,
            reads_found_nothing,
            keys_not_found,
            keys_not_readable,
            unmatched_exits,
            closed_leftovers,
            keys_reserved,
            keys_not_writable,
            keys_out_of_memory,
        } = other;
        self.requested_chunks += requested_chunks;
        self.served_chunks += served_chunks;
        self.requested_keys += requested_keys;
        self.hit_keys += hit_keys;
        self.l1_hit_keys += l1_hit_keys;
        self.l2_hit_keys += l2_hit_keys;
        self.evicted_keys += evicted_keys;
        self.locked_at_end += locked_at_end;
        self.unresolved_prefetches += unresolved_prefetches;
        self.reads_found_nothing += reads_found_nothing;
        self.keys_not_found += keys_not_found;
        self.keys_not_readable += keys_not_readable;
        self.unmatched_exits += unmatched_exits;
        self.closed_leftovers += closed_leftovers;
        self.keys_reserved += keys_reserved;
        self.keys_not_writable += keys_not_writable;
        self.keys_out_of_memory += keys_out_of_memory;
    }
}

/// An L1 whose eviction policy could not choose, so that it stayed as full as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedEviction {
    /// Which L1.
    pub l1_tag: String,
    /// The policy's name.
    pub policy: &'static str,
    /// How many eviction passes failed.
    pub failed_passes: u64,
    /// Why the last pass failed; nothing if one after it did not.
    pub reason: Option<String>,
}

impl FailedEviction {
    /// Those of a manager's L1s, in the order of their tags.
    pub fn all_of(status: &StorageManagerStatus) -> Vec<Self> {
        let failed = |(l1_tag, status): (&String, &EvictionStatus)| {
            (status.failed_passes > 0).then(|| Self {
                l1_tag: l1_tag.clone(),
                policy: status.eviction_policy,
                failed_passes: status.failed_passes,
                reason: status.last_error.clone(),
            })
        };
        status.l1_eviction_controllers.iter().filter_map(failed).collect()
    }
}

/// How much of an L1 is pinned, if it was to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedL1 {
    /// Which L1.
    pub l1_tag: String,
    /// `locked`, `registered` or `degraded`.
    pub registration: &'static str,
    /// Bytes that are pinned.
    pub registered_bytes: u64,
    /// Bytes that can be used.
    pub total_bytes: u64,
    /// Why some are not pinned.
    pub failure: Option<String>,
}

impl fmt::Display for PinnedL1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { l1_tag, registration, registered_bytes, total_bytes, .. } = self;
        write!(f, "L1 {l1_tag} pinned: {registration}, {registered_bytes} of {total_bytes} bytes")
    }
}

impl PinnedL1 {
    /// Those of a manager's L1s, in the order of their tags.
    pub fn all_of(status: &StorageManagerStatus) -> Vec<Self> {
        let asked = |(_, l1): &(&String, &L1Status)| l1.memory_registration != RegistrationState::None.name();
        let pinned = |(l1_tag, l1): (&String, &L1Status)| Self {
            l1_tag: l1_tag.clone(),
            registration: l1.memory_registration,
            registered_bytes: l1.memory_registered_bytes,
            total_bytes: l1.memory_total_bytes,
            failure: l1.memory_registration_failure.clone(),
        };
        status.l1_managers.iter().filter(asked).map(pinned).collect()
    }
}

/// What became of the objects that a replay was to store to L2, and load from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct L2Totals {
    /// Keys that could not be stored, or not for want of room.
    pub lost_keys: u64,
    /// Keys that found a full queue.
    pub dropped_keys: u64,
    /// Keys that were tried again.
    pub retried_keys: u64,
    /// What each adapter says, in the order of the configuration.
    pub adapters: Vec<AdapterStatus>,
}

impl L2Totals {
    /// The part of a manager's status that is about L2.
    pub fn of(status: &StorageManagerStatus) -> Self {
        let stores = || status.store_controllers.values();
        Self {
            lost_keys: stores().map(|stores| stores.lost_keys).sum(),
            dropped_keys: stores().map(|stores| stores.dropped_keys).sum(),
            retried_keys: stores().map(|stores| stores.retried_keys).sum(),
            adapters: status.l2_adapters.clone(),
        }
    }
}

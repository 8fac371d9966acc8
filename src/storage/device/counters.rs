//! What the storage manager says of its transfers.

use serde::Serialize;

use crate::sync::atomic::{AtomicU64, Ordering};

/// Transfers between engines' pages and L1. LMCache has no such thing in its status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeviceTransferStatus {
    /// Whether the thread that finishes transfers, if there is one, is there.
    pub is_healthy: bool,
    /// Calls whose transfers are under way.
    pub in_flight_count: u64,
    /// Transfers that are over, and that the controller has not looked at.
    pub completion_queue_size: usize,
    /// Objects that were stored from a device, since the start.
    pub stored_objects: u64,
    /// Objects that were retrieved to a device, since the start.
    pub retrieved_objects: u64,
    /// Bytes of both.
    pub moved_bytes: u64,
    /// Calls that failed on the device, since the start.
    pub failed_transfers: u64,
    /// Objects that were moved but could not be made readable, since the start.
    pub lost_objects: u64,
}

/// Counters since the start, and how many calls are under way.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) in_flight: AtomicU64,
    pub(super) stored_objects: AtomicU64,
    pub(super) retrieved_objects: AtomicU64,
    pub(super) moved_bytes: AtomicU64,
    pub(super) failed_transfers: AtomicU64,
    pub(super) lost_objects: AtomicU64,
}

impl Counters {
    /// Adds to one of them.
    pub(super) fn add(counter: &AtomicU64, more: u64) {
        // Relaxed, here and below: counters that order nothing.
        counter.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn sub(counter: &AtomicU64, less: u64) {
        counter.fetch_sub(less, Ordering::Relaxed);
    }

    pub(super) fn status(&self, is_healthy: bool, completion_queue_size: usize) -> DeviceTransferStatus {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DeviceTransferStatus {
            is_healthy,
            in_flight_count: get(&self.in_flight),
            completion_queue_size,
            stored_objects: get(&self.stored_objects),
            retrieved_objects: get(&self.retrieved_objects),
            moved_bytes: get(&self.moved_bytes),
            failed_transfers: get(&self.failed_transfers),
            lost_objects: get(&self.lost_objects),
        }
    }
}

//! What the caller of a prefetch holds until it asks for the result, and the result.

use super::bitmap::Bitmap;
use crate::format::model::{GroupedObjectKeys, PrefetchTaskSpec};
use crate::storage::hook::Effect;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// What a prefetch found. One bitmap per row of the request, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefetchResult {
    /// The cells that are in L1 and, unless the request asked for no locks, read-locked for its readers.
    pub hit_cells: Vec<Bitmap>,
    /// Those of them that L1 had.
    pub l1_hit_cells: Vec<Bitmap>,
    /// Those of them that came from L2.
    pub l2_hit_cells: Vec<Bitmap>,
    /// What was there when the request was planned, hit or not. For the full policy only.
    pub found_cells: Option<Vec<Bitmap>>,
}

impl PrefetchResult {
    /// How many cells hit.
    pub fn hit_count(&self) -> usize {
        self.hit_cells.iter().map(Bitmap::popcount).sum()
    }
}

/// A submitted prefetch. Clones stand for the same one.
#[derive(Clone, Debug)]
pub struct PrefetchHandle {
    /// Requests are numbered from 0.
    pub prefetch_request_id: u64,
    /// The engine's name for the request.
    pub external_request_id: String,
    /// How many cells the request has.
    pub total_requested_keys: usize,
    /// When it was submitted, on the manager's clock.
    pub submit_time_ns: u64,
    /// The window of each row, in chunks; -1 is full attention.
    pub sliding_windows: Vec<i64>,
    pub(super) result: Arc<ResultSlot>,
}

/// The result, until somebody takes it. It lives as long as a handle does: LMCache keeps results by number,
/// and those that nobody asks for stay for ever.
#[derive(Debug)]
pub(super) struct ResultSlot {
    result: Mutex<Option<PrefetchResult>>,
    unclaimed: Arc<AtomicU64>,
}

impl ResultSlot {
    pub(super) fn new(result: PrefetchResult, unclaimed: &Arc<AtomicU64>) -> Self {
        // Relaxed, here and in `take`: a counter that orders nothing.
        unclaimed.fetch_add(1, Ordering::Relaxed);
        Self { result: Mutex::new(Some(result)), unclaimed: Arc::clone(unclaimed) }
    }

    fn take(&self) -> Option<PrefetchResult> {
        let result = lock(&self.result).take();
        if result.is_some() {
            self.unclaimed.fetch_sub(1, Ordering::Relaxed);
        }
        result
    }
}

impl Drop for ResultSlot {
    fn drop(&mut self) {
        self.take();
    }
}

impl PrefetchHandle {
    /// The result, the first time that it is asked for.
    pub(in crate::storage) fn take_result(&self) -> Option<PrefetchResult> {
        self.result.take()
    }

    /// What the submission did, for a hook; nobody can have taken the result yet.
    pub(in crate::storage) fn effect(&self, spec: &PrefetchTaskSpec) -> Effect {
        let result = lock(&self.result.result);
        let hits = result.as_ref().map_or(&[][..], |result| &result.hit_cells);
        let bytes =
            |(row, hits): (&GroupedObjectKeys, &Bitmap)| hits.popcount() as u64 * row.layout.size_bytes();
        Effect {
            requested_keys: self.total_requested_keys,
            hit_keys: hits.iter().map(Bitmap::popcount).sum(),
            bytes: spec.key_groups.iter().zip(hits).map(bytes).sum(),
        }
    }

    /// Whether the result has not been taken yet.
    pub(in crate::storage) fn has_result(&self) -> bool {
        lock(&self.result.result).is_some()
    }
}

//! Prefetch: finding out how much of a prompt is there, and holding on to it until its readers come.
//!
//! A request is a grid: one row per (object group, rank), one column per chunk of the prompt. It read-locks
//! every cell that L1 has, plans which of them are of use ([`fold`] for a prefix, common columns for the full
//! policy), releases the others, and leaves the hits locked for their readers. The hits count as used.
//!
//! * [`bitmap`]: the rows of the grid. * [`fold`]: the plan.
//!
//! This build has no L2 to load from, so a request is complete when its submission returns.

pub mod bitmap;
pub mod fold;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::format::model::call::{FULL_ATTENTION_WINDOW_CHUNKS, GroupedObjectKeys};
use crate::format::model::{FetchingPolicy, LockMode, ObjectKey, PrefetchTaskSpec};
use crate::storage::l1::{L1Error, L1Manager};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};

pub use bitmap::Bitmap;

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
    result: Arc<ResultSlot>,
}

/// The result, until somebody takes it. It lives as long as a handle does: LMCache keeps results by number,
/// and those that nobody asks for stay for ever.
#[derive(Debug)]
struct ResultSlot {
    result: Mutex<Option<PrefetchResult>>,
    unclaimed: Arc<AtomicU64>,
}

impl ResultSlot {
    fn new(result: PrefetchResult, unclaimed: &Arc<AtomicU64>) -> Self {
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
    pub(super) fn take_result(&self) -> Option<PrefetchResult> {
        self.result.take()
    }

    /// Whether the result has not been taken yet.
    pub(super) fn has_result(&self) -> bool {
        lock(&self.result.result).is_some()
    }
}

/// What LMCache refuses to build a `PrefetchTaskSpec` from: no rows, rows of different lengths, a window of 0
/// or below -1, less than one reader.
///
/// Whoever makes a request asks here first. Requests in old traces can have all of this, so
/// [`PrefetchController::submit`] puts up with it.
///
/// # Errors
/// The first of them, by name.
pub fn validate_spec(spec: &PrefetchTaskSpec) -> Result<()> {
    let Some(first) = spec.key_groups.first() else {
        return Err(Error::invalid("a prefetch needs at least one row of keys"));
    };
    for (row, group) in spec.key_groups.iter().enumerate() {
        if group.sliding_window_size == 0 || group.sliding_window_size < FULL_ATTENTION_WINDOW_CHUNKS {
            return Err(Error::invalid("a window must be -1 (full attention) or at least one chunk")
                .with_context("row", row)
                .with_context("window", group.sliding_window_size));
        }
        if group.keys.len() != first.keys.len() {
            return Err(Error::invalid("all rows of a prefetch must have the same number of keys")
                .with_context("row", row)
                .with_context("keys", group.keys.len())
                .with_context("keys of row 0", first.keys.len()));
        }
    }
    if spec.num_kv_readers < 1 {
        return Err(Error::invalid("a prefetch needs at least one reader")
            .with_context("num_kv_readers", spec.num_kv_readers));
    }
    Ok(())
}

/// LMCache's `PrefetchController`, on L1 alone.
#[derive(Debug)]
pub struct PrefetchController {
    l1: Arc<L1Manager>,
    clock: Clock,
    next_request_id: AtomicU64,
    unclaimed_results: Arc<AtomicU64>,
}

impl PrefetchController {
    /// A controller that has seen no request.
    pub fn new(l1: Arc<L1Manager>, clock: Clock) -> Self {
        Self { l1, clock, next_request_id: AtomicU64::new(0), unclaimed_results: Arc::default() }
    }

    /// Runs a prefetch. It takes any `spec`: a row that is shorter than others counts as absent from there
    /// on, a window below 1 is full attention, and the number of readers is clamped to 1..=128.
    pub fn submit(&self, spec: &PrefetchTaskSpec, external_request_id: &str) -> PrefetchHandle {
        let submit_time_ns = self.clock.now_ns();
        let result = self.run(spec);
        PrefetchHandle {
            // Relaxed: the number has to be unique, nothing more.
            prefetch_request_id: self.next_request_id.fetch_add(1, Ordering::Relaxed),
            external_request_id: external_request_id.to_owned(),
            total_requested_keys: spec.key_groups.iter().map(|row| row.keys.len()).sum(),
            submit_time_ns,
            sliding_windows: windows(&spec.key_groups),
            result: Arc::new(ResultSlot::new(result, &self.unclaimed_results)),
        }
    }

    fn run(&self, spec: &PrefetchTaskSpec) -> PrefetchResult {
        let rows = &spec.key_groups;
        let locked = self.lock_l1_keys(rows, spec.num_kv_readers);
        let (found, hits) = plan(rows, &locked, spec.fetching_policy);
        let released: Vec<&ObjectKey> = match spec.lock_mode {
            LockMode::Lock => {
                let dropped: Vec<_> = locked.iter().zip(&hits).map(|(row, hit)| row.without(hit)).collect();
                gather(rows, &dropped)
            }
            LockMode::NoLock => gather(rows, &locked),
        };
        if !released.is_empty() {
            self.l1.finish_read(released, spec.num_kv_readers);
        }
        let used = gather(rows, &hits);
        if !used.is_empty() {
            self.l1.touch_keys(&used);
        }
        PrefetchResult {
            l1_hit_cells: hits.clone(),
            l2_hit_cells: hits.iter().map(|row| Bitmap::new(row.len())).collect(),
            found_cells: (spec.fetching_policy == FetchingPolicy::Full).then_some(found),
            hit_cells: hits,
        }
    }

    fn lock_l1_keys(&self, rows: &[GroupedObjectKeys], read_locks: i64) -> Vec<Bitmap> {
        let codes = self.l1.reserve_read(rows.iter().flat_map(|row| &row.keys), read_locks);
        let columns = rows.iter().map(|row| row.keys.len()).max().unwrap_or(0);
        let mut codes = codes.as_slice();
        let mut locked = Vec::with_capacity(rows.len());
        for row in rows {
            let (of_row, behind) = codes.split_at(row.keys.len());
            locked.push(Bitmap::from_fn(columns, |cell| of_row.get(cell) == Some(&L1Error::Success)));
            codes = behind;
        }
        locked
    }

    /// How many results nobody has asked for, of those whose handle is still around.
    pub fn completed_results_count(&self) -> u64 {
        // Relaxed: a counter that orders nothing.
        self.unclaimed_results.load(Ordering::Relaxed)
    }
}

fn windows(rows: &[GroupedObjectKeys]) -> Vec<i64> {
    rows.iter().map(|row| row.sliding_window_size).collect()
}

/// Of the locked cells, those that count as found, and those of them that hit. The full policy knows no
/// windows: where a row has one, LMCache plans nothing, and says that nothing was found.
fn plan(rows: &[GroupedObjectKeys], locked: &[Bitmap], policy: FetchingPolicy) -> (Vec<Bitmap>, Vec<Bitmap>) {
    let windows = windows(rows);
    let found = match policy {
        FetchingPolicy::Full if windows.iter().any(|window| *window > FULL_ATTENTION_WINDOW_CHUNKS) => {
            locked.iter().map(|row| Bitmap::new(row.len())).collect()
        }
        FetchingPolicy::Full | FetchingPolicy::Prefix => locked.to_vec(),
    };
    let kept = match policy {
        FetchingPolicy::Prefix => fold::fold_unfold_grouped(&found, &windows).1,
        FetchingPolicy::Full => fold::all_grouped(&found),
    };
    let hits = kept.iter().zip(&found).map(|(kept, found)| kept.and(found)).collect();
    (found, hits)
}

/// The keys of the cells, row by row.
fn gather<'a>(rows: &'a [GroupedObjectKeys], cells: &[Bitmap]) -> Vec<&'a ObjectKey> {
    let of_row = |(row, cells): (&'a GroupedObjectKeys, &Bitmap)| -> Vec<&'a ObjectKey> {
        cells.ones().filter_map(|cell| row.keys.get(cell)).collect()
    };
    rows.iter().zip(cells).flat_map(of_row).collect()
}

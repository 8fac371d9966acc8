//! Prefetches of a replay whose results are still to come, and how long the end waits for them.

use std::time::Duration;

use crate::clock::monotonic_ns;
use crate::format::model::FetchingPolicy;
use crate::replay::latency::account::Asked;
use crate::storage::{Bitmap, PrefetchHandle};
use crate::sync::{Arc, OnceLock};

/// How long the end of a replay waits for what is under way, with all its workers.
const LAST_RESULTS: Duration = Duration::from_secs(30);

/// A prefetch, and what its result is measured by.
#[derive(Debug)]
pub(super) struct Prefetching {
    pub(super) handle: PrefetchHandle,
    pub(super) requested_chunks: usize,
    pub(super) policy: FetchingPolicy,
    /// Locks on each hit.
    pub(super) read_locks: i64,
    /// Whether its result was not there when the call had returned.
    pub(super) is_answered_later: bool,
    /// When the call had returned, on `CLOCK_MONOTONIC`; only where that is not the manager's clock and somebody watches.
    pub(super) returned_ns: u64,
    /// What it asked for, once it is known that its result comes later.
    pub(super) asked: Option<Box<Asked>>,
}

/// The wait at the end, which all workers share: the first that comes to its end begins it.
#[derive(Clone, Debug)]
pub(super) struct LastWait {
    at_most: Duration,
    deadline_ns: Arc<OnceLock<u64>>,
}

impl Default for LastWait {
    fn default() -> Self {
        Self::of(LAST_RESULTS)
    }
}

impl LastWait {
    pub(super) fn of(at_most: Duration) -> Self {
        Self { at_most, deadline_ns: Arc::default() }
    }

    /// When it is over, on `CLOCK_MONOTONIC`.
    pub(super) fn deadline_ns(&self) -> u64 {
        let at_most_ns = u64::try_from(self.at_most.as_nanos()).unwrap_or(u64::MAX);
        *self.deadline_ns.get_or_init(|| monotonic_ns().saturating_add(at_most_ns))
    }
}

/// What is left until `deadline_ns`.
pub(super) fn left_until(deadline_ns: u64) -> Duration {
    Duration::from_nanos(deadline_ns.saturating_sub(monotonic_ns()))
}

/// How many chunks the hits of a prefetch serve; see [`StorageTotals::served_chunks`](super::StorageTotals::served_chunks).
pub(super) fn served_chunks(hit_cells: &[Bitmap], policy: FetchingPolicy) -> usize {
    match policy {
        FetchingPolicy::Prefix => {
            hit_cells.iter().filter_map(Bitmap::highest_set_bit).max().map_or(0, |last| last + 1)
        }
        FetchingPolicy::Full => {
            let common = hit_cells.iter().cloned().reduce(|common, row| common.and(&row));
            common.map_or(0, |common| common.popcount())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_served_by_all_rows_together() {
        let row = |text: &str| Bitmap::from_fn(text.len(), |cell| text.as_bytes()[cell] == b'1');
        let windowed = [row("11110"), row("00110")];
        assert_eq!(served_chunks(&windowed, FetchingPolicy::Prefix), 4);
        assert_eq!(served_chunks(&[row("1011"), row("1101")], FetchingPolicy::Full), 2);
        assert_eq!(served_chunks(&[row("000")], FetchingPolicy::Prefix), 0);
        assert_eq!(served_chunks(&[], FetchingPolicy::Full), 0);
    }
}

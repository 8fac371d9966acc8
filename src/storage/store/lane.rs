//! The way to one adapter.

use std::collections::VecDeque;

use crate::format::model::ObjectKey;
use crate::storage::l2::registry::AdapterUse;

/// The most tasks that an adapter has at once; what comes on top waits. LMCache has no bound.
pub const MAX_TASKS: usize = 64;

/// Objects that go to an adapter in one task.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) keys: Vec<ObjectKey>,
    /// When the write of each was finished, on `CLOCK_MONOTONIC`.
    pub(super) written_ns: Vec<u64>,
    /// How often they were tried already.
    pub(super) attempts: u32,
    /// Whether they are held in L1 from the last time.
    pub(super) is_held: bool,
    /// When they may be tried, on the manager's clock.
    pub(super) due_ns: u64,
}

/// A task under way.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) adapter: AdapterUse,
    pub(super) keys: Vec<ObjectKey>,
    pub(super) written_ns: Vec<u64>,
    pub(super) attempts: u32,
    pub(super) begun_ns: u64,
}

/// Keys with the times at which their writes were finished.
#[derive(Debug, Default)]
pub(super) struct Timed {
    pub(super) keys: Vec<ObjectKey>,
    pub(super) written_ns: Vec<u64>,
}

impl Timed {
    pub(super) fn push(&mut self, key: &ObjectKey, written_ns: u64) {
        self.keys.push(key.clone());
        self.written_ns.push(written_ns);
    }
}

/// What waits for an adapter.
#[derive(Debug, Default)]
pub(super) struct Lane {
    waiting: VecDeque<Batch>,
    waiting_keys: usize,
    pub(super) tasks: usize,
}

impl Lane {
    /// Keys that wait.
    pub(super) fn waiting_keys(&self) -> usize {
        self.waiting_keys
    }

    /// Queues a batch. Returns how many of its keys exceed the bound, and are dropped from its end.
    pub(super) fn push(&mut self, mut batch: Batch, max_keys: usize) -> Vec<ObjectKey> {
        let room = max_keys.saturating_sub(self.waiting_keys);
        let exceeding = if batch.keys.len() > room { batch.keys.split_off(room) } else { Vec::new() };
        batch.written_ns.truncate(batch.keys.len());
        if !batch.keys.is_empty() {
            self.waiting_keys += batch.keys.len();
            self.waiting.push_back(batch);
        }
        exceeding
    }

    /// The next batch that may be tried, if there is room for a task.
    pub(super) fn pop(&mut self, now_ns: u64, max_tasks: usize) -> Option<Batch> {
        if self.tasks >= max_tasks {
            return None;
        }
        let position = self.waiting.iter().position(|batch| batch.due_ns <= now_ns)?;
        let batch = self.waiting.remove(position)?;
        self.waiting_keys -= batch.keys.len();
        Some(batch)
    }

    /// When the next batch may be tried that may not yet.
    pub(super) fn next_due_ns(&self) -> Option<u64> {
        self.waiting.iter().map(|batch| batch.due_ns).min()
    }

    /// All batches, given away.
    pub(super) fn take_all(&mut self) -> VecDeque<Batch> {
        self.waiting_keys = 0;
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::model::{ChunkHash, KeyScope};
    use crate::sync::Arc;

    fn batch(keys: usize, attempts: u32, due_ns: u64) -> Batch {
        let scope = Arc::new(KeyScope::new("m", 0, 0, "").unwrap());
        let key = |number: usize| ObjectKey::new(ChunkHash::new(&number.to_le_bytes()), Arc::clone(&scope));
        let written_ns = vec![0; keys];
        Batch { keys: (0..keys).map(key).collect(), written_ns, attempts, is_held: false, due_ns }
    }

    #[test]
    fn a_lane_is_bounded_and_drops_what_comes_last() {
        let mut lane = Lane::default();
        assert_eq!(lane.push(batch(3, 0, 0), 4).len(), 0);
        assert_eq!(lane.push(batch(3, 0, 0), 4).len(), 2);
        assert_eq!(lane.push(batch(1, 0, 0), 4).len(), 1);
        assert_eq!(lane.push(batch(2, 1, 0), 4).len(), 2, "also what was tried before");
        assert_eq!(lane.waiting_keys(), 4);
        assert_eq!(lane.pop(0, MAX_TASKS).map(|batch| batch.keys.len()), Some(3));
        assert_eq!(lane.waiting_keys(), 1);
    }

    #[test]
    fn a_batch_waits_for_its_time_and_for_a_place() {
        let mut lane = Lane::default();
        lane.push(batch(1, 1, 50), 9);
        lane.push(batch(2, 0, 0), 9);
        assert_eq!(lane.pop(0, MAX_TASKS).map(|batch| batch.keys.len()), Some(2));
        assert!(lane.pop(49, MAX_TASKS).is_none());
        assert_eq!(lane.next_due_ns(), Some(50));
        lane.tasks = MAX_TASKS;
        assert!(lane.pop(50, MAX_TASKS).is_none());
        lane.tasks -= 1;
        assert!(lane.pop(50, MAX_TASKS).is_some());
    }
}

//! The store controller of one L1, as a controller that works on messages.

use std::collections::BTreeMap;

use super::counters::StoreCounters;
use super::deletions::Deletions;
use super::lane::{Batch, Lane, Task, Timed};
use crate::clock::{Clock, monotonic_ns};
use crate::format::model::ObjectKey;
use crate::storage::agent::{Controller, Mailbox};
use crate::storage::config::{Compat, StoreConfig, StorePolicy};
use crate::storage::events::{Event, Events, L2Task, ReadFailure};
use crate::storage::l1::{L1Error, L1Manager};
use crate::storage::l2::{
    AdapterEntry, Adapters, Completion, L2AdapterId, StoreOutcome, StoreTask, Transfer,
};
use crate::storage::layouts::LayoutBook;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The longest pause before a store is tried again, however often it failed: a store that is back is found soon.
const MAX_RETRY_PAUSE_MS: u64 = 60_000;

/// What a store controller is sent.
#[derive(Debug)]
pub(in crate::storage) enum Message {
    /// Objects became readable, at this time on `CLOCK_MONOTONIC`.
    Written { keys: Vec<ObjectKey>, written_ns: u64 },
    /// An adapter stored; `None` if it never will.
    Stored { task: u64, outcome: Option<StoreOutcome> },
    /// Nobody waits any longer for the answers that are missing.
    TakeIn,
}

/// What a controller is told about.
#[derive(Clone, Debug)]
pub(in crate::storage) struct StoreSettings {
    pub(in crate::storage) policy: StorePolicy,
    pub(in crate::storage) config: StoreConfig,
    pub(in crate::storage) compat: Compat,
    /// Tasks that an adapter has at a time, at most.
    pub(in crate::storage) max_tasks: usize,
    /// Answers are taken in when all have come, in the order of the tasks.
    pub(in crate::storage) in_turn: bool,
}

/// See the module.
#[derive(Debug)]
pub(in crate::storage) struct StoreFlow {
    l1: Arc<L1Manager>,
    /// The position of that L1.
    l1_position: usize,
    adapters: Arc<Adapters>,
    mailbox: Arc<Mailbox<Message>>,
    clock: Clock,
    events: Events,
    settings: StoreSettings,
    counters: Arc<StoreCounters>,
    next_task_id: Arc<AtomicU64>,
    layouts: Arc<LayoutBook>,
    lanes: BTreeMap<L2AdapterId, Lane>,
    tasks: BTreeMap<u64, Task>,
    /// Answers that wait for those of other tasks.
    answers: BTreeMap<u64, Option<StoreOutcome>>,
    deletions: Deletions,
}

impl StoreFlow {
    #[expect(clippy::too_many_arguments, reason = "the parts of the one manager that makes it")]
    pub(in crate::storage) fn new(
        (l1_position, l1): (usize, Arc<L1Manager>),
        adapters: Arc<Adapters>,
        mailbox: Arc<Mailbox<Message>>,
        clock: Clock,
        events: Events,
        settings: StoreSettings,
        counters: Arc<StoreCounters>,
        next_task_id: Arc<AtomicU64>,
        layouts: Arc<LayoutBook>,
    ) -> Self {
        Self {
            l1,
            l1_position,
            adapters,
            mailbox,
            clock,
            events,
            settings,
            counters,
            next_task_id,
            layouts,
            lanes: BTreeMap::new(),
            tasks: BTreeMap::new(),
            answers: BTreeMap::new(),
            deletions: Deletions::default(),
        }
    }

    fn is_lmcache(&self) -> bool {
        self.settings.compat == Compat::Lmcache
    }

    /// The adapters that objects of this L1 go to.
    fn targets(&self) -> Vec<Arc<AdapterEntry>> {
        let adapters = self.adapters.snapshot();
        let of_l1 = adapters.iter().filter(|entry| entry.l1 == self.l1_position && !entry.is_draining());
        of_l1.cloned().collect()
    }

    /// Queues objects for every adapter; each with the time at which its write was finished.
    fn written(&mut self, keys: Vec<ObjectKey>, written_ns: Vec<u64>) {
        let targets = self.targets();
        if targets.is_empty() {
            return;
        }
        if self.settings.policy == StorePolicy::SkipL1 && !self.is_lmcache() {
            self.deletions.expect(&keys, targets.len());
        }
        let max_keys = if self.is_lmcache() { usize::MAX } else { self.settings.config.queue_keys };
        for (keys, written_ns) in group(keys, written_ns, self.settings.compat) {
            for entry in &targets {
                let (keys, written_ns) = (keys.clone(), written_ns.clone());
                let batch = Batch { keys, written_ns, attempts: 0, is_held: false, due_ns: 0 };
                let dropped = self.lanes.entry(entry.id).or_default().push(batch, max_keys);
                self.counters.count_dropped(dropped.len());
                self.settle_given_up(&dropped);
                self.submit_waiting(entry);
            }
        }
    }

    fn submit_waiting(&mut self, entry: &Arc<AdapterEntry>) {
        let max_tasks = self.settings.max_tasks;
        let now_ns = self.clock.now_ns();
        loop {
            let lane = self.lanes.entry(entry.id).or_default();
            let Some(batch) = lane.pop(now_ns, max_tasks) else { return };
            self.submit(entry, batch);
        }
    }

    /// Holds the objects of a batch, and hands those that are there to the adapter.
    fn submit(&mut self, entry: &Arc<AdapterEntry>, batch: Batch) {
        let (codes, spans) = self.l1.hold_for_store(&batch.keys);
        if batch.is_held {
            // Only now: in between, nobody could evict them.
            self.l1.release_store_hold(&batch.keys);
        }
        let (mut keys, mut objects, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        let mut written_ns = Vec::new();
        let batch_keys = batch.keys.into_iter().zip(batch.written_ns);
        for (((key, written), code), span) in batch_keys.zip(codes.as_slice()).zip(spans) {
            match (code, span) {
                (L1Error::Success, Some(buffer)) => {
                    keys.push(key.clone());
                    written_ns.push(written);
                    let layout = self.layouts.get(&key, buffer.size_bytes() as u64);
                    objects.push(Transfer { key, buffer, layout });
                }
                _ => missing.push(key),
            }
        }
        self.report_missing(&missing);
        if objects.is_empty() {
            return;
        }
        // Relaxed: the number has to be unique, nothing more.
        let task_id = self.next_task_id.fetch_add(1, Ordering::Relaxed);
        let bytes = objects.iter().map(|object| object.buffer.size_bytes() as u64).sum();
        self.publish_submitted(entry, task_id, &keys, bytes);
        let task = Task {
            adapter: entry.begin_use(),
            keys,
            written_ns,
            attempts: batch.attempts,
            begun_ns: monotonic_ns(),
        };
        self.tasks.insert(task_id, task);
        self.lanes.entry(entry.id).or_default().tasks += 1;
        let mailbox = Arc::clone(&self.mailbox);
        let done = Completion::new(move |outcome| {
            mailbox.send(Message::Stored { task: task_id, outcome });
        });
        entry.adapter.submit_store(StoreTask { objects, done });
    }

    /// Objects that left L1 before they could be stored.
    fn report_missing(&mut self, missing: &[ObjectKey]) {
        if missing.is_empty() {
            return;
        }
        self.give_up(missing);
        let keys: Vec<&ObjectKey> = missing.iter().collect();
        let (during, reason) = ("l2_store", ReadFailure::NotFound);
        self.events.publish(|| Event::L1ReadFailed { during, reason, keys: &keys });
    }

    fn publish_submitted(&self, entry: &AdapterEntry, task_id: u64, keys: &[ObjectKey], bytes: u64) {
        if self.events.has_l2_sink() {
            let (l2_name, keys) = (entry.adapter.type_name(), keys.iter().collect::<Vec<_>>());
            let task =
                L2Task { adapter_index: entry.id, l2_name, task_id, keys: &keys, bytes, duration_ns: 0 };
            self.events.publish_l2(|| Event::L2StoreSubmitted(task));
        }
    }

    fn publish_stored(
        &self,
        entry: &AdapterEntry,
        task_id: u64,
        stored: &Timed,
        failed_count: usize,
        bytes: u64,
        duration_ns: u64,
    ) {
        if self.events.has_l2_sink() {
            let (l2_name, keys) = (entry.adapter.type_name(), stored.keys.iter().collect::<Vec<_>>());
            let task = L2Task { adapter_index: entry.id, l2_name, task_id, keys: &keys, bytes, duration_ns };
            let written_ns = stored.written_ns.as_slice();
            self.events.publish_l2(|| Event::L2StoreCompleted { task, failed_count, written_ns });
        }
    }

    fn answered(&mut self, task_id: u64, outcome: Option<StoreOutcome>) {
        if !self.settings.in_turn {
            return self.stored(task_id, outcome);
        }
        self.answers.insert(task_id, outcome);
        if self.answers.len() == self.tasks.len() {
            self.take_in();
        }
    }

    fn take_in(&mut self) {
        for (task_id, outcome) in std::mem::take(&mut self.answers) {
            self.stored(task_id, outcome);
        }
    }

    /// An adapter is done with a task.
    fn stored(&mut self, task_id: u64, outcome: Option<StoreOutcome>) {
        let Some(task) = self.tasks.remove(&task_id) else { return };
        let lane = self.lanes.entry(task.adapter.id).or_default();
        lane.tasks = lane.tasks.saturating_sub(1);
        let has_failed = |position: usize| {
            outcome.as_ref().is_none_or(|outcome| {
                outcome.failed.test(position) || (self.is_lmcache() && !outcome.is_success())
            })
        };
        // LMCache takes what an adapter had no room for as stored.
        let is_refused = |position: usize| {
            !self.is_lmcache() && outcome.as_ref().is_some_and(|outcome| outcome.refused.test(position))
        };
        let (mut stored, mut failed, mut refused) = (Timed::default(), Timed::default(), Timed::default());
        for (position, (key, written_ns)) in task.keys.iter().zip(&task.written_ns).enumerate() {
            let list = match (has_failed(position), is_refused(position)) {
                (true, _) => &mut failed,
                (false, true) => &mut refused,
                (false, false) => &mut stored,
            };
            list.push(key, *written_ns);
        }
        let bytes = outcome.map_or(0, |outcome| outcome.bytes);
        let duration_ns = monotonic_ns().saturating_sub(task.begun_ns);
        let failed_count = failed.keys.len() + refused.keys.len();
        self.publish_stored(&task.adapter, task_id, &stored, failed_count, bytes, duration_ns);
        let is_retried = !failed.keys.is_empty() && self.may_retry(&task);
        if is_retried {
            self.l1.release_store_hold(&stored.keys);
            self.l1.release_store_hold(&refused.keys);
        } else {
            self.l1.release_store_hold(&task.keys);
        }
        self.delete_stored(stored.keys);
        self.give_up(&refused.keys);
        match is_retried {
            true => self.retry(&task, failed),
            false => self.give_up(&failed.keys),
        }
    }

    /// Objects are not in L2, and nobody tries again.
    fn give_up(&mut self, keys: &[ObjectKey]) {
        self.counters.count_lost(keys.len());
        self.settle_given_up(keys);
    }

    fn settle_given_up(&mut self, keys: &[ObjectKey]) {
        if keys.is_empty() {
            return;
        }
        self.deletions.settle(keys, false);
        self.events.publish_l2(|| Event::L2StoreGivenUp { keys });
    }

    fn delete_stored(&mut self, stored: Vec<ObjectKey>) {
        if self.settings.policy != StorePolicy::SkipL1 || stored.is_empty() {
            return;
        }
        if self.is_lmcache() {
            // Each adapter's answer tries it: the hold of another store refuses it, so the last one deletes, though
            // another failed. What a reader holds by then stays.
            self.l1.delete(&stored, false);
            return;
        }
        let due = self.deletions.settle(&stored, true);
        self.deletions.delete(&self.l1, due, self.clock.now_ns());
    }

    fn may_retry(&self, task: &Task) -> bool {
        !self.is_lmcache() && task.attempts < self.settings.config.retries && !task.adapter.is_draining()
    }

    /// Queues what failed once more; it stays held in L1.
    fn retry(&mut self, task: &Task, failed: Timed) {
        self.counters.count_retried(failed.keys.len());
        let pause_ms = self.settings.config.retry_backoff_ms.saturating_mul(1 << task.attempts.min(20));
        let pause_ms = pause_ms.min(MAX_RETRY_PAUSE_MS);
        let due_ns = self.clock.now_ns().saturating_add(pause_ms.saturating_mul(1_000_000));
        let Timed { keys, written_ns } = failed;
        let batch = Batch { keys, written_ns, attempts: task.attempts + 1, is_held: true, due_ns };
        let lane = self.lanes.entry(task.adapter.id).or_default();
        let exceeding = lane.push(batch, self.settings.config.queue_keys);
        // What is held cannot be evicted, so a store that is away for long must not hold all of L1.
        self.l1.release_store_hold(&exceeding);
        self.give_up(&exceeding);
    }

    /// Goes on with what waits; what waits for an adapter that is gone is given up.
    fn serve_lanes(&mut self) {
        let targets = self.targets();
        let gone: Vec<L2AdapterId> =
            self.lanes.keys().copied().filter(|id| !targets.iter().any(|entry| entry.id == *id)).collect();
        for id in gone {
            self.abandon(id);
        }
        for entry in &targets {
            self.submit_waiting(entry);
        }
    }

    fn abandon(&mut self, id: L2AdapterId) {
        let Some(mut lane) = self.lanes.remove(&id) else { return };
        for batch in lane.take_all() {
            self.give_up(&batch.keys);
            if batch.is_held {
                self.l1.release_store_hold(&batch.keys);
            }
        }
        if lane.tasks > 0 {
            // Its last tasks are still under way.
            self.lanes.insert(id, lane);
        }
    }

    fn count(&self) {
        let pending = self.lanes.values().map(Lane::waiting_keys).sum();
        self.counters.set_queues(pending, self.tasks.len(), self.deletions.waiting());
    }
}

impl Controller for StoreFlow {
    type Message = Message;

    fn handle(&mut self, messages: Vec<Message>) {
        let (mut written, mut written_at_ns) = (Vec::new(), Vec::new());
        for message in messages {
            match message {
                Message::Written { keys, written_ns } => {
                    written_at_ns.extend(std::iter::repeat_n(written_ns, keys.len()));
                    written.extend(keys);
                }
                Message::Stored { task, outcome } => self.answered(task, outcome),
                Message::TakeIn => self.take_in(),
            }
        }
        if !written.is_empty() {
            self.written(written, written_at_ns);
        }
        self.serve_lanes();
        self.deletions.retry(&self.l1, self.clock.now_ns());
        self.count();
    }

    fn wait_ns(&self) -> Option<u64> {
        let has_room = |lane: &&Lane| lane.tasks < self.settings.max_tasks;
        let lanes = self.lanes.values().filter(has_room).filter_map(Lane::next_due_ns);
        let next_ns = lanes.chain(self.deletions.next_due_ns()).min()?;
        Some(next_ns.saturating_sub(self.clock.now_ns()))
    }

    fn stop(&mut self) {
        let ids: Vec<L2AdapterId> = self.lanes.keys().copied().collect();
        ids.into_iter().for_each(|id| self.abandon(id));
        // Their buffers stay pinned until the adapters let go of them.
        for task in std::mem::take(&mut self.tasks).into_values() {
            self.l1.release_store_hold(&task.keys);
        }
        self.count();
    }
}

/// Keys by what makes their objects alike: as LMCache by model and rank, and ours by object group too, since a group
/// is what has a layout. Groups are in the order of their first keys. Each key keeps the time of its write.
fn group(keys: Vec<ObjectKey>, written_ns: Vec<u64>, compat: Compat) -> Vec<(Vec<ObjectKey>, Vec<u64>)> {
    let mut groups: Vec<(Vec<ObjectKey>, Vec<u64>)> = Vec::new();
    for (key, written_ns) in keys.into_iter().zip(written_ns) {
        let is_alike = |(group, _): &&mut (Vec<ObjectKey>, Vec<u64>)| {
            let (one, other) = (group[0].scope(), key.scope());
            one.model_name() == other.model_name()
                && one.kv_rank() == other.kv_rank()
                && (compat == Compat::Lmcache || one.object_group_id() == other.object_group_id())
        };
        // From the last one: keys of a kind come together.
        match groups.iter_mut().rev().find(is_alike) {
            Some((group, times_ns)) => {
                group.push(key);
                times_ns.push(written_ns);
            }
            None => groups.push((vec![key], vec![written_ns])),
        }
    }
    groups
}

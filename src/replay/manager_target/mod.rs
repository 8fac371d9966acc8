//! The storage manager as the target of a replay.
//!
//! What a call answers is looked at in `settle`, outside the call's latency. As in LMCache's replay buffers
//! are neither written nor read, and nothing waits for a prefetch but the trace's own pace. A prefetch that goes to L2
//! is counted when its result is there, or at the end, which waits for it a while. Where there are several L1s, what
//! is open is remembered with the L1 that holds it: a trace does not say which one a call means. `counting` counts the answers.

mod counting;

use std::collections::VecDeque;

use smallvec::{SmallVec, smallvec};

use crate::clock::monotonic_ns;
use crate::error::{Error, Result};
use crate::format::model::{MemoryLayoutDesc, ObjectKey, StorageCall, WriteMode};
use crate::replay::latency::account::Account;
use crate::replay::latency::{AnswerSummary, RecordedOutcomes};
use crate::replay::live_totals::{LiveTotals, LiveView};
use crate::replay::owners::OpenKeys;
use crate::replay::plan::{Order, ReadSlot};
use crate::replay::prefetching::{LastWait, Prefetching};
use crate::replay::stop::StopFlag;
use crate::replay::target::{Made, ReplayTarget};
use crate::replay::totals::{FailedEviction, L2Totals, ManagerTotals, PinnedL1, StorageTotals};
use crate::replay::trace_time::TraceTime;
use crate::storage::StorageManagerBuilder;
use crate::storage::config::StorageManagerConfig;
use crate::storage::{
    KeyCodes, L1ManagerId, L1Owners, PrefetchHandle, ReadContext, StorageManager, WriteReservation,
};
use crate::sync::Arc;

/// Drives a [`StorageManager`] of its own, and counts what it answers.
#[derive(Debug)]
pub struct ManagerTarget {
    manager: Arc<StorageManager>,
    /// In causal order.
    time: Option<Arc<TraceTime>>,
    /// The open reads, by their slots.
    open_reads: Vec<Option<ReadContext>>,
    answer: Answer,
    /// Prefetches whose result was not there yet, the oldest first.
    prefetching: VecDeque<Prefetching>,
    last_wait: LastWait,
    /// Where the manager has several L1s.
    open_keys: Option<OpenKeys>,
    account: Account,
    totals: StorageTotals,
    live: Arc<LiveTotals>,
}

/// What the last call answered, as far as it is still to be counted.
#[derive(Debug)]
enum Answer {
    Nothing,
    Reserved(WriteReservation),
    /// Of each L1 that was asked, in the order of the keys.
    Finished(SmallVec<[KeyCodes; 1]>),
    Prefetching(Prefetching),
    Read(ReadSlot),
    UnmatchedExit,
}

impl ManagerTarget {
    /// Starts a manager under `config` with threads that work on the clock of the wall: for [`Order::Recorded`].
    ///
    /// # Errors
    /// Those of [`StorageManagerConfig::check`] and of [`StorageManager::new`].
    pub fn new(config: StorageManagerConfig) -> Result<Self> {
        Ok(Self::of_all(config, Order::Recorded, 1)?.remove(0))
    }

    /// One target for each of so many workers, of one manager under `config`. In causal order it has no threads of its own, and
    /// works on the trace's time.
    ///
    /// # Errors
    /// Those of [`Self::new`]; if there are several L1s and several workers.
    pub fn of_all(config: StorageManagerConfig, order: Order, workers: usize) -> Result<Vec<Self>> {
        config.check()?;
        if workers > 1 && config.l1_managers.len() > 1 {
            return Err(Error::unsupported("with several L1 managers a replay has one worker")
                .with_context("workers", workers)
                .with_hint("which L1 holds what is open is known to the worker that opened it"));
        }
        let (time, manager) = match order {
            Order::Recorded => (None, StorageManager::new(config)?),
            Order::Causal => {
                let (time, clock) = TraceTime::new(&config);
                let builder = StorageManagerBuilder::new(at_full_size(config)).without_threads(clock);
                (Some(Arc::new(time)), builder.in_turn().build()?)
            }
        };
        Self::over(manager, time, workers)
    }

    /// The same for a manager that was made elsewhere, and to which nothing was done.
    ///
    /// # Errors
    /// If somebody else is told of what happens in its L2.
    pub fn of_manager(manager: StorageManager, workers: usize) -> Result<Vec<Self>> {
        Self::over(manager, None, workers)
    }

    fn over(manager: StorageManager, time: Option<Arc<TraceTime>>, workers: usize) -> Result<Vec<Self>> {
        let manager = Arc::new(manager);
        let (live, last_wait) = (Arc::<LiveTotals>::default(), LastWait::default());
        let account = Account::of(&manager)?;
        let target = |_| Self {
            manager: Arc::clone(&manager),
            time: time.clone(),
            open_reads: Vec::new(),
            answer: Answer::Nothing,
            prefetching: VecDeque::new(),
            last_wait: last_wait.clone(),
            open_keys: OpenKeys::of(manager.config()),
            account: account.for_another_worker(),
            totals: StorageTotals::default(),
            live: Arc::clone(&live),
        };
        Ok((0..workers).map(target).collect())
    }

    /// A view of the manager for whoever looks on while a replay runs.
    pub fn live_view(&self) -> LiveView {
        LiveView::new(Arc::clone(&self.manager), Arc::clone(&self.live))
    }

    /// The manager, to look at what a replay does in it and leaves.
    pub fn manager(&self) -> &Arc<StorageManager> {
        &self.manager
    }

    /// Compares the hits of prefetches with those that `recorded` knows.
    pub fn compare_with(&mut self, recorded: Arc<RecordedOutcomes>) {
        self.account.compare_with(recorded);
    }

    /// Stops the manager and says what it answered.
    ///
    /// # Errors
    /// If one of its threads had panicked: then the totals are not to be trusted.
    pub fn close(self) -> Result<StorageTotals> {
        self.close_in_full().map(|totals| totals.storage)
    }

    /// [`Self::close`], and everything else that the manager had to say.
    ///
    /// # Errors
    /// As [`Self::close`].
    pub fn close_in_full(self) -> Result<ManagerTotals> {
        Self::close_all(vec![self])
    }

    /// [`Self::close_in_full`] for all [targets of a manager](Self::of_all); none is no error, and has no totals.
    ///
    /// # Errors
    /// As [`Self::close`].
    pub fn close_all(targets: Vec<Self>) -> Result<ManagerTotals> {
        let merged = targets.into_iter().reduce(|mut merged, other| {
            merged.totals += other.totals;
            merged.account.merge(&other.account);
            merged
        });
        merged.map_or_else(|| Ok(ManagerTotals::default()), Self::close_merged)
    }

    fn close_merged(self) -> Result<ManagerTotals> {
        let evicted_keys = self.manager.stats().evicted_keys;
        let open = self.manager.report_status();
        let locked_at_end = open.l1_managers.values().map(|l1| l1.read_locked_count).sum();
        self.manager.close()?;
        // What was under way is counted by now; a closed adapter is never healthy.
        let mut l2 = L2Totals::of(&self.manager.report_status());
        for (adapter, open) in l2.adapters.iter_mut().zip(&open.l2_adapters) {
            adapter.is_healthy = open.is_healthy;
        }
        Ok(ManagerTotals {
            storage: StorageTotals { evicted_keys, locked_at_end, ..self.totals },
            answers: AnswerSummary {
                timed_out: open.prefetch_controller.timed_out_requests,
                ..self.account.answers.summary()
            },
            failed_evictions: FailedEviction::all_of(&open),
            pinned_l1s: PinnedL1::all_of(&open),
            l2,
            account: self.account.summary(),
            unsettled_calls: self.time.as_ref().map_or(0, |time| time.unsettled()),
        })
    }

    fn enter(&mut self, context: ReadContext, slot: ReadSlot) {
        let position = slot.0 as usize;
        if position >= self.open_reads.len() {
            self.open_reads.resize_with(position + 1, || None);
        }
        self.open_reads[position] = Some(context);
        self.answer = Answer::Read(slot);
    }

    fn exit(&mut self, slot: Option<ReadSlot>) {
        let open = slot.and_then(|slot| self.open_reads.get_mut(slot.0 as usize)?.take());
        match open {
            // LMCache's replay never passes on that a reader failed: it does not know.
            Some(context) => {
                let released = context.exit(false);
                if let Some(open) = &mut self.open_keys {
                    open.released(released.iter().map(|(key, _)| key), 1, self.manager.clock().now_ns());
                }
            }
            None => self.answer = Answer::UnmatchedExit,
        }
    }

    fn reserve_write(
        &mut self,
        keys: &[ObjectKey],
        layout: &MemoryLayoutDesc,
        mode: WriteMode,
    ) -> Result<()> {
        let reservation = self.manager.reserve_write_with_mode(keys, layout, mode)?;
        if let Some(open) = &mut self.open_keys {
            open.reserved(keys, &reservation, self.manager.clock().now_ns());
        }
        self.answer = Answer::Reserved(reservation);
        Ok(())
    }

    fn finish_write(&mut self, keys: &[ObjectKey]) -> Result<()> {
        let Some(open) = &mut self.open_keys else {
            self.answer = Answer::Finished(smallvec![self.manager.finish_write(keys)?]);
            return Ok(());
        };
        let groups = open.finished(keys, self.manager.clock().now_ns());
        let groups: Vec<_> = groups.iter().map(|(owner, keys)| (*owner, keys.as_slice())).collect();
        // Groups are in the order of the keys, and so are their codes.
        self.answer = Answer::Finished(self.manager.finish_write_by_owner(&groups)?.into());
        Ok(())
    }

    /// Which L1 to read each of `keys` from; nothing where there is only one. A prefetch can have been answered since
    /// the last call, and the recorded engine read because of its answer.
    fn readers(&mut self, keys: &[ObjectKey]) -> Option<L1Owners> {
        let now_ns = self.manager.clock().now_ns();
        if !self.open_keys.as_ref()?.are_locked(keys, now_ns) {
            let mut waiting = std::mem::take(&mut self.prefetching);
            waiting.retain_mut(|waiting| !self.count_result(waiting, None));
            self.prefetching = waiting;
        }
        self.open_keys.as_ref().map(|open| open.readers(keys, now_ns, |key| self.place(key)))
    }

    /// The first L1 that has `key`, whatever its state; the first of all if none has.
    fn place(&self, key: &ObjectKey) -> L1ManagerId {
        self.manager.l1_managers().position(|l1| l1.is_resident(key)).unwrap_or(0) as L1ManagerId
    }

    fn finish_read(&mut self, keys: &[ObjectKey], read_locks: i64) -> Result<()> {
        let owners = self.readers(keys);
        self.manager.finish_read_prefetched(keys, read_locks, owners.as_ref())?;
        if let Some(open) = &mut self.open_keys {
            open.released(keys, read_locks, self.manager.clock().now_ns());
        }
        Ok(())
    }

    /// In causal order a prefetch is answered before the next call. One that never starts is not waited for.
    fn wait_for_answer(&self, handle: &PrefetchHandle, stop: &StopFlag) {
        let never_starts = self.manager.config().prefetch_max_in_flight < 1;
        if let Some(time) = self.time.as_ref().filter(|_| !never_starts) {
            time.wait(stop, |at_most| self.manager.wait_prefetch_status(handle, at_most));
        }
    }
}

/// What finds room in an L1 that grows is a matter of how fast it does: in causal order each has its full size from the start.
fn at_full_size(mut config: StorageManagerConfig) -> StorageManagerConfig {
    for l1 in config.l1_managers.iter_mut().filter(|l1| l1.memory.use_lazy) {
        l1.memory.use_lazy = false;
        // What grows is private memory, whatever name it has.
        l1.memory.shm_name.clear();
    }
    config
}

impl ReplayTarget for ManagerTarget {
    fn dispatch(&mut self, call: &StorageCall, slot: Option<ReadSlot>) -> Result<()> {
        match call {
            StorageCall::ReserveWrite { keys, layout, mode } => self.reserve_write(keys, layout, *mode)?,
            StorageCall::FinishWrite { keys } => self.finish_write(keys)?,
            StorageCall::ReadEnter { keys } => {
                let owners = self.readers(keys);
                let context = self.manager.read_prefetched_results(keys, owners.as_ref())?;
                if let Some(slot) = slot {
                    self.enter(context, slot);
                }
            }
            StorageCall::ReadExit { .. } => self.exit(slot),
            StorageCall::FinishRead { keys, read_locks } => self.finish_read(keys, *read_locks)?,
            StorageCall::SubmitPrefetch { spec, external_request_id, skip_l2 } => {
                let handle = self.manager.submit_prefetch_task(spec, external_request_id, *skip_l2)?;
                let requested_chunks = spec.key_groups.iter().map(|row| row.keys.len()).max().unwrap_or(0);
                let (policy, read_locks) = (spec.fetching_policy, spec.num_kv_readers);
                let prefetching = Prefetching {
                    handle,
                    requested_chunks,
                    policy,
                    read_locks,
                    is_answered_later: false,
                    returned_ns: 0,
                    asked: None,
                };
                self.answer = Answer::Prefetching(prefetching);
            }
        }
        Ok(())
    }

    fn prepare(&mut self, _call: &StorageCall, trace_ns: u64, stop: &StopFlag) {
        if let Some(time) = &self.time {
            time.prepare(&self.manager, trace_ns, stop);
        }
    }

    fn settle(&mut self, made: &Made<'_>, stop: &StopFlag) {
        let answer = std::mem::replace(&mut self.answer, Answer::Nothing);
        // What has come since the call is not what it missed.
        if let Answer::Read(slot) = answer {
            self.count_read(made.call, slot);
        }
        self.count_results();
        match answer {
            Answer::Nothing | Answer::Read(_) => {}
            Answer::Reserved(reservation) => self.count_reservation(made.call, &reservation),
            Answer::Finished(codes) => {
                if let StorageCall::FinishWrite { keys } = made.call {
                    let codes = codes.iter().flat_map(|codes| codes.as_slice());
                    self.account.finished(keys, codes.copied());
                }
            }
            Answer::Prefetching(mut prefetching) => {
                if self.time.is_some() && self.live.is_watched() {
                    prefetching.returned_ns = monotonic_ns();
                }
                prefetching.is_answered_later = !prefetching.handle.is_done();
                if prefetching.is_answered_later {
                    self.wait_for_answer(&prefetching.handle, stop);
                }
                self.count_prefetch(made, prefetching);
            }
            Answer::UnmatchedExit => self.totals.unmatched_exits += 1,
        }
        if let Some(time) = &self.time {
            time.settle_call(&self.manager, stop);
        }
    }

    fn finish(&mut self, stop: &StopFlag) {
        let deadline_ns = self.last_wait.deadline_ns();
        self.count_last_results(deadline_ns, stop);
        if let Some(time) = &self.time {
            time.settle_until(&self.manager, deadline_ns, stop);
        }
        for context in self.open_reads.drain(..).flatten() {
            context.exit(false);
            self.totals.closed_leftovers += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::format::model::call::GroupedObjectKeys;
    use crate::format::model::{ChunkHash, Dtype, FetchingPolicy, KeyScope, LockMode, PrefetchTaskSpec};
    use crate::storage::config::{EvictionPolicyKind, L2AdapterConfig};

    fn prefetch() -> StorageCall {
        let scope = Arc::new(KeyScope::new("m", 0, 0, "").expect("a valid scope"));
        let uint8 = Dtype::from_name("torch.uint8").expect("a type");
        let row = GroupedObjectKeys {
            keys: vec![ObjectKey::new(ChunkHash::new(b"k"), scope)],
            object_group_id: 0,
            layout: MemoryLayoutDesc::new(vec![(Box::new([16]), uint8)]).expect("a layout"),
            sliding_window_size: -1,
        };
        let (fetching_policy, lock_mode) = (FetchingPolicy::Prefix, LockMode::Lock);
        let spec = PrefetchTaskSpec { key_groups: vec![row], num_kv_readers: 1, fetching_policy, lock_mode };
        StorageCall::SubmitPrefetch { spec, external_request_id: String::new(), skip_l2: false }
    }

    /// Workers whose prefetches an L2 does not answer that takes an hour for each.
    fn workers(order: Order) -> Vec<ManagerTarget> {
        let hour = r#"{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":1,"latency_ms":3600000}"#;
        let mut config = StorageManagerConfig::l1_only(1 << 20, EvictionPolicyKind::Lru);
        config.l2_adapters = vec![L2AdapterConfig::from_json(hour).expect("an adapter")];
        let mut targets = ManagerTarget::of_all(config, order, 4).expect("memory");
        let call = prefetch();
        for target in &mut targets {
            target.dispatch(&call, None).expect("a call that can be made");
            let Answer::Prefetching(prefetching) = std::mem::replace(&mut target.answer, Answer::Nothing)
            else {
                panic!("a prefetch")
            };
            target.count_prefetch(&Made { seq: 0, call: &call, latency_ns: 1 }, prefetching);
        }
        targets
    }

    #[test]
    fn the_end_waits_once_for_all_workers() {
        const WAIT: Duration = Duration::from_millis(300);
        for order in [Order::Recorded, Order::Causal] {
            let (mut targets, last_wait) = (workers(order), LastWait::of(WAIT));
            let begun_ns = monotonic_ns();
            for target in &mut targets {
                target.last_wait = last_wait.clone();
                target.finish(&StopFlag::default());
            }
            let waited = Duration::from_nanos(monotonic_ns() - begun_ns);
            assert!((WAIT..2 * WAIT).contains(&waited), "{order:?}: {waited:?}");
            let totals = ManagerTarget::close_all(targets).expect("no thread panicked");
            assert_eq!((totals.storage.unresolved_prefetches, totals.answers.never_answered), (4, 4));
            assert_eq!(totals.unsettled_calls, u64::from(order == Order::Causal));
        }
    }
}

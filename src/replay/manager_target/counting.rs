//! What calls answered, counted: reservations, prefetches, reads that got nothing.

use std::time::Duration;

use super::ManagerTarget;
use crate::clock::monotonic_ns;
use crate::format::model::{ObjectKey, PrefetchTaskSpec, StorageCall};
use crate::replay::latency::account::Answer;
use crate::replay::live_totals::AnsweredPrefetch;
use crate::replay::plan::ReadSlot;
use crate::replay::prefetching::{Prefetching, left_until, served_chunks};
use crate::replay::stop::StopFlag;
use crate::replay::target::Made;
use crate::storage::{Bitmap, L1Error, WriteReservation};

/// How often a wait for them looks whether the replay is to stop.
const STOP_LOOK: Duration = Duration::from_millis(50);

impl ManagerTarget {
    pub(super) fn count_reservation(&mut self, call: &StorageCall, reservation: &WriteReservation) {
        if let StorageCall::ReserveWrite { keys, layout, .. } = call {
            self.account.reserved(keys, reservation.codes().as_slice(), layout.size_bytes());
        }
        for code in reservation.codes().as_slice() {
            match code {
                L1Error::Success => self.totals.keys_reserved += 1,
                L1Error::OutOfMemory => self.totals.keys_out_of_memory += 1,
                _ => self.totals.keys_not_writable += 1,
            }
        }
    }

    pub(super) fn count_prefetch(&mut self, made: &Made<'_>, mut prefetching: Prefetching) {
        self.totals.requested_keys += prefetching.handle.total_requested_keys as u64;
        self.totals.requested_chunks += prefetching.requested_chunks as u64;
        let StorageCall::SubmitPrefetch { spec, .. } = made.call else { return };
        if !self.count_result(&mut prefetching, Some((made, spec))) {
            prefetching.asked = Some(self.account.asked(made.seq, &spec.key_groups));
            self.prefetching.push_back(prefetching);
        }
    }

    /// Counts what a prefetch found; `submitted` is its call, if it was made just now. False if it is still under way.
    pub(super) fn count_result(
        &mut self,
        prefetching: &mut Prefetching,
        submitted: Option<(&Made<'_>, &PrefetchTaskSpec)>,
    ) -> bool {
        let Some(result) = self.manager.query_prefetch_status(&prefetching.handle) else {
            self.account.answers.asked_too_early();
            return false;
        };
        let call_ns = submitted.map_or(0, |(made, _)| made.latency_ns);
        self.account.answers.answered(&prefetching.handle, call_ns, prefetching.is_answered_later);
        let served_chunks = served_chunks(&result.hit_cells, prefetching.policy);
        self.totals.served_chunks += served_chunks as u64;
        let (handle, policy) = (&prefetching.handle, prefetching.policy);
        let answer = Answer { handle, result: &result, policy, served_chunks };
        match (&prefetching.asked, submitted) {
            (Some(asked), _) => self.account.answered_later(asked, &answer),
            (None, Some((made, spec))) => {
                let l1s = || self.manager.l1_managers();
                let is_in_l1 = |key: &ObjectKey| l1s().any(|l1| l1.is_resident(key));
                self.account.answered_at_once(made.seq, &spec.key_groups, &answer, is_in_l1);
            }
            (None, None) => {}
        }
        if let Some(open) = &mut self.open_keys {
            open.locked(&result.l1_owners, prefetching.read_locks, self.manager.clock().now_ns());
        }
        let cells = |rows: &[Bitmap]| -> u64 { rows.iter().map(|row| row.popcount() as u64).sum() };
        self.totals.hit_keys += cells(&result.hit_cells);
        let (l1_hit_keys, l2_hit_keys) = (cells(&result.l1_hit_cells), cells(&result.l2_hit_cells));
        self.totals.l1_hit_keys += l1_hit_keys;
        self.totals.l2_hit_keys += l2_hit_keys;
        let (submit_ns, ready_ns) = self.times_of(prefetching);
        self.live.answered(&AnsweredPrefetch {
            submit_ns,
            ready_ns,
            requested_chunks: prefetching.requested_chunks as u64,
            served_chunks: served_chunks as u64,
            l1_hit_keys,
            l2_hit_keys,
        });
        true
    }

    /// When a prefetch was submitted and its result was there, on `CLOCK_MONOTONIC`. On the trace's own time that is from the
    /// return of its call to now.
    fn times_of(&self, prefetching: &Prefetching) -> (u64, u64) {
        let submit_ns = prefetching.handle.submit_time_ns;
        match &self.time {
            None => (submit_ns, prefetching.handle.ready_time_ns().unwrap_or(submit_ns)),
            Some(_) if self.live.is_watched() => (prefetching.returned_ns, monotonic_ns()),
            Some(_) => (0, 0),
        }
    }

    /// Counts what has come since the last call, at most two results, so that a call stays short.
    pub(super) fn count_results(&mut self) {
        for _ in 0..2 {
            let Some(mut oldest) = self.prefetching.pop_front() else { return };
            if !self.count_result(&mut oldest, None) {
                return self.prefetching.push_front(oldest);
            }
        }
    }

    pub(super) fn count_last_results(&mut self, deadline_ns: u64, stop: &StopFlag) {
        while let Some(mut oldest) = self.prefetching.pop_front() {
            loop {
                let left = left_until(deadline_ns);
                let is_done = self.manager.wait_prefetch_status(&oldest.handle, left.min(STOP_LOOK));
                if is_done || left.is_zero() || stop.is_set() {
                    break;
                }
            }
            if !self.count_result(&mut oldest, None) {
                self.totals.unresolved_prefetches += 1;
                self.account.answers.never_answered();
                if let Some(asked) = &oldest.asked {
                    self.account.forget(asked);
                }
            }
        }
    }

    pub(super) fn count_read(&mut self, call: &StorageCall, slot: ReadSlot) {
        let Some(Some(context)) = self.open_reads.get(slot.0 as usize) else { return };
        if context.codes().all_succeeded() {
            return;
        }
        // A prefetch that is answered is not what the read came too early for.
        let mut waiting = std::mem::take(&mut self.prefetching);
        waiting.retain_mut(|waiting| !(waiting.handle.is_done() && self.count_result(waiting, None)));
        self.prefetching = waiting;
        let Some(Some(context)) = self.open_reads.get(slot.0 as usize) else { return };
        self.totals.reads_found_nothing += 1;
        if let StorageCall::ReadEnter { keys } = call {
            self.account.read_nothing(keys, context.codes().as_slice());
        }
        for code in context.codes().as_slice() {
            match code {
                L1Error::Success => {}
                L1Error::KeyNotExist => self.totals.keys_not_found += 1,
                _ => self.totals.keys_not_readable += 1,
            }
        }
    }
}

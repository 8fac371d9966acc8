//! A worker: its calls at their times, on a thread that does nothing else.

use crossbeam::channel::{Sender, TryRecvError};

use crate::clock::{Stopwatch, Waiter, monotonic_ns};
use crate::format::model::StorageCall;
use crate::os;
use crate::replay::feed::{Batch, Lane};
use crate::replay::lag::LagRecorder;
use crate::replay::observe::{Outcome, RecordName, Status};
use crate::replay::plan::{PlannedRecord, ReadSlot};
use crate::replay::progress::Progress;
use crate::replay::stats::LatencyTable;
use crate::replay::stop::StopFlag;
use crate::replay::target::{Made, ReplayTarget};
use crate::replay::timed::RecordBody;

/// How many failures, and how many skipped records, are kept word for word.
pub const MAX_NOTES: usize = 8;

/// Why a record failed or was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordNote {
    /// Which record.
    pub seq: u64,
    /// What it is called.
    pub name: RecordName,
    /// What was wrong with it.
    pub reason: String,
}

/// What one worker did; those of all workers can be [merged](Self::merge).
#[derive(Debug, Default)]
pub(super) struct WorkerRun {
    pub(super) records_replayed: u64,
    pub(super) records_skipped: u64,
    pub(super) records_failed: u64,
    pub(super) latencies: LatencyTable,
    pub(super) lags: LagRecorder,
    pub(super) interrupted: bool,
    /// When its last batch was done.
    pub(super) end_ns: u64,
    pub(super) decode_waits: u64,
    pub(super) unobserved_records: u64,
    pub(super) failures: Vec<RecordNote>,
    pub(super) skips: Vec<RecordNote>,
}

impl WorkerRun {
    /// Adds what another worker did.
    pub(super) fn merge(&mut self, other: Self) {
        self.records_replayed += other.records_replayed;
        self.records_skipped += other.records_skipped;
        self.records_failed += other.records_failed;
        self.latencies.merge(other.latencies);
        self.lags.merge(&other.lags);
        self.interrupted |= other.interrupted;
        self.end_ns = self.end_ns.max(other.end_ns);
        self.decode_waits += other.decode_waits;
        self.unobserved_records += other.unobserved_records;
        first_of_both(&mut self.failures, other.failures);
        first_of_both(&mut self.skips, other.skips);
    }
}

/// The first notes of two lists, in the order of the trace.
fn first_of_both(notes: &mut Vec<RecordNote>, others: Vec<RecordNote>) {
    notes.extend(others);
    notes.sort_by_key(|note| note.seq);
    notes.truncate(MAX_NOTES);
}

fn note(notes: &mut Vec<RecordNote>, seq: u64, name: &RecordName, reason: impl FnOnce() -> String) {
    if notes.len() < MAX_NOTES {
        notes.push(RecordNote { seq, name: name.clone(), reason: reason() });
    }
}

/// See the module.
pub(super) struct Worker<'a, T> {
    pub(super) number: u16,
    pub(super) target: &'a mut T,
    pub(super) waiter: Waiter,
    pub(super) watch: Stopwatch,
    pub(super) stop: &'a StopFlag,
    pub(super) progress: &'a Progress,
    /// Nothing if nobody wants them.
    pub(super) outcomes: Option<Sender<Outcome>>,
    pub(super) run: WorkerRun,
    pub(super) origin_ns: u64,
    pub(super) records_done: u64,
    /// When its last call had returned, by the stopwatch; 0 before the first.
    pub(super) last_end: u64,
}

impl<'a, T: ReplayTarget> Worker<'a, T> {
    /// Makes the calls of its lane until there are none, or the replay is stopped.
    pub(super) fn work(mut self, lane: &Lane) -> (WorkerRun, &'a mut T) {
        let _guard = self.progress.guard();
        os::time::request_exact_wakeups();
        os::thread::request_short_slices();
        // The schedule starts when the first calls are decoded, however long opening the trace took.
        let mut next = lane.batches.recv().ok();
        self.origin_ns = lane.origin.get().copied().unwrap_or_default();
        while let Some(batch) = next {
            let is_played = batch.records().iter().all(|planned| self.play(planned));
            self.run.end_ns = monotonic_ns();
            if !is_played {
                self.run.interrupted = true;
                break;
            }
            // A full channel means that the decoder has places enough: then these are freed here.
            let _ = lane.spent.try_send(batch);
            next = self.next_batch(lane);
        }
        (self.run, self.target)
    }

    fn next_batch(&mut self, lane: &Lane) -> Option<Batch> {
        match lane.batches.try_recv() {
            Ok(batch) => Some(batch),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                self.run.decode_waits += 1;
                lane.batches.recv().ok()
            }
        }
    }

    /// Waits for the record's turn and time, and carries it out. False if the replay was stopped before that.
    #[inline]
    pub(super) fn play(&mut self, planned: &PlannedRecord) -> bool {
        if self.stop.is_set() || !self.progress.wait_for(&planned.waits, self.stop) {
            return false;
        }
        if let RecordBody::Call(call) = &planned.record.body {
            self.target.prepare(call, planned.due.trace_ns, self.stop);
        }
        let Some((start_ns, lag_ns)) = self.wait_until_due(planned) else { return false };
        let seq = planned.record.seq;
        let (name, status, latency_ns) = match &planned.record.body {
            RecordBody::Call(call) => {
                let (status, latency_ns) = self.call(seq, call, planned.slot, lag_ns);
                if let (Some(due_ns), Some(lag_ns)) = (planned.due.replay_ns, lag_ns) {
                    self.run.lags.record(due_ns, lag_ns);
                }
                (RecordName::Op(call.op()), status, latency_ns)
            }
            RecordBody::Skipped { qualname, reason } => {
                let name = RecordName::Other(qualname.clone());
                self.run.records_skipped += 1;
                note(&mut self.run.skips, seq, &name, || reason.to_string());
                (name, Status::Skipped, 0)
            }
        };
        self.records_done += 1;
        self.progress.set(self.number, self.records_done);
        if let Some(outcomes) = &self.outcomes {
            let (due_ns, worker, follows) = (planned.due.replay_ns, self.number, planned.follows);
            let outcome =
                Outcome { seq, name, status, due_ns, lag_ns, start_ns, latency_ns, worker, follows };
            self.run.unobserved_records += u64::from(outcomes.try_send(outcome).is_err());
        }
        true
    }

    /// When the record began, and how late. Nothing if the replay was stopped before that.
    #[inline]
    fn wait_until_due(&mut self, planned: &PlannedRecord) -> Option<(u64, Option<u64>)> {
        let Some(due_ns) = planned.due.replay_ns else {
            // Who is not observed needs no time of the clock, which costs more than the rest of the way to a call.
            let start_ns = if self.outcomes.is_some() { monotonic_ns() } else { 0 };
            return Some((start_ns, None));
        };
        let deadline_ns = self.origin_ns.saturating_add(due_ns);
        let stop = self.stop;
        let start_ns = self.waiter.wait_until_ns(deadline_ns, || stop.is_set())?;
        Some((start_ns, Some(start_ns - deadline_ns)))
    }

    #[inline]
    fn call(
        &mut self,
        seq: u64,
        call: &StorageCall,
        slot: Option<ReadSlot>,
        lag_ns: Option<u64>,
    ) -> (Status, u64) {
        let begun = self.watch.now();
        let result = self.target.dispatch(call, slot);
        self.last_end = self.watch.now();
        let latency_ns = self.watch.between_ns(begun, self.last_end);
        let latencies = self.run.latencies.of(call.op());
        let status = match result {
            Ok(()) => {
                latencies.record(latency_ns, lag_ns);
                self.run.records_replayed += 1;
                Status::Replayed
            }
            Err(error) => {
                latencies.record_error();
                self.run.records_failed += 1;
                note(&mut self.run.failures, seq, &RecordName::Op(call.op()), || error.to_string());
                Status::Failed
            }
        };
        self.target.settle(&Made { seq, call, latency_ns }, self.stop);
        (status, latency_ns)
    }
}

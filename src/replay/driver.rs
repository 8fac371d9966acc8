//! The dispatcher: every call at its time, on a thread that does nothing else.

use crossbeam::channel::{Receiver, Sender, TryRecvError, bounded};

use crate::clock::{Waiter, monotonic_ns};
use crate::error::{Error, Result};
use crate::format::model::StorageCall;
use crate::os;
use crate::replay::feed::{BATCHES_AHEAD, Batch, feed};
use crate::replay::lag::{LagRecorder, LagSummary};
use crate::replay::observe::{
    OUTCOMES_QUEUED, Outcome, RecordName, ReplayObserver, Status, observe_until_done,
};
use crate::replay::plan::{PlannedRecord, ReadSlot};
use crate::replay::schedule::Schedule;
use crate::replay::stats::{LatencyTable, OpSummary};
use crate::replay::stop::StopFlag;
use crate::replay::target::ReplayTarget;
use crate::replay::timed::{RecordBody, TimedRecord};

/// Time between the moment at which the first calls are decoded and the origin of the schedule, so that a
/// call at offset 0 can be on time.
const START_LEAD_NS: u64 = 1_000_000;

/// How many failures, and how many skipped records, are kept word for word.
pub const MAX_NOTES: usize = 8;

/// How to replay.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplayOptions {
    /// How the dispatcher waits for a call's time.
    pub waiter: Waiter,
    /// The CPU that the dispatcher has to itself: that of a [`ReservedCpu`](crate::os::affinity::ReservedCpu)
    /// which the caller took before it started any other thread, the target's too. Without one a CPU is reserved
    /// for the time of the replay, and threads that were there before may run on it.
    pub dispatcher_cpu: Option<usize>,
}

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

/// What a replay did.
#[derive(Clone, Debug, Default)]
pub struct ReplayRun {
    /// Calls that were made and succeeded.
    pub records_replayed: u64,
    /// Records that hold no call that can be made.
    pub records_skipped: u64,
    /// Calls that were made and failed.
    pub records_failed: u64,
    /// Latencies of the operations that were called, in the order of their names.
    pub ops: Vec<OpSummary>,
    /// How late calls began.
    pub lag: LagSummary,
    /// From the start of the schedule to the end of the last call, leftovers closed.
    pub duration_ns: u64,
    /// Whether the stop flag ended the replay.
    pub interrupted: bool,
    /// See [`Schedule::impossible_times`].
    pub impossible_times: u64,
    /// See [`Schedule::disordered_times`].
    pub disordered_times: u64,
    /// How often the dispatcher had to wait for records to be decoded.
    pub decode_waits: u64,
    /// Outcomes that the observer was too slow for and never got.
    pub unobserved_records: u64,
    /// The first [`MAX_NOTES`] failures.
    pub failures: Vec<RecordNote>,
    /// The first [`MAX_NOTES`] skipped records.
    pub skips: Vec<RecordNote>,
}

/// Replays `source` against `target` at the recorded pace, and tells `observer` about every record.
///
/// Starts a decoder and a dispatcher thread; `observer` runs on the calling thread. Returns when every record
/// is done or `stop` is set.
///
/// # Errors
/// If the system does not grant the threads. A call that fails is no error: see
/// [`ReplayRun::records_failed`].
pub fn replay<S, T>(
    source: S,
    target: &mut T,
    options: &ReplayOptions,
    stop: &StopFlag,
    observer: &mut impl ReplayObserver,
) -> Result<ReplayRun>
where
    S: Iterator<Item = TimedRecord> + Send,
    T: ReplayTarget + Send,
{
    let (batch_sender, batches) = bounded(BATCHES_AHEAD);
    let (spent, spent_receiver) = bounded(BATCHES_AHEAD);
    let (outcomes, outcome_receiver) = bounded(OUTCOMES_QUEUED);
    let waiter = options.waiter;
    // The decoder and this thread, which observes, keep off the dispatcher's CPU.
    let reserved = match options.dispatcher_cpu {
        Some(_) => None,
        None => os::affinity::ReservedCpu::take(),
    };
    let dispatcher_cpu = options.dispatcher_cpu.or(reserved.as_ref().map(os::affinity::ReservedCpu::cpu));
    std::thread::scope(|scope| {
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let refused = |error| Error::io("cannot start a replay thread", error);
        named("lmcache-decode")
            .spawn_scoped(scope, move || feed(source, &batch_sender, &spent_receiver))
            .map_err(refused)?;
        let dispatcher = named("lmcache-replay")
            .spawn_scoped(scope, move || {
                dispatcher_cpu.map(os::affinity::run_on);
                let mut dispatcher = Dispatcher::new(target, waiter, stop, outcomes);
                dispatcher.run(&batches, &spent);
                dispatcher.into_run()
            })
            .map_err(refused)?;
        observe_until_done(&outcome_receiver, observer);
        match dispatcher.join() {
            Ok(run) => Ok(run),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

struct Dispatcher<'a, T> {
    target: &'a mut T,
    waiter: Waiter,
    stop: &'a StopFlag,
    outcomes: Sender<Outcome>,
    origin_ns: u64,
    schedule: Schedule,
    latencies: LatencyTable,
    lags: LagRecorder,
    run: ReplayRun,
}

impl<'a, T: ReplayTarget> Dispatcher<'a, T> {
    fn new(target: &'a mut T, waiter: Waiter, stop: &'a StopFlag, outcomes: Sender<Outcome>) -> Self {
        Self {
            target,
            waiter,
            stop,
            outcomes,
            origin_ns: 0,
            schedule: Schedule::default(),
            latencies: LatencyTable::default(),
            lags: LagRecorder::default(),
            run: ReplayRun::default(),
        }
    }

    fn run(&mut self, batches: &Receiver<Batch>, spent: &Sender<Batch>) {
        os::time::request_exact_wakeups();
        // The schedule starts when the first calls are decoded, however long opening the trace took.
        let mut next = batches.recv().ok();
        self.origin_ns = monotonic_ns() + START_LEAD_NS;
        while let Some(batch) = next {
            if !batch.iter().all(|planned| self.play(planned)) {
                self.run.interrupted = true;
                break;
            }
            // A full channel means that the decoder is behind with freeing: then it is freed here.
            let _ = spent.try_send(batch);
            next = self.next_batch(batches);
        }
        self.target.finish(self.stop);
        self.run.interrupted |= self.stop.is_set();
        self.run.duration_ns = monotonic_ns().saturating_sub(self.origin_ns);
    }

    fn next_batch(&mut self, batches: &Receiver<Batch>) -> Option<Batch> {
        match batches.try_recv() {
            Ok(batch) => Some(batch),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                self.run.decode_waits += 1;
                batches.recv().ok()
            }
        }
    }

    /// Waits for the record's time and carries it out. False if the replay was stopped before that.
    #[inline]
    fn play(&mut self, planned: &PlannedRecord) -> bool {
        if self.stop.is_set() {
            return false;
        }
        let due_ns = self.schedule.due_ns(planned.record.t_mono_s);
        let (start_ns, lag_ns) = match due_ns {
            None => (monotonic_ns(), None),
            Some(due_ns) => {
                let deadline_ns = self.origin_ns + due_ns;
                let stop = self.stop;
                match self.waiter.wait_until_ns(deadline_ns, || stop.is_set()) {
                    None => return false,
                    Some(start_ns) => (start_ns, Some(start_ns - deadline_ns)),
                }
            }
        };
        let seq = planned.record.seq;
        let (name, status, latency_ns) = match &planned.record.body {
            RecordBody::Call(call) => {
                let (status, latency_ns) = self.call(seq, call, planned.slot, start_ns, lag_ns);
                if let Some(lag_ns) = lag_ns {
                    self.lags.record(lag_ns);
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
        let follows = planned.follows;
        let outcome = Outcome { seq, name, status, due_ns, lag_ns, start_ns, latency_ns, worker: 0, follows };
        self.run.unobserved_records += u64::from(self.outcomes.try_send(outcome).is_err());
        true
    }

    #[inline]
    fn call(
        &mut self,
        seq: u64,
        call: &StorageCall,
        slot: Option<ReadSlot>,
        start_ns: u64,
        lag_ns: Option<u64>,
    ) -> (Status, u64) {
        let result = self.target.dispatch(call, slot);
        let latency_ns = monotonic_ns() - start_ns;
        let latencies = self.latencies.of(call.op());
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
        self.target.settle(seq, call);
        (status, latency_ns)
    }

    fn into_run(self) -> ReplayRun {
        ReplayRun {
            ops: self.latencies.into_summaries(),
            lag: self.lags.summary(),
            impossible_times: self.schedule.impossible_times,
            disordered_times: self.schedule.disordered_times,
            ..self.run
        }
    }
}

fn note(notes: &mut Vec<RecordNote>, seq: u64, name: &RecordName, reason: impl FnOnce() -> String) {
    if notes.len() < MAX_NOTES {
        notes.push(RecordNote { seq, name: name.clone(), reason: reason() });
    }
}

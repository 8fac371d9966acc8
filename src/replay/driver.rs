//! The dispatcher: a thread that decodes, workers that make every call at its time, and the caller, who observes.

use std::thread::ScopedJoinHandle;

use crossbeam::channel::{Sender, bounded};

use crate::clock::{Stopwatch, Waiter, monotonic_ns};
use crate::error::{Error, Result};
use crate::os;
use crate::replay::feed::lanes;
use crate::replay::lag::LagSummary;
use crate::replay::observe::{OUTCOMES_QUEUED, Outcome, ReplayObserver, observe_until_done};
use crate::replay::pace::{Pace, Timetable};
use crate::replay::plan::{Order, Planner};
use crate::replay::progress::Progress;
use crate::replay::schedule::Schedule;
use crate::replay::source::RecordSource;
use crate::replay::stats::OpSummary;
use crate::replay::stop::StopFlag;
use crate::replay::target::ReplayTarget;
use crate::replay::worker::{RecordNote, Worker, WorkerRun};

/// The most workers that a replay can have.
pub const MAX_WORKERS: usize = 256;

/// How to replay.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplayOptions {
    /// How fast.
    pub pace: Pace,
    /// What calls wait for, besides their time.
    pub order: Order,
    /// How workers wait for a call's time.
    pub waiter: Waiter,
    /// The CPU that the only worker has to itself: that of a [`ReservedCpu`](crate::os::affinity::ReservedCpu)
    /// which the caller took before it started any other thread, the target's too. Without one a CPU is reserved
    /// for the time of the replay, and threads that were there before may run on it. Several workers run where the system
    /// puts them.
    pub dispatcher_cpu: Option<usize>,
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
    /// The first [`MAX_NOTES`](crate::replay::MAX_NOTES) failures.
    pub failures: Vec<RecordNote>,
    /// The first [`MAX_NOTES`](crate::replay::MAX_NOTES) skipped records.
    pub skips: Vec<RecordNote>,
}

impl ReplayRun {
    /// Records that were carried out, one way or the other.
    pub fn records(&self) -> u64 {
        self.records_replayed + self.records_skipped + self.records_failed
    }
}

/// Replays `source` against `targets`, and tells `observer` about every record. Each target has a worker, a thread of
/// its own.
///
/// Starts a decoder thread, besides, unless the only worker [decodes its calls itself](RecordSource::is_quick); `observer` runs on the calling thread. Returns when every record
/// is done or `stop` is set.
///
/// # Errors
/// If there is no target, there are more than [`MAX_WORKERS`], or the system does not grant the threads.
/// A call that fails is no error: see [`ReplayRun::records_failed`].
pub fn replay<S, T>(
    source: S,
    targets: &mut [T],
    options: &ReplayOptions,
    stop: &StopFlag,
    observer: &mut impl ReplayObserver,
) -> Result<ReplayRun>
where
    S: RecordSource + Send,
    T: ReplayTarget + Send,
{
    let workers = targets.len();
    if !(1..=MAX_WORKERS).contains(&workers) {
        return Err(Error::invalid(format!("a replay needs 1 to {MAX_WORKERS} workers"))
            .with_context("workers", workers));
    }
    let timetable = Timetable::new(options.pace);
    let planner = Planner::new(timetable, options.order, workers as u16, observer.wants_records());
    // The decoder and this thread, which observes, keep off the CPU of the only worker.
    let reserved = match options.dispatcher_cpu {
        None if workers == 1 => os::affinity::ReservedCpu::take(),
        _ => None,
    };
    let reserved_cpu = options.dispatcher_cpu.or(reserved.as_ref().map(os::affinity::ReservedCpu::cpu));
    let cpu = reserved_cpu.filter(|_| workers == 1);
    let progress = Progress::new(workers);
    let shares_cpus = workers > 1 && workers >= os::affinity::usable_cpus();
    // One that spins would keep those whose calls are due from the CPU that they share.
    let waiter = if shares_cpus { options.waiter.yielding() } else { options.waiter };
    let stop = &stop.of_part();
    let crew = Crew { waiter, cpu, shares_cpus, stop, progress: &progress, watch: Stopwatch::calibrate() };
    let (done, planner) = match targets {
        [target] if !planner.is_paced() && source.is_quick() => {
            crew.run_inline(source, planner, target, observer)?
        }
        targets => crew.run(source, planner, targets, observer)?,
    };
    Ok(summary(done, planner.into_timetable().schedule(), stop))
}

/// What the workers did.
struct Done {
    run: WorkerRun,
    /// When the schedule began.
    origin_ns: u64,
    /// When what was open was closed.
    end_ns: u64,
}

/// Waits for the workers, then closes what is open. That can wait for L2, so it has a thread of its own: the observer shows and
/// writes meanwhile what it has.
fn finish<T: ReplayTarget>(
    workers: Vec<ScopedJoinHandle<'_, (WorkerRun, u64, &mut T)>>,
    stop: &StopFlag,
) -> Done {
    let (mut all, mut begun_ns) = (WorkerRun::default(), u64::MAX);
    let mut targets = Vec::with_capacity(workers.len());
    for worker in workers {
        let (run, origin_ns, target) = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        all.merge(run);
        begun_ns = begun_ns.min(origin_ns);
        targets.push(target);
    }
    close(all, begun_ns, targets, stop)
}

/// Closes what is open.
fn close<T: ReplayTarget>(run: WorkerRun, origin_ns: u64, targets: Vec<&mut T>, stop: &StopFlag) -> Done {
    let closing_ns = monotonic_ns();
    targets.into_iter().for_each(|target| target.finish(stop));
    // Not what passed between the last call and the end of the file, in which the decoder found nothing more.
    let end_ns = run.end_ns.max(origin_ns) + (monotonic_ns() - closing_ns);
    Done { run, origin_ns, end_ns }
}

/// What all workers of a replay share.
struct Crew<'a> {
    waiter: Waiter,
    cpu: Option<usize>,
    /// Whether they may be on all CPUs.
    shares_cpus: bool,
    /// Ends this replay, and nothing else that its caller ends by a flag.
    stop: &'a StopFlag,
    progress: &'a Progress,
    watch: Stopwatch,
}

impl Crew<'_> {
    /// Runs everybody until all is done.
    fn run<S, T>(
        &self,
        source: S,
        planner: Planner,
        targets: &mut [T],
        observer: &mut impl ReplayObserver,
    ) -> Result<(Done, Planner)>
    where
        S: RecordSource + Send,
        T: ReplayTarget + Send,
    {
        let refused = |error| self.refused(error);
        let (feed, lanes) = lanes(targets.len(), self.shares_cpus);
        let (outcomes, outcome_receiver) = bounded(OUTCOMES_QUEUED);
        std::thread::scope(|scope| {
            let decoder = named("lmcache-decode".to_owned())
                .spawn_scoped(scope, || feed.run(source, planner, self.stop))
                .map_err(refused)?;
            let mut workers = Vec::new();
            for (number, (lane, target)) in lanes.into_iter().zip(targets).enumerate() {
                let outcomes = observer.wants_records().then(|| outcomes.clone());
                let worker = self.worker(number as u16, target, outcomes);
                let cpu = self.cpu;
                let thread = named(format!("lmcache-replay-{number}")).spawn_scoped(scope, move || {
                    cpu.map(os::affinity::run_on);
                    let (run, target) = worker.work(&lane);
                    (run, lane.origin.get().copied().unwrap_or_else(monotonic_ns), target)
                });
                workers.push(thread.map_err(refused)?);
            }
            drop(outcomes);
            let stop = self.stop;
            let finisher = named("lmcache-finish".to_owned())
                .spawn_scoped(scope, move || finish(workers, stop))
                .map_err(refused)?;
            observe_until_done(&outcome_receiver, observer, || finisher.is_finished());
            let done = finisher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let planner = decoder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok((done, planner))
        })
    }

    /// The same with one worker, who decodes his calls himself.
    fn run_inline<S, T>(
        &self,
        mut source: S,
        mut planner: Planner,
        target: &mut T,
        observer: &mut impl ReplayObserver,
    ) -> Result<(Done, Planner)>
    where
        S: RecordSource + Send,
        T: ReplayTarget + Send,
    {
        let (outcomes, outcome_receiver) = bounded(OUTCOMES_QUEUED);
        let outcomes = observer.wants_records().then_some(outcomes);
        std::thread::scope(|scope| {
            let worker = self.worker(0, target, outcomes);
            let (cpu, stop) = (self.cpu, self.stop);
            let work = move || {
                cpu.map(os::affinity::run_on);
                let (run, origin_ns, target) = worker.work_inline(&mut source, &mut planner);
                (close(run, origin_ns, vec![target], stop), planner)
            };
            let thread = named("lmcache-replay-0".to_owned())
                .spawn_scoped(scope, work)
                .map_err(|error| self.refused(error))?;
            observe_until_done(&outcome_receiver, observer, || thread.is_finished());
            Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    fn refused(&self, error: std::io::Error) -> Error {
        // Those that are there would make all their calls, and wait for those of a worker that is not.
        self.stop.set();
        Error::io("cannot start a replay thread", error)
    }

    fn worker<'t, T>(
        &'t self,
        number: u16,
        target: &'t mut T,
        outcomes: Option<Sender<Outcome>>,
    ) -> Worker<'t, T> {
        Worker {
            number,
            target,
            waiter: self.waiter,
            watch: self.watch,
            stop: self.stop,
            progress: self.progress,
            outcomes,
            run: WorkerRun::default(),
            origin_ns: 0,
            records_done: 0,
            last_end: 0,
        }
    }
}

fn named(name: String) -> std::thread::Builder {
    std::thread::Builder::new().name(name)
}

fn summary(done: Done, schedule: &Schedule, stop: &StopFlag) -> ReplayRun {
    let Done { run, origin_ns, end_ns } = done;
    ReplayRun {
        records_replayed: run.records_replayed,
        records_skipped: run.records_skipped,
        records_failed: run.records_failed,
        ops: run.latencies.into_summaries(),
        lag: run.lags.summary(),
        duration_ns: end_ns.saturating_sub(origin_ns),
        interrupted: run.interrupted || stop.is_set(),
        impossible_times: schedule.impossible_times,
        disordered_times: schedule.disordered_times,
        decode_waits: run.decode_waits,
        unobserved_records: run.unobserved_records,
        failures: run.failures,
        skips: run.skips,
    }
}

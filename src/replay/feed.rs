//! The decoder thread: decodes and plans ahead of the workers, by a bounded amount of memory.
//!
//! Records travel in batches, so that a hand-over between threads is paid once for many calls. A round of records
//! is shared out among the workers, and handed over as a whole: whatever a call waits for was handed over in the same round or
//! before, so no worker waits for what is not there yet. A worker sends a batch back when its calls are made: what
//! comes next is written over them here, and what has no use is freed here and not on the schedule.

use std::collections::VecDeque;

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use crate::clock::monotonic_ns;
use crate::format::model::{KeyInterner, ObjectKey, StorageCall};
use crate::os;
use crate::replay::plan::{PlannedRecord, Planner};
use crate::replay::source::{RecordSource, Step};
use crate::replay::stop::StopFlag;
use crate::replay::timed::RecordBody;
use crate::sync::{Arc, OnceLock};

/// Records of one round, at most.
const ROUND_RECORDS: usize = 256;

/// Steps of the source in one round, at most: where few records are wanted, those that were found are due long before 256 are.
const ROUND_STEPS: usize = 1024;

/// Memory of one round, in bytes, from which on it is closed. One record more may stand in it.
const ROUND_BYTES: usize = 1 << 20;

/// How many decoded batches wait for a worker, at most: with [`ROUND_BYTES`], 16 MiB for all workers together, but for rounds
/// that are on their way.
const BATCHES_AHEAD: usize = 16;

/// How long the decoder sleeps at least when it is as far ahead as it may be: short beside the time that the batches
/// ahead last at any rate.
const SHORTEST_NAP_NS: u64 = 100_000;

/// And at most, before it looks whether the replay was stopped.
const LONGEST_NAP_NS: u64 = 50_000_000;

/// Time between the moment at which the first calls are decoded and the origin of a schedule: about what it takes to decode as far ahead
/// as may be. What is decoded later is so while calls are due.
const START_LEAD_NS: u64 = 20_000_000;

/// So many steps a decoder that shares its CPU with workers takes before it lets them run: some 5 to 30 us of work. A worker that
/// waits for its time lets others run, and has to have the CPU back by then.
const STEPS_AT_A_TIME: usize = 16;

/// It does so as long as it is so far ahead: whoever lets others run may have to wait for a whole slice, of some 4 ms, of one who does
/// not.
const FAR_AHEAD_NS: u64 = 8_000_000;

/// Decoded records of one worker, in the order of the trace.
#[derive(Debug)]
pub(super) struct Batch {
    /// First those records, then what is left of the batch that it was before, which later ones are written over.
    places: Vec<PlannedRecord>,
    records: usize,
}

impl Batch {
    fn new() -> Self {
        Self { places: Vec::with_capacity(ROUND_RECORDS), records: 0 }
    }

    /// Its records are done with. What is kept of it is what it held last, so that all batches together hold no more than they did
    /// on their way.
    fn empty(&mut self) {
        self.places.truncate(self.records);
        self.records = 0;
    }

    /// The records.
    pub(super) fn records(&self) -> &[PlannedRecord] {
        &self.places[..self.records]
    }

    /// Where the next record belongs.
    #[inline]
    fn place(&mut self) -> &mut PlannedRecord {
        if self.records == self.places.len() {
            self.places.push(PlannedRecord::default());
        }
        &mut self.places[self.records]
    }
}

/// The worker's end of its lane.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) batches: Receiver<Batch>,
    pub(super) spent: Sender<Batch>,
    /// When the schedule starts: set before the first batch is sent.
    pub(super) origin: Arc<OnceLock<u64>>,
}

#[derive(Debug)]
struct FeedLane {
    batches: Sender<Batch>,
    spent: Receiver<Batch>,
    /// When the first calls of the last [`BATCHES_AHEAD`] batches are due, in nanoseconds from the origin; 0 for at once.
    begins_ns: VecDeque<u64>,
}

/// The decoder's ends of all lanes.
#[derive(Debug)]
pub(super) struct Feed {
    lanes: Vec<FeedLane>,
    origin: Arc<OnceLock<u64>>,
    /// Whether workers run on all CPUs, this thread's too.
    shares_cpus: bool,
}

/// Lanes to so many workers, who may be on all CPUs.
pub(super) fn lanes(workers: usize, shares_cpus: bool) -> (Feed, Vec<Lane>) {
    let origin: Arc<OnceLock<u64>> = Arc::default();
    let lane = |_| {
        let (send_batch, batches) = bounded(BATCHES_AHEAD);
        let (spent, receive_spent) = bounded(BATCHES_AHEAD);
        let feed = FeedLane { batches: send_batch, spent: receive_spent, begins_ns: VecDeque::new() };
        (feed, Lane { batches, spent, origin: Arc::clone(&origin) })
    };
    let (feeds, lanes) = (0..workers).map(lane).unzip();
    (Feed { lanes: feeds, origin, shares_cpus }, lanes)
}

impl Feed {
    /// Decodes until the source ends, nobody takes batches any more, or `stop` is set. Returns the planner.
    pub(super) fn run(
        mut self,
        mut source: impl RecordSource,
        mut planner: Planner,
        stop: &StopFlag,
    ) -> Planner {
        os::thread::yield_to_others_on_wakeup();
        let mut keys = KeyInterner::default();
        let mut round: Vec<Batch> = self.lanes.iter().map(|_| Batch::new()).collect();
        let lead_ns = if planner.is_paced() { START_LEAD_NS } else { 0 };
        let shares_cpus = self.shares_cpus && planner.is_paced();
        loop {
            let origin_ns = self.origin.get().copied().filter(|_| shares_cpus);
            let (records, is_over) = fill(&mut round, &mut source, &mut keys, &mut planner, origin_ns);
            if records > 0 || is_over {
                self.origin.get_or_init(|| monotonic_ns() + lead_ns);
            }
            // A worker that waits for a batch is told by its lane's end, so this thread looks for it.
            if !self.hand_over(&mut round, stop) || is_over || stop.is_set() {
                return planner;
            }
        }
    }

    /// Hands a round over, and fills it with batches that are done with for the next. False if nobody takes batches any more.
    fn hand_over(&mut self, round: &mut [Batch], stop: &StopFlag) -> bool {
        let origin_ns = self.origin.get().copied().unwrap_or_default();
        for (lane, batch) in self.lanes.iter_mut().zip(round) {
            if batch.records == 0 {
                continue;
            }
            let mut next = lane.spent.try_recv().unwrap_or_else(|_| Batch::new());
            next.empty();
            if !lane.send(std::mem::replace(batch, next), origin_ns, stop) {
                return false;
            }
        }
        true
    }
}

impl FeedLane {
    /// Waits for room without blocking on the channel: a sender that blocks is woken by the worker, which would
    /// cost it a system call between two deadlines. False if nobody takes batches any more, or the replay was stopped.
    fn send(&mut self, mut batch: Batch, origin_ns: u64, stop: &StopFlag) -> bool {
        let begin_ns = batch.records().first().and_then(|planned| planned.due.replay_ns).unwrap_or_default();
        loop {
            batch = match self.batches.try_send(batch) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(batch)) => batch,
            };
            if stop.is_set() {
                return false;
            }
            os::time::sleep_until_ns(self.nap_ends_ns(origin_ns));
        }
        if self.begins_ns.len() == BATCHES_AHEAD {
            self.begins_ns.pop_front();
        }
        self.begins_ns.push_back(begin_ns);
        true
    }

    /// When there is work again for who has filled the lane: when the worker is half through it. Whoever wakes more often disturbs
    /// those whose calls are due.
    fn nap_ends_ns(&self, origin_ns: u64) -> u64 {
        let half_ns =
            self.begins_ns.get(BATCHES_AHEAD / 2).map_or(0, |begin_ns| origin_ns.saturating_add(*begin_ns));
        let now_ns = monotonic_ns();
        half_ns.clamp(now_ns + SHORTEST_NAP_NS, now_ns + LONGEST_NAP_NS)
    }
}

/// Returns how many records the round has, and whether the source is over. `origin_ns` is when the schedule began, if others are let run.
fn fill(
    round: &mut [Batch],
    source: &mut impl RecordSource,
    keys: &mut KeyInterner,
    planner: &mut Planner,
    origin_ns: Option<u64>,
) -> (usize, bool) {
    let (mut records, mut round_bytes) = (0, 0);
    for step in 1..=ROUND_STEPS {
        if step.is_multiple_of(STEPS_AT_A_TIME)
            && origin_ns.is_some_and(|origin| is_far_ahead(origin, planner))
        {
            std::thread::yield_now();
        }
        if records == ROUND_RECORDS || round_bytes >= ROUND_BYTES {
            break;
        }
        let likely = usize::from(planner.last_worker());
        let planned = round[likely].place();
        match source.step(&mut planned.record, keys) {
            Step::Record => {}
            Step::LeftOut => continue,
            Step::End => return (records, true),
        }
        planner.plan(planned);
        round_bytes += memory_bytes(planned);
        let worker = usize::from(planned.worker);
        give(round, likely, worker);
        records += 1;
    }
    (records, false)
}

/// Whether what was planned last is due long from now.
fn is_far_ahead(origin_ns: u64, planner: &Planner) -> bool {
    origin_ns.saturating_add(planner.last_due_ns()) > monotonic_ns() + FAR_AHEAD_NS
}

/// Gives the record in the next place of one worker to another, or to that one.
#[inline]
fn give(round: &mut [Batch], from: usize, to: usize) {
    if from != to {
        let (before, behind) = round.split_at_mut(from.max(to));
        std::mem::swap(before[from.min(to)].place(), behind[0].place());
    }
    round[to].records += 1;
}

/// About how much memory a record holds.
fn memory_bytes(planned: &PlannedRecord) -> usize {
    let held_bytes = match &planned.record.body {
        RecordBody::Call(call) => call_bytes(call),
        RecordBody::Skipped { qualname, reason } => qualname.len() + reason.len(),
    };
    size_of::<PlannedRecord>() + held_bytes
}

fn call_bytes(call: &StorageCall) -> usize {
    let names_bytes = match call {
        StorageCall::SubmitPrefetch { external_request_id, .. } => external_request_id.len(),
        _ => 0,
    };
    names_bytes + call.key_lists().map(keys_bytes).sum::<usize>()
}

/// A hash that does not fit into its key is held beside it; counting every hash twice is near enough.
fn keys_bytes(keys: &[ObjectKey]) -> usize {
    size_of_val(keys) + keys.iter().map(|key| key.chunk_hash().as_bytes().len()).sum::<usize>()
}

//! What every record of a trace is, before it is dispatched: when it is due, who makes it, and what it waits for.
//!
//! A plan depends on the records alone, so it is made while they are decoded, in one pass: a dispatcher finds numbers and
//! compares no keys. It remembers what is open, and a [table](touches) of fixed size; nothing grows with the trace.
//!
//! * [`pairing`]: which exit closes which enter. * [`touches`]: what was done last with a key, and by whom.
//! * [`order`]: which calls wait for which.

mod order;
mod pairing;
mod touches;

use smallvec::SmallVec;

pub use order::Order;
pub use pairing::ReadSlot;

use self::pairing::{OpenRead, Pairing};
use self::touches::{Touch, Touches};
use crate::format::model::{ObjectKey, StorageCall};
use crate::replay::pace::{Due, Timetable};
use crate::replay::timed::{RecordBody, TimedRecord};

/// So many calls of a worker have to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) worker: u16,
    pub(super) calls: u64,
}

/// What a call waits for: of each worker the last call that has to be done.
pub(super) type Waits = SmallVec<[Wait; 2]>;

/// A record with everything that dispatching it needs. The default is a place for one.
#[derive(Clone, Debug, Default)]
pub struct PlannedRecord {
    /// The record.
    pub record: TimedRecord,
    /// For an enter, the slot that it opens; for an exit, the slot that it closes, if any is open.
    pub slot: Option<ReadSlot>,
    /// See [`Outcome::follows`](crate::replay::Outcome::follows).
    pub follows: Option<u64>,
    /// When it is due.
    pub due: Due,
    /// The worker that makes the call.
    pub(super) worker: u16,
    /// The calls of other workers that have to be done before.
    pub(super) waits: Waits,
}

/// Plans the records of a trace, one after the other.
#[derive(Debug)]
pub(super) struct Planner {
    timetable: Timetable,
    order: Order,
    workers: u16,
    /// Whether anybody asks which call goes back to which.
    traces_back: bool,
    pairing: Pairing,
    touches: Touches,
    /// How many records each worker was given.
    given: Vec<u64>,
    /// The worker of the record before.
    last_worker: u16,
    /// When the last record that waits for its time is due, in nanoseconds from the start of the replay.
    last_due_ns: u64,
}

impl Planner {
    /// A planner that has seen nothing. `traces_back` is whether anybody asks which call goes back to which.
    pub(super) fn new(timetable: Timetable, order: Order, workers: u16, traces_back: bool) -> Self {
        Self {
            timetable,
            order,
            workers,
            traces_back,
            pairing: Pairing::default(),
            touches: Touches::default(),
            given: vec![0; usize::from(workers)],
            last_worker: 0,
            last_due_ns: 0,
        }
    }

    /// Plans the next record of the trace, which is in its place.
    #[inline]
    pub(super) fn plan(&mut self, planned: &mut PlannedRecord) {
        let record = &planned.record;
        planned.due = self.timetable.due(record.t_mono_s);
        self.last_due_ns = planned.due.replay_ns.unwrap_or(self.last_due_ns);
        let (mut worker, mut slot, mut follows) = (self.worker_of(&record.body), None, None);
        if let RecordBody::Call(call) = &record.body {
            let read = self.read(record.seq, worker, call);
            follows = self.traces_back.then(|| self.trace_back(record.seq, call, read)).flatten();
            if let Some((read_slot, open)) = read {
                (slot, worker) = (Some(read_slot), open.worker);
            }
        }
        planned.waits.clear();
        if self.workers > 1 {
            self.find_waits(&record.body, worker, &mut planned.waits);
        }
        self.given[usize::from(worker)] += 1;
        self.last_worker = worker;
        (planned.slot, planned.follows, planned.worker) = (slot, follows, worker);
    }

    /// Whether records are waited for.
    pub(super) fn is_paced(&self) -> bool {
        self.timetable.is_paced()
    }

    /// When the last record that waits for its time is due, in nanoseconds from the start of the replay.
    pub(super) fn last_due_ns(&self) -> u64 {
        self.last_due_ns
    }

    /// Who made the call before; the one that makes the next as likely as any.
    pub(super) fn last_worker(&self) -> u16 {
        self.last_worker
    }

    /// What was not as it should be with the times.
    pub(super) fn into_timetable(self) -> Timetable {
        self.timetable
    }

    /// Calls with the same last key have the same worker: mostly those of one prompt.
    fn worker_of(&self, body: &RecordBody) -> u16 {
        let RecordBody::Call(call) = body else { return self.last_worker };
        if self.workers == 1 {
            return 0;
        }
        let last = call.key_lists().next().and_then(<[ObjectKey]>::last);
        last.map_or(0, |key| (self.touches.hash(key) % u64::from(self.workers)) as u16)
    }

    /// The read that a call opens or closes.
    fn read(&mut self, seq: u64, worker: u16, call: &StorageCall) -> Option<(ReadSlot, OpenRead)> {
        match call {
            StorageCall::ReadEnter { keys } => {
                let open = OpenRead { worker, seq };
                Some((self.pairing.enter(keys, open), open))
            }
            StorageCall::ReadExit { keys } => self.pairing.exit(keys),
            _ => None,
        }
    }

    /// The call that `call` goes back to.
    fn trace_back(
        &mut self,
        seq: u64,
        call: &StorageCall,
        read: Option<(ReadSlot, OpenRead)>,
    ) -> Option<u64> {
        match call {
            StorageCall::ReserveWrite { keys, .. } => {
                keys.iter().for_each(|key| self.touches.entry(key).reserved = Some(seq));
                None
            }
            StorageCall::FinishWrite { keys } => {
                keys.iter().for_each(|key| self.touches.entry(key).written = Some(seq));
                self.touched(keys)?.reserved
            }
            StorageCall::SubmitPrefetch { spec, .. } => {
                let row = spec.key_groups.first().map_or(&[][..], |row| &row.keys);
                let written = row.iter().filter_map(|key| self.touches.of(key)?.written).max();
                let keys = spec.key_groups.iter().flat_map(|row| &row.keys);
                keys.for_each(|key| self.touches.entry(key).prefetched = Some(seq));
                written
            }
            StorageCall::ReadEnter { keys } | StorageCall::FinishRead { keys, .. } => {
                self.touched(keys)?.prefetched
            }
            StorageCall::ReadExit { .. } => read.map(|(_, open)| open.seq),
        }
    }

    /// What was done last with the first of `keys`.
    fn touched(&self, keys: &[ObjectKey]) -> Option<Touch> {
        self.touches.of(keys.first()?)
    }

    fn find_waits(&mut self, body: &RecordBody, worker: u16, waits: &mut Waits) {
        let given = self.given[usize::from(worker)] + 1;
        match (self.order, body) {
            (Order::Causal, _) if self.last_worker != worker => {
                let calls = self.given[usize::from(self.last_worker)];
                order::add_wait(waits, Wait { worker: self.last_worker, calls });
            }
            (Order::Recorded, RecordBody::Call(call)) => {
                let own = Wait { worker, calls: given };
                for key in call.key_lists().flatten() {
                    if let Some(before) = self.touches.pass(key, own).filter(|before| before.worker != worker)
                    {
                        order::add_wait(waits, before);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::model::{ChunkHash, KeyScope, MemoryLayoutDesc, PrefetchTaskSpec};
    use crate::format::model::{GroupedObjectKeys, WriteMode};
    use crate::replay::pace::Pace;
    use crate::sync::Arc;

    fn keys(names: &str) -> Vec<ObjectKey> {
        let scope = Arc::new(KeyScope::new("m", 0, 0, "").unwrap());
        names.bytes().map(|name| ObjectKey::new(ChunkHash::new(&[name]), Arc::clone(&scope))).collect()
    }

    fn reserve(names: &str) -> StorageCall {
        let (layout, mode) = (MemoryLayoutDesc::default(), WriteMode::New);
        StorageCall::ReserveWrite { keys: keys(names), layout, mode }
    }

    fn prefetch(names: &str) -> StorageCall {
        let row = GroupedObjectKeys {
            keys: keys(names),
            object_group_id: 0,
            layout: MemoryLayoutDesc::default(),
            sliding_window_size: -1,
        };
        let spec = PrefetchTaskSpec {
            key_groups: vec![row],
            num_kv_readers: 1,
            fetching_policy: Default::default(),
            lock_mode: Default::default(),
        };
        StorageCall::SubmitPrefetch { spec, external_request_id: String::new(), skip_l2: false }
    }

    fn plan(order: Order, workers: u16, calls: Vec<StorageCall>) -> Vec<PlannedRecord> {
        let mut planner = Planner::new(Timetable::new(Pace::Recorded), order, workers, true);
        let record =
            |(seq, call)| TimedRecord { seq: seq as u64, t_mono_s: 0.0, body: RecordBody::Call(call) };
        let plan = |record| {
            let mut planned = PlannedRecord { record, ..PlannedRecord::default() };
            planner.plan(&mut planned);
            planned
        };
        calls.into_iter().enumerate().map(record).map(plan).collect()
    }

    #[test]
    fn a_call_goes_back_to_what_made_it_possible() {
        let calls = vec![
            reserve("ab"),
            StorageCall::FinishWrite { keys: keys("ab") },
            reserve("c"),
            StorageCall::FinishWrite { keys: keys("c") },
            prefetch("abc"),
            StorageCall::ReadEnter { keys: keys("abc") },
            StorageCall::ReadExit { keys: keys("abc") },
            StorageCall::FinishRead { keys: keys("abc"), read_locks: 1 },
            StorageCall::ReadExit { keys: keys("abc") },
            prefetch("x"),
        ];
        let follows: Vec<_> = plan(Order::Recorded, 1, calls).iter().map(|planned| planned.follows).collect();
        let expected = [None, Some(0), None, Some(2), Some(3), Some(4), Some(5), Some(4), None, None];
        assert_eq!(follows, expected);
    }

    /// Of each worker, how many of its calls are done for sure when a call begins: its own before it, those it waits
    /// for, and all that those had waited for.
    fn done_before(planned: &[PlannedRecord], workers: usize) -> Vec<Vec<u64>> {
        let mut after: Vec<Vec<Vec<u64>>> = vec![vec![vec![0; workers]]; workers];
        let mut befores = Vec::new();
        for planned in planned {
            let worker = usize::from(planned.worker);
            let mut done = after[worker].last().unwrap().clone();
            for wait in &planned.waits {
                let other = &after[usize::from(wait.worker)][wait.calls as usize];
                done.iter_mut().zip(other).for_each(|(done, other)| *done = (*done).max(*other));
            }
            befores.push(done.clone());
            done[worker] += 1;
            after[worker].push(done);
        }
        befores
    }

    fn number_of(planned: &[PlannedRecord], workers: usize) -> Vec<u64> {
        let mut given = vec![0; workers];
        let number = |planned: &PlannedRecord| {
            given[usize::from(planned.worker)] += 1;
            given[usize::from(planned.worker)]
        };
        planned.iter().map(number).collect()
    }

    const LISTS: [&str; 9] = ["ab", "bc", "cd", "a", "d", "abcd", "e", "ea", "f"];

    fn calls() -> Vec<StorageCall> {
        let call = |list: &&str| StorageCall::FinishWrite { keys: keys(list) };
        LISTS.iter().cycle().take(90).map(call).collect()
    }

    #[test]
    fn calls_on_a_key_wait_for_those_before_them_and_others_do_not() {
        const WORKERS: usize = 3;
        let planned = plan(Order::Recorded, WORKERS as u16, calls());
        let (done, number) = (done_before(&planned, WORKERS), number_of(&planned, WORKERS));
        for (later, done) in done.iter().enumerate() {
            let list = |position: usize| LISTS[position % LISTS.len()];
            let shares = |earlier: &usize| list(*earlier).chars().any(|key| list(later).contains(key));
            for earlier in (0..later).filter(shares) {
                let worker = usize::from(planned[earlier].worker);
                assert!(done[worker] >= number[earlier], "{earlier} {later}");
            }
        }
        let lonely = planned.iter().skip(8).step_by(9);
        assert!(lonely.clone().count() == 10 && lonely.into_iter().all(|planned| planned.waits.is_empty()));
    }

    #[test]
    fn in_causal_order_every_call_waits_for_the_one_before() {
        const WORKERS: usize = 4;
        let planned = plan(Order::Causal, WORKERS as u16, calls());
        let (done, number) = (done_before(&planned, WORKERS), number_of(&planned, WORKERS));
        for later in 1..planned.len() {
            assert!(done[later][usize::from(planned[later - 1].worker)] >= number[later - 1]);
        }
        assert!(plan(Order::Causal, 1, calls()).iter().all(|planned| planned.waits.is_empty()));
    }

    #[test]
    fn an_exit_has_the_worker_of_its_enter() {
        let lists = ["a", "b", "c", "d", "e"].map(keys);
        let enters = lists.iter().map(|keys| StorageCall::ReadEnter { keys: keys.clone() });
        let exits = lists.iter().map(|keys| StorageCall::ReadExit { keys: keys.clone() });
        let planned = plan(Order::Recorded, 2, enters.chain(exits).collect());
        let (enters, exits) = planned.split_at(lists.len());
        assert!(enters.iter().zip(exits).all(|(enter, exit)| enter.worker == exit.worker));
        assert!(
            enters.iter().zip(exits).all(|(enter, exit)| enter.slot == exit.slot && enter.slot.is_some())
        );
    }
}

//! What the trace says of the calls that are replayed: how long they took where they were recorded, and what they hit.
//!
//! A native trace can have a completion for each call. The decoder meets it some time after its call, the replay has the
//! result of a prefetch at another time, and either can be first: what one side knows waits for the other. What waits is
//! bounded; what waits for too long is forgotten, and counted as not compared.

use std::collections::VecDeque;
use std::hash::Hash;

use hashbrown::HashMap;

use super::series::{Series, Spread};
use crate::format::model::Op;
use crate::format::native::pod::{CompletionBody, NOT_KNOWN};
use crate::format::native::{Outcome, RecordKind};
use crate::sync::{Mutex, lock};

/// How many calls wait for their completion, and how many prefetches for the other side, at most: some 6 MiB together.
pub const MOST_WAITING: usize = 1 << 16;

/// Collects completions, and compares hits. Shared by the decoder and all workers.
#[derive(Debug)]
pub struct RecordedOutcomes {
    compares_hits: bool,
    state: Mutex<State>,
}

impl Default for RecordedOutcomes {
    fn default() -> Self {
        Self::new(true)
    }
}

#[derive(Debug, Default)]
struct State {
    ops: [OpState; Op::COUNT],
    data_ready: Series,
    /// Numbers of prefetches in the trace, by thread and sequence, until their completion.
    open: Recent<(u32, u32), u64>,
    /// Hits of prefetches, by their numbers, until the other side has its own.
    recorded_hits: Recent<u64, u64>,
    replayed_hits: Recent<u64, u64>,
    hits: HitDifferences,
}

#[derive(Debug, Default)]
struct OpState {
    durations: Series,
    raised: u64,
    requested_keys: u64,
    hit_keys: u64,
}

impl RecordedOutcomes {
    /// Hits are compared only where the numbers of replayed records are those of the trace.
    pub fn new(compares_hits: bool) -> Self {
        Self { compares_hits, state: Mutex::default() }
    }

    /// The trace has a call: number `seq` of the trace, number `sequence` of `thread`.
    pub(in crate::replay) fn call(&self, op: Op, (thread, sequence): (u32, u32), seq: u64) {
        // Only prefetches are compared one by one. Thread 0 is none: such a call has no completion.
        if self.compares_hits && op == Op::SubmitPrefetch && thread > 0 {
            lock(&self.state).open.insert((thread, sequence), seq);
        }
    }

    /// The trace has a completion.
    pub(in crate::replay) fn completion(&self, body: &CompletionBody) {
        let Some(RecordKind::Call(op)) = RecordKind::from_number(body.op) else { return };
        let mut state = lock(&self.state);
        let of_op = &mut state.ops[op as usize];
        if Outcome::from_number(body.outcome) == Some(Outcome::Raised) {
            of_op.raised += 1;
            return;
        }
        of_op.durations.record(body.duration_ns);
        of_op.requested_keys += u64::from(body.requested_keys);
        of_op.hit_keys += u64::from(body.hit_keys);
        if op != Op::SubmitPrefetch {
            return;
        }
        if body.data_ready_ns != NOT_KNOWN {
            state.data_ready.record(body.data_ready_ns);
        }
        let hits = u64::from(body.hit_keys);
        let Some(seq) = state.open.remove(&(body.call_thread, body.call_sequence)) else { return };
        match state.replayed_hits.remove(&seq) {
            Some(replayed) => state.hits.compare(hits, replayed),
            None => state.recorded_hits.insert(seq, hits),
        }
    }

    /// Prefetch `seq` of the trace hit so many cells in the replay.
    pub(in crate::replay) fn replayed(&self, seq: u64, hits: u64) {
        if !self.compares_hits {
            return;
        }
        let mut state = lock(&self.state);
        state.hits.replayed += 1;
        match state.recorded_hits.remove(&seq) {
            Some(recorded) => state.hits.compare(recorded, hits),
            None => state.replayed_hits.insert(seq, hits),
        }
    }

    /// What was collected; nothing if the trace has no completions.
    pub fn summary(&self) -> Option<RecordedSummary> {
        let state = lock(&self.state);
        let of_op = |op: Op| {
            let OpState { durations, raised, requested_keys, hit_keys } = &state.ops[op as usize];
            let spread = durations.spread();
            (spread.count + raised > 0).then_some(RecordedOp {
                op,
                duration: spread,
                raised: *raised,
                requested_keys: *requested_keys,
                hit_keys: *hit_keys,
            })
        };
        let ops: Vec<RecordedOp> = Op::ALL.into_iter().filter_map(of_op).collect();
        (!ops.is_empty()).then(|| RecordedSummary {
            ops,
            data_ready: state.data_ready.spread(),
            hits: state.hits,
        })
    }
}

/// What a trace says of its calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordedSummary {
    /// Operations that have completions, in the order of their names.
    pub ops: Vec<RecordedOp>,
    /// Of prefetches, from the call to the moment at which the data was there.
    pub data_ready: Spread,
    /// Hits of prefetches there and here.
    pub hits: HitDifferences,
}

/// The completions of one operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordedOp {
    /// Which operation.
    pub op: Op,
    /// How long the calls took, without those that raised.
    pub duration: Spread,
    /// Calls that raised.
    pub raised: u64,
    /// Keys that they asked for.
    pub requested_keys: u64,
    /// Of those, the keys that were served.
    pub hit_keys: u64,
}

/// Hits of prefetches, recorded and replayed, one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HitDifferences {
    /// Prefetches that the replay has a result of.
    pub replayed: u64,
    /// Of those, the ones whose recorded result is known, too. The other numbers are of these.
    pub compared: u64,
    /// Prefetches that hit as many cells as recorded.
    pub equal: u64,
    /// Prefetches that hit more.
    pub more: u64,
    /// Prefetches that hit fewer.
    pub fewer: u64,
    /// Cells that hit, as recorded.
    pub recorded_hits: u64,
    /// Cells that hit in the replay.
    pub replayed_hits: u64,
}

impl HitDifferences {
    fn compare(&mut self, recorded: u64, replayed: u64) {
        self.compared += 1;
        match replayed.cmp(&recorded) {
            std::cmp::Ordering::Equal => self.equal += 1,
            std::cmp::Ordering::Greater => self.more += 1,
            std::cmp::Ordering::Less => self.fewer += 1,
        }
        self.recorded_hits += recorded;
        self.replayed_hits += replayed;
    }
}

/// A map that forgets what came first when it has [`MOST_WAITING`] entries.
#[derive(Debug)]
struct Recent<K, V> {
    values: HashMap<K, V, foldhash::fast::RandomState>,
    /// Keys as they came; those that were taken out stand here still.
    order: VecDeque<K>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { values: HashMap::default(), order: VecDeque::new() }
    }
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    fn insert(&mut self, key: K, value: V) {
        while self.values.len() >= MOST_WAITING {
            let Some(oldest) = self.order.pop_front() else { break };
            self.values.remove(&oldest);
        }
        if self.order.len() >= 2 * MOST_WAITING {
            self.order.retain(|key| self.values.contains_key(key));
        }
        if self.values.insert(key, value).is_none() {
            self.order.push_back(key);
        }
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        self.values.remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(op: u8, call_sequence: u32, hit_keys: u32) -> CompletionBody {
        CompletionBody {
            call_thread: 1,
            call_sequence,
            duration_ns: 100 * u64::from(call_sequence + 1),
            data_ready_ns: NOT_KNOWN,
            bytes: 0,
            hit_keys,
            requested_keys: 10,
            op,
            outcome: Outcome::Done as u8,
            reserved: [0; 6],
        }
    }

    const PREFETCH: u8 = 6;

    #[test]
    fn hits_are_compared_whichever_side_comes_first() {
        let recorded = RecordedOutcomes::default();
        for sequence in 0..4 {
            recorded.call(Op::SubmitPrefetch, (1, sequence), 100 + u64::from(sequence));
        }
        recorded.completion(&body(PREFETCH, 0, 5));
        recorded.replayed(100, 5);
        recorded.replayed(101, 3);
        recorded.completion(&body(PREFETCH, 1, 2));
        recorded.completion(&CompletionBody { data_ready_ns: 7000, ..body(PREFETCH, 2, 9) });
        recorded.replayed(102, 4);
        recorded.replayed(103, 4);
        let summary = recorded.summary().expect("completions");
        let expected = HitDifferences {
            replayed: 4,
            compared: 3,
            equal: 1,
            more: 1,
            fewer: 1,
            recorded_hits: 16,
            replayed_hits: 12,
        };
        assert_eq!(summary.hits, expected);
        assert_eq!((summary.data_ready.count, summary.data_ready.max_ns), (1, 7000));
        let op = summary.ops[0];
        assert_eq!((op.op, op.duration.count, op.duration.max_ns), (Op::SubmitPrefetch, 3, 300));
        assert_eq!((op.requested_keys, op.hit_keys, op.raised), (30, 16, 0));
    }

    #[test]
    fn calls_that_raised_are_counted_and_no_more() {
        let recorded = RecordedOutcomes::default();
        assert_eq!(recorded.summary(), None);
        recorded.completion(&CompletionBody { outcome: Outcome::Raised as u8, ..body(2, 0, 3) });
        recorded.completion(&body(99, 0, 3));
        let summary = recorded.summary().expect("a completion");
        let op = summary.ops[0];
        assert_eq!((summary.ops.len(), op.op, op.raised, op.duration.count), (1, Op::FinishWrite, 1, 0));
    }

    #[test]
    fn what_waits_is_bounded_and_the_oldest_is_forgotten() {
        let mut recent = Recent::default();
        (0..MOST_WAITING as u64).for_each(|key| recent.insert(key, ()));
        assert_eq!(recent.values.len(), MOST_WAITING);
        recent.insert(MOST_WAITING as u64, ());
        assert_eq!(
            (recent.values.len(), recent.remove(&0), recent.remove(&1)),
            (MOST_WAITING, None, Some(()))
        );
        // One that never goes, and many that come and go.
        let mut recent = Recent::default();
        recent.insert(u64::MAX, ());
        for key in 0..5 * MOST_WAITING as u64 {
            recent.insert(key, ());
            recent.remove(&key);
        }
        assert!(recent.order.len() <= 2 * MOST_WAITING && recent.values.len() == 1);
    }

    #[test]
    fn a_call_of_no_thread_waits_for_nothing() {
        let recorded = RecordedOutcomes::default();
        recorded.call(Op::SubmitPrefetch, (0, 0), 1);
        recorded.call(Op::FinishWrite, (1, 0), 2);
        assert!(lock(&recorded.state).open.values.is_empty());
    }

    #[test]
    fn times_alone_are_collected_where_numbers_mean_nothing() {
        let recorded = RecordedOutcomes::new(false);
        recorded.call(Op::SubmitPrefetch, (1, 0), 0);
        recorded.replayed(0, 5);
        recorded.completion(&body(PREFETCH, 0, 5));
        let summary = recorded.summary().expect("a completion");
        assert_eq!((summary.hits, summary.ops[0].duration.count), (HitDifferences::default(), 1));
    }
}

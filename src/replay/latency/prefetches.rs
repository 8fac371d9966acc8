//! How long prefetches took, and where that time went.
//!
//! A prefetch that asks L2 is answered after its call has returned. On a machine that is busier or slower than the recorded
//! one it is answered later than it was there: a read that comes before the answer gets nothing, and what is
//! written meanwhile can make a hit of what was a miss. How late answers were says how far hits can be trusted.

use super::series::{Series, Spread};
use crate::storage::PrefetchHandle;
use crate::storage::prefetch::PrefetchTimes;

/// Collects how long the prefetches of one worker took.
#[derive(Clone, Debug, Default)]
pub struct AnswerRecorder {
    all: Series,
    by_l1: Series,
    with_l2: Series,
    queue: Series,
    lookup: Series,
    load: Series,
    answered_after_call: u64,
    early_queries: u64,
    never_answered: u64,
}

impl AnswerRecorder {
    /// The result of a prefetch was asked for and not there.
    pub fn asked_too_early(&mut self) {
        self.early_queries += 1;
    }

    /// The result of a prefetch was there, within its call or after that. The call took `call_ns`, in which L1 answers what it
    /// can alone.
    pub fn answered(&mut self, handle: &PrefetchHandle, call_ns: u64, after_call: bool) {
        let journey = handle.journey();
        self.record(call_ns, journey.as_ref().map(|journey| &journey.times), after_call);
    }

    /// A prefetch took as long as its call; or, if it went to L2, was at these times where it was.
    fn record(&mut self, call_ns: u64, times: Option<&PrefetchTimes>, after_call: bool) {
        self.answered_after_call += u64::from(after_call);
        self.all.record(times.map_or(call_ns, PrefetchTimes::total_ns));
        let Some(times) = times else { return self.by_l1.record(call_ns) };
        self.with_l2.record(times.total_ns());
        let parts = [
            (&mut self.queue, times.queue_ns()),
            (&mut self.lookup, times.lookup_ns()),
            (&mut self.load, times.load_ns()),
        ];
        for (series, part_ns) in parts {
            part_ns.into_iter().for_each(|ns| series.record(ns));
        }
    }

    /// A prefetch was under way when the replay ended.
    pub fn never_answered(&mut self) {
        self.never_answered += 1;
    }

    /// Adds what another worker collected.
    pub fn merge(&mut self, other: &Self) {
        let mine = [
            &mut self.all,
            &mut self.by_l1,
            &mut self.with_l2,
            &mut self.queue,
            &mut self.lookup,
            &mut self.load,
        ];
        let theirs = [&other.all, &other.by_l1, &other.with_l2, &other.queue, &other.lookup, &other.load];
        mine.into_iter().zip(theirs).for_each(|(mine, theirs)| mine.merge(theirs));
        self.answered_after_call += other.answered_after_call;
        self.early_queries += other.early_queries;
        self.never_answered += other.never_answered;
    }

    /// What was collected.
    pub fn summary(&self) -> AnswerSummary {
        let all = self.all.spread();
        AnswerSummary {
            answered: all.count,
            answered_after_call: self.answered_after_call,
            early_queries: self.early_queries,
            never_answered: self.never_answered,
            timed_out: 0,
            p50_ns: all.p50_ns,
            p99_ns: all.p99_ns,
            max_ns: all.max_ns,
            total: all,
            by_l1: self.by_l1.spread(),
            with_l2: L2Parts {
                total: self.with_l2.spread(),
                queue: self.queue.spread(),
                lookup: self.lookup.spread(),
                load: self.load.spread(),
            },
        }
    }
}

/// How long prefetches took from their submission to their result.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AnswerSummary {
    /// Prefetches whose result came.
    pub answered: u64,
    /// Of those, the ones whose result was not there yet when their call had returned.
    pub answered_after_call: u64,
    /// Times that the replay asked for a result that was not there: after the call of a prefetch, and after each call
    /// that follows, for the oldest that is under way.
    pub early_queries: u64,
    /// Prefetches whose result was not there when the replay ended. Their hits are in no count.
    pub never_answered: u64,
    /// Prefetches that the manager gave up because they took too long; they are answered, with what L1 had.
    pub timed_out: u64,
    /// Median time from submission to result, nanoseconds, to three digits.
    pub p50_ns: u64,
    /// 99th percentile, nanoseconds, to three digits.
    pub p99_ns: u64,
    /// Maximum, nanoseconds, exact.
    pub max_ns: u64,
    /// From submission to result, of all, on `CLOCK_MONOTONIC`.
    pub total: Spread,
    /// The same of those that L1 answered alone: their calls.
    pub by_l1: Spread,
    /// Of those that went to L2, found there or not.
    pub with_l2: L2Parts,
}

/// Where the time of prefetches went that L1 could not answer alone. On `CLOCK_MONOTONIC`. What is missing to the total
/// is planning, reserving buffers, and making readable what came.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct L2Parts {
    /// From submission to result.
    pub total: Spread,
    /// Waiting for a place among the prefetches in flight. Without those that were given up before they had one.
    pub queue: Spread,
    /// Until the slowest adapter had looked up the keys. Without those that were given up before it had.
    pub lookup: Spread,
    /// From the submission of the loads to the answer of the last. Of those alone that loaded something.
    pub load: Spread,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Submitted at 1000; 100 in the queue, 20 of lookup, 3 of planning, 4000 of loading, 5 until the result.
    const LOADED: PrefetchTimes = PrefetchTimes {
        submitted_ns: 1000,
        lookup_begun_ns: Some(1100),
        lookup_ended_ns: Some(1120),
        loads_begun_ns: Some(1123),
        loads_ended_ns: Some(5123),
        published_ns: 5128,
    };

    #[test]
    fn the_time_of_a_prefetch_is_split_by_tier_and_by_part() {
        let mut recorder = AnswerRecorder::default();
        recorder.record(7, None, false);
        recorder.record(4000, Some(&LOADED), true);
        let missed =
            PrefetchTimes { loads_begun_ns: None, loads_ended_ns: None, published_ns: 1130, ..LOADED };
        recorder.record(130, Some(&missed), false);
        let never_placed = PrefetchTimes { submitted_ns: 10, published_ns: 510, ..PrefetchTimes::default() };
        recorder.record(500, Some(&never_placed), true);
        let summary = recorder.summary();
        assert_eq!((summary.answered, summary.answered_after_call, summary.max_ns), (4, 2, 4128));
        assert_eq!((summary.by_l1.count, summary.by_l1.max_ns), (1, 7));
        let L2Parts { total, queue, lookup, load } = summary.with_l2;
        assert_eq!((total.count, total.min_ns, total.max_ns), (3, 130, 4128));
        assert_eq!((queue.count, queue.min_ns, queue.max_ns), (2, 100, 100));
        assert_eq!((lookup.count, lookup.min_ns, lookup.max_ns), (2, 20, 20));
        assert_eq!((load.count, load.min_ns, load.max_ns), (1, 4000, 4000));
    }

    #[test]
    fn recorders_of_several_workers_are_one() {
        let (mut one, mut some, mut others) =
            (AnswerRecorder::default(), AnswerRecorder::default(), AnswerRecorder::default());
        for (position, call_ns) in [5, 90, 17, 4].into_iter().enumerate() {
            let times = (position % 2 == 0).then_some(&LOADED);
            for recorder in [&mut one, if position < 2 { &mut some } else { &mut others }] {
                recorder.record(call_ns, times, position > 1);
                recorder.asked_too_early();
            }
        }
        one.never_answered();
        others.never_answered();
        some.merge(&others);
        assert_eq!(some.summary(), one.summary());
    }
}

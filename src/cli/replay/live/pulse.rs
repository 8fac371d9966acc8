//! How a replay is going, in the few numbers that a live view shows.

use std::collections::VecDeque;

use crate::clock::NS_PER_S;
use crate::replay::selection::LeftOut;
use crate::replay::{LiveSample, Outcome, Status, TraceExtent};
use crate::sync::Arc;

/// How long a rate and a lag look back.
const LOOKS_BACK_NS: u64 = NS_PER_S;

/// The counts of a replay, and how they move.
#[derive(Debug)]
pub(super) struct Pulse {
    begun_ns: u64,
    /// How long the replay takes; nothing if it goes as fast as it can, or nobody knows.
    paced_ns: Option<u64>,
    /// Records at most; of those some turn out to be [left out](Self::left_out).
    most_records: u64,
    left_out: Arc<LeftOut>,
    pub(super) records: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
    calls: u64,
    /// Whether any call was due at a time.
    pub(super) has_lag: bool,
    max_lag_ns: u64,
    /// The largest lag since the last moment.
    lag_ns: u64,
    moments: VecDeque<Moment>,
    pub(super) sample: LiveSample,
}

#[derive(Clone, Copy, Debug)]
struct Moment {
    at_ns: u64,
    calls: u64,
    /// The largest lag since the moment before.
    lag_ns: u64,
}

/// What there is to show at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Beat {
    pub(super) elapsed_ns: u64,
    /// From 0 to 1.
    pub(super) done: f64,
    /// Nothing if it cannot be told yet.
    pub(super) left_ns: Option<u64>,
    /// Over the last second.
    pub(super) calls_per_s: f64,
    /// The largest of the last second.
    pub(super) lag_ns: u64,
    pub(super) max_lag_ns: u64,
}

impl Pulse {
    /// A replay of `extent` begins, but for what is left out. It takes `paced_s`; nothing if nobody knows.
    pub(super) fn new(
        now_ns: u64,
        extent: &TraceExtent,
        paced_s: Option<f64>,
        left_out: Arc<LeftOut>,
    ) -> Self {
        Self {
            begun_ns: now_ns,
            paced_ns: paced_s.map(|seconds| (seconds * NS_PER_S as f64) as u64),
            most_records: extent.records,
            left_out,
            records: 0,
            failed: 0,
            skipped: 0,
            calls: 0,
            has_lag: false,
            max_lag_ns: 0,
            lag_ns: 0,
            moments: VecDeque::from([Moment { at_ns: now_ns, calls: 0, lag_ns: 0 }]),
            sample: LiveSample::default(),
        }
    }

    /// How many records there are, as far as that is known.
    pub(super) fn total_records(&self) -> u64 {
        self.most_records.saturating_sub(self.left_out.records()).max(self.records)
    }

    pub(super) fn record(&mut self, outcome: &Outcome) {
        self.records += 1;
        match outcome.status {
            Status::Replayed => self.calls += 1,
            Status::Failed => (self.calls, self.failed) = (self.calls + 1, self.failed + 1),
            Status::Skipped => self.skipped += 1,
        }
        self.has_lag |= outcome.lag_ns.is_some();
        self.lag_ns = self.lag_ns.max(outcome.lag_ns.unwrap_or(0));
    }

    /// What there is to show now.
    pub(super) fn beat(&mut self, now_ns: u64) -> Beat {
        self.max_lag_ns = self.max_lag_ns.max(self.lag_ns);
        let lag_ns = std::mem::take(&mut self.lag_ns);
        self.moments.push_back(Moment { at_ns: now_ns, calls: self.calls, lag_ns });
        // The oldest moment kept is the last one that is a second old.
        while self.moments.get(1).is_some_and(|second| second.at_ns + LOOKS_BACK_NS <= now_ns) {
            self.moments.pop_front();
        }
        let oldest = self.moments[0];
        let span_s = now_ns.saturating_sub(oldest.at_ns) as f64 / NS_PER_S as f64;
        let elapsed_ns = now_ns.saturating_sub(self.begun_ns);
        let (done, left_ns) = self.progress(elapsed_ns);
        Beat {
            elapsed_ns,
            done,
            left_ns,
            calls_per_s: if span_s > 0.0 { (self.calls - oldest.calls) as f64 / span_s } else { 0.0 },
            lag_ns: self.moments.iter().skip(1).map(|moment| moment.lag_ns).max().unwrap_or(0),
            max_lag_ns: self.max_lag_ns,
        }
    }

    /// What there is to show at the end: all is done, unless the replay was interrupted.
    pub(super) fn last_beat(&mut self, now_ns: u64, is_interrupted: bool) -> Beat {
        let beat = self.beat(now_ns);
        if is_interrupted { beat } else { Beat { done: 1.0, left_ns: Some(0), ..beat } }
    }

    /// How far the replay is. At a pace the clock knows, also while the trace is silent; without one the records do.
    fn progress(&self, elapsed_ns: u64) -> (f64, Option<u64>) {
        let share = |part: u64, whole: u64| (part as f64 / whole.max(1) as f64).min(1.0);
        match self.paced_ns {
            Some(paced_ns) => (share(elapsed_ns, paced_ns), Some(paced_ns.saturating_sub(elapsed_ns))),
            None => {
                let left = self.total_records().saturating_sub(self.records) as f64;
                let ns_a_record = (self.records > 0).then(|| elapsed_ns as f64 / self.records as f64);
                (share(self.records, self.total_records()), ns_a_record.map(|ns| (ns * left) as u64))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::lct::Ending;
    use crate::format::model::Op;
    use crate::replay::RecordName;

    fn pulse(paced_s: Option<f64>) -> Pulse {
        let extent = TraceExtent {
            records: 100,
            undecodable_frames: 0,
            ending: Ending::Clean,
            duration_s: 0.0,
            native: None,
        };
        Pulse::new(NS_PER_S, &extent, paced_s, Arc::default())
    }

    fn outcome(lag_ns: u64) -> Outcome {
        Outcome {
            seq: 0,
            name: RecordName::Op(Op::FinishRead),
            status: Status::Replayed,
            due_ns: Some(0),
            lag_ns: Some(lag_ns),
            start_ns: 0,
            latency_ns: 0,
            worker: 0,
            follows: None,
        }
    }

    #[test]
    fn at_a_pace_the_clock_says_how_far_it_is() {
        let mut pulse = pulse(Some(60.0));
        let beat = pulse.beat(16 * NS_PER_S);
        assert_eq!((beat.done, beat.left_ns), (0.25, Some(45 * NS_PER_S)));
        let beat = pulse.beat(100 * NS_PER_S);
        assert_eq!((beat.done, beat.left_ns), (1.0, Some(0)));
        let beat = self::pulse(Some(0.0)).beat(NS_PER_S);
        assert_eq!((beat.done, beat.left_ns), (0.0, Some(0)));
    }

    #[test]
    fn at_the_end_all_is_done_but_after_an_interrupt() {
        let last = |is_interrupted| pulse(None).last_beat(2 * NS_PER_S, is_interrupted);
        assert_eq!((last(false).done, last(false).left_ns), (1.0, Some(0)));
        assert_eq!((last(true).done, last(true).left_ns), (0.0, None));
    }

    #[test]
    fn without_one_the_records_say_it() {
        let mut pulse = pulse(None);
        assert_eq!(pulse.beat(2 * NS_PER_S).left_ns, None);
        (0..25).for_each(|_| pulse.record(&outcome(0)));
        let beat = pulse.beat(6 * NS_PER_S);
        assert_eq!((beat.done, beat.left_ns), (0.25, Some(15 * NS_PER_S)));
    }

    #[test]
    fn rate_and_lag_are_those_of_the_last_second() {
        let mut pulse = pulse(Some(60.0));
        (0..10).for_each(|_| pulse.record(&outcome(900)));
        let beat = pulse.beat(NS_PER_S + NS_PER_S / 2);
        assert_eq!((beat.calls_per_s, beat.lag_ns, beat.max_lag_ns), (20.0, 900, 900));
        pulse.record(&outcome(7));
        let beat = pulse.beat(2 * NS_PER_S);
        assert_eq!((beat.calls_per_s, beat.lag_ns), (11.0, 900));
        let beat = pulse.beat(3 * NS_PER_S);
        assert_eq!((beat.calls_per_s, beat.lag_ns, beat.max_lag_ns), (0.0, 0, 900));
    }
}

//! A replay over time, in a fixed number of buckets.
//!
//! Buckets begin narrow. When a record comes after the last one, two neighbours become one and all are twice as wide,
//! as often as it takes: so the memory is the same for a second and for a week, and between half and all of the
//! buckets are in use. Latencies and lags of the whole replay are histograms of fixed size beside them.

use hdrhistogram::Histogram;

use crate::format::model::Op;
use crate::replay::lag::fixed_histogram;
use crate::replay::live_totals::LiveSample;
use crate::replay::observe::{Outcome, RecordName, Status};

/// How many buckets there are at most.
pub const MAX_BUCKETS: usize = 240;

/// How wide the first buckets are.
pub const FIRST_WIDTH_NS: u64 = 1_000_000;

/// The largest lag that the histogram of a bucket tells apart: an hour, as in the lag of the whole replay.
const MAX_TRACKED_LAG_NS: u64 = 3_600_000_000_000;

/// Significant digits of the percentiles in a bucket.
const BUCKET_DIGITS: u8 = 1;

/// What happened within one span of time.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    calls: [u64; Op::COUNT],
    /// Calls that failed; they are in [`Self::calls`] too.
    pub failed: u64,
    /// Records that hold no call.
    pub skipped: u64,
    /// The largest lag, nanoseconds.
    pub max_lag_ns: u64,
    lags: Option<Box<Histogram<u32>>>,
    /// Chunks of the prefetches that were answered.
    pub answered_chunks: u64,
    /// Of those, the chunks that could be served.
    pub served_chunks: u64,
    /// Objects that were evicted from L1.
    pub evicted_keys: u64,
    /// The fullest state of the tiers; nothing if nobody looked.
    pub usage: Option<TierUsage>,
}

/// How full the tiers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierUsage {
    /// Bytes of all L1s in use.
    pub l1_used_bytes: u64,
    /// Bytes that all L1s have.
    pub l1_total_bytes: u64,
    /// Bytes of all L2 adapters in use; nothing if there is no adapter.
    pub l2_used_bytes: Option<u64>,
}

impl TierUsage {
    fn max(self, other: Self) -> Self {
        Self {
            l1_used_bytes: self.l1_used_bytes.max(other.l1_used_bytes),
            l1_total_bytes: self.l1_total_bytes.max(other.l1_total_bytes),
            l2_used_bytes: self.l2_used_bytes.max(other.l2_used_bytes),
        }
    }
}

impl Bucket {
    /// Calls of `op` that were made.
    pub fn calls_of(&self, op: Op) -> u64 {
        self.calls[op as usize]
    }

    /// The lag that a share of the calls did not exceed, to one digit; nothing without calls that were due.
    pub fn lag_quantile_ns(&self, quantile: f64) -> Option<u64> {
        self.lags.as_ref().map(|lags| lags.value_at_quantile(quantile).min(self.max_lag_ns))
    }

    fn record(&mut self, outcome: &Outcome) {
        match (&outcome.name, outcome.status) {
            (RecordName::Op(op), Status::Replayed | Status::Failed) => self.calls[*op as usize] += 1,
            _ => self.skipped += 1,
        }
        self.failed += u64::from(outcome.status == Status::Failed);
        let Some(lag_ns) = outcome.lag_ns.filter(|_| outcome.status != Status::Skipped) else { return };
        self.max_lag_ns = self.max_lag_ns.max(lag_ns);
        self.lags.get_or_insert_with(bucket_histogram).saturating_record(lag_ns);
    }

    fn absorb(&mut self, other: Self) {
        self.calls.iter_mut().zip(other.calls).for_each(|(calls, more)| *calls += more);
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.max_lag_ns = self.max_lag_ns.max(other.max_lag_ns);
        self.answered_chunks += other.answered_chunks;
        self.served_chunks += other.served_chunks;
        self.evicted_keys += other.evicted_keys;
        self.usage = match (self.usage, other.usage) {
            (Some(usage), Some(more)) => Some(usage.max(more)),
            (usage, more) => usage.or(more),
        };
        match (&mut self.lags, other.lags) {
            (Some(lags), Some(more)) => lags.add(*more).expect("both have the same bounds"),
            (lags, more) => *lags = lags.take().or(more),
        }
    }
}

fn bucket_histogram() -> Box<Histogram<u32>> {
    let histogram = Histogram::new_with_bounds(1, MAX_TRACKED_LAG_NS, BUCKET_DIGITS);
    Box::new(histogram.expect("bounds 1..=1 h and 1 digit are valid"))
}

/// A replay over time. Fed by an observer, on its thread.
#[derive(Debug)]
pub struct Timeline {
    /// Time 0, on `CLOCK_MONOTONIC`; known from the first record on.
    origin_ns: Option<u64>,
    width_ns: u64,
    buckets: Vec<Bucket>,
    latencies: [Histogram<u64>; Op::COUNT],
    lags: Histogram<u64>,
    max_lag_ns: u64,
    duration_ns: u64,
    last_sample: LiveSample,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            origin_ns: None,
            width_ns: FIRST_WIDTH_NS,
            buckets: Vec::with_capacity(MAX_BUCKETS),
            latencies: std::array::from_fn(|_| fixed_histogram()),
            lags: fixed_histogram(),
            max_lag_ns: 0,
            duration_ns: 0,
            last_sample: LiveSample::default(),
        }
    }
}

impl Timeline {
    /// One record is done.
    pub fn record(&mut self, outcome: &Outcome) {
        let origin_ns = *self.origin_ns.get_or_insert_with(|| origin_ns(outcome));
        self.bucket(outcome.start_ns.saturating_sub(origin_ns)).record(outcome);
        if let (RecordName::Op(op), Status::Replayed) = (&outcome.name, outcome.status) {
            self.latencies[*op as usize].saturating_record(outcome.latency_ns);
        }
        if let Some(lag_ns) = outcome.lag_ns.filter(|_| outcome.status != Status::Skipped) {
            self.lags.saturating_record(lag_ns);
            self.max_lag_ns = self.max_lag_ns.max(lag_ns);
        }
    }

    /// The storage manager was like this at `now_ns` on `CLOCK_MONOTONIC`. Before the first record there is no time.
    pub fn sample(&mut self, now_ns: u64, sample: &LiveSample) {
        let Some(origin_ns) = self.origin_ns else { return };
        let before = std::mem::replace(&mut self.last_sample, *sample);
        let bucket = self.bucket(now_ns.saturating_sub(origin_ns));
        bucket.answered_chunks += sample.answered_chunks.saturating_sub(before.answered_chunks);
        bucket.served_chunks += sample.served_chunks.saturating_sub(before.served_chunks);
        bucket.evicted_keys += sample.evicted_keys.saturating_sub(before.evicted_keys);
        let usage = TierUsage {
            l1_used_bytes: sample.l1_used_bytes,
            l1_total_bytes: sample.l1_total_bytes,
            l2_used_bytes: sample.l2_used_bytes,
        };
        bucket.usage = Some(bucket.usage.map_or(usage, |before| before.max(usage)));
    }

    /// The replay took so long: what was seen after its end, which a look at the storage manager always is, counts for its last
    /// moment.
    pub fn end_at(&mut self, duration_ns: u64) {
        let last = (duration_ns.saturating_sub(1) / self.width_ns) as usize;
        for late in self.buckets.split_off(self.buckets.len().min(last + 1)) {
            self.buckets[last].absorb(late);
        }
        self.duration_ns = duration_ns;
    }

    /// How long the replay took, in nanoseconds; 0 before [`Self::end_at`].
    pub fn duration_ns(&self) -> u64 {
        self.duration_ns
    }

    /// How much time a bucket stands for.
    pub fn width_ns(&self) -> u64 {
        self.width_ns
    }

    /// The buckets, the first one at time 0.
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// How long the calls of `op` that succeeded took, in nanoseconds, to three digits.
    pub fn latencies(&self, op: Op) -> &Histogram<u64> {
        &self.latencies[op as usize]
    }

    /// How late calls began, in nanoseconds, to three digits.
    pub fn lags(&self) -> &Histogram<u64> {
        &self.lags
    }

    /// The largest lag, in nanoseconds, exact.
    pub fn max_lag_ns(&self) -> u64 {
        self.max_lag_ns
    }

    /// The bucket of a moment; makes room for it.
    fn bucket(&mut self, at_ns: u64) -> &mut Bucket {
        while at_ns / self.width_ns >= MAX_BUCKETS as u64 {
            self.widen();
        }
        let position = (at_ns / self.width_ns) as usize;
        if position >= self.buckets.len() {
            self.buckets.resize_with(position + 1, Bucket::default);
        }
        &mut self.buckets[position]
    }

    /// Two neighbours become one.
    fn widen(&mut self) {
        self.width_ns *= 2;
        let halves = std::mem::replace(&mut self.buckets, Vec::with_capacity(MAX_BUCKETS));
        let mut halves = halves.into_iter();
        while let Some(mut whole) = halves.next() {
            if let Some(second) = halves.next() {
                whole.absorb(second);
            }
            self.buckets.push(whole);
        }
    }
}

/// Time 0 of a replay, on `CLOCK_MONOTONIC`, as far as a record knows it: a record without a due time begins it.
pub fn origin_ns(outcome: &Outcome) -> u64 {
    let since_ns = match (outcome.due_ns, outcome.lag_ns) {
        (Some(due_ns), Some(lag_ns)) => due_ns.saturating_add(lag_ns),
        _ => 0,
    };
    outcome.start_ns.saturating_sub(since_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN_NS: u64 = 7_000_000_000;

    fn outcome(at_ns: u64, lag_ns: u64) -> Outcome {
        Outcome {
            seq: 0,
            name: RecordName::Op(Op::FinishWrite),
            status: Status::Replayed,
            due_ns: Some(at_ns - lag_ns),
            lag_ns: Some(lag_ns),
            start_ns: ORIGIN_NS.saturating_add(at_ns),
            latency_ns: 5,
            worker: 0,
            follows: None,
        }
    }

    fn calls(timeline: &Timeline) -> Vec<u64> {
        timeline.buckets().iter().map(|bucket| bucket.calls_of(Op::FinishWrite)).collect()
    }

    #[test]
    fn the_last_bucket_is_reached_and_one_past_it_makes_all_wider() {
        let mut timeline = Timeline::default();
        let end_ns = MAX_BUCKETS as u64 * FIRST_WIDTH_NS;
        for at_ns in [10, FIRST_WIDTH_NS - 1, FIRST_WIDTH_NS, end_ns - 1] {
            timeline.record(&outcome(at_ns, 10));
        }
        assert_eq!((timeline.width_ns(), timeline.buckets().len()), (FIRST_WIDTH_NS, MAX_BUCKETS));
        assert_eq!(calls(&timeline)[..2], [2, 1]);
        timeline.record(&outcome(end_ns, 300));
        assert_eq!(
            (timeline.width_ns(), timeline.buckets().len()),
            (2 * FIRST_WIDTH_NS, MAX_BUCKETS / 2 + 1)
        );
        assert_eq!((calls(&timeline)[0], calls(&timeline).iter().sum::<u64>()), (3, 5));
        let last = timeline.buckets().last().expect("a bucket");
        assert_eq!((last.max_lag_ns, last.lag_quantile_ns(0.5)), (300, Some(300)));
        assert_eq!(timeline.buckets()[0].lag_quantile_ns(0.99), Some(10));
    }

    #[test]
    fn any_time_finds_its_bucket() {
        let mut timeline = Timeline::default();
        timeline.record(&outcome(10, 10));
        timeline.record(&Outcome { start_ns: u64::MAX, ..outcome(10, 10) });
        timeline.record(&Outcome { start_ns: 0, ..outcome(10, 10) });
        assert!(timeline.buckets().len() <= MAX_BUCKETS);
        assert_eq!(calls(&timeline).iter().sum::<u64>(), 3);
        assert_eq!((timeline.lags().len(), timeline.latencies(Op::FinishWrite).len()), (3, 3));
    }

    #[test]
    fn samples_are_differences_and_the_fullest_state_stays() {
        let mut timeline = Timeline::default();
        let sample = |answered_chunks, served_chunks, l1_used_bytes| LiveSample {
            answered_chunks,
            served_chunks,
            l1_used_bytes,
            l1_total_bytes: 100,
            ..LiveSample::default()
        };
        timeline.sample(ORIGIN_NS, &sample(1, 1, 1));
        assert!(timeline.buckets().is_empty(), "there is no time yet");
        timeline.record(&outcome(10, 10));
        timeline.sample(ORIGIN_NS + 20, &sample(10, 4, 70));
        timeline.sample(ORIGIN_NS + FIRST_WIDTH_NS, &sample(30, 24, 50));
        let rates = |timeline: &Timeline| -> Vec<(u64, u64)> {
            timeline.buckets().iter().map(|bucket| (bucket.served_chunks, bucket.answered_chunks)).collect()
        };
        assert_eq!(rates(&timeline), [(4, 10), (20, 20)]);
        timeline.record(&outcome(MAX_BUCKETS as u64 * FIRST_WIDTH_NS, 10));
        assert_eq!(rates(&timeline)[0], (24, 30));
        assert_eq!(timeline.buckets()[0].usage.map(|usage| usage.l1_used_bytes), Some(70));
    }

    #[test]
    fn what_is_seen_after_the_end_counts_for_the_last_moment() {
        let mut timeline = Timeline::default();
        timeline.record(&outcome(10, 10));
        timeline.record(&outcome(2 * FIRST_WIDTH_NS - 1, 10));
        let seen =
            LiveSample { answered_chunks: 4, served_chunks: 3, l1_used_bytes: 7, ..LiveSample::default() };
        timeline.sample(ORIGIN_NS + 9 * FIRST_WIDTH_NS, &seen);
        timeline.end_at(2 * FIRST_WIDTH_NS);
        assert_eq!((calls(&timeline), timeline.duration_ns()), (vec![1, 1], 2 * FIRST_WIDTH_NS));
        let last = &timeline.buckets()[1];
        assert_eq!((last.served_chunks, last.usage.map(|usage| usage.l1_used_bytes)), (3, Some(7)));
        timeline.end_at(0);
        assert_eq!(calls(&timeline), [2]);
        Timeline::default().end_at(0);
    }

    #[test]
    fn skipped_records_have_no_lag_and_failed_calls_no_latency() {
        let mut timeline = Timeline::default();
        let name = RecordName::Other("x".into());
        timeline.record(&Outcome { status: Status::Skipped, name, ..outcome(10, 10) });
        timeline.record(&Outcome { status: Status::Failed, ..outcome(20, 20) });
        let first = &timeline.buckets()[0];
        assert_eq!((first.skipped, first.failed, first.calls_of(Op::FinishWrite)), (1, 1, 1));
        assert_eq!((timeline.lags().len(), timeline.latencies(Op::FinishWrite).len()), (1, 0));
        assert_eq!(timeline.max_lag_ns(), 20);
    }
}

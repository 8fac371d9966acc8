//! What is known of a file while it is followed.

use std::collections::{BTreeMap, VecDeque};

use crate::clock::{NS_PER_S, monotonic_ns, wall_ns};
use crate::error::Result;
use crate::format::model::Op;
use crate::format::native::{Body, RecordKind, RecordView};
use crate::trace::follow::{NewRecords, TraceFollower};

/// How many rates are kept for the bars.
const KEPT_RATES: usize = 60;

/// A thread and its calls.
#[derive(Debug, Default)]
pub(super) struct LiveThread {
    pub(super) name: String,
    pub(super) calls: u64,
    pub(super) lost: u64,
}

/// The counts of all records that were met.
#[derive(Debug, Default)]
pub(super) struct LiveCounts {
    pub(super) calls: u64,
    pub(super) lost: u64,
    pub(super) late: u64,
    pub(super) completions: u64,
    ops: [u64; Op::COUNT],
    names: BTreeMap<String, u64>,
    pub(super) threads: BTreeMap<u32, LiveThread>,
    /// When what was met last was committed, by the recorder's wall clock.
    committed_wall_ns: Option<u64>,
}

impl LiveCounts {
    pub(super) fn add(&mut self, records: &NewRecords<'_>) {
        for record in records.iter() {
            self.add_record(&record);
        }
        let chunk = records.chunk();
        for (number, facts) in chunk.threads() {
            let thread = self.threads.entry(number).or_default();
            if thread.name.is_empty() {
                thread.name.clone_from(&facts.name);
            }
        }
        self.lost = chunk.header().lost_before.saturating_add(chunk.slot().lost);
        self.committed_wall_ns = Some(chunk.slot().wall_ns);
    }

    fn add_record(&mut self, record: &RecordView<'_>) {
        let thread = record.prefix().thread;
        if record.kind().is_some_and(RecordKind::is_call) {
            self.calls += 1;
            self.threads.entry(thread).or_default().calls += 1;
        }
        self.late += u64::from(record.is_late());
        match record.body() {
            Body::Call(call) => self.ops[call.op() as usize] += 1,
            Body::Completion(_) => self.completions += 1,
            Body::Loss(loss) => {
                let thread = self.threads.entry(thread).or_default();
                // A file can claim any count.
                thread.lost = thread.lost.saturating_add(loss.count);
            }
            Body::HostCall { name, .. } | Body::ForeignCall { qualname: name, .. } => self.add_name(name),
            Body::ForeignBytes { .. } | Body::KeySection { .. } | Body::Other => {}
        }
    }

    fn add_name(&mut self, name: &str) {
        match self.names.get_mut(name) {
            Some(calls) => *calls += 1,
            None => {
                self.names.insert(name.to_owned(), 1);
            }
        }
    }

    /// Calls of each name, sorted by name; the six only where there are any.
    pub(super) fn ops(&self) -> BTreeMap<String, u64> {
        let known = Op::ALL.into_iter().map(|op| (op.qualname(), self.ops[op as usize]));
        let mut ops: BTreeMap<_, _> = known.filter(|(_, count)| *count > 0).collect();
        for (name, calls) in &self.names {
            *ops.entry(name.clone()).or_default() += calls;
        }
        ops
    }
}

/// What there is to say at one moment.
#[derive(Debug)]
pub(super) struct LiveState<'a> {
    pub(super) counts: &'a LiveCounts,
    /// The moment.
    pub(super) now_wall_ns: u64,
    /// Since the recording began.
    pub(super) duration_s: f64,
    /// Calls a second since the moment before; nothing while records are read that were there already.
    pub(super) calls_per_s: Option<f64>,
    /// The rates of the last moments, the latest one last.
    pub(super) rates: &'a VecDeque<f64>,
    /// How long ago the recorder committed something.
    pub(super) commit_age_s: Option<f64>,
    pub(super) size_bytes: u64,
}

/// Counts, and how fast they grow.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) counts: LiveCounts,
    rates: VecDeque<f64>,
    /// Time and calls of the moment before, if the records that were there already had been met by then.
    before: Option<(u64, u64)>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { counts: LiveCounts::default(), rates: VecDeque::new(), before: None }
    }

    /// What there is to say. Once `is_caught_up` the next moment's rate is counted from here.
    pub(super) fn look(&mut self, follower: &TraceFollower, is_caught_up: bool) -> Result<LiveState<'_>> {
        let (now_ns, now_wall_ns) = (monotonic_ns(), wall_ns());
        let seconds = |ns: u64| ns as f64 / NS_PER_S as f64;
        let calls_per_s =
            self.before.filter(|(before_ns, _)| now_ns > *before_ns).map(|(before_ns, calls)| {
                self.counts.calls.saturating_sub(calls) as f64 / seconds(now_ns - before_ns)
            });
        self.before = is_caught_up.then_some((now_ns, self.counts.calls));
        if let Some(rate) = calls_per_s {
            self.rates.push_back(rate);
            self.rates.drain(..self.rates.len().saturating_sub(KEPT_RATES));
        }
        let age_s = |then_ns| seconds(now_wall_ns.saturating_sub(then_ns));
        Ok(LiveState {
            counts: &self.counts,
            now_wall_ns,
            duration_s: age_s(follower.header().fixed().wall_start_ns),
            calls_per_s,
            rates: &self.rates,
            commit_age_s: self.counts.committed_wall_ns.map(age_s),
            size_bytes: follower.file_bytes()?,
        })
    }
}

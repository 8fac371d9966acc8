//! Records made up on the spot, and a target that remembers what it was asked.

use std::collections::HashSet;
use std::sync::Arc;

use lmcache::error::{Error, Result};
use lmcache::format::model::{ChunkHash, KeyScope, ObjectKey, Op, StorageCall};
use lmcache::replay::{
    Made, Outcome, ReadSlot, RecordBody, ReplayObserver, ReplayOptions, ReplayRun, ReplayTarget, StopFlag,
    TimedRecord, replay,
};

/// Keys named by single bytes.
pub(crate) fn keys(names: &str) -> Vec<ObjectKey> {
    let scope = Arc::new(KeyScope::new("m", 0, 0, "").expect("a valid scope"));
    names.bytes().map(|name| ObjectKey::new(ChunkHash::new(&[name]), Arc::clone(&scope))).collect()
}

/// Numbers `bodies` and gives them `t_mono_s` in turn.
pub(crate) fn at(bodies: impl IntoIterator<Item = (f64, RecordBody)>) -> Vec<TimedRecord> {
    bodies
        .into_iter()
        .enumerate()
        .map(|(seq, (t_mono_s, body))| TimedRecord { seq: seq as u64, t_mono_s, body })
        .collect()
}

/// All at the start of the trace.
pub(crate) fn at_start(bodies: impl IntoIterator<Item = RecordBody>) -> Vec<TimedRecord> {
    at(bodies.into_iter().map(|body| (0.0, body)))
}

pub(crate) fn enter(names: &str) -> RecordBody {
    RecordBody::Call(StorageCall::ReadEnter { keys: keys(names) })
}

pub(crate) fn exit(names: &str) -> RecordBody {
    RecordBody::Call(StorageCall::ReadExit { keys: keys(names) })
}

pub(crate) fn finish_write(names: &str) -> RecordBody {
    RecordBody::Call(StorageCall::FinishWrite { keys: keys(names) })
}

pub(crate) fn skipped(qualname: &str) -> RecordBody {
    RecordBody::Skipped { qualname: Arc::from(qualname), reason: Arc::from("nobody knows this call") }
}

/// Remembers calls; fails the ones it is told to; may end the replay itself.
#[derive(Default)]
pub(crate) struct FakeTarget {
    pub(crate) calls: Vec<(Op, Option<ReadSlot>)>,
    pub(crate) open: HashSet<ReadSlot>,
    pub(crate) settled: usize,
    pub(crate) finished_with_open: Option<usize>,
    pub(crate) fail_calls: Vec<usize>,
    pub(crate) stop_after: Option<(usize, StopFlag)>,
}

impl ReplayTarget for FakeTarget {
    fn dispatch(&mut self, call: &StorageCall, slot: Option<ReadSlot>) -> Result<()> {
        let number = self.calls.len();
        self.calls.push((call.op(), slot));
        if let Some((last, stop)) = &self.stop_after
            && *last == number
        {
            stop.set();
        }
        if let Some(slot) = slot {
            match call.op() {
                Op::ReadEnter => assert!(self.open.insert(slot), "slot {slot:?} is open already"),
                _ => assert!(self.open.remove(&slot), "slot {slot:?} is not open"),
            }
        }
        match self.fail_calls.contains(&number) {
            true => Err(Error::invalid("told to fail")),
            false => Ok(()),
        }
    }

    fn settle(&mut self, _made: &Made<'_>, _stop: &StopFlag) {
        self.settled += 1;
    }

    fn finish(&mut self, _stop: &StopFlag) {
        self.finished_with_open = Some(self.open.len());
    }
}

/// Keeps every outcome.
#[derive(Default)]
pub(crate) struct Collector(pub(crate) Vec<Outcome>);

impl ReplayObserver for Collector {
    fn record(&mut self, outcome: &Outcome) {
        self.0.push(outcome.clone());
    }
}

/// Replays `records` against one target as they were recorded, unobserved, to the end.
pub(crate) fn run_to_the_end<T: ReplayTarget + Send>(
    records: impl Iterator<Item = TimedRecord> + Send,
    target: &mut T,
) -> ReplayRun {
    let (options, stop) = (ReplayOptions::default(), StopFlag::default());
    replay(records, std::slice::from_mut(target), &options, &stop, &mut ()).expect("threads")
}

/// Replays `records` against `target`, unobserved, until that says to stop.
pub(crate) fn run(records: Vec<TimedRecord>, target: &mut FakeTarget) -> ReplayRun {
    let stop = target.stop_after.as_ref().map_or_else(StopFlag::default, |(_, stop)| stop.clone());
    replay(records.into_iter(), std::slice::from_mut(target), &ReplayOptions::default(), &stop, &mut ())
        .expect("threads")
}

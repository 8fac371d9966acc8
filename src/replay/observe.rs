//! One outcome per record, for whoever prints or writes them while the replay runs.
//!
//! Outcomes reach the observer through a queue of fixed length, on the caller's own thread. If the observer
//! cannot keep up (a full disk, a paused terminal) the queue fills; from there on outcomes are left out and
//! counted. A worker never waits for an observer: a late replay would measure the wrong thing.

use crossbeam::channel::{Receiver, TryRecvError};

use crate::clock::{Waiter, monotonic_ns};
use crate::format::model::Op;
use crate::sync::Arc;

/// How many outcomes may wait for the observer.
pub const OUTCOMES_QUEUED: usize = 1 << 16;

/// How long the observer's thread sleeps when there is nothing to observe.
const POLL_NS: u64 = 10_000_000;

/// What a record is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordName {
    /// One of the storage calls.
    Op(Op),
    /// A name that nobody knows, or whose arguments did not decode.
    Other(Arc<str>),
}

/// How a record ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The call was made.
    Replayed,
    /// The call was made and failed.
    Failed,
    /// There was no call to make.
    Skipped,
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// See [`TimedRecord::seq`](crate::replay::TimedRecord::seq).
    pub seq: u64,
    /// What the record is called.
    pub name: RecordName,
    /// How it ended.
    pub status: Status,
    /// When it was due, in nanoseconds from the start of the replay; nothing if its time was impossible.
    pub due_ns: Option<u64>,
    /// How late it began; nothing without a due time.
    pub lag_ns: Option<u64>,
    /// When it began, on `CLOCK_MONOTONIC`.
    pub start_ns: u64,
    /// How long the call took; 0 if there was none.
    pub latency_ns: u64,
    /// Which worker made the call, from 0.
    pub worker: u16,
    /// The call that this one goes back to, by its `seq`: a finished write to its reservation, a prefetch to the write of its
    /// first key, a read to its prefetch, an exit to its enter. Nothing if the trace has none, or it is long ago.
    pub follows: Option<u64>,
}

impl Outcome {
    /// From the time at which the call was due to its end, in nanoseconds; nothing without a due time, or without a call.
    pub fn response_ns(&self) -> Option<u64> {
        let lag_ns = self.lag_ns.filter(|_| self.status != Status::Skipped)?;
        Some(lag_ns.saturating_add(self.latency_ns))
    }
}

/// Told about every record, on the thread that called [`replay`](crate::replay::replay).
pub trait ReplayObserver {
    /// One record is done.
    fn record(&mut self, outcome: &Outcome);

    /// Nothing more is done yet. Called about a hundred times a second.
    fn tick(&mut self) {}

    /// Whether it is to be told about records at all; asked once. Who does not want them spares the workers the telling.
    fn wants_records(&self) -> bool {
        true
    }
}

/// An observer that looks away.
impl ReplayObserver for () {
    fn record(&mut self, _outcome: &Outcome) {}

    fn wants_records(&self) -> bool {
        false
    }
}

/// Two that look.
impl<A: ReplayObserver, B: ReplayObserver> ReplayObserver for (A, B) {
    fn record(&mut self, outcome: &Outcome) {
        self.0.record(outcome);
        self.1.record(outcome);
    }

    fn tick(&mut self) {
        self.0.tick();
        self.1.tick();
    }

    fn wants_records(&self) -> bool {
        self.0.wants_records() || self.1.wants_records()
    }
}

/// One that may be there.
impl<T: ReplayObserver> ReplayObserver for Option<T> {
    fn record(&mut self, outcome: &Outcome) {
        if let Some(observer) = self {
            observer.record(outcome);
        }
    }

    fn tick(&mut self) {
        if let Some(observer) = self {
            observer.tick();
        }
    }

    fn wants_records(&self) -> bool {
        self.as_ref().is_some_and(T::wants_records)
    }
}

/// One that somebody else owns.
impl<T: ReplayObserver> ReplayObserver for &mut T {
    fn record(&mut self, outcome: &Outcome) {
        (**self).record(outcome);
    }

    fn tick(&mut self) {
        (**self).tick();
    }

    fn wants_records(&self) -> bool {
        (**self).wants_records()
    }
}

/// Hands outcomes to `observer` until all workers have hung up and are done.
///
/// Polls instead of blocking: a receiver that blocks would cost a worker a system call per record.
pub(super) fn observe_until_done(
    outcomes: &Receiver<Outcome>,
    observer: &mut impl ReplayObserver,
    all_done: impl Fn() -> bool,
) {
    let waiter = Waiter::new(0);
    loop {
        match outcomes.try_recv() {
            Ok(outcome) => observer.record(&outcome),
            Err(TryRecvError::Disconnected) if all_done() => return,
            Err(TryRecvError::Disconnected | TryRecvError::Empty) => {
                observer.tick();
                waiter.wait_until_ns(monotonic_ns() + POLL_NS, || false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Looks;

    impl ReplayObserver for Looks {
        fn record(&mut self, _outcome: &Outcome) {}
    }

    fn wants(observer: &impl ReplayObserver) -> bool {
        observer.wants_records()
    }

    #[test]
    fn who_looks_away_is_told_nothing_whoever_holds_him() {
        assert!(wants(&Looks) && wants(&&mut Looks) && wants(&Some(Looks)) && wants(&((), Looks)));
        assert!(!wants(&()) && !wants(&&mut ()) && !wants(&None::<Looks>) && !wants(&((), ())));
    }
}

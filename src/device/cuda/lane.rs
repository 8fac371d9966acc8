//! One stream: what was submitted to it, in order, until it is over.
//!
//! Transfers are asked of the driver on the thread that submits them, one behind the other. At the end of each is an event; the thread of the
//! device looks at the events in their order, and tells who has to be told.
#![expect(unsafe_code, reason = "the driver is given an address")]

use std::collections::VecDeque;

use super::bell::{self, LentBell};
use super::context::Entered;
use super::failure::Failure;
use super::handles::{RawEvent, RawStream};
use super::transfer::{Holds, Leftover, Mover};
use crate::clock;
use crate::device::stream::{Done, Moved, Recorded, Transfer};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Arc, Mutex, lock};

/// The most transfers and events that are under way on a stream.
pub const MAX_QUEUED: usize = 4_096;

/// How often in a row the driver may fail to say how far a stream is, before the device counts as lost: for a tenth of a second.
const MAX_STRIKES: u32 = 10;

/// How far apart those are that count, at least: each submit wakes the thread, and lets it ask again.
const STRIKES_APART_NS: u64 = 10_000_000;

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) stream: RawStream,
    /// Whose turn it is to ask something of the driver that has a place in the order. Held through all of its calls, in which a driver whose
    /// queue is full waits; so the thread of the device never takes it. Comes before `work`.
    order: Mutex<()>,
    /// Held through no call of the driver.
    work: Mutex<Work>,
}

#[derive(Debug, Default)]
struct Work {
    flights: VecDeque<Flight>,
    /// Somebody asks the driver for what will be the last of them.
    is_asking: bool,
    is_dropped: bool,
    /// Nothing is taken any more, because the thread that would tell of it is gone.
    is_sealed: bool,
    strikes: u32,
    /// When the last one was that counts.
    struck_ns: u64,
}

/// What is under way.
#[derive(Debug)]
struct Flight {
    end: End,
    landing: Landing,
    holds: Holds,
}

/// How it is known that it is over.
#[derive(Clone, Debug)]
enum End {
    /// It never began.
    Now,
    /// The event is reached.
    Event(Arc<RawEvent>),
    /// Nothing at all is under way on the stream: the event could not be had.
    Idle,
}

/// Who is told when it is over.
#[derive(Debug)]
enum Landing {
    Transfer(Done, Result<Moved>),
    Event(Recorded),
}

/// How far a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Something is under way.
    Busy,
    /// Nothing is.
    Idle,
    /// Nothing is, and nothing comes any more.
    Over,
}

impl Lane {
    pub(super) fn new(stream: RawStream) -> Self {
        Self { stream, order: Mutex::default(), work: Mutex::default() }
    }

    /// Asks for a transfer, or, where there is no permission for it, notes that it is refused, in its place in the order. Gives `done` back
    /// with the reason if nothing is taken.
    pub(super) fn submit(
        &self,
        mover: &Mover,
        bell: &LentBell,
        transfer: &Transfer,
        done: Done,
        permission: Result<Holds>,
    ) -> std::result::Result<(), (Done, Error)> {
        let _turn = lock(&self.order);
        if let Err(refusal) = lock(&self.work).ask() {
            return Err((done, refusal));
        }
        let (end, outcome, holds) = match permission {
            Ok(mut holds) => {
                let (end, outcome) = self.fly(mover, bell, transfer, &mut holds);
                (end, outcome, holds)
            }
            Err(refusal) => (End::Now, Err(refusal), Holds::default()),
        };
        let plan = &transfer.plan;
        let outcome = outcome.map(|()| Moved { bytes: plan.bytes(), runs: plan.runs().len() as u64 });
        lock(&self.work).take(Some(Flight { end, landing: Landing::Transfer(done, outcome), holds }));
        Ok(())
    }

    /// All calls of a transfer, and the event at their end.
    fn fly(
        &self,
        mover: &Mover,
        bell: &LentBell,
        transfer: &Transfer,
        holds: &mut Holds,
    ) -> (End, Result<()>) {
        let error =
            |failure| mover.context.error(failure, "cannot move bytes between the device and the host");
        let begun =
            mover.context.enter().and_then(|entered| Ok((RawEvent::new(&mover.context, &entered)?, entered)));
        let (end, entered) = match begun {
            Ok(begun) => begun,
            Err(failure) => return (End::Now, Err(error(failure))),
        };
        let mut outcome = mover.issue(&entered, &self.stream, transfer, holds);
        let end = match self.close(bell, &entered, end) {
            Ok(end) => End::Event(end),
            Err(failure) => {
                outcome = outcome.and(Err(failure));
                End::Idle
            }
        };
        (end, outcome.map_err(error))
    }

    /// Puts `end` behind all that was asked for, and lets the bell ring there.
    fn close(&self, bell: &LentBell, entered: &Entered<'_>, end: RawEvent) -> Result<Arc<RawEvent>, Failure> {
        end.record(entered, &self.stream)?;
        // Where the bell does not ring, the thread finds out by itself, only later.
        // SAFETY: bells are never freed.
        let _ = unsafe { self.stream.call_host(entered, bell::ring, bell.data()) };
        Ok(Arc::new(end))
    }

    /// Puts an event behind all that was submitted, which reaches `recorded`.
    pub(super) fn record(&self, mover: &Mover, bell: &LentBell, recorded: Recorded) -> Result<Arc<RawEvent>> {
        let cannot = |failure| mover.context.error(failure, "cannot record an event");
        let _turn = lock(&self.order);
        lock(&self.work).ask()?;
        let end = mover.context.enter().and_then(|entered| {
            let end = RawEvent::new(&mover.context, &entered)?;
            self.close(bell, &entered, end)
        });
        let flight = end.as_ref().ok().map(|end| Flight {
            end: End::Event(Arc::clone(end)),
            landing: Landing::Event(recorded),
            holds: Holds::default(),
        });
        lock(&self.work).take(flight);
        end.map_err(cannot)
    }

    /// Nothing is submitted any more.
    pub(super) fn leave(&self) {
        lock(&self.work).is_dropped = true;
    }

    /// Takes nothing any more, if nothing is under way. Returns whether that is so.
    pub(super) fn seal(&self) -> bool {
        let mut work = lock(&self.work);
        work.is_sealed = work.flights.is_empty() && !work.is_asking;
        work.is_sealed
    }

    /// Tells of all that is over, and leaves what is then to be given back. Called by the thread of the device alone.
    pub(super) fn settle(&self, mover: &Mover, left: &mut Vec<Leftover>) -> State {
        loop {
            let end = match lock(&self.work).next() {
                Ok(end) => end,
                Err(state) => return state,
            };
            match self.is_over(mover, &end) {
                // Lost just now, or found to be by somebody else.
                _ if mover.context.lost().is_some() => left.extend(self.land(mover)),
                Ok(true) => left.extend(self.land(mover)),
                Ok(false) => {
                    lock(&self.work).strikes = 0;
                    return State::Busy;
                }
                Err(failure) if lock(&self.work).strike(clock::monotonic_ns()) => mover.context.lose(failure),
                Err(_) => return State::Busy,
            }
        }
    }

    fn is_over(&self, mover: &Mover, end: &End) -> Result<bool, Failure> {
        match end {
            End::Now => Ok(true),
            End::Event(event) => event.is_reached(&mover.context.enter()?),
            End::Idle => self.stream.is_idle(&mover.context.enter()?),
        }
    }

    /// The first flight is over, well or not.
    fn land(&self, mover: &Mover) -> Option<Leftover> {
        let mut work = lock(&self.work);
        work.strikes = 0;
        let mut flight = work.flights.pop_front()?;
        drop(work);
        let lost = mover.context.lost();
        if lost.is_some() {
            flight.holds.shut();
        }
        // Before anybody is told: who hears that a transfer is over may rely on that nobody has its memory. But for what the driver takes
        // back, which may make the thread wait for all that is under way.
        let left = match lost.is_none() || mover.context.is_stopped() {
            true => flight.holds.give_back(&mover.pool),
            false => {
                flight.holds.abandon();
                None
            }
        };
        match (flight.landing, lost) {
            // Also of one that went well: whether it did is not known.
            (Landing::Transfer(done, _), Some(lost)) => done.tell(Err(lost)),
            (Landing::Transfer(done, outcome), None) => done.tell(outcome),
            (Landing::Event(recorded), _) => drop(recorded),
        }
        left
    }
}

impl Work {
    /// Notes that something is asked of the driver, until it is taken, or says why nothing can be taken now.
    fn ask(&mut self) -> Result<()> {
        if self.is_sealed {
            return Err(Error::new(ErrorKind::Closed, "the device was closed"));
        }
        if self.flights.len() >= MAX_QUEUED {
            let full = Error::new(ErrorKind::OutOfMemory, "the stream has as much work as it can hold");
            return Err(full.with_context("limit", MAX_QUEUED));
        }
        self.is_asking = true;
        Ok(())
    }

    /// Takes what was asked for, if anything came of it.
    fn take(&mut self, flight: Option<Flight>) {
        self.is_asking = false;
        self.flights.extend(flight);
    }

    /// The end of what is first.
    fn next(&self) -> std::result::Result<End, State> {
        match self.flights.front() {
            Some(flight) => Ok(flight.end.clone()),
            None if self.is_dropped => Err(State::Over),
            None => Err(State::Idle),
        }
    }

    /// The driver failed to say how far the stream is. Returns whether it was once too often.
    fn strike(&mut self, now_ns: u64) -> bool {
        if self.strikes == 0 || now_ns.saturating_sub(self.struck_ns) >= STRIKES_APART_NS {
            self.strikes += 1;
            self.struck_ns = now_ns;
        }
        self.strikes >= MAX_STRIKES
    }
}

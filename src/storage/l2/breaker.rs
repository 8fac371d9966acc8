//! When to leave a server alone: a circuit breaker.
//!
//! A server that is gone costs every call a timeout. After some failures in a row no call goes there for a while;
//! then one goes ahead as a probe, and what becomes of it decides for all. Each pause in a row is twice the one
//! before, up to a limit.

use std::time::Duration;

use crate::clock::Clock;
use crate::sync::{Mutex, lock};

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerOptions {
    /// Failures in a row that open it; at least one.
    pub failures: u32,
    /// The first pause.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// As LMCache, it never closes again once it is open.
    pub is_final: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Breaker {
    options: BreakerOptions,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed { failures: u32 },
    Open { until_ns: u64, pause_ns: u64 },
    Probing { pause_ns: u64 },
}

/// Leave to go to the server. Dropped without a verdict, it says nothing about the server.
#[derive(Debug)]
#[must_use]
pub struct Pass<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

/// The server is left alone for so long, or, if that is `None`, until a probe that is under way has come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What is left of the pause.
    pub retry_in: Option<Duration>,
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Breaker {
    /// A closed one.
    pub fn new(options: BreakerOptions, clock: Clock) -> Self {
        Self { options, clock, state: Mutex::new(State::Closed { failures: 0 }) }
    }

    /// Asks for leave.
    ///
    /// # Errors
    /// If the server is to be left alone.
    pub fn enter(&self) -> Result<Pass<'_>, Refused> {
        let mut state = lock(&self.state);
        match *state {
            State::Closed { .. } => Ok(Pass { breaker: self, is_probe: false }),
            State::Probing { .. } => Err(Refused { retry_in: None }),
            State::Open { until_ns, pause_ns } => {
                let left_ns = until_ns.saturating_sub(self.clock.now_ns());
                if left_ns > 0 || self.options.is_final {
                    return Err(Refused { retry_in: Some(Duration::from_nanos(left_ns)) });
                }
                *state = State::Probing { pause_ns };
                Ok(Pass { breaker: self, is_probe: true })
            }
        }
    }

    /// Failures in a row, as long as it is closed; the number that opened it afterwards.
    pub fn failures(&self) -> u32 {
        match *lock(&self.state) {
            State::Closed { failures } => failures,
            _ => self.options.failures,
        }
    }

    /// Whether the server is being left alone, a probe apart.
    pub fn is_open(&self) -> bool {
        !matches!(*lock(&self.state), State::Closed { .. })
    }

    fn open(&self, pause_ns: u64) -> State {
        let pause_ns = pause_ns.min(nanoseconds(self.options.longest_pause));
        State::Open { until_ns: self.clock.now_ns().saturating_add(pause_ns), pause_ns }
    }

    fn failed(&self, is_probe: bool) {
        let mut state = lock(&self.state);
        *state = match *state {
            State::Closed { failures } if failures + 1 < self.options.failures => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { .. } => self.open(nanoseconds(self.options.first_pause)),
            State::Probing { pause_ns } if is_probe => self.open(pause_ns.saturating_mul(2)),
            // What began before it opened says nothing new.
            other => other,
        };
    }
}

impl Pass<'_> {
    /// The server answered.
    pub fn succeeded(mut self) {
        self.is_probe = false;
        let mut state = lock(&self.breaker.state);
        if !(self.breaker.options.is_final && matches!(*state, State::Open { .. })) {
            *state = State::Closed { failures: 0 };
        }
    }

    /// The server could not be reached.
    pub fn failed(mut self) {
        self.breaker.failed(std::mem::take(&mut self.is_probe));
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            let mut state = lock(&self.breaker.state);
            if let State::Probing { pause_ns } = *state {
                *state = State::Open { until_ns: 0, pause_ns };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: BreakerOptions = BreakerOptions {
        failures: 3,
        first_pause: Duration::from_nanos(100),
        longest_pause: Duration::from_nanos(300),
        is_final: false,
    };

    fn fail(breaker: &Breaker, times: u32) {
        (0..times).for_each(|_| breaker.enter().expect("leave").failed());
    }

    fn pause_ns(breaker: &Breaker) -> Option<u64> {
        breaker.enter().err()?.retry_in.map(|left| left.as_nanos() as u64)
    }

    #[test]
    fn it_opens_at_the_limit_and_a_success_before_it_counts() {
        let (clock, _) = Clock::manual(1);
        let breaker = Breaker::new(OPTIONS, clock);
        fail(&breaker, 2);
        breaker.enter().unwrap().succeeded();
        fail(&breaker, 2);
        assert_eq!((breaker.is_open(), breaker.failures()), (false, 2));
        fail(&breaker, 1);
        assert_eq!((breaker.is_open(), breaker.failures()), (true, 3));
        assert_eq!(pause_ns(&breaker), Some(100));
    }

    #[test]
    fn one_probe_decides_and_pauses_grow_to_their_limit() {
        let (clock, time) = Clock::manual(1);
        let breaker = Breaker::new(OPTIONS, clock);
        fail(&breaker, 3);
        for pause in [100, 200, 300, 300] {
            time.advance_ns(pause - 1);
            assert_eq!(pause_ns(&breaker), Some(1));
            time.advance_ns(1);
            let probe = breaker.enter().unwrap();
            assert_eq!(breaker.enter().unwrap_err(), Refused { retry_in: None });
            probe.failed();
        }
        time.advance_ns(300);
        // A probe that nobody judged gives its place to the next.
        drop(breaker.enter().unwrap());
        breaker.enter().unwrap().succeeded();
        assert_eq!((breaker.is_open(), breaker.failures()), (false, 0));
    }

    #[test]
    fn what_began_before_it_opened_changes_nothing_and_lmcaches_stays_open() {
        let (clock, time) = Clock::manual(1);
        let breaker = Breaker::new(BreakerOptions { is_final: true, ..OPTIONS }, clock);
        let (late, early) = (breaker.enter().unwrap(), breaker.enter().unwrap());
        fail(&breaker, 3);
        late.failed();
        early.succeeded();
        time.advance_ns(1_000_000);
        assert_eq!(pause_ns(&breaker), Some(0));
    }
}

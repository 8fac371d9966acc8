//! Time: the only door to clocks and to sleeping.
//!
//! All durations of the crate are taken on `CLOCK_MONOTONIC`, the clock behind Python's `time.monotonic()`,
//! in whole nanoseconds, so that our stamps and LMCache's can be put beside each other.
//!
//! Whatever decides something by the time of day (a lock that expires, an eviction pass) holds a [`Clock`]
//! and asks it: a test, or a replay on the trace's own time, hands it a [`ManualClock`].
//!
//! Whatever stamps millions of records a second holds a [`TickSource`] and leaves it to [`TickScale`] to say
//! which nanoseconds its ticks were.

mod ticks;

use crate::os;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

pub use self::ticks::{Stopwatch, TickPair, TickScale};
pub use crate::os::ticks::TickSource;
pub use crate::os::time::NS_PER_S;

/// The longest time that a thread sleeps without looking at its stop flag.
const SLEEP_SLICE_NS: u64 = 50_000_000;

/// Sleeps from which [`Waiter::measured`] learns, and how long each is.
const TRIAL_SLEEPS: usize = 32;
const TRIAL_SLEEP_NS: u64 = 200_000;

/// The shortest and the longest guard that it chooses.
const MIN_GUARD_NS: u64 = 20_000;
const MAX_GUARD_NS: u64 = 500_000;

/// Nanoseconds on `CLOCK_MONOTONIC`.
#[inline]
pub fn monotonic_ns() -> u64 {
    os::time::monotonic_ns()
}

/// Nanoseconds since the epoch.
#[inline]
pub fn wall_ns() -> u64 {
    os::time::wall_ns()
}

/// A source of monotonic time that can be the system's or a test's.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicU64>>);

impl Clock {
    /// The clock of the system.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still until its [`ManualClock`] moves it. It starts at `start_ns`.
    pub fn manual(start_ns: u64) -> (Self, ManualClock) {
        let now_ns = Arc::new(AtomicU64::new(start_ns));
        (Self(Some(Arc::clone(&now_ns))), ManualClock(now_ns))
    }

    /// Whether it is the system's, which [`monotonic_ns`] reads too.
    pub fn is_system(&self) -> bool {
        self.0.is_none()
    }

    /// Now, in nanoseconds from an arbitrary origin. Never goes back.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        match &self.0 {
            None => monotonic_ns(),
            // Relaxed: the value is all that is read; whoever advances the clock orders its own work.
            Some(now_ns) => now_ns.load(Ordering::Relaxed),
        }
    }
}

/// The hand that moves a manual [`Clock`].
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Moves the clock forward by `delta_ns`.
    pub fn advance_ns(&self, delta_ns: u64) {
        // Relaxed: see `Clock::now_ns`.
        self.0.fetch_add(delta_ns, Ordering::Relaxed);
    }

    /// Moves the clock forward to `now_ns`; it never goes back.
    pub fn advance_to_ns(&self, now_ns: u64) {
        // Relaxed: see `Clock::now_ns`.
        self.0.fetch_max(now_ns, Ordering::Relaxed);
    }
}

/// How a thread waits for an instant: it sleeps until `guard_ns` before it, and spins from there.
///
/// A sleep on this kind of machine wakes 20 to 90 us late; a guard longer than that makes the wake-up exact
/// for the price of spinning through it. [`Waiter::default`] uses 100 us.
#[derive(Clone, Copy, Debug)]
pub struct Waiter {
    guard_ns: u64,
    yields: bool,
}

impl Default for Waiter {
    fn default() -> Self {
        Self { guard_ns: 100_000, yields: false }
    }
}

impl Waiter {
    /// A waiter that spins through the last `guard_ns` before each deadline.
    pub fn new(guard_ns: u64) -> Self {
        Self { guard_ns, yields: false }
    }

    /// A waiter whose guard is longer than this machine is late to wake a thread, of what a few sleeps show.
    pub fn measured() -> Self {
        let late_ns = |_| {
            let wake_ns = monotonic_ns() + TRIAL_SLEEP_NS;
            os::time::sleep_until_ns(wake_ns);
            monotonic_ns().saturating_sub(wake_ns)
        };
        let mut late_ns: [u64; TRIAL_SLEEPS] = std::array::from_fn(late_ns);
        late_ns.sort_unstable();
        // The worst of all is mostly somebody else's interruption.
        let usual_ns = late_ns[TRIAL_SLEEPS - 2];
        Self { guard_ns: (usual_ns + usual_ns / 4).clamp(MIN_GUARD_NS, MAX_GUARD_NS), yields: false }
    }

    /// The same, but instead of spinning it lets other threads run in between: for more threads than there are CPUs.
    pub fn yielding(self) -> Self {
        Self { yields: true, ..self }
    }

    /// How long before a deadline it spins, in nanoseconds.
    pub fn guard_ns(&self) -> u64 {
        self.guard_ns
    }

    /// Waits until `deadline_ns` on `CLOCK_MONOTONIC` and returns the time at which it saw it pass, or
    /// `None` if `stop` said so first. `stop` is asked every 50 ms of sleep and once before it.
    #[inline]
    pub fn wait_until_ns(&self, deadline_ns: u64, mut stop: impl FnMut() -> bool) -> Option<u64> {
        let mut now_ns = monotonic_ns();
        while now_ns + self.guard_ns < deadline_ns {
            if stop() {
                return None;
            }
            let wake_ns = (deadline_ns - self.guard_ns).min(now_ns + SLEEP_SLICE_NS);
            os::time::sleep_until_ns(wake_ns);
            now_ns = monotonic_ns();
        }
        while now_ns < deadline_ns {
            if self.yields {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
            now_ns = monotonic_ns();
        }
        Some(now_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let (clock, hand) = Clock::manual(5);
        assert_eq!(clock.now_ns(), 5);
        hand.advance_ns(10);
        assert_eq!(clock.clone().now_ns(), 15);
        hand.advance_to_ns(14);
        assert_eq!(clock.now_ns(), 15);
        hand.advance_to_ns(16);
        assert_eq!(clock.now_ns(), 16);
    }

    #[test]
    fn a_waiter_is_never_early_and_can_be_stopped() {
        let deadline_ns = monotonic_ns() + 2_000_000;
        let seen_ns = Waiter::default().wait_until_ns(deadline_ns, || false);
        assert!(seen_ns.is_some_and(|seen_ns| seen_ns >= deadline_ns));
        assert_eq!(Waiter::default().wait_until_ns(monotonic_ns() + 60 * NS_PER_S, || true), None);
    }
}

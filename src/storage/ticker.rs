//! A thread that does something once a period, and at once when it is asked to.

use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::os;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Condvar, Mutex, lock};

#[derive(Debug, Default)]
struct State {
    is_stopped: bool,
    is_woken: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Set before the lock is taken to wake, so that waking a thread that is awake costs a load.
    is_woken: AtomicBool,
}

/// The thread, once it was started.
#[derive(Debug, Default)]
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    was_started: AtomicBool,
}

/// Wakes a [`Ticker`]; kept by who notices that there is something to do.
#[derive(Clone, Debug)]
pub(super) struct Waker(Arc<Shared>);

impl Waker {
    /// Has the thread do its work now. Costs one load if it was asked already.
    pub(super) fn wake(&self) {
        // Relaxed, here and in `run`: who finds it set relies on a wake-up that is still to be served; the lock below
        // is what hands it over.
        if self.0.is_woken.load(Ordering::Relaxed) {
            return;
        }
        self.0.is_woken.store(true, Ordering::Relaxed);
        lock(&self.0.state).is_woken = true;
        self.0.changed.notify_all();
    }
}

impl Ticker {
    /// Starts the thread: `tick` is called every `period`, and whenever it is woken.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(&self, name: &str, period: Duration, tick: impl Fn() + Send + 'static) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || shared.run(period, &tick))
            .map_err(|error| Error::io("cannot start an eviction thread", error))?;
        *lock(&self.thread) = Some(thread);
        // Relaxed: only a status reads it.
        self.was_started.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// What wakes the thread.
    pub(super) fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.shared))
    }

    /// Whether the thread is there.
    pub(super) fn thread_alive(&self) -> bool {
        lock(&self.thread).as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Whether a thread was started and is gone.
    pub(super) fn is_missing(&self) -> bool {
        // Relaxed: see `start`.
        self.was_started.load(Ordering::Relaxed) && !self.thread_alive()
    }

    /// Stops the thread, if there is one: at once, or after the work that it is in.
    ///
    /// # Errors
    /// If the thread had panicked.
    pub(super) fn stop(&self) -> Result<()> {
        lock(&self.shared.state).is_stopped = true;
        self.shared.changed.notify_all();
        let thread = lock(&self.thread).take();
        // A sink of events that drops the last handle of a manager stops the thread that it runs on.
        match thread.filter(|thread| !os::thread::is_current(thread)).map(JoinHandle::join) {
            Some(Err(_)) => Err(Error::new(ErrorKind::Policy, "an eviction thread panicked")),
            Some(Ok(())) | None => Ok(()),
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        // A thread that panicked has said so on stderr; there is nobody left to tell.
        let _ = self.stop();
    }
}

impl Shared {
    fn run(&self, period: Duration, tick: &dyn Fn()) {
        loop {
            let state = lock(&self.state);
            let is_idle = |state: &mut State| !state.is_stopped && !state.is_woken;
            // The lock is held for stores only, in which no thread panics; if one did, it is time to end.
            let Ok((mut state, _)) = self.changed.wait_timeout_while(state, period, is_idle) else { return };
            if state.is_stopped {
                return;
            }
            state.is_woken = false;
            // Before the work: what is noticed during the work wakes the thread again.
            self.is_woken.store(false, Ordering::Relaxed);
            drop(state);
            tick();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticker_ticks_when_it_is_woken_and_stops_once() {
        let ticker = Ticker::default();
        let (send, receive) = crossbeam::channel::unbounded();
        assert!(!ticker.is_missing());
        ticker.start("test-ticker", Duration::from_secs(3600), move || send.send(()).unwrap()).unwrap();
        for _ in 0..3 {
            ticker.waker().wake();
            receive.recv().unwrap();
        }
        assert!(ticker.thread_alive());
        ticker.stop().unwrap();
        ticker.stop().unwrap();
        assert!(ticker.is_missing() && receive.recv().is_err());
    }
}

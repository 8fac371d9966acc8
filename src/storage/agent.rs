//! A controller that works on messages: on a thread of its own, or on its caller's.
//!
//! The controllers of L2 wait for nothing. They are sent messages (a request, an answer of an adapter) and handle
//! them in batches, in the order in which they came. With a thread, a storage manager works in the background, as
//! LMCache's does. Without one, whoever owns the manager pumps it, and what happens is a matter of the calls alone:
//! so tests and replays can be repeated to the bit.

use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::os;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Condvar, Mutex, lock};

/// The longest that a thread sleeps without looking whether there is something to do.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// What a controller does.
pub(super) trait Controller: Send + 'static {
    /// What it is sent.
    type Message: Send + 'static;

    /// Handles what came since the last time, in order; also called with nothing when [`Self::wait_ns`] is over.
    fn handle(&mut self, messages: Vec<Self::Message>);

    /// How long it can wait for a message, in nanoseconds; `None` is for ever.
    fn wait_ns(&self) -> Option<u64> {
        None
    }

    /// Lets go of everything: no message comes any more.
    fn stop(&mut self);
}

/// Where messages wait.
#[derive(Debug)]
pub(super) struct Mailbox<M> {
    state: Mutex<State<M>>,
    filled: Condvar,
}

#[derive(Debug)]
struct State<M> {
    messages: Vec<M>,
    /// Messages were taken, and what they ask for is not done.
    is_handling: bool,
    is_closed: bool,
    /// The thread has to handle what is left, since it closed the mailbox itself.
    is_left_to_thread: bool,
}

impl<M> Default for Mailbox<M> {
    fn default() -> Self {
        let state =
            State { messages: Vec::new(), is_handling: false, is_closed: false, is_left_to_thread: false };
        Self { state: Mutex::new(state), filled: Condvar::new() }
    }
}

impl<M> Mailbox<M> {
    /// Sends. After the agent was stopped the message is dropped, and this is false.
    pub(super) fn send(&self, message: M) -> bool {
        self.send_or_keep(message).is_ok()
    }

    /// Sends. After the agent was stopped the message comes back.
    pub(super) fn send_or_keep(&self, message: M) -> std::result::Result<(), M> {
        let mut state = lock(&self.state);
        if state.is_closed {
            return Err(message);
        }
        state.messages.push(message);
        drop(state);
        self.filled.notify_all();
        Ok(())
    }

    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        lock(&self.state).messages.len()
    }

    /// Whether nothing waits, and nothing is being handled.
    pub(super) fn is_idle(&self) -> bool {
        let state = lock(&self.state);
        state.messages.is_empty() && !state.is_handling
    }

    fn take(&self) -> Vec<M> {
        let mut state = lock(&self.state);
        state.is_handling = true;
        std::mem::take(&mut state.messages)
    }

    fn handled(&self) {
        lock(&self.state).is_handling = false;
    }

    /// Waits for messages, for the mailbox to close, or for `wait`. False once it is closed.
    fn wait(&self, wait: Duration) -> bool {
        let state = lock(&self.state);
        let is_idle = |state: &mut State<M>| state.messages.is_empty() && !state.is_closed;
        // The lock is held for moves of messages only; if that panicked, waiting is over.
        match self.filled.wait_timeout_while(state, wait, is_idle) {
            Ok((state, _)) => !state.is_closed,
            Err(_) => false,
        }
    }

    /// Takes no more messages, and leaves those that are there to the thread.
    fn close_by_thread(&self) {
        let mut state = lock(&self.state);
        state.is_left_to_thread |= !state.is_closed;
        state.is_closed = true;
    }

    /// What is left to the thread, once the mailbox is closed.
    fn take_left(&self) -> Option<Vec<M>> {
        let mut state = lock(&self.state);
        std::mem::take(&mut state.is_left_to_thread).then(|| std::mem::take(&mut state.messages))
    }

    fn close(&self) -> Vec<M> {
        let mut state = lock(&self.state);
        state.is_closed = true;
        let left = std::mem::take(&mut state.messages);
        drop(state);
        self.filled.notify_all();
        left
    }
}

/// A controller with its mailbox.
#[derive(Debug)]
pub(super) struct Agent<C: Controller> {
    mailbox: Arc<Mailbox<C::Message>>,
    controller: Arc<Mutex<C>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    has_thread: AtomicBool,
}

impl<C: Controller> Agent<C> {
    /// An agent without a thread.
    pub(super) fn new(mailbox: Arc<Mailbox<C::Message>>, controller: C) -> Self {
        let controller = Arc::new(Mutex::new(controller));
        Self { mailbox, controller, thread: Mutex::default(), has_thread: AtomicBool::new(false) }
    }

    /// Starts its thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(&self, name: &str) -> Result<()> {
        let (mailbox, controller) = (Arc::clone(&self.mailbox), Arc::clone(&self.controller));
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&mailbox, &controller))
            .map_err(|error| Error::io("cannot start a thread of the storage manager", error))?;
        *lock(&self.thread) = Some(thread);
        // Relaxed: a flag that orders nothing.
        self.has_thread.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Where to send.
    pub(super) fn mailbox(&self) -> &Arc<Mailbox<C::Message>> {
        &self.mailbox
    }

    /// Whether the agent works by itself, and still does; or needs nobody to.
    pub(super) fn is_healthy(&self) -> bool {
        // Relaxed: see `start`.
        !self.has_thread.load(Ordering::Relaxed)
            || lock(&self.thread).as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Whether a thread does the work.
    pub(super) fn thread_alive(&self) -> bool {
        lock(&self.thread).as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Without a thread: handles what has come, on the caller's. Returns whether there was anything to do.
    pub(super) fn pump(&self) -> bool {
        if lock(&self.thread).is_some() {
            return false;
        }
        // Another thread that pumps, or a callback of this one: its messages are handled by who is at it.
        let Ok(mut controller) = self.controller.try_lock() else { return false };
        let messages = self.mailbox.take();
        let has_work = !messages.is_empty() || controller.wait_ns() == Some(0);
        if has_work {
            controller.handle(messages);
        }
        drop(controller);
        self.mailbox.handled();
        has_work
    }

    /// Waits until a message comes, at most `wait`.
    pub(super) fn wait(&self, wait: Duration) {
        self.mailbox.wait(wait);
    }

    /// Ends the thread, and lets the controller go of everything. Stopping twice does no harm.
    ///
    /// # Errors
    /// If the thread had panicked.
    pub(super) fn stop(&self) -> Result<()> {
        if lock(&self.thread).as_ref().is_some_and(os::thread::is_current) {
            // A callback dropped the last handle of a manager on the thread that serves it, which holds the controller
            // further up, and does the rest when it finds its mailbox closed. Its handle stays: what stops twice, as closing
            // and dropping do, comes here twice.
            self.mailbox.close_by_thread();
            return Ok(());
        }
        let left = self.mailbox.close();
        // Two statements: a callback on that thread may ask whether it lives.
        let thread = lock(&self.thread).take();
        let joined = thread.map(JoinHandle::join);
        let mut controller = match self.controller.lock() {
            Ok(controller) => controller,
            Err(_) => {
                return Err(Error::new(ErrorKind::Policy, "a thread of the storage manager panicked"));
            }
        };
        if !left.is_empty() {
            controller.handle(left);
        }
        controller.stop();
        match joined {
            Some(Err(_)) => Err(Error::new(ErrorKind::Policy, "a thread of the storage manager panicked")),
            Some(Ok(())) | None => Ok(()),
        }
    }
}

impl<C: Controller> Drop for Agent<C> {
    fn drop(&mut self) {
        // A thread that panicked has said so on stderr; there is nobody left to tell.
        let _ = self.stop();
    }
}

fn run<C: Controller>(mailbox: &Mailbox<C::Message>, controller: &Mutex<C>) {
    loop {
        let wait_ns = lock(controller).wait_ns();
        let wait = wait_ns.map_or(MAX_WAIT, |wait_ns| Duration::from_nanos(wait_ns).min(MAX_WAIT));
        if !mailbox.wait(wait) {
            if let Some(left) = mailbox.take_left() {
                let mut controller = lock(controller);
                controller.handle(left);
                controller.stop();
            }
            return;
        }
        let messages = mailbox.take();
        let mut controller = lock(controller);
        if !messages.is_empty() || controller.wait_ns() == Some(0) {
            controller.handle(messages);
        }
        drop(controller);
        mailbox.handled();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Sum(Arc<Mutex<Vec<Vec<u32>>>>);

    impl Controller for Sum {
        type Message = u32;

        fn handle(&mut self, messages: Vec<u32>) {
            lock(&self.0).push(messages);
        }

        fn stop(&mut self) {
            lock(&self.0).push(vec![0]);
        }
    }

    #[test]
    fn without_a_thread_the_caller_pumps_and_a_stop_handles_what_is_left() {
        let seen = Arc::default();
        let agent = Agent::new(Arc::default(), Sum(Arc::clone(&seen)));
        assert!(!agent.pump());
        assert!(agent.mailbox().send(1) && agent.mailbox().send(2));
        assert!(agent.pump() && !agent.pump());
        agent.mailbox().send(3);
        agent.stop().unwrap();
        assert!(!agent.mailbox().send(4));
        assert_eq!(*lock(&seen), [vec![1, 2], vec![3], vec![0]]);
    }

    /// Drops its own agent when it is told to.
    #[derive(Debug)]
    struct OwnEnd(Arc<Mutex<Option<Agent<Self>>>>, crossbeam::channel::Sender<u32>);

    impl Controller for OwnEnd {
        type Message = u32;

        fn handle(&mut self, messages: Vec<u32>) {
            for message in messages {
                let agent = lock(&self.0).take();
                if let Some(agent) = &agent {
                    // What comes while it is at work is not lost.
                    agent.mailbox().send(2);
                    assert!(agent.stop().is_ok() && agent.is_healthy() && !agent.mailbox().send(3));
                }
                drop(agent);
                self.1.send(message).unwrap();
            }
        }

        fn stop(&mut self) {
            self.1.send(0).unwrap();
        }
    }

    #[test]
    fn a_controller_that_drops_its_own_agent_does_what_is_left_and_stops() {
        let (sender, receiver) = crossbeam::channel::unbounded();
        let place = Arc::default();
        let agent = Agent::new(Arc::default(), OwnEnd(Arc::clone(&place), sender));
        agent.start("test-agent").unwrap();
        let mailbox = Arc::clone(agent.mailbox());
        *lock(&place) = Some(agent);
        mailbox.send(1);
        let patience = Duration::from_secs(60);
        let seen: Vec<u32> = (0..3).map(|_| receiver.recv_timeout(patience).unwrap()).collect();
        assert_eq!(seen, [1, 2, 0]);
    }

    #[test]
    fn a_thread_handles_what_is_sent() {
        let seen: Arc<Mutex<Vec<Vec<u32>>>> = Arc::default();
        let agent = Agent::new(Arc::default(), Sum(Arc::clone(&seen)));
        agent.start("test-agent").unwrap();
        (1..=100).for_each(|message| assert!(agent.mailbox().send(message)));
        agent.stop().unwrap();
        let all: Vec<u32> = lock(&seen).concat();
        assert_eq!(all, (1..=100).chain([0]).collect::<Vec<_>>());
    }
}

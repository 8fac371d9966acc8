//! Answers that come as late as a slow store would give them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::{NS_PER_S, monotonic_ns};
use crate::os;
use crate::sync::{Arc, Condvar, Mutex, lock};

/// A delay below this is none: the answer comes on the thread that submitted the task.
pub const MIN_DELAY_NS: u64 = 1_000;

/// How slow a mock is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DelayOptions {
    /// Bytes a second of a store; 0 is no limit.
    pub store_bytes_per_s: f64,
    /// Bytes a second of a load; 0 is no limit.
    pub load_bytes_per_s: f64,
    /// Nanoseconds that each task takes besides.
    pub latency_ns: u64,
    /// Each task takes up to so much longer, evenly spread.
    pub jitter_ns: u64,
    /// The same seed gives the same jitter, task by task.
    pub jitter_seed: u64,
}

struct Late {
    due_ns: u64,
    /// Tasks of one deadline are answered in the order in which they came.
    sequence: u64,
    answer: Box<dyn FnOnce() + Send>,
}

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        (self.due_ns, self.sequence) == (other.due_ns, other.sequence)
    }
}

impl Eq for Late {}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Late {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due_ns, self.sequence).cmp(&(other.due_ns, other.sequence))
    }
}

#[derive(Default)]
struct Queue {
    late: BinaryHeap<Reverse<Late>>,
    next_sequence: u64,
    random: u64,
    thread: Option<JoinHandle<()>>,
    is_closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// The answers that are not due yet. Its thread starts with the first of them.
pub(super) struct Delay {
    options: DelayOptions,
    shared: Arc<Shared>,
}

impl fmt::Debug for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Delay").field(&self.options).finish()
    }
}

impl Delay {
    pub(super) fn new(options: DelayOptions) -> Self {
        let shared = Arc::<Shared>::default();
        lock(&shared.queue).random = options.jitter_seed;
        Self { options, shared }
    }

    /// Answers when a store of `bytes` that began at `begun_ns` would be done.
    pub(super) fn after_store(&self, begun_ns: u64, bytes: u64, answer: impl FnOnce() + Send + 'static) {
        self.after(begun_ns, transfer_ns(bytes, self.options.store_bytes_per_s), answer);
    }

    /// The same for a load.
    pub(super) fn after_load(&self, begun_ns: u64, bytes: u64, answer: impl FnOnce() + Send + 'static) {
        self.after(begun_ns, transfer_ns(bytes, self.options.load_bytes_per_s), answer);
    }

    /// The same for a lookup, which moves no bytes.
    pub(super) fn after_lookup(&self, answer: impl FnOnce() + Send + 'static) {
        self.after(monotonic_ns(), 0, answer);
    }

    fn after(&self, begun_ns: u64, transfer_ns: u64, answer: impl FnOnce() + Send + 'static) {
        let mut queue = lock(&self.shared.queue);
        let jitter_ns = match self.options.jitter_ns {
            0 => 0,
            jitter_ns => queue.next_random() % (jitter_ns + 1),
        };
        let delay_ns = transfer_ns.saturating_add(self.options.latency_ns).saturating_add(jitter_ns);
        if delay_ns < MIN_DELAY_NS || queue.is_closed {
            drop(queue);
            return answer();
        }
        if queue.thread.is_none() {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("l2-mock-delay".to_owned());
            match thread.spawn(move || shared.run()) {
                Ok(thread) => queue.thread = Some(thread),
                Err(_) => {
                    // Without a thread the mock is faster than it was told to be, but it answers.
                    drop(queue);
                    return answer();
                }
            }
        }
        let sequence = queue.next_sequence;
        queue.next_sequence += 1;
        let due_ns = begun_ns.saturating_add(delay_ns);
        queue.late.push(Reverse(Late { due_ns, sequence, answer: Box::new(answer) }));
        drop(queue);
        self.shared.changed.notify_one();
    }

    /// Drops the answers that are not due, and ends the thread.
    pub(super) fn close(&self) {
        let mut queue = lock(&self.shared.queue);
        queue.is_closed = true;
        let (late, thread) = (std::mem::take(&mut queue.late), queue.thread.take());
        drop(queue);
        // Outside the lock: what is dropped answers, and who hears of that may submit again.
        drop(late);
        self.shared.changed.notify_one();
        if let Some(thread) = thread.filter(|thread| !os::thread::is_current(thread)) {
            // An answer that panicked ended the thread; its message is on stderr.
            let _ = thread.join();
        }
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.close();
    }
}

impl Queue {
    /// SplitMix64.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

impl Shared {
    fn run(&self) {
        let mut queue = lock(&self.queue);
        loop {
            if queue.is_closed {
                return;
            }
            let now_ns = monotonic_ns();
            let wait_ns = queue.late.peek().map(|Reverse(late)| late.due_ns.saturating_sub(now_ns));
            if wait_ns == Some(0) {
                let Some(Reverse(late)) = queue.late.pop() else { continue };
                drop(queue);
                (late.answer)();
                queue = lock(&self.queue);
                continue;
            }
            // The lock is held for moves of boxes only; if that panicked, the thread ends.
            let wait = Duration::from_nanos(wait_ns.unwrap_or(NS_PER_S));
            let Ok((guard, _)) = self.changed.wait_timeout(queue, wait) else { return };
            queue = guard;
        }
    }
}

fn transfer_ns(bytes: u64, bytes_per_s: f64) -> u64 {
    if bytes_per_s > 0.0 { (bytes as f64 / bytes_per_s * NS_PER_S as f64) as u64 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_the_order_of_their_deadlines_and_never_early() {
        let options = DelayOptions { store_bytes_per_s: 1e9, latency_ns: 2_000_000, ..Default::default() };
        let delay = Delay::new(options);
        let (send, receive) = crossbeam::channel::unbounded();
        let begun_ns = monotonic_ns();
        for bytes in [9_000_000, 1_000_000, 0] {
            let send = send.clone();
            delay.after_store(begun_ns, bytes, move || send.send((bytes, monotonic_ns())).unwrap());
        }
        for bytes in [0, 1_000_000, 9_000_000] {
            let (answered, at_ns) = receive.recv().unwrap();
            assert_eq!(answered, bytes);
            assert!(at_ns >= begun_ns + 2_000_000 + bytes);
        }
    }

    #[test]
    fn a_short_delay_is_none_and_a_closed_one_drops() {
        let delay = Delay::new(DelayOptions { latency_ns: MIN_DELAY_NS - 1, ..Default::default() });
        let (send, receive) = crossbeam::channel::unbounded();
        let sent = send.clone();
        delay.after_lookup(move || sent.send(1).unwrap());
        assert_eq!(receive.try_recv(), Ok(1));
        let delay = Delay::new(DelayOptions { latency_ns: NS_PER_S * 3600, ..Default::default() });
        delay.after_lookup(move || send.send(2).unwrap());
        delay.close();
        assert_eq!(receive.recv(), Err(crossbeam::channel::RecvError));
    }
}

//! Outcomes on their way to become spans: a queue that holds nobody up.

use crossbeam::channel::{Receiver, Sender, bounded};

use crate::replay::observe::{Outcome, ReplayObserver, Status};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The observer that passes calls on. A call that finds the queue full is counted, and has no span.
#[derive(Debug)]
pub struct SpanFeed {
    queue: Sender<Outcome>,
    offered: Arc<AtomicU64>,
}

/// The other end of a [`SpanFeed`].
#[derive(Debug)]
pub struct Fed {
    /// Calls to make spans of.
    pub queue: Receiver<Outcome>,
    offered: Arc<AtomicU64>,
}

/// A queue for `queued` calls.
pub fn feed(queued: usize) -> (SpanFeed, Fed) {
    let (sender, receiver) = bounded(queued);
    let offered = Arc::new(AtomicU64::new(0));
    (SpanFeed { queue: sender, offered: Arc::clone(&offered) }, Fed { queue: receiver, offered })
}

impl Fed {
    /// How many calls there were, those that found no room with them.
    pub fn offered(&self) -> u64 {
        // Relaxed: it is read at the end, when the observer has gone.
        self.offered.load(Ordering::Relaxed)
    }
}

impl ReplayObserver for SpanFeed {
    fn record(&mut self, outcome: &Outcome) {
        // A record that was skipped is no call.
        if outcome.status == Status::Skipped {
            return;
        }
        // Relaxed: see `Fed::offered`.
        self.offered.fetch_add(1, Ordering::Relaxed);
        // Who is not taken is the difference between what was offered and what arrived.
        let _ = self.queue.try_send(outcome.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::model::Op;
    use crate::replay::observe::RecordName;

    fn outcome(status: Status) -> Outcome {
        Outcome {
            seq: 0,
            name: RecordName::Op(Op::ReserveWrite),
            status,
            due_ns: Some(0),
            lag_ns: Some(0),
            start_ns: 1,
            latency_ns: 1,
            worker: 0,
            follows: None,
        }
    }

    #[test]
    fn a_full_queue_takes_no_more_and_counts_them() {
        let (mut feed, fed) = feed(2);
        for status in [Status::Replayed, Status::Skipped, Status::Failed, Status::Replayed] {
            feed.record(&outcome(status));
        }
        assert_eq!((fed.queue.len(), fed.offered()), (2, 3));
        let statuses: Vec<_> = fed.queue.try_iter().map(|outcome| outcome.status).collect();
        assert_eq!(statuses, [Status::Replayed, Status::Failed]);
    }
}

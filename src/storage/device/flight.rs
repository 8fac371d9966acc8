//! The transfers of one call, until the last one is over.

use super::landing::{Job, Landed};
use super::objects::PinnedObjects;
use crate::device::{Direction, Done, Moved, Plan, Stream, Transfer};
use crate::error::{Error, Result};
use crate::storage::agent::Mailbox;
use crate::sync::{Arc, Mutex, lock};

/// A call whose transfers are on a stream.
#[derive(Debug)]
struct Flight {
    state: Mutex<State>,
    mailbox: Arc<Mailbox<Landed>>,
}

#[derive(Debug)]
struct State {
    /// Until the last transfer is over.
    job: Option<Job>,
    transfers_left: usize,
    bytes: u64,
    /// The first that came.
    error: Option<Error>,
}

/// Submits `transfers`, of which there is at least one. When all are over, `job` goes on by a message to `mailbox`.
pub(super) fn submit(
    job: Job,
    mailbox: &Arc<Mailbox<Landed>>,
    direction: Direction,
    transfers: Vec<(Plan, Arc<PinnedObjects>)>,
    stream: &dyn Stream,
) {
    let state = State { job: Some(job), transfers_left: transfers.len(), bytes: 0, error: None };
    let flight = Arc::new(Flight { state: Mutex::new(state), mailbox: Arc::clone(mailbox) });
    for (plan, host) in transfers {
        let flight = Arc::clone(&flight);
        let done = Done::new(move |outcome| flight.is_over(outcome));
        stream.submit(Transfer { plan: Arc::new(plan), direction, host }, done);
    }
}

impl Flight {
    /// A transfer is over. Called on a thread of the device's, whose next transfer waits for it: it leaves the work to the
    /// manager's thread. Where the manager was closed there is none, and nothing to do but to say so.
    fn is_over(&self, outcome: Result<Moved>) {
        if let Some(landed) = self.count(outcome)
            && let Err(landed) = self.mailbox.send_or_keep(landed)
        {
            landed.land();
        }
    }

    fn count(&self, outcome: Result<Moved>) -> Option<Landed> {
        let mut state = lock(&self.state);
        match outcome {
            Ok(moved) => state.bytes += moved.bytes,
            Err(error) if state.error.is_none() => state.error = Some(error),
            Err(_) => {}
        }
        state.transfers_left -= 1;
        let job = if state.transfers_left == 0 { state.job.take()? } else { return None };
        let moved = match state.error.take() {
            Some(error) => Err(error),
            None => Ok(state.bytes),
        };
        Some(Landed::new(job, moved))
    }
}

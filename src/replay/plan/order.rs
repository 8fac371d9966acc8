//! Which calls wait for which.

use super::{Wait, Waits};

/// What decides when a call can be made, besides its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The clock alone, as LMCache's replay: the storage manager works in the background on the clock of the wall, and
    /// what a call finds is a matter of timing. Several workers keep the order of the calls on each key.
    #[default]
    Recorded,
    /// The trace: every call finds what all calls before it left, whatever the pace and the number of workers. What it
    /// set in motion is over before a call can see it, and what LMCache does by the clock runs on the trace's own time. The
    /// same trace under the same configuration has the same hits, misses and evictions.
    Causal,
}

/// Adds to what a call waits for. The last call of a worker stands for those before it.
pub(super) fn add_wait(waits: &mut Waits, wait: Wait) {
    match waits.iter_mut().find(|other| other.worker == wait.worker) {
        Some(other) => other.calls = other.calls.max(wait.calls),
        None => waits.push(wait),
    }
}

//! What a replay dispatches its calls to.

use crate::error::Result;
use crate::format::model::StorageCall;
use crate::replay::plan::ReadSlot;
use crate::replay::stop::StopFlag;

/// Takes the calls of a replay, one after the other, on the dispatcher thread.
///
/// A trait because a benchmark of the dispatcher itself, and its tests, replace the storage manager.
pub trait ReplayTarget {
    /// Carries out `call`. Its run time is the call's latency, so anything that is not the call belongs into
    /// [`ReplayTarget::settle`]. An enter opens `slot`; an exit closes it, or none if nothing is open.
    ///
    /// # Errors
    /// If the call cannot be carried out: the record counts as failed and the replay goes on.
    fn dispatch(&mut self, call: &StorageCall, slot: Option<ReadSlot>) -> Result<()>;

    /// Runs after each call, outside the time that is measured: `call` is the one that was made, `seq` its number in the
    /// trace. A call that waits for this one must not begin before.
    fn settle(&mut self, _seq: u64, _call: &StorageCall) {}

    /// Runs after the last call: closes what the trace left open, and waits for what is under way, unless `stop` says
    /// not to.
    fn finish(&mut self, _stop: &StopFlag) {}
}

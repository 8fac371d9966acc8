//! What a replay dispatches its calls to.

use crate::error::Result;
use crate::format::model::StorageCall;
use crate::replay::plan::ReadSlot;
use crate::replay::stop::StopFlag;

/// A call that was made.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// Its number in the trace.
    pub seq: u64,
    /// The call.
    pub call: &'a StorageCall,
    /// How long it took, in nanoseconds.
    pub latency_ns: u64,
}

/// Takes the calls of a worker, one after the other, on its thread.
///
/// A trait because a benchmark of the dispatcher itself, and its tests, replace the storage manager.
pub trait ReplayTarget {
    /// Runs before each call, when all calls that it waits for are done, and before it is due; `trace_ns` is when it was made, in
    /// nanoseconds from the start of the recording.
    fn prepare(&mut self, _call: &StorageCall, _trace_ns: u64, _stop: &StopFlag) {}

    /// Carries out `call`. Its run time is the call's latency, so anything that is not the call belongs into
    /// [`ReplayTarget::settle`]. An enter opens `slot`; an exit closes it, or none if nothing is open.
    ///
    /// # Errors
    /// If the call cannot be carried out: the record counts as failed and the replay goes on.
    fn dispatch(&mut self, call: &StorageCall, slot: Option<ReadSlot>) -> Result<()>;

    /// Runs after each call, outside the time that is measured. A wait in it ends when `stop` says so. Who waits for the call waits
    /// for this, too.
    fn settle(&mut self, _made: &Made<'_>, _stop: &StopFlag) {}

    /// Runs after the last call of all workers: closes what the trace left open, and waits for what is under way, unless `stop` says
    /// not to.
    fn finish(&mut self, _stop: &StopFlag) {}
}

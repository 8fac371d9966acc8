//! The decoder thread: decodes ahead of the dispatcher, by a bounded amount of memory.
//!
//! Records travel in batches, so that a hand-over between threads is paid once for many calls. The
//! dispatcher sends a batch back when its calls are made: it is freed here, not on the schedule.

use crossbeam::channel::{Receiver, Sender, TrySendError};

use crate::clock::monotonic_ns;
use crate::format::model::{ObjectKey, StorageCall};
use crate::os;
use crate::replay::plan::{PlannedRecord, Planner};
use crate::replay::timed::{RecordBody, TimedRecord};

/// Records of one batch, at most.
const BATCH_RECORDS: usize = 256;

/// Memory of one batch, in bytes, from which on it is closed. One record more may stand in it.
const BATCH_BYTES: usize = 1 << 20;

/// How many decoded batches wait for the dispatcher, at most: with [`BATCH_BYTES`], 16 MiB.
pub(super) const BATCHES_AHEAD: usize = 16;

/// How long the decoder sleeps when it is as far ahead as it may be: short beside the time that the batches
/// ahead last at any rate.
const FULL_POLL_NS: u64 = 100_000;

/// Decoded records, in the order of the trace.
pub(super) type Batch = Vec<PlannedRecord>;

/// Decodes until the source ends or nobody takes batches any more.
pub(super) fn feed(
    mut source: impl Iterator<Item = TimedRecord>,
    batches: &Sender<Batch>,
    spent: &Receiver<Batch>,
) {
    let mut planner = Planner::default();
    loop {
        let mut batch = spent.try_recv().unwrap_or_else(|_| Vec::with_capacity(BATCH_RECORDS));
        batch.clear();
        fill(&mut batch, &mut source, &mut planner);
        if batch.is_empty() || !hand_over(batch, batches) {
            return;
        }
        // Frees the calls of every batch that came back, beside the one that is used again.
        spent.try_iter().for_each(drop);
    }
}

/// Waits for room without blocking on the channel: a sender that blocks is woken by the dispatcher, which would
/// cost it a system call between two deadlines. False if nobody takes batches any more.
fn hand_over(mut batch: Batch, batches: &Sender<Batch>) -> bool {
    loop {
        batch = match batches.try_send(batch) {
            Ok(()) => return true,
            Err(TrySendError::Disconnected(_)) => return false,
            Err(TrySendError::Full(batch)) => batch,
        };
        os::time::sleep_until_ns(monotonic_ns() + FULL_POLL_NS);
    }
}

fn fill(batch: &mut Batch, source: &mut impl Iterator<Item = TimedRecord>, planner: &mut Planner) {
    let mut batch_bytes = 0;
    while batch.len() < BATCH_RECORDS && batch_bytes < BATCH_BYTES {
        let Some(record) = source.next() else { return };
        let planned = planner.plan(record);
        batch_bytes += memory_bytes(&planned);
        batch.push(planned);
    }
}

/// About how much memory a record holds.
fn memory_bytes(planned: &PlannedRecord) -> usize {
    let held_bytes = match &planned.record.body {
        RecordBody::Call(call) => call_bytes(call),
        RecordBody::Skipped { qualname, reason } => qualname.len() + reason.len(),
    };
    size_of::<PlannedRecord>() + held_bytes
}

fn call_bytes(call: &StorageCall) -> usize {
    match call {
        StorageCall::ReserveWrite { keys, .. }
        | StorageCall::FinishWrite { keys }
        | StorageCall::ReadEnter { keys }
        | StorageCall::ReadExit { keys }
        | StorageCall::FinishRead { keys, .. } => keys_bytes(keys),
        StorageCall::SubmitPrefetch { spec, external_request_id, .. } => {
            let rows_bytes: usize = spec.key_groups.iter().map(|group| keys_bytes(&group.keys)).sum();
            rows_bytes + external_request_id.len()
        }
    }
}

/// A hash that does not fit into its key is held beside it; counting every hash twice is near enough.
fn keys_bytes(keys: &[ObjectKey]) -> usize {
    size_of_val(keys) + keys.iter().map(|key| key.chunk_hash().as_bytes().len()).sum::<usize>()
}

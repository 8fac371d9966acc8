//! What follows when the transfers of a call are over.

use super::counters::{Counters, DeviceTransferStatus};
use super::ticket::{ObjectOutcome, Slot, TransferOutcome};
use crate::error::{Error, Result};
use crate::format::model::ObjectKey;
use crate::storage::agent::{Agent, Controller};
use crate::storage::config::Compat;
use crate::storage::hook::CallHook;
use crate::storage::l1::L1Error;
use crate::storage::memory::Span;
use crate::storage::reader::{L1ManagerId, L1Owners, Reader};
use crate::storage::writes::WriteEnd;
use crate::sync::{Arc, Mutex, lock};

/// What is needed to finish transfers. It outlives the manager where a device is slower than its end.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) reader: Reader,
    pub(super) write_end: Arc<WriteEnd>,
    pub(super) counters: Counters,
}

/// The storage manager's part for devices.
#[derive(Debug)]
pub(in crate::storage) struct Transfers {
    pub(super) ground: Arc<Ground>,
    pub(in crate::storage) agent: Agent<Landing>,
    is_started: Mutex<bool>,
}

impl Transfers {
    pub(in crate::storage) fn new(reader: Reader, write_end: Arc<WriteEnd>) -> Self {
        let ground = Ground { reader, write_end, counters: Counters::default() };
        let agent = Agent::new(Arc::default(), Landing);
        Self { ground: Arc::new(ground), agent, is_started: Mutex::default() }
    }

    /// Starts the thread, once. In a manager that is closed it ends at once.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(in crate::storage) fn start(&self) -> Result<()> {
        let mut is_started = lock(&self.is_started);
        if !*is_started {
            self.agent.start("device-end")?;
            *is_started = true;
        }
        Ok(())
    }

    pub(in crate::storage) fn report_status(&self) -> DeviceTransferStatus {
        self.ground.counters.status(self.agent.is_healthy(), self.agent.mailbox().len())
    }
}

/// The controller that finishes transfers.
#[derive(Debug)]
pub(in crate::storage) struct Landing;

impl Controller for Landing {
    type Message = Landed;

    fn handle(&mut self, messages: Vec<Landed>) {
        messages.into_iter().for_each(Landed::land);
    }

    /// What is still on a stream ends on the device's thread.
    fn stop(&mut self) {}
}

/// The objects that a store reserved in one L1.
#[derive(Debug)]
pub(super) struct Reservation {
    pub(super) owner: L1ManagerId,
    /// In the call.
    pub(super) positions: Vec<usize>,
    pub(super) keys: Vec<ObjectKey>,
    pub(super) spans: Vec<Span>,
}

/// What a call has to do at its end.
#[derive(Debug)]
pub(super) enum Work {
    Store(Vec<Reservation>),
    Retrieve { keys: Vec<ObjectKey>, owners: Option<L1Owners> },
}

/// A call whose transfers are under way.
#[derive(Debug)]
pub(super) struct Job {
    ground: Arc<Ground>,
    hook: Option<Arc<dyn CallHook>>,
    work: Work,
    /// Those whose fate hangs on the transfer are failed until it is known.
    objects: Vec<ObjectOutcome>,
    slot: Arc<Slot>,
}

impl Job {
    pub(super) fn new(
        ground: &Arc<Ground>,
        hook: Option<Arc<dyn CallHook>>,
        work: Work,
        objects: Vec<ObjectOutcome>,
        slot: Arc<Slot>,
    ) -> Self {
        Counters::add(&ground.counters.in_flight, 1);
        Self { ground: Arc::clone(ground), hook, work, objects, slot }
    }
}

/// A call whose transfers are over, with how many bytes they moved.
#[derive(Debug)]
pub(in crate::storage) struct Landed {
    job: Job,
    moved: Result<u64>,
}

impl Landed {
    pub(super) fn new(job: Job, moved: Result<u64>) -> Self {
        Self { job, moved }
    }

    /// Makes stored objects readable, or gives up what did not come; releases the locks on retrieved ones; and tells whoever waits.
    pub(super) fn land(self) {
        let Self { job, moved } = self;
        let Job { ground, hook, work, mut objects, slot } = job;
        let error = match work {
            Work::Store(reserved) => ground.end_store(&reserved, hook.as_ref(), &moved, &mut objects),
            Work::Retrieve { keys, owners } => {
                ground.end_retrieve(&keys, owners.as_ref(), hook.as_ref(), moved.is_ok(), &mut objects);
                None
            }
        };
        let (bytes, error) = match (moved, error) {
            (Ok(bytes), error) => (bytes, error),
            (Err(error), _) => (0, Some(error)),
        };
        ground.count(bytes, error.is_some());
        slot.publish(TransferOutcome { objects, bytes, error });
    }
}

impl Ground {
    /// Returns what went wrong after the transfer.
    fn end_store(
        &self,
        reserved: &[Reservation],
        hook: Option<&Arc<dyn CallHook>>,
        moved: &Result<u64>,
        objects: &mut [ObjectOutcome],
    ) -> Option<Error> {
        if moved.is_err() {
            self.give_up(reserved);
            return None;
        }
        if reserved.is_empty() {
            return None;
        }
        let groups: Vec<_> = reserved.iter().map(|group| (group.owner, &*group.keys)).collect();
        let codes = match self.write_end.finish_by_owner(&groups, hook) {
            Ok(codes) => codes,
            Err(error) => return Some(error),
        };
        for (group, codes) in reserved.iter().zip(codes) {
            for (position, code) in group.positions.iter().zip(codes.as_slice()) {
                let is_stored = *code == L1Error::Success;
                objects[*position] = if is_stored { ObjectOutcome::Moved } else { ObjectOutcome::Lost };
                let counters = &self.counters;
                Counters::add(if is_stored { &counters.stored_objects } else { &counters.lost_objects }, 1);
            }
        }
        None
    }

    /// Nobody will read what did not come whole. LMCache, whose devices may write on, leaves the reservations until they run out;
    /// here their bytes are pinned for as long as a device may.
    fn give_up(&self, reserved: &[Reservation]) {
        if self.reader.compat == Compat::Lmcache {
            return;
        }
        for group in reserved {
            self.reader.l1s[group.owner as usize].give_up_write(&group.keys, &group.spans);
        }
    }

    fn end_retrieve(
        &self,
        keys: &[ObjectKey],
        owners: Option<&L1Owners>,
        hook: Option<&Arc<dyn CallHook>>,
        is_moved: bool,
        objects: &mut [ObjectOutcome],
    ) {
        // Whoever has no owner was refused at the call; a lock that ran out meanwhile took nothing away, since the bytes are pinned.
        let _ = self.reader.finish_read_hooked(keys, 1, owners, hook);
        if is_moved {
            objects.fill(ObjectOutcome::Moved);
            Counters::add(&self.counters.retrieved_objects, keys.len() as u64);
        }
    }

    fn count(&self, bytes: u64, has_failed: bool) {
        Counters::add(&self.counters.moved_bytes, bytes);
        Counters::add(&self.counters.failed_transfers, u64::from(has_failed));
        Counters::sub(&self.counters.in_flight, 1);
    }
}

//! The two calls: what LMCache's server does on a STORE and on a RETRIEVE.

use std::time::Duration;

use super::flight;
use super::landing::{Job, Landed, Reservation, Work};
use super::objects::PinnedObjects;
use super::pages::{PagedPart, Pages, Side};
use super::ticket::{ObjectOutcome, Slot, TransferOutcome, TransferTicket};
use crate::device::{Direction, Plan, Stream};
use crate::error::{Error, Result};
use crate::format::model::{MemoryLayoutDesc, ObjectKey, WriteMode};
use crate::storage::l1::{L1Error, L1Manager};
use crate::storage::lease::publish_read_failures;
use crate::storage::manager::StorageManager;
use crate::storage::memory::{PinnedSpan, Span};
use crate::storage::reader::{L1ManagerId, L1Owners};
use crate::storage::writes::Reserved;
use crate::sync::Arc;

/// What is to be stored: for each key, the pages of a chunk.
#[derive(Clone, Copy, Debug)]
pub struct DeviceStore<'a> {
    /// The objects, each named once.
    pub keys: &'a [ObjectKey],
    /// What each of them is: a tensor for each part.
    pub layout: &'a MemoryLayoutDesc,
    /// Where their bytes are in the engine's cache.
    pub parts: &'a [PagedPart<'a>],
    /// The block that an engine names where it has nothing. An object of nothing else is not stored.
    pub null_block: Option<i64>,
}

/// What is to be retrieved: for each key, the pages of a chunk.
#[derive(Clone, Copy, Debug)]
pub struct DeviceRetrieve<'a> {
    /// The objects, of which the caller holds a read lock each, from a prefetch.
    pub keys: &'a [ObjectKey],
    /// Where their bytes are to go in the engine's cache.
    pub parts: &'a [PagedPart<'a>],
    /// Which L1 each is in, as the prefetch said; nothing where there is one.
    pub owners: Option<&'a L1Owners>,
}

/// Objects that lie in L1s, by what they have in common, with their places in the call.
type Places = Vec<(Side, Vec<(usize, PinnedSpan)>)>;

impl StorageManager {
    /// Stores objects from an engine's pages: reserves those that are not there already, gathers them on `stream`, behind
    /// all that was submitted to it, and makes them readable when the last byte has come.
    ///
    /// The call does not wait. As in LMCache, keys that are there already, or that somebody else is writing, are left alone, and if
    /// L1 has no room for the others, none of them is stored; the [outcome](TransferOutcome) says so of each key. If the transfer fails, nothing of it
    /// is stored, and it can be stored again at once.
    ///
    /// # Errors
    /// If the pages do not fit the objects, name blocks that do not exist, or come to too many runs; if a key is named
    /// twice; if the manager is closed. Nothing is reserved then. What is wrong with the device is told by the ticket.
    pub fn store_from_device(
        &self,
        request: &DeviceStore<'_>,
        stream: &dyn Stream,
    ) -> Result<TransferTicket> {
        let pages = Pages::new(request.parts, request.keys.len())?;
        pages.check_whole()?;
        pages.check_layout(request.layout)?;
        check_distinct(request.keys)?;
        self.start_transfers()?;
        let is_there = |index: &usize| !request.null_block.is_some_and(|null| pages.is_null(*index, null));
        let positions: Vec<usize> = (0..request.keys.len()).filter(is_there).collect();
        let keys: Vec<ObjectKey> = positions.iter().map(|index| request.keys[*index].clone()).collect();
        let reserved =
            self.reserve_as(&keys, request.layout, WriteMode::New, L1Manager::reserve_write_pinned)?;
        let mut objects = vec![ObjectOutcome::NullBlocks; request.keys.len()];
        for (position, code) in positions.iter().zip(reserved.codes.as_slice()) {
            objects[*position] = match code {
                L1Error::Success => ObjectOutcome::Failed,
                L1Error::OutOfMemory => ObjectOutcome::OutOfMemory,
                _ => ObjectOutcome::AlreadyThere,
            };
        }
        let places = by_owner(reserved, &positions);
        let reservations: Vec<_> = places.iter().map(|places| reservation(places, request.keys)).collect();
        let plans = pages.plans(spans(&places)).inspect_err(|_| self.give_up(&reservations))?;
        Ok(self.fly(Work::Store(reservations), objects, Direction::DeviceToHost, (plans, places), stream))
    }

    /// Retrieves objects that a prefetch found and locked into an engine's pages: scatters them on `stream`, behind all that was
    /// submitted to it, and releases one read lock on each key when the last byte has gone, or when it is clear that it
    /// will not.
    ///
    /// The call does not wait. If one of the keys cannot be read, nothing is moved, as in LMCache. What is under way is not
    /// hurt by locks that run out, or by objects that are deleted.
    ///
    /// # Errors
    /// If the pages do not fit the objects, name blocks that do not exist, or come to too many runs; if there are
    /// several L1s, and a key has no owner that exists; if the manager is closed. The locks are still the caller's then. What is wrong
    /// with the device is told by the ticket.
    pub fn retrieve_to_device(
        &self,
        request: &DeviceRetrieve<'_>,
        stream: &dyn Stream,
    ) -> Result<TransferTicket> {
        let pages = Pages::new(request.parts, request.keys.len())?;
        self.start_transfers()?;
        let reader = self.readers.mine();
        let found = reader.read_as(request.keys, request.owners, L1Manager::unsafe_read_pinned)?;
        let is_other = |pin: &&PinnedSpan| pin.size_bytes() as u64 != pages.object_bytes();
        if let Some(other) = found.spans.iter().flatten().find(is_other) {
            return Err(Error::invalid("an object has another size than the engine's pages for it")
                .with_context("object_bytes", other.size_bytes())
                .with_context("pages_bytes", pages.object_bytes()));
        }
        let work = Work::Retrieve { keys: request.keys.to_vec(), owners: request.owners.cloned() };
        let objects = vec![ObjectOutcome::Failed; request.keys.len()];
        if !found.codes.all_succeeded() {
            publish_read_failures(&reader.events, request.keys, &found.codes);
            return Ok(self.refuse_retrieve(work, objects, found.codes.as_slice()));
        }
        let owner = |position: usize| found.owners.get(position).copied().unwrap_or(0);
        let mut places = Places::new();
        for (position, pin) in found.spans.into_iter().enumerate() {
            place(&mut places, owner(position), position, pin);
        }
        let plans = pages.plans(spans(&places))?;
        Ok(self.fly(work, objects, Direction::HostToDevice, (plans, places), stream))
    }

    /// How a transfer ended, if it has before `timeout` is over. A manager without threads is pumped meanwhile; so must be a
    /// device that has none, by somebody else.
    pub fn wait_transfer(&self, ticket: &TransferTicket, timeout: Duration) -> Option<Arc<TransferOutcome>> {
        if self.is_threaded { ticket.wait(timeout) } else { self.pump_until_landed(ticket, timeout) }
    }

    /// Puts the transfers on the stream.
    fn fly(
        &self,
        work: Work,
        objects: Vec<ObjectOutcome>,
        direction: Direction,
        (plans, places): (Vec<(Side, Plan)>, Places),
        stream: &dyn Stream,
    ) -> TransferTicket {
        let (job, ticket) = self.job(work, objects);
        if plans.is_empty() {
            Landed::new(job, Ok(0)).land();
            return ticket;
        }
        let pinned = |(side, places): (Side, Vec<(usize, PinnedSpan)>)| {
            let pins = places.into_iter().map(|(_, pin)| pin).collect();
            let arena = self.readers.mine().arena(side.owner);
            (side, Arc::new(PinnedObjects::new(Arc::clone(arena), pins)))
        };
        let hosts: Vec<_> = places.into_iter().map(pinned).collect();
        let host_of = |side: Side| hosts.iter().find(|(other, _)| *other == side);
        let transfers = plans
            .into_iter()
            .filter_map(|(side, plan)| host_of(side).map(|(_, host)| (plan, Arc::clone(host))));
        let transfers = transfers.collect();
        flight::submit(job, self.transfers.agent.mailbox(), direction, transfers, stream);
        ticket
    }

    fn job(&self, work: Work, objects: Vec<ObjectOutcome>) -> (Job, TransferTicket) {
        let slot: Arc<Slot> = Arc::default();
        let ticket = TransferTicket::new(Arc::clone(&slot));
        (Job::new(&self.transfers.ground, self.hook.get().cloned(), work, objects, slot), ticket)
    }

    /// Ends a retrieve of which not all objects can be read.
    fn refuse_retrieve(
        &self,
        work: Work,
        mut objects: Vec<ObjectOutcome>,
        codes: &[L1Error],
    ) -> TransferTicket {
        let missing = codes.iter().enumerate().filter(|(_, code)| **code != L1Error::Success);
        let mut count = 0_usize;
        for (position, _) in missing {
            (objects[position], count) = (ObjectOutcome::NotReadable, count + 1);
        }
        let error =
            Error::invalid("objects that were to be retrieved are not there, or not locked for reading")
                .with_context("objects", count)
                .with_hint("retrieve what a prefetch found, before its locks run out");
        let (job, ticket) = self.job(work, objects);
        Landed::new(job, Err(error)).land();
        ticket
    }

    fn give_up(&self, reservations: &[Reservation]) {
        for group in reservations {
            self.units[group.owner as usize].l1.give_up_write(&group.keys, &group.spans);
        }
    }
}

/// A key that is named twice would have two chunks in one buffer.
fn check_distinct(keys: &[ObjectKey]) -> Result<()> {
    let mut seen =
        hashbrown::HashSet::with_capacity_and_hasher(keys.len(), foldhash::fast::RandomState::default());
    match keys.iter().find(|key| !seen.insert(*key)) {
        None => Ok(()),
        Some(key) => Err(Error::invalid("a store names an object twice").with_context("key", key.view())),
    }
}

fn by_owner(reserved: Reserved<PinnedSpan>, positions: &[usize]) -> Places {
    let owners: Vec<L1ManagerId> = (0..positions.len()).map(|index| reserved.owner(index)).collect();
    let mut places = Places::new();
    for ((position, owner), pin) in positions.iter().zip(owners).zip(reserved.buffers) {
        place(&mut places, owner, *position, pin);
    }
    places
}

fn place(places: &mut Places, owner: L1ManagerId, position: usize, pin: Option<PinnedSpan>) {
    let Some(pin) = pin else { return };
    let side = Side { owner, is_registered: pin.arena().is_registered(pin.span()) };
    match places.iter_mut().find(|(other, _)| *other == side) {
        Some((_, of_side)) => of_side.push((position, pin)),
        None => places.push((side, vec![(position, pin)])),
    }
}

fn spans(places: &Places) -> impl Iterator<Item = (Side, usize, Span)> {
    places
        .iter()
        .flat_map(|(side, of_side)| of_side.iter().map(|(position, pin)| (*side, *position, pin.span())))
}

fn reservation((side, places): &(Side, Vec<(usize, PinnedSpan)>), keys: &[ObjectKey]) -> Reservation {
    Reservation {
        owner: side.owner,
        positions: places.iter().map(|(position, _)| *position).collect(),
        keys: places.iter().map(|(position, _)| keys[*position].clone()).collect(),
        spans: places.iter().map(|(_, pin)| pin.span()).collect(),
    }
}

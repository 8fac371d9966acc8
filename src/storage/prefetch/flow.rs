//! The requests under way: LMCache's prefetch loop, as a controller that works on messages.
//!
//! ```text
//!   submit -> pending -> looking up -> loading -> done
//!                |           |            |
//!                +-----------+------------+-----> given up (timeout, cancel): the result is out, the request stays
//!                                                 until its adapters have answered
//! ```
//!
//! Answers that came together are noted down first; then every request that got one goes on, the oldest first.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use super::bitmap::Bitmap;
use super::board::Board;
use super::counters::PrefetchCounters;
use super::journey::{JourneyEnd, PrefetchTimes};
use super::request::{Leg, Phase, Request, Tiers};
use crate::clock::monotonic_ns;
use crate::format::model::{FetchingPolicy, ObjectKey};
use crate::storage::agent::{Controller, Mailbox};
use crate::storage::config::Compat;
use crate::storage::events::Event;
use crate::storage::l2::{Adapters, Completion, L2AdapterId, LookupTask};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What the prefetch controller is sent.
#[derive(Debug)]
pub(super) enum Message {
    /// A request.
    Submit(Box<Request>),
    /// An adapter looked up; `None` if it never will.
    LookedUp { request: u64, adapter: L2AdapterId, found: Option<Bitmap>, answered_ns: u64 },
    /// An adapter loaded; `None` if it never will.
    Loaded { request: u64, adapter: L2AdapterId, loaded: Option<Bitmap>, answered_ns: u64 },
    /// Nobody wants the result any more.
    Cancel { request: u64 },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) tiers: Tiers,
    pub(super) adapters: Arc<Adapters>,
    pub(super) mailbox: Arc<Mailbox<Message>>,
    pub(super) counters: Arc<PrefetchCounters>,
    /// Numbers the tasks of the manager.
    pub(super) next_task_id: Arc<AtomicU64>,
    max_in_flight: usize,
    in_turn: bool,
    pending: VecDeque<Request>,
    in_flight: BTreeMap<u64, Request>,
    pub(super) board: Board,
}

impl Flow {
    pub(super) fn new(
        tiers: Tiers,
        adapters: Arc<Adapters>,
        mailbox: Arc<Mailbox<Message>>,
        next_task_id: Arc<AtomicU64>,
        max_in_flight: usize,
        in_turn: bool,
    ) -> Self {
        Self {
            tiers,
            adapters,
            mailbox,
            counters: Arc::default(),
            next_task_id,
            max_in_flight,
            in_turn,
            pending: VecDeque::new(),
            in_flight: BTreeMap::new(),
            board: Board::default(),
        }
    }

    /// Requests that occupy a place; those that were given up do not.
    fn occupied(&self) -> usize {
        self.in_flight.values().filter(|request| !request.is_given_up).count()
    }

    fn start_pending(&mut self) {
        while self.occupied() < self.max_in_flight {
            let Some(request) = self.pending.pop_front() else { return };
            let id = request.id;
            self.in_flight.insert(id, request);
            self.start_lookup(id);
        }
    }

    fn start_lookup(&mut self, id: u64) {
        let Some(request) = self.in_flight.get_mut(&id) else { return };
        if request.l1_locked.is_empty() {
            request.lock_l1(&self.tiers);
        }
        if let Some(travel) = &mut request.travel {
            travel.times.lookup_begun_ns = Some(monotonic_ns());
        }
        let adapters = self.adapters.snapshot();
        let live: Vec<_> = adapters.iter().filter(|entry| !entry.is_draining()).collect();
        let empty = request.loaded.empty();
        request.legs = live.iter().map(|entry| Leg::new(entry.begin_use(), empty.clone())).collect();
        if live.is_empty() {
            return self.load_or_finish(id);
        }
        request.asked = request.cells_to_look_up(self.tiers.compat);
        let (mut keys, mut sizes_bytes) = (Vec::new(), Vec::new());
        for (row, column) in request.asked.cells() {
            let group = &request.rows()[row];
            keys.push(group.keys[column].clone());
            sizes_bytes.push(group.layout.size_bytes());
        }
        let (keys, sizes_bytes): (Arc<[ObjectKey]>, Arc<[u64]>) = (keys.into(), sizes_bytes.into());
        self.tiers.events.publish_l2(|| Event::L2PrefetchLookupSubmitted {
            request_id: id,
            keys: &keys,
            adapter_count: live.len(),
        });
        for entry in live {
            let (mailbox, adapter) = (Arc::clone(&self.mailbox), entry.id);
            let done = Completion::new(move |found| {
                mailbox.send(Message::LookedUp { request: id, adapter, found, answered_ns: monotonic_ns() });
            });
            let (keys, sizes_bytes) = (Arc::clone(&keys), Arc::clone(&sizes_bytes));
            entry.adapter.submit_lookup_and_lock(LookupTask { keys, sizes_bytes, done });
        }
    }

    /// Notes the latest time of something that happens several times to a request under way.
    pub(super) fn note_time(
        &mut self,
        id: u64,
        stamp: impl FnOnce(&mut PrefetchTimes) -> &mut Option<u64>,
        at_ns: u64,
    ) {
        if let Some(travel) = self.in_flight.get_mut(&id).and_then(|request| request.travel.as_deref_mut()) {
            let latest_ns = stamp(&mut travel.times);
            *latest_ns = (*latest_ns).max(Some(at_ns));
        }
    }

    fn note_lookup(&mut self, id: u64, adapter: L2AdapterId, found: Option<Bitmap>) {
        let Some(request) = self.in_flight.get_mut(&id) else { return };
        let cells = request.asked.choose(&found.unwrap_or_default());
        let Some(leg) = request.legs.iter_mut().find(|leg| leg.adapter.id == adapter) else { return };
        leg.is_looking_up = false;
        leg.locked = cells;
        if request.is_given_up {
            let locked = leg.locked.clone();
            leg.unlock(&request.spec.key_groups, &locked);
            request.drop_answered_legs();
        } else if request.spec.fetching_policy == FetchingPolicy::Full {
            let locked = leg.locked.clone();
            request.l2_found.add(&locked);
        }
    }

    /// All lookups are answered, or there are none.
    fn load_or_finish(&mut self, id: u64) {
        let Some(mut request) = self.in_flight.remove(&id) else { return };
        request.note_draining();
        let found = request.travel.is_some().then(|| request.found(self.tiers.compat));
        if let (Some(travel), Some(found)) = (&mut request.travel, found) {
            travel.found = found;
        }
        let mut buffers = match self.tiers.compat {
            Compat::Lmcache => request.reserve_as_lmcache(&self.tiers),
            Compat::Native => request.reserve_longest(&self.tiers, &mut self.board),
        };
        request.phase = Phase::Loading;
        let waits = !request.awaited.is_empty() || request.legs.iter().any(|leg| !leg.locked.is_empty());
        if let Some(travel) = request.travel.as_mut().filter(|_| waits) {
            travel.times.loads_begun_ns = Some(monotonic_ns());
        }
        self.submit_loads(&mut request, &mut buffers);
        self.in_flight.insert(id, request);
        self.finish_if_loaded(id);
    }

    /// Ends a request that nothing is on its way for.
    pub(super) fn finish_if_loaded(&mut self, id: u64) {
        let is_done = |request: &&Request| !request.is_looking_up() && !request.is_loading();
        if self.in_flight.get(&id).filter(is_done).is_none() {
            return;
        }
        let Some(mut request) = self.in_flight.remove(&id) else { return };
        if !request.is_given_up {
            request.drop_vanished(&self.tiers);
            request.finish(&self.tiers);
        }
    }

    /// A request under way.
    pub(super) fn request_mut(&mut self, id: u64) -> Option<&mut Request> {
        self.in_flight.get_mut(&id)
    }

    /// The same, taken out; to be put back.
    pub(super) fn take_request(&mut self, id: u64) -> Option<Request> {
        self.in_flight.remove(&id)
    }

    /// Puts it back.
    pub(super) fn put_request(&mut self, request: Request) {
        self.in_flight.insert(request.id, request);
    }

    /// Ends requests whose time is over with what L1 has of them.
    fn give_up_late(&mut self) {
        let now_ns = self.tiers.clock.now_ns();
        let is_late = |request: &Request| {
            !request.is_given_up && request.deadline_ns.is_some_and(|deadline_ns| deadline_ns <= now_ns)
        };
        let late: Vec<u64> =
            self.in_flight.values().filter(|request| is_late(request)).map(|request| request.id).collect();
        for id in late {
            self.give_up(id, true);
        }
        while let Some(position) = self.pending.iter().position(is_late) {
            let Some(mut request) = self.pending.remove(position) else { return };
            self.counters.count_timeout();
            if request.l1_locked.is_empty() {
                request.lock_l1(&self.tiers);
            }
            request.drop_vanished(&self.tiers);
            request.end = JourneyEnd::TimedOut;
            request.serve_from_l1(&self.tiers);
            self.publish_timeout();
        }
    }

    fn publish_timeout(&self) {
        self.tiers.events.publish(|| Event::TimeoutRaised {
            exception_type: "LMCacheTimeoutError",
            message: "a prefetch took too long",
        });
    }

    fn cancel(&mut self, id: u64) {
        if let Some(position) = self.pending.iter().position(|request| request.id == id) {
            if let Some(mut request) = self.pending.remove(position) {
                self.counters.count_cancel();
                request.finish_with_nothing(&self.tiers);
            }
        } else {
            self.give_up(id, false);
        }
    }

    /// Publishes what a request has by now, or nothing, and lets its adapters finish without it.
    fn give_up(&mut self, id: u64, keeps_hits: bool) {
        let Some(request) = self.in_flight.get_mut(&id).filter(|request| !request.is_given_up) else {
            return;
        };
        request.is_given_up = true;
        request.awaited = request.loaded.empty();
        // What is not being loaded is not needed in L2 any more.
        for leg in request.legs.iter_mut().filter(|leg| leg.load.is_none() && !leg.is_looking_up) {
            let locked = leg.locked.clone();
            leg.unlock(&request.spec.key_groups, &locked);
        }
        request.drop_answered_legs();
        if keeps_hits {
            self.counters.count_timeout();
            request.drop_vanished(&self.tiers);
            request.end = JourneyEnd::TimedOut;
            request.serve_from_l1(&self.tiers);
            self.publish_timeout();
        } else {
            self.counters.count_cancel();
            request.finish_with_nothing(&self.tiers);
        }
        self.finish_if_loaded(id);
    }

    fn count(&self) {
        let looking_up = self.in_flight.values().filter(|request| request.is_looking_up()).count();
        self.counters.set_queues(self.pending.len(), self.in_flight.len(), looking_up);
        self.counters.set_given_up(self.in_flight.len() - self.occupied());
        self.counters.set_joined(self.board.joined());
    }

    /// Notes an answer down; returns the request that may go on.
    fn note(&mut self, message: Message) -> Option<u64> {
        match message {
            Message::Submit(request) => {
                self.pending.push_back(*request);
                None
            }
            Message::LookedUp { request, adapter, found, answered_ns } => {
                self.note_time(request, |times| &mut times.lookup_ended_ns, answered_ns);
                self.note_lookup(request, adapter, found);
                Some(request)
            }
            Message::Loaded { request, adapter, loaded, answered_ns } => {
                self.note_time(request, |times| &mut times.loads_ended_ns, answered_ns);
                self.note_load(request, adapter, loaded);
                Some(request)
            }
            Message::Cancel { request } => {
                self.cancel(request);
                None
            }
        }
    }

    fn advance(&mut self, id: u64) {
        let Some(request) = self.in_flight.get(&id) else { return };
        if request.is_looking_up() {
            return;
        }
        match request.phase {
            Phase::LookingUp if request.is_given_up => self.finish_if_loaded(id),
            Phase::LookingUp => self.load_or_finish(id),
            Phase::Loading if self.in_turn && !request.is_given_up && request.has_loads_under_way() => {}
            Phase::Loading => self.admit_arrived(id),
        }
    }
}

impl Controller for Flow {
    type Message = Message;

    fn handle(&mut self, messages: Vec<Message>) {
        let mut answered: Vec<u64> = messages.into_iter().filter_map(|message| self.note(message)).collect();
        answered.sort_unstable();
        answered.dedup();
        for id in answered {
            self.advance(id);
        }
        self.give_up_late();
        self.start_pending();
        self.count();
    }

    fn wait_ns(&self) -> Option<u64> {
        let all = self.in_flight.values().chain(&self.pending).filter(|request| !request.is_given_up);
        let next_ns = all.filter_map(|request| request.deadline_ns).min()?;
        Some(next_ns.saturating_sub(self.tiers.clock.now_ns()))
    }

    fn stop(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        for mut request in pending.into_iter().chain(std::mem::take(&mut self.in_flight).into_values()) {
            if !request.is_given_up {
                request.finish_with_nothing(&self.tiers);
            }
            self.drop_reservations(&request);
            request.release_l2();
        }
        self.count();
    }
}

/// The number of the next task.
pub(super) fn next(task_ids: &AtomicU64) -> u64 {
    // Relaxed: the number has to be unique, nothing more.
    task_ids.fetch_add(1, Ordering::Relaxed)
}

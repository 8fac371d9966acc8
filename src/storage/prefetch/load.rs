//! Loading: tasks for the adapters, and what becomes of their answers.

use super::bitmap::Bitmap;
use super::board::Waiter;
use super::flow::{Flow, Message, next};
use super::grid::Grid;
use super::request::{Load, Request};
use super::reserve::Buffers;
use crate::clock::monotonic_ns;
use crate::format::model::{GroupedObjectKeys, MemoryLayoutDesc, ObjectKey};
use crate::storage::config::{Compat, L2AdapterConfig};
use crate::storage::events::{Event, L2Task, PrefetchFailure};
use crate::storage::l1::L1Error;
use crate::storage::l2::{Completion, L2AdapterId, LoadTask, Transfer};
use crate::sync::Arc;

impl Flow {
    /// Submits one task for each adapter that the request has something locked in.
    pub(super) fn submit_loads(&mut self, request: &mut Request, buffers: &mut Buffers) {
        let (id, mut planned_keys, mut adapter_count) = (request.id, Vec::new(), 0);
        let mut tasks = Vec::new();
        for leg in &mut request.legs {
            let layouts = layouts_for(&leg.adapter.config, &request.spec.key_groups);
            let mut objects = Vec::with_capacity(leg.locked.popcount());
            for cell in leg.locked.cells() {
                // Every cell that is still locked was reserved.
                let Some(buffer) = buffers.take(cell) else { continue };
                let key = request.spec.key_groups[cell.0].keys[cell.1].clone();
                let layout = layouts.get(cell.0).cloned();
                objects.push(Transfer { key, buffer, layout });
            }
            if objects.is_empty() {
                continue;
            }
            let bytes = objects.iter().map(|object| object.buffer.size_bytes() as u64).sum();
            let task_id = next(&self.next_task_id);
            leg.load = Some(Load { task_id, bytes, begun_ns: monotonic_ns(), arrived: None });
            self.publish_load(leg.adapter.id, leg.adapter.adapter.type_name(), task_id, &objects, bytes);
            planned_keys.extend(objects.iter().map(|object| object.key.clone()));
            adapter_count += 1;
            tasks.push((Arc::clone(&leg.adapter.adapter), leg.adapter.id, objects));
        }
        if adapter_count > 0 {
            self.tiers.events.publish_l2(|| Event::L2PrefetchLoadSubmitted {
                request_id: id,
                keys: &planned_keys,
                adapter_count,
            });
        }
        for (l2, adapter, objects) in tasks {
            let mailbox = Arc::clone(&self.mailbox);
            let done = Completion::new(move |loaded| {
                mailbox.send(Message::Loaded { request: id, adapter, loaded, answered_ns: monotonic_ns() });
            });
            l2.submit_load(LoadTask { objects, done });
        }
    }

    fn publish_load(
        &self,
        adapter: L2AdapterId,
        l2_name: &str,
        task_id: u64,
        objects: &[Transfer],
        bytes: u64,
    ) {
        if self.tiers.events.has_l2_sink() {
            let keys: Vec<&ObjectKey> = objects.iter().map(|object| &object.key).collect();
            let task =
                L2Task { adapter_index: adapter, l2_name, task_id, keys: &keys, bytes, duration_ns: 0 };
            self.tiers.events.publish_l2(|| Event::L2LoadTaskSubmitted(task));
        }
    }

    /// Notes down what an adapter loaded.
    pub(super) fn note_load(&mut self, id: u64, adapter: L2AdapterId, loaded: Option<Bitmap>) {
        let Some(request) = self.request_mut(id) else { return };
        let Some(leg) = request.legs.iter_mut().find(|leg| leg.adapter.id == adapter) else { return };
        let arrived = leg.locked.choose(&loaded.unwrap_or_default());
        if let Some(load) = &mut leg.load {
            load.arrived = Some(arrived);
        }
    }

    /// Makes what arrived for a request readable, serves those that waited for it, and ends who has all.
    pub(super) fn admit_arrived(&mut self, id: u64) {
        let mut waiters = Vec::new();
        let Some(mut request) = self.take_request(id) else { return };
        for position in 0..request.legs.len() {
            let load = request.legs[position].load.take_if(|load| load.arrived.is_some());
            if let Some(Load { task_id, bytes, begun_ns, arrived: Some(arrived) }) = load {
                let leg = &request.legs[position];
                self.publish_loaded(&request, position, task_id, bytes, begun_ns, &arrived);
                let (l1, planned) = (leg.adapter.l1, leg.locked.clone());
                let admitted = self.admit(&mut request, l1, &planned, &arrived);
                waiters.extend(self.end_loads(&request, l1, &planned, &admitted));
                request.legs[position].unlock(&request.spec.key_groups, &planned);
            }
        }
        self.put_request(request);
        let mut touched = vec![id];
        for (l1, key, is_loaded, waiter) in waiters {
            self.serve(l1, &key, is_loaded, waiter);
            touched.push(waiter.request);
        }
        self.release_given_up(id);
        touched.sort_unstable();
        touched.dedup();
        touched.into_iter().for_each(|id| self.finish_if_loaded(id));
    }

    /// Admits the cells that came and drops the others. Returns those that are in L1 and locked now.
    fn admit(&self, request: &mut Request, l1: usize, planned: &Grid, arrived: &Grid) -> Grid {
        let (manager, tag) = (&self.tiers.l1s[l1], request.tag());
        let keys = arrived.owned_keys(request.rows());
        let mut admitted = arrived.clone();
        if !keys.is_empty() {
            let codes = manager.finish_write_and_reserve_read(&keys, request.readers(), tag);
            // LMCache does not look at the codes: a load that outlived its reservation counts as a hit.
            if self.tiers.compat == Compat::Native {
                for (cell, code) in arrived.cells().zip(codes.as_slice()) {
                    if *code != L1Error::Success {
                        admitted.unset(cell);
                    }
                }
            }
        }
        let failed = planned.without(arrived).owned_keys(request.rows());
        // Besides what did not come, what came after its reservation had run out.
        let dropped = planned.without(&admitted).owned_keys(request.rows());
        if !dropped.is_empty() {
            manager.finish_write_and_delete(&dropped, tag);
        }
        if !failed.is_empty() {
            self.tiers
                .events
                .publish_l2(|| Event::L2PrefetchFailed { reason: PrefetchFailure::NotFound, keys: &failed });
        }
        request.l1_locked[l1].add(&admitted);
        request.loaded.add(&admitted);
        if let Some(travel) = &mut request.travel {
            travel.undelivered.add(&planned.without(&admitted));
        }
        admitted
    }

    fn publish_loaded(
        &self,
        request: &Request,
        position: usize,
        task_id: u64,
        bytes: u64,
        begun_ns: u64,
        arrived: &Grid,
    ) {
        if !self.tiers.events.has_l2_sink() {
            return;
        }
        let leg = &request.legs[position];
        let (keys, loaded) = (leg.locked.keys(request.rows()), arrived.owned_keys(request.rows()));
        let size_bytes = |(row, _): (usize, usize)| request.rows()[row].layout.size_bytes();
        let loaded_bytes = arrived.cells().map(size_bytes).sum();
        let task = L2Task {
            adapter_index: leg.adapter.id,
            l2_name: leg.adapter.adapter.type_name(),
            task_id,
            keys: &keys,
            bytes,
            duration_ns: monotonic_ns().saturating_sub(begun_ns),
        };
        self.tiers.events.publish_l2(|| Event::L2LoadTaskCompleted(task));
        self.tiers.events.publish_l2(|| Event::L2PrefetchLoadCompleted {
            request_id: request.id,
            loaded: &loaded,
            failed_count: keys.len() - loaded.len(),
            adapter_index: leg.adapter.id,
            loaded_bytes,
        });
    }

    /// Takes loads off the board. Returns who waited for them, and whether they came.
    fn end_loads(
        &mut self,
        request: &Request,
        l1: usize,
        planned: &Grid,
        admitted: &Grid,
    ) -> Vec<(usize, ObjectKey, bool, Waiter)> {
        let mut waiters = Vec::new();
        for (row, column) in planned.cells() {
            let key = &request.rows()[row].keys[column];
            let is_loaded = admitted.rows()[row].test(column);
            let of_key = self.board.end(l1, key, request.id).into_iter();
            waiters.extend(of_key.map(|waiter| (l1, key.clone(), is_loaded, waiter)));
        }
        waiters
    }

    /// Gives a waiter its own locks on an object that came, while the loader still holds its own.
    fn serve(&mut self, l1: usize, key: &ObjectKey, is_loaded: bool, waiter: Waiter) {
        let tiers = self.tiers.clone();
        self.note_time(waiter.request, |times| &mut times.loads_ended_ns, monotonic_ns());
        let Some(request) = self.request_mut(waiter.request) else { return };
        if !request.awaited.rows()[waiter.cell.0].test(waiter.cell.1) {
            return;
        }
        request.awaited.unset(waiter.cell);
        if is_loaded && tiers.l1s[l1].reserve_read([key], request.readers()).all_succeeded() {
            request.l1_locked[l1].set(waiter.cell);
            request.loaded.set(waiter.cell);
        } else if let Some(travel) = &mut request.travel {
            travel.undelivered.set(waiter.cell);
        }
    }

    /// A request that was given up does not keep what it loaded; who waited for it has locks by now.
    fn release_given_up(&mut self, id: u64) {
        let tiers = self.tiers.clone();
        let Some(request) = self.request_mut(id).filter(|request| request.is_given_up) else { return };
        request.drop_answered_legs();
        for (position, l1) in tiers.l1s.iter().enumerate() {
            let locked = std::mem::replace(&mut request.l1_locked[position], request.loaded.empty());
            let keys = locked.owned_keys(&request.spec.key_groups);
            if !keys.is_empty() {
                l1.finish_read(&keys, request.spec.num_kv_readers);
            }
        }
    }

    /// Drops the reservations of loads that are under way. Their buffers stay pinned until the adapters let go.
    pub(super) fn drop_reservations(&self, request: &Request) {
        for leg in request.legs.iter().filter(|leg| leg.load.is_some()) {
            let keys = leg.locked_keys(request.rows());
            self.tiers.l1s[leg.adapter.l1].finish_write_and_delete(&keys, request.tag());
        }
    }
}

/// The layout of each row, for an adapter that needs it; else none.
fn layouts_for(config: &L2AdapterConfig, rows: &[GroupedObjectKeys]) -> Vec<MemoryLayoutDesc> {
    if !config.transforms() {
        return Vec::new();
    }
    rows.iter().map(|row| row.layout.clone()).collect()
}

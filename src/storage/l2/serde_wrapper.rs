//! Another adapter, which keeps what a [`Serde`] makes of the objects: LMCache's `SerdeL2AdapterWrapper`.
//!
//! ```text
//! store : caller -> a worker serializes into bounce memory -> inner store, under the same keys -> answer
//! load  : caller -> inner load into bounce memory -> a worker deserializes into the object -> answer
//! ```
//!
//! Nothing is transformed on the caller's thread, or on one of the adapter behind. Lookups, unlocks, deletions and the
//! books are those of the adapter behind, whose objects have the serialized sizes.
//!
//! A large task goes in pieces, each of which fits the bounce memory with room for others beside it. As LMCache, all of a
//! task goes at once, and one object that cannot be transformed fails it whole; natively it fails alone.

use std::fmt;

use serde_json::json;

use super::bounce::{Bounce, BounceBuffers};
use super::pool::WorkerPool;
use super::{
    AdapterStatus, Completion, L2Adapter, Ledger, LoadTask, LookupTask, StoreOutcome, StoreTask, Transfer,
};
use crate::error::{Error, Result};
use crate::format::model::{Dtype, MemoryLayoutDesc, ObjectKey};
use crate::storage::config::Compat;
use crate::storage::memory::PinnedSpan;
use crate::storage::prefetch::Bitmap;
use crate::storage::serde::Serde;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// The bounce memory of an adapter that is not told another size. It costs memory as far as it is used.
pub const DEFAULT_BOUNCE_BYTES: u64 = 512 << 20;

/// A piece of a task takes at most this share of the bounce memory.
const PIECES: u64 = 4;

/// How objects are transformed.
#[derive(Clone, Debug)]
pub struct SerdeOptions {
    /// The transformation.
    pub serde: Arc<dyn Serde>,
    /// Whether it needs to know what an object's bytes are. If so, objects without a layout are refused.
    pub needs_layout: bool,
    /// Threads that transform.
    pub max_workers: usize,
    /// The bounce memory.
    pub bounce_bytes: u64,
    /// As LMCache, a task is stored and loaded as a whole or not at all.
    pub compat: Compat,
}

/// See the module.
#[derive(Debug)]
pub struct SerdeAdapter {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Arc<dyn L2Adapter>,
    options: SerdeOptions,
    bounce: Arc<Bounce>,
    pool: WorkerPool,
    counts: Counts,
    last_error: Mutex<Option<String>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("inner", &self.inner)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Counts {
    serialized: AtomicU64,
    deserialized: AtomicU64,
    failed_serializations: AtomicU64,
    failed_deserializations: AtomicU64,
    without_layout: AtomicU64,
    without_memory: AtomicU64,
}

fn count(counter: &AtomicU64) {
    // Relaxed: a counter that orders nothing.
    counter.fetch_add(1, Ordering::Relaxed);
}

impl SerdeAdapter {
    /// Puts the transformation in front of `inner`.
    ///
    /// # Errors
    /// If there is no address space for the bounce memory, or no thread.
    pub fn start(inner: Arc<dyn L2Adapter>, options: SerdeOptions) -> Result<Self> {
        let bounce = Bounce::new(options.bounce_bytes)?;
        let pool = WorkerPool::start("serde", options.max_workers)?;
        let (counts, last_error) = (Counts::default(), Mutex::new(None));
        Ok(Self { shared: Arc::new(Shared { inner, options, bounce, pool, counts, last_error }) })
    }

    /// The adapter behind.
    pub fn inner(&self) -> &Arc<dyn L2Adapter> {
        &self.shared.inner
    }
}

/// An object, what is known of it, and its place in its task.
struct Item {
    position: usize,
    object: Transfer,
    layout: MemoryLayoutDesc,
    wire_bytes: u64,
}

/// The buffers of a task, until it takes them along.
type SharedBuffers = Mutex<Option<BounceBuffers>>;

/// Bytes of which nothing is known.
fn opaque(size_bytes: u64) -> Result<MemoryLayoutDesc> {
    let dtype = Dtype::from_name("torch.uint8").ok_or_else(|| Error::invalid("there is no torch.uint8"))?;
    MemoryLayoutDesc::new(vec![(Box::new([size_bytes]), dtype)])
}

impl Shared {
    fn is_native(&self) -> bool {
        self.options.compat == Compat::Native
    }

    fn failed(&self, counter: &AtomicU64, error: &Error) {
        count(counter);
        *lock(&self.last_error) = Some(error.to_string());
    }

    /// What is known of the objects of a task; those of which too little is known are left out.
    fn items(&self, objects: Vec<Transfer>) -> Vec<Item> {
        let items = objects.into_iter().enumerate().filter_map(|(position, object)| {
            let item = self.item(position, object);
            item.map_err(|error| self.failed(&self.counts.without_layout, &error)).ok()
        });
        items.collect()
    }

    fn item(&self, position: usize, object: Transfer) -> Result<Item> {
        let layout = match &object.layout {
            Some(layout) => layout.clone(),
            None if self.options.needs_layout => {
                return Err(Error::invalid("this serde cannot work on an object whose layout is not known")
                    .with_context("serde", self.options.serde.name())
                    .with_hint("hand the object over with its layout"));
            }
            None => opaque(object.buffer.size_bytes() as u64)?,
        };
        let wire_bytes = self.options.serde.estimate_bytes(&layout)?;
        Ok(Item { position, object, layout, wire_bytes })
    }

    /// Cuts items into pieces. A piece has at least one item.
    fn pieces(&self, items: Vec<Item>) -> Vec<Vec<Item>> {
        if !self.is_native() {
            return vec![items];
        }
        let most_bytes = self.bounce.capacity_bytes() / PIECES;
        let (mut pieces, mut piece, mut bytes) = (Vec::new(), Vec::new(), 0_u64);
        for item in items {
            let room = Bounce::room_bytes(item.wire_bytes);
            if !piece.is_empty() && bytes.saturating_add(room) > most_bytes {
                pieces.push(std::mem::take(&mut piece));
                bytes = 0;
            }
            bytes = bytes.saturating_add(room);
            piece.push(item);
        }
        pieces.push(piece);
        pieces
    }

    fn serialize(&self, item: &Item, buffers: &SharedBuffers, at: usize) -> Result<PinnedSpan> {
        let mut plain = vec![0; item.object.buffer.size_bytes()];
        item.object.buffer.read_into(0, &mut plain);
        let mut wire = Vec::new();
        self.options.serde.serialize(&item.object.key, &item.layout, &plain, &mut wire)?;
        let mut guard = lock(buffers);
        let buffers = guard.as_mut().ok_or_else(|| Error::invalid("the task is over"))?;
        buffers.shorten(at, wire.len() as u64);
        let buffer = buffers.pin(at);
        drop(guard);
        buffer.write_from(0, &wire)?;
        Ok(buffer)
    }

    fn deserialize(&self, item: &Item, wire: &PinnedSpan) -> Result<()> {
        let mut bytes = vec![0; wire.size_bytes()];
        wire.read_into(0, &mut bytes);
        let mut plain = vec![0; item.object.buffer.size_bytes()];
        self.options.serde.deserialize(&item.object.key, &item.layout, &bytes, &mut plain)?;
        item.object.buffer.write_from(0, &plain)
    }
}

/// A task in pieces. Answered when the last piece is; dropped with the last piece if one got no answer.
struct Joined<T> {
    state: Mutex<JoinedState>,
    done: Mutex<Option<Completion<T>>>,
}

struct JoinedState {
    /// A bit for each object that succeeded.
    good: Bitmap,
    /// A bit for each object that the adapter behind had no room for.
    refused: Bitmap,
    bytes: u64,
    pieces: usize,
}

impl<T> Joined<T> {
    fn new(len: usize, pieces: usize, done: Completion<T>) -> Arc<Self> {
        let state =
            Mutex::new(JoinedState { good: Bitmap::new(len), refused: Bitmap::new(len), bytes: 0, pieces });
        Arc::new(Self { state, done: Mutex::new(Some(done)) })
    }

    /// These objects found no room.
    fn refuse<'a>(&self, positions: impl Iterator<Item = (usize, &'a usize)>) {
        let mut state = lock(&self.state);
        positions.for_each(|(_, position)| state.refused.set(*position));
    }

    /// One piece is done: these objects succeeded.
    fn piece(&self, good: impl Iterator<Item = usize>, bytes: u64, answer: impl FnOnce(&JoinedState) -> T) {
        let mut state = lock(&self.state);
        good.for_each(|position| state.good.set(position));
        state.bytes += bytes;
        state.pieces -= 1;
        if state.pieces > 0 {
            return;
        }
        let answer = answer(&state);
        drop(state);
        if let Some(done) = lock(&self.done).take() {
            done.answer(answer);
        }
    }
}

fn store_outcome(state: &JoinedState) -> StoreOutcome {
    let failed = Bitmap::from_fn(state.good.len(), |position| !state.good.test(position));
    StoreOutcome { failed, refused: state.refused.clone(), bytes: state.bytes }
}

fn loaded(state: &JoinedState) -> Bitmap {
    state.good.clone()
}

type JoinedStore = Arc<Joined<StoreOutcome>>;
type JoinedLoad = Arc<Joined<Bitmap>>;

impl Shared {
    /// A whole task that goes no further.
    fn is_refused(&self, items: &[Item], len: usize) -> bool {
        items.is_empty() || (!self.is_native() && items.len() < len)
    }

    fn store(self: &Arc<Self>, items: Vec<Item>, joined: JoinedStore) {
        let sizes = items.iter().map(|item| item.wire_bytes).collect();
        let (shared, then) = (Arc::clone(self), Arc::clone(&joined));
        let granted =
            self.bounce.request(sizes, Box::new(move |buffers| shared.serialize_all(items, buffers, then)));
        if let Err(error) = granted {
            self.failed(&self.counts.without_memory, &error);
            joined.piece(std::iter::empty(), 0, store_outcome);
        }
    }

    fn serialize_all(self: &Arc<Self>, items: Vec<Item>, buffers: BounceBuffers, joined: JoinedStore) {
        let buffers = Arc::new(Mutex::new(Some(buffers)));
        let numbered: Vec<_> = items.into_iter().enumerate().collect();
        let (work, work_buffers, finish) = (Arc::clone(self), Arc::clone(&buffers), Arc::clone(self));
        self.pool.submit_tiled(
            numbered,
            move |tile| tile.iter().map(|(at, item)| work.serialize(item, &work_buffers, *at)).collect(),
            move |items, results| finish.store_serialized(items, results, buffers, joined),
        );
    }

    fn store_serialized(
        &self,
        items: Vec<(usize, Item)>,
        results: Vec<Option<Result<PinnedSpan>>>,
        buffers: Arc<SharedBuffers>,
        joined: JoinedStore,
    ) {
        // Taken out: the workers' share of them outlives the task's answer.
        let buffers = lock(&buffers).take();
        let (mut objects, mut positions, mut failures) = (Vec::new(), Vec::new(), 0);
        for ((_, item), result) in items.into_iter().zip(results) {
            match result.unwrap_or_else(|| Err(Error::invalid("a worker of the serde panicked"))) {
                Ok(buffer) => {
                    count(&self.counts.serialized);
                    positions.push(item.position);
                    objects.push(Transfer::new(item.object.key, buffer));
                }
                Err(error) => {
                    failures += 1;
                    self.failed(&self.counts.failed_serializations, &error);
                }
            }
        }
        if objects.is_empty() || (failures > 0 && !self.is_native()) {
            drop((objects, buffers));
            return joined.piece(std::iter::empty(), 0, store_outcome);
        }
        let done = Completion::new(move |outcome: Option<StoreOutcome>| {
            drop(buffers);
            let Some(outcome) = outcome else { return };
            joined.refuse(positions.iter().enumerate().filter(|(at, _)| outcome.refused.test(*at)));
            let good = positions.into_iter().enumerate().filter(|(at, _)| !outcome.failed.test(*at));
            joined.piece(good.map(|(_, position)| position), outcome.bytes, store_outcome);
        });
        self.inner.submit_store(StoreTask { objects, done });
    }

    fn load(self: &Arc<Self>, items: Vec<Item>, joined: JoinedLoad) {
        let sizes = items.iter().map(|item| item.wire_bytes).collect();
        let (shared, then) = (Arc::clone(self), Arc::clone(&joined));
        let granted =
            self.bounce.request(sizes, Box::new(move |buffers| shared.load_wire(items, buffers, then)));
        if let Err(error) = granted {
            self.failed(&self.counts.without_memory, &error);
            joined.piece(std::iter::empty(), 0, loaded);
        }
    }

    fn load_wire(self: &Arc<Self>, items: Vec<Item>, buffers: BounceBuffers, joined: JoinedLoad) {
        let object = |(at, item): (usize, &Item)| Transfer::new(item.object.key.clone(), buffers.pin(at));
        let objects = items.iter().enumerate().map(object).collect();
        let shared = Arc::clone(self);
        let done = Completion::new(move |bits: Option<Bitmap>| {
            let Some(bits) = bits else { return };
            shared.deserialize_all(items, buffers, &bits, joined);
        });
        self.inner.submit_load(LoadTask { objects, done });
    }

    fn deserialize_all(
        self: &Arc<Self>,
        items: Vec<Item>,
        buffers: BounceBuffers,
        bits: &Bitmap,
        joined: JoinedLoad,
    ) {
        let came = items.into_iter().enumerate().filter(|(at, _)| bits.test(*at));
        let came: Vec<_> = came.map(|(at, item)| (buffers.pin(at), item)).collect();
        let (work, finish) = (Arc::clone(self), Arc::clone(self));
        self.pool.submit_tiled(
            came,
            move |tile: &[(PinnedSpan, Item)]| {
                tile.iter().map(|(wire, item)| work.deserialize(item, wire)).collect()
            },
            move |items, results| {
                let good = finish.deserialized(&items, results);
                // The objects are the caller's again before it hears so.
                drop((items, buffers));
                joined.piece(good.into_iter(), 0, loaded);
            },
        );
    }

    /// The positions of the objects that came whole.
    fn deserialized(&self, items: &[(PinnedSpan, Item)], results: Vec<Option<Result<()>>>) -> Vec<usize> {
        let mut good = Vec::new();
        for ((_, item), result) in items.iter().zip(results) {
            match result.unwrap_or_else(|| Err(Error::invalid("a worker of the serde panicked"))) {
                Ok(()) => {
                    count(&self.counts.deserialized);
                    good.push(item.position);
                }
                Err(error) => self.failed(&self.counts.failed_deserializations, &error),
            }
        }
        if good.len() < items.len() && !self.is_native() {
            good.clear();
        }
        good
    }

    /// The serialized sizes, for the adapter behind; 0 where they cannot be told.
    fn wire_sizes(&self, sizes_bytes: &[u64]) -> Arc<[u64]> {
        let wire_size = |size_bytes: &u64| match self.options.needs_layout {
            true => 0,
            false => {
                opaque(*size_bytes).and_then(|layout| self.options.serde.estimate_bytes(&layout)).unwrap_or(0)
            }
        };
        sizes_bytes.iter().map(wire_size).collect()
    }
}

impl L2Adapter for SerdeAdapter {
    fn type_name(&self) -> &'static str {
        self.shared.inner.type_name()
    }

    fn recover(&self) -> Result<()> {
        self.shared.inner.recover()
    }

    fn submit_store(&self, task: StoreTask) {
        let StoreTask { objects, done } = task;
        let (shared, len) = (&self.shared, objects.len());
        let items = shared.items(objects);
        if shared.is_refused(&items, len) {
            drop(items);
            return done.answer(StoreOutcome::all_failed(len));
        }
        let pieces = shared.pieces(items);
        let joined = Joined::new(len, pieces.len(), done);
        pieces.into_iter().for_each(|piece| shared.store(piece, Arc::clone(&joined)));
    }

    fn submit_lookup_and_lock(&self, task: LookupTask) {
        let sizes_bytes = self.shared.wire_sizes(&task.sizes_bytes);
        self.shared.inner.submit_lookup_and_lock(LookupTask { sizes_bytes, ..task });
    }

    fn submit_unlock(&self, keys: &[ObjectKey]) {
        self.shared.inner.submit_unlock(keys);
    }

    fn submit_load(&self, task: LoadTask) {
        let LoadTask { objects, done } = task;
        let (shared, len) = (&self.shared, objects.len());
        let items = shared.items(objects);
        if shared.is_refused(&items, len) {
            drop(items);
            return done.answer(Bitmap::new(len));
        }
        let pieces = shared.pieces(items);
        let joined = Joined::new(len, pieces.len(), done);
        pieces.into_iter().for_each(|piece| shared.load(piece, Arc::clone(&joined)));
    }

    fn delete(&self, keys: &[ObjectKey]) -> usize {
        self.shared.inner.delete(keys)
    }

    fn ledger(&self) -> &Ledger {
        self.shared.inner.ledger()
    }

    fn report_status(&self) -> AdapterStatus {
        let (mut status, shared) = (self.shared.inner.report_status(), &self.shared);
        let value = |counter: &AtomicU64| json!(counter.load(Ordering::Relaxed));
        let counts = &shared.counts;
        status.is_healthy &= shared.pool.panics() == 0;
        status.fields.insert("serde_wrapped".to_owned(), json!(true));
        let serde = json!({
            "type": shared.options.serde.name(),
            "max_workers": shared.pool.workers(),
            "bounce_bytes": shared.bounce.capacity_bytes(),
            "bounce_used_bytes": shared.bounce.used_bytes(),
            "waiting_for_bounce": shared.bounce.waiting(),
            "serialized": value(&counts.serialized),
            "deserialized": value(&counts.deserialized),
            "failed_serializations": value(&counts.failed_serializations),
            "failed_deserializations": value(&counts.failed_deserializations),
            "without_layout": value(&counts.without_layout),
            "without_memory": value(&counts.without_memory),
            "worker_panics": shared.pool.panics(),
            "last_error": *lock(&shared.last_error),
        });
        status.fields.insert("serde".to_owned(), serde);
        status
    }

    fn close(&self) {
        self.shared.bounce.close();
        self.shared.pool.close();
        self.shared.inner.close();
    }
}

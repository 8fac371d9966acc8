//! The tables of L1 and what all operations on them share.

use crossbeam::utils::CachePadded;

use super::ObjectInfo;
use super::counts::Counts;
use super::index::Index;
use super::notes::Notes;
use super::recency::{Recency, Stamps};
use super::shard::{KeyHasher, Shard};
use super::slot::Slot;
use super::status::L1Status;
use super::tell::Teller;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::format::model::ObjectKey;
use crate::storage::config::{Compat, EvictionPolicyKind, L1ManagerConfig};
use crate::storage::eviction::{self, PolicyState};
use crate::storage::memory::{Arena, L1MemoryManager, Span};
use crate::storage::striped::{STRIPES, Striped};
use crate::storage::ttl_lock;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, lock, try_lock};

/// The most shards. Two calls with different prompts meet in one of them once in so many.
const MAX_SHARDS: u64 = 4096;

/// There is a shard for this many of the smallest objects that fit into L1.
const SHARD_UNITS: u64 = 64;

/// In what order keys are evicted, and who knows it.
#[derive(Debug)]
pub(super) enum Order {
    /// A policy, in the only shard: it hears of every change under the same mutex.
    Policy,
    /// Every slot knows when it was used: least recently used first.
    Recency(Mutex<Recency>),
    /// Nothing is evicted.
    Nothing,
}

/// All of L1's state.
///
/// The keys lie in shards, each with a mutex of its own, those that a thread adds one after the other in the same; the
/// index says where. An operation holds one shard at a time, as long as it finds its keys in the same, and takes the mutex of the allocator once
/// for all keys: it is atomic for each key, not for the list. Where a policy keeps the order of all keys there is one
/// shard, which an operation holds for its whole list, as in LMCache. So it is under [`Compat::Lmcache`], and ours for
/// every policy but LRU and noop.
///
/// Mutexes are taken in this order: recency, shard, and last the allocator or a part of the index. Nothing under them
/// waits or copies bytes.
#[derive(Debug)]
pub(super) struct Tables {
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    pub(super) index: Arc<Index>,
    hasher: KeyHasher,
    pub(super) notes: Striped<Notes>,
    pub(super) arena: Arc<Arena>,
    pub(super) space: Mutex<L1MemoryManager>,
    pub(super) order: Order,
    stamps: Stamps,
    pub(super) write_ttl_ns: u64,
    pub(super) read_ttl_ns: u64,
    pub(super) compat: Compat,
    /// Keys that got no memory, since the start.
    pub(super) allocation_failures: AtomicU64,
    /// Keys that were evicted to make room for an allocation, since the start.
    pub(super) evicted_for_room: AtomicU64,
    /// Set before the shards are cleared for the last time: who holds a shard finds it open, or cleared.
    is_closed: AtomicBool,
    pub(super) teller: Teller,
}

impl Tables {
    pub(super) fn new(
        config: &L1ManagerConfig,
        compat: Compat,
        space: L1MemoryManager,
        teller: Teller,
        clock: &Clock,
    ) -> Self {
        Self::with_hasher(config, compat, space, teller, clock, KeyHasher::default())
    }

    pub(super) fn with_hasher(
        config: &L1ManagerConfig,
        compat: Compat,
        space: L1MemoryManager,
        teller: Teller,
        clock: &Clock,
        hasher: KeyHasher,
    ) -> Self {
        let memory = &config.memory;
        let kind = config.eviction.policy;
        let order = match (compat, kind) {
            (Compat::Native, EvictionPolicyKind::Lru) => Order::Recency(Mutex::default()),
            (Compat::Native, EvictionPolicyKind::Noop) => Order::Nothing,
            _ => Order::Policy,
        };
        let units = memory.size_bytes / memory.align_bytes;
        let shards = match order {
            Order::Policy => 1,
            Order::Recency(_) | Order::Nothing => {
                (units / SHARD_UNITS).clamp(1, MAX_SHARDS).next_power_of_two()
            }
        };
        let index = Arc::new(Index::new(shards));
        let new_shard = |number| {
            let policy = matches!(order, Order::Policy).then(|| eviction::create(kind, compat));
            let shard = Shard::new(number as u32, hasher.clone(), Arc::clone(&index), policy);
            CachePadded::new(Mutex::new(shard))
        };
        Self {
            shards: (0..shards).map(new_shard).collect(),
            index,
            hasher,
            notes: Striped::new(|stripe| Notes::new(stripe as u64 * shards / STRIPES as u64)),
            arena: Arc::clone(space.arena()),
            space: Mutex::new(space),
            order,
            stamps: Stamps::beside(clock),
            write_ttl_ns: ttl_lock::ttl_ns(config.write_ttl_seconds),
            read_ttl_ns: ttl_lock::ttl_ns(config.read_ttl_seconds),
            compat,
            allocation_failures: AtomicU64::new(0),
            evicted_for_room: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            teller,
        }
    }

    /// Whether L1 still takes something. Who holds a shard knows for sure.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] after [`Self::close`].
    pub(super) fn check_open(&self) -> Result<()> {
        // Relaxed: `close` sets it before it takes any shard, so whoever takes a shard after `close` had it sees it.
        // For who has no shard, a call that races with `close` may come before it or after it.
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Closed, "the storage manager is closed"));
        }
        Ok(())
    }

    /// Drops all objects, and takes none from then on.
    pub(super) fn close(&self, now_ns: u64) {
        // Relaxed: see `check_open`.
        self.is_closed.store(true, Ordering::Relaxed);
        self.clear(true, now_ns);
        // Out of the lock: the thread may take long for its last step.
        let growth = lock(&self.space).cancel_growth();
        if let Some(growth) = growth {
            // A panic of the thread has been printed; there is nobody here to pass it on to.
            let _ = growth.join();
        }
    }

    #[inline]
    pub(super) fn hash(&self, key: &ObjectKey) -> u64 {
        self.hasher.hash(key.scope(), key.chunk_hash())
    }

    /// The shard that takes what a thread adds.
    #[inline]
    pub(super) fn number(&self, home: u64) -> u32 {
        home as u32 & (self.shards.len() - 1) as u32
    }

    /// When something is used now: a stamp that grows with time, on all threads alike.
    #[inline]
    pub(super) fn now_used(&self) -> u64 {
        match self.order {
            Order::Recency(_) => self.stamps.now(),
            Order::Policy | Order::Nothing => 0,
        }
    }

    /// Gives memory back to the allocator that nobody uses any more.
    pub(super) fn free(&self, freed: Vec<Span>) {
        if !freed.is_empty() {
            let mut space = lock(&self.space);
            freed.into_iter().for_each(|span| free_span(&mut space, span));
        }
    }

    /// Used and usable bytes.
    pub(super) fn memory_usage(&self) -> (u64, u64) {
        let mut space = lock(&self.space);
        space.free_unpinned();
        (space.used_bytes(), space.total_bytes())
    }

    /// Every object, in address order.
    pub(super) fn objects(&self, now_ns: u64) -> Vec<ObjectInfo> {
        let mut objects = Vec::new();
        self.each_shard(|shard| {
            shard.slots().for_each(|(_, slot)| shard.objects_of(slot, now_ns, &mut objects));
        });
        objects.sort_unstable_by_key(|object| object.span.offset_bytes);
        objects
    }

    /// The objects of one key.
    pub(super) fn objects_of(&self, key: &ObjectKey, now_ns: u64) -> Vec<ObjectInfo> {
        let mut objects = Vec::new();
        let mut cursor = self.cursor_aside();
        if let Some(id) = cursor.find_aside(key) {
            let shard = cursor.held();
            shard.slot(id).into_iter().for_each(|slot| shard.objects_of(slot, now_ns, &mut objects));
        }
        objects
    }

    /// Whether `key` has a slot that `ask` says yes of.
    pub(super) fn slot_is(&self, key: &ObjectKey, ask: impl FnOnce(&Slot) -> bool) -> bool {
        let mut cursor = self.cursor_aside();
        cursor.find_aside(key).and_then(|id| cursor.held().slot(id)).is_some_and(ask)
    }

    /// What all shards have. They are looked at one after the other.
    pub(super) fn counts(&self, now_ns: u64) -> Counts {
        let mut counts = Counts::default();
        self.each_shard(|shard| counts.add_all(&shard.counts(now_ns)));
        counts
    }

    /// How many keys there are.
    pub(super) fn keys(&self) -> usize {
        let mut keys = 0;
        self.each_shard(|shard| keys += shard.keys());
        keys
    }

    /// Shows all shards to `look`, one after the other.
    pub(super) fn each_shard(&self, mut look: impl FnMut(&mut Shard)) {
        self.shards.iter().for_each(|shard| look(&mut lock(shard)));
    }

    #[inline]
    pub(super) fn has_one_shard(&self) -> bool {
        self.shards.len() == 1
    }

    /// A shard, if nobody has it.
    pub(super) fn try_lock_shard(&self, number: u32) -> Option<MutexGuard<'_, Shard>> {
        try_lock(&self.shards[number as usize])
    }

    pub(super) fn lock_shard(&self, number: u32) -> MutexGuard<'_, Shard> {
        lock(&self.shards[number as usize])
    }

    /// The order of the keys.
    pub(super) fn policy_state(&self) -> PolicyState {
        match &self.order {
            Order::Policy => {
                lock(&self.shards[0]).policy.as_ref().map_or(PolicyState::Noop, |policy| policy.state())
            }
            Order::Nothing => PolicyState::Noop,
            Order::Recency(_) => {
                let mut keys = Vec::new();
                self.each_shard(|shard| {
                    keys.extend(shard.slots().map(|(_, slot)| (slot.used, shard.key(slot))));
                });
                keys.sort_by_key(|(used, _)| *used);
                PolicyState::Lru { order: keys.into_iter().map(|(_, key)| key).collect() }
            }
        }
    }

    /// Fills in what `report_status` counts and measures. Nothing waits for it for longer than it takes to look at one
    /// shard.
    pub(super) fn fill_status(&self, now_ns: u64, status: &mut L1Status) {
        let counts = self.counts(now_ns);
        status.total_object_count = counts.residents + counts.staged;
        status.temporary_count = counts.temporary;
        status.read_locked_count = counts.held_residents;
        status.staging_object_count = counts.staged;
        status.write_locked_count = counts.held_staged;
        status.staging_bytes = counts.staging_bytes;
        let mut space = lock(&self.space);
        space.free_unpinned();
        status.is_healthy = space.is_sound();
        status.memory_used_bytes = space.used_bytes();
        status.memory_total_bytes = space.total_bytes();
    }
}

fn free_span(space: &mut L1MemoryManager, span: Span) {
    let freed = space.free(span.offset_bytes, span.phy_size_bytes);
    // Every span in the tables came from the allocator once. Should that ever be untrue, the allocator keeps the
    // block out of circulation, and `memcheck` says so from then on.
    debug_assert!(freed.is_ok(), "{freed:?}");
}

//! L1: the objects in host memory, who reads and writes them, and what becomes of them.
//!
//! An object is written out of sight and becomes readable when its writer finishes; many can read it; and it
//! goes when it is deleted, evicted, or temporary and read for the last time:
//!
//! ```text
//!           reserve_write(key, tag)           finish_write(key, tag)
//!   (none) ------------------------> staged -------------------------> resident <--- reserve_read, n times
//!      ^                               |                                |    |         finish_read
//!      |   finish_write_and_delete     |                                |    |
//!      +---- or reservation expired, --+                                |    +-- read-locked: stays
//!      |     then delete, clear                                         |
//!      +------------------------- delete, clear, eviction --------------+
//! ```
//!
//! * [`slot`]: one key with its objects. `shard`: a part of the slots behind a mutex, with `scopes` and `counts` of
//!   them. `index`: where the slot of a key is. `tables`: all shards, the index, the allocator, and the order of
//!   eviction. `cursor`: an operation's way through them, with `notes` of where it found its keys.
//! * `write`, `read`, `remove`, `evict`: the operations, each on a whole list of keys. `reserve` and
//!   `reserve_lmcache`: the one in which ours and LMCache's differ most; `allocate`: its addresses.
//! * `recency`: who was used least recently.
//! * [`code`]: what an operation says of each key. * [`status`]: what L1 says of itself.
//!
//! What is atomic, and what is under which mutex, is told in `tables`. Locks that expire are in
//! [`ttl_lock`].

mod allocate;
pub mod code;
mod counts;
mod cursor;
mod evict;
mod index;
mod notes;
mod read;
mod recency;
mod remove;
mod reserve;
mod reserve_lmcache;
mod scopes;
mod shard;
pub mod slot;
pub mod status;
mod tables;
mod tell;
mod write;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::format::model::ObjectKey;
use crate::storage::config::{Compat, EvictionConfig, L1ManagerConfig};
use crate::storage::events::{Event, Events, L1Keys};
use crate::storage::eviction::PolicyState;
use crate::storage::memory::{Arena, L1MemoryManager, PinnedSpan, Pinning, Span};
use crate::storage::ticker::Waker;
use crate::storage::ttl_lock;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, OnceLock, lock};

pub use code::{KeyCodes, L1Error};
pub use slot::{ObjectStage, WriterTag};
pub use status::L1Status;
pub use write::WriteRequest;

use tables::Tables;
use tell::Teller;

/// One object, as [`L1Manager::objects`] lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: ObjectKey,
    /// Where it lies.
    pub span: Span,
    /// Readable, or being written by whom.
    pub stage: ObjectStage,
    /// Whether its readers', or its writer's, lock is live.
    pub is_locked: bool,
    /// Whether it leaves with its last reader.
    pub is_temporary: bool,
}

/// LMCache's `L1Manager`.
#[derive(Debug)]
pub struct L1Manager {
    config: L1ManagerConfig,
    clock: Clock,
    arena: Arc<Arena>,
    tables: Tables,
    compat: Compat,
    teller: Teller,
    /// Whether a temporary object was ever reserved: without one, none leaves with its last reader.
    has_temporaries: AtomicBool,
    waker: OnceLock<Waker>,
}

impl L1Manager {
    /// An empty L1. Its memory is reserved, not committed: what nobody writes costs nothing, unless it is pinned.
    ///
    /// # Errors
    /// If the size is zero or does not fit into the address space, the alignment is no power of two, the kernel has no
    /// such pages, segment or node, or the memory is to be a Device-DAX file, which this build does not have.
    pub fn new(config: L1ManagerConfig, clock: Clock, compat: Compat, events: Events) -> Result<Self> {
        Self::with_pinning(config, clock, compat, events, Pinning::default())
    }

    /// As [`Self::new`], whose memory is pinned by `pinning`, which comes before what `config` says of that.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_pinning(
        config: L1ManagerConfig,
        clock: Clock,
        compat: Compat,
        events: Events,
        pinning: Pinning,
    ) -> Result<Self> {
        let memory = &config.memory;
        if let Some(path) = &memory.devdax_path {
            return Err(Error::unsupported("L1 on Device-DAX is not part of this build")
                .with_context("path", path)
                .with_hint("configure L1 in host memory of the same size"));
        }
        let space = L1MemoryManager::with_pinning(memory, pinning)?;
        let arena = Arc::clone(space.arena());
        let teller = Teller::new(&config.tag, events);
        let tables = Tables::new(&config, compat, space, teller.clone(), &clock);
        let (has_temporaries, waker) = (AtomicBool::new(false), OnceLock::new());
        Ok(Self { config, clock, arena, tables, compat, teller, has_temporaries, waker })
    }

    /// Whether L1 still takes something.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`](crate::error::ErrorKind::Closed) after [`Self::close`].
    pub(super) fn check_open(&self) -> Result<()> {
        self.tables.check_open()
    }

    /// Drops all objects, and takes none from then on. The memory grows no more; what is pinned of it stays so until the last buffer
    /// is gone.
    pub(super) fn close(&self) {
        self.tables.close(self.clock.now_ns());
    }

    /// Reserves an object for each of `keys`. Returns, parallel to `keys`, the outcomes and where the objects
    /// of the successful ones lie: [`L1Error::KeyNotWritable`] if the key is resident, or this tag is writing
    /// it; [`L1Error::OutOfMemory`] if not all that need memory get it. A reservation of the same tag that
    /// ran out is taken over: with a new buffer, and under [`Compat::Lmcache`] with the old one as it is.
    ///
    /// # Errors
    /// If an object of zero bytes would have to be allocated; nothing is changed then. Or if the storage manager is
    /// closed.
    pub fn reserve_write(
        &self,
        keys: &[ObjectKey],
        request: WriteRequest,
    ) -> Result<(KeyCodes, Vec<Option<Span>>)> {
        self.reserve(keys, request, |span| span)
    }

    /// [`Self::reserve_write`] with buffers that an adapter can fill: each is pinned for as long as it is held.
    ///
    /// # Errors
    /// Those of [`Self::reserve_write`].
    pub(super) fn reserve_write_pinned(
        &self,
        keys: &[ObjectKey],
        request: WriteRequest,
    ) -> Result<(KeyCodes, Vec<Option<PinnedSpan>>)> {
        self.reserve(keys, request, |span| self.arena.pin(span))
    }

    fn reserve<B>(
        &self,
        keys: &[ObjectKey],
        request: WriteRequest,
        make: impl FnMut(Span) -> B,
    ) -> Result<(KeyCodes, Vec<Option<B>>)> {
        self.check_open()?;
        let reserved = self.tables.reserve_write(keys, request, self.clock.now_ns(), make)?;
        self.wake_if_full(reserved.used_bytes);
        if request.is_temporary {
            // Relaxed: whoever releases the object has met its writer under a shard's mutex.
            self.has_temporaries.store(true, Ordering::Relaxed);
        }
        if self.teller.is_heard_of_reservations() {
            self.tell(keys, &reserved.codes, Event::l1_write_reserved);
        }
        Ok((reserved.codes, reserved.buffers))
    }

    /// Makes what `tag` wrote readable: [`L1Error::KeyNotExist`] if it was not writing the key,
    /// [`L1Error::KeyInWrongState`] if its reservation ran out. If another writer was first, this one's object
    /// is dropped, which is a success all the same.
    ///
    /// If the reservation of another writer under this tag ran out less than one time to live before it was taken
    /// over, the first finish after that is [`L1Error::KeyInWrongState`], too: it may be the late one's, who must not
    /// make readable what the other is still writing. Not under [`Compat::Lmcache`].
    pub fn finish_write(&self, keys: &[ObjectKey], tag: WriterTag) -> KeyCodes {
        let codes = self.tables.finish_write(keys, tag, self.clock.now_ns(), |_| ());
        self.tell(keys, &codes, Event::l1_write_finished);
        codes
    }

    /// [`Self::finish_write`] that also says which objects are readable from now on, to be stored to L2.
    pub(super) fn finish_write_noting(
        &self,
        keys: &[ObjectKey],
        tag: WriterTag,
    ) -> (KeyCodes, Vec<ObjectKey>) {
        let mut noted = Vec::new();
        let codes = self.tables.finish_write(keys, tag, self.clock.now_ns(), |created| {
            noted = created.iter().map(|key| (*key).clone()).collect();
        });
        self.tell(keys, &codes, Event::l1_write_finished);
        (codes, noted)
    }

    /// Holds objects for a store: they stay until [`Self::release_store_hold`], and their buffers are pinned. No
    /// client can release the hold, and it does not run out; in LMCache it is a read lock.
    pub(super) fn hold_for_store(&self, keys: &[ObjectKey]) -> (KeyCodes, Vec<Option<PinnedSpan>>) {
        self.tables.hold_for_store(keys, self.clock.now_ns(), |span| self.arena.pin(span))
    }

    /// Takes back one hold on each of `keys`.
    pub(super) fn release_store_hold(&self, keys: &[ObjectKey]) {
        self.tables.release_store_hold(keys, self.clock.now_ns());
    }

    /// As [`Self::finish_write`], and read-locks each object that is resident then `read_locks` times, with
    /// nobody in between.
    pub fn finish_write_and_reserve_read(
        &self,
        keys: &[ObjectKey],
        read_locks: i64,
        tag: WriterTag,
    ) -> KeyCodes {
        let read_locks = ttl_lock::read_lock_count(read_locks, self.compat);
        let now_ns = self.clock.now_ns();
        let codes = self.tables.finish_write_and_reserve_read(keys, read_locks, tag, now_ns);
        self.tell(keys, &codes, Event::l1_write_finished_and_read_reserved);
        codes
    }

    /// Drops what `tag` was writing. The codes are those of [`Self::finish_write`] without late writers.
    pub fn finish_write_and_delete(&self, keys: &[ObjectKey], tag: WriterTag) -> KeyCodes {
        self.tables.finish_write_and_delete(keys, tag, self.clock.now_ns())
    }

    /// Drops what a client was writing at these spans, which nobody else can have, since they are pinned. In contrast to
    /// [`Self::finish_write_and_delete`] it can never meet the reservation of another client, whatever ran out
    /// meanwhile.
    pub(super) fn give_up_write(&self, keys: &[ObjectKey], spans: &[Span]) {
        self.tables.give_up_write(keys, spans);
    }

    /// Read-locks each of `keys` that is resident, `read_locks` times per occurrence: at least once, and under
    /// [`Compat::Lmcache`] at most 128 times.
    pub fn reserve_read<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a ObjectKey>,
        read_locks: i64,
    ) -> KeyCodes {
        let read_locks = ttl_lock::read_lock_count(read_locks, self.compat);
        if !self.teller.is_heard_of_reservations() {
            return self.tables.reserve_read(keys, read_locks, self.clock.now_ns());
        }
        let keys: Vec<&ObjectKey> = keys.into_iter().collect();
        let codes = self.tables.reserve_read(keys.iter().copied(), read_locks, self.clock.now_ns());
        self.teller.tell_successes(&keys, &codes, Event::l1_read_reserved);
        codes
    }

    /// [`Self::reserve_read`] of `count` keys that counts them as used, as [`Self::touch_keys`], if all are resident.
    pub(super) fn reserve_read_whole<'a>(
        &self,
        keys: impl Iterator<Item = &'a ObjectKey> + Clone,
        count: usize,
        read_locks: i64,
        now_ns: u64,
    ) -> KeyCodes {
        let read_locks = ttl_lock::read_lock_count(read_locks, self.compat);
        if !self.teller.is_heard_of_reservations() {
            return self.tables.reserve_read_whole(keys, count, read_locks, now_ns);
        }
        let all: Vec<&ObjectKey> = keys.clone().collect();
        let codes = self.tables.reserve_read_whole(keys, count, read_locks, now_ns);
        self.teller.tell_successes(&all, &codes, Event::l1_read_reserved);
        if codes.all_succeeded() {
            self.teller.tell(&all, Event::l1_keys_accessed);
        }
        codes
    }

    /// Where the read-locked ones of `keys` lie, parallel to `keys`. Takes no lock itself:
    /// [`L1Error::KeyNotReadable`] if nobody holds one.
    pub fn unsafe_read(&self, keys: &[ObjectKey]) -> (KeyCodes, Vec<Option<Span>>) {
        self.tables.unsafe_read(keys, self.clock.now_ns(), |span| span)
    }

    /// [`Self::unsafe_read`] of buffers that stay what they are for as long as they are held, whatever becomes of the locks.
    pub(super) fn unsafe_read_pinned(&self, keys: &[ObjectKey]) -> (KeyCodes, Vec<Option<PinnedSpan>>) {
        self.tables.unsafe_read(keys, self.clock.now_ns(), |span| self.arena.pin(span))
    }

    /// Releases `read_locks` per occurrence, counted as by [`Self::reserve_read`]: [`L1Error::KeyInWrongState`] if
    /// none is live.
    pub fn finish_read<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a ObjectKey>,
        read_locks: i64,
    ) -> KeyCodes {
        let read_locks = ttl_lock::read_lock_count(read_locks, self.compat);
        if !self.teller.is_heard() {
            return self.tables.finish_read(keys, read_locks, self.clock.now_ns());
        }
        let keys: Vec<&ObjectKey> = keys.into_iter().collect();
        let codes = self.tables.finish_read(keys.iter().copied(), read_locks, self.clock.now_ns());
        self.teller.tell_successes(&keys, &codes, Event::l1_read_finished);
        self.tell_gone(&keys, &codes);
        codes
    }

    /// Counts `keys` as used.
    pub fn touch_keys(&self, keys: &[&ObjectKey]) {
        self.tables.touch_keys(keys);
        if self.teller.is_heard_of_reservations() {
            self.teller.tell(keys, Event::l1_keys_accessed);
        }
    }

    /// Deletes `keys`: [`L1Error::KeyIsLocked`] for what is read or written, unless `force`.
    pub fn delete(&self, keys: &[ObjectKey], force: bool) -> KeyCodes {
        let codes = self.tables.delete(keys, force, self.clock.now_ns());
        self.tell(keys, &codes, Event::l1_keys_evicted);
        codes
    }

    /// Deletes everything that is not locked; with `force`, everything.
    pub fn clear(&self, force: bool) {
        self.tables.clear(force, self.clock.now_ns());
    }

    /// Asks the policy for the share of the keys, or of the bytes, that `config` names, and deletes those of them that
    /// are not locked. Returns the victims in the policy's order, each with the outcome of its deletion.
    ///
    /// # Errors
    /// If the policy cannot choose: see [`isolated_lru`](crate::storage::eviction::isolated_lru).
    pub fn evict(&self, config: &EvictionConfig) -> Result<Vec<(ObjectKey, L1Error)>> {
        let victims = self.tables.evict(config, self.clock.now_ns())?;
        self.teller.tell_victims(&victims);
        Ok(victims)
    }

    /// Tells of those keys of an operation for which it succeeded.
    fn tell(&self, keys: &[ObjectKey], codes: &KeyCodes, make: for<'a> fn(L1Keys<'a>) -> Event<'a>) {
        if self.teller.is_heard() {
            self.teller.tell_successes(&keys.iter().collect::<Vec<_>>(), codes, make);
        }
    }

    /// Tells of the temporary objects that left with their last reader: of those that a release found, and that are
    /// not there any more.
    fn tell_gone(&self, keys: &[&ObjectKey], codes: &KeyCodes) {
        // Relaxed: see `reserve`.
        if !self.has_temporaries.load(Ordering::Relaxed) {
            return;
        }
        let released = keys.iter().zip(codes.as_slice()).filter(|(_, code)| **code == L1Error::Success);
        let gone = released.map(|(key, _)| *key).filter(|key| self.objects_of(key).is_empty());
        self.teller.tell(&gone.collect::<Vec<_>>(), Event::l1_keys_evicted);
    }

    /// Wakes the eviction thread when an allocation reaches the watermark, from now on. Not as LMCache.
    pub(super) fn wake_at_watermark(&self, waker: Waker) {
        if self.compat == Compat::Native {
            // A controller starts once.
            let _ = self.waker.set(waker);
        }
    }

    /// Called after an allocation.
    fn wake_if_full(&self, used_bytes: u64) {
        if let Some(waker) = self.waker.get() {
            let used = used_bytes as f64 / self.config.memory.size_bytes as f64;
            if used >= self.config.eviction.trigger_watermark {
                waker.wake();
            }
        }
    }

    /// Whether an eviction could take `key`: it has an object that nobody reads, or a reservation that ran
    /// out.
    pub fn is_key_evictable(&self, key: &ObjectKey) -> bool {
        let now_ns = self.clock.now_ns();
        self.tables.slot_is(key, |slot| slot.is_evictable(now_ns))
    }

    /// Whether `key` has an object that readers can see.
    pub fn is_resident(&self, key: &ObjectKey) -> bool {
        self.tables.slot_is(key, |slot| slot.resident().is_some())
    }

    /// Whether somebody holds a read lock on the object of `key`.
    pub fn is_key_readable(&self, key: &ObjectKey) -> bool {
        let now_ns = self.clock.now_ns();
        self.tables.slot_is(key, |slot| slot.resident().is_some_and(|object| object.is_locked(now_ns)))
    }

    /// Used and usable bytes.
    pub fn get_memory_usage(&self) -> (u64, u64) {
        self.tables.memory_usage()
    }

    /// Logical bytes of the objects that are being written; part of the used bytes.
    pub fn get_staging_memory_usage(&self) -> u64 {
        self.tables.counts(self.clock.now_ns()).staging_bytes
    }

    /// Keys that got no memory, since the start.
    pub fn allocation_failures(&self) -> u64 {
        // Relaxed, here and below: a counter that orders nothing.
        self.tables.allocation_failures.load(Ordering::Relaxed)
    }

    /// Objects that were evicted because an allocation found no room, since the start.
    pub fn evicted_for_room(&self) -> u64 {
        self.tables.evicted_for_room.load(Ordering::Relaxed)
    }

    /// Whether the allocator's books are right.
    pub fn memcheck(&self) -> bool {
        lock(&self.tables.space).memcheck()
    }

    /// Every object, in address order. For tests and diagnostics: it copies the whole table.
    pub fn objects(&self) -> Vec<ObjectInfo> {
        self.tables.objects(self.clock.now_ns())
    }

    /// The objects of one key. For tests and diagnostics.
    pub fn objects_of(&self, key: &ObjectKey) -> Vec<ObjectInfo> {
        self.tables.objects_of(key, self.clock.now_ns())
    }

    /// The policy's order. For tests and diagnostics.
    pub fn policy_state(&self) -> PolicyState {
        self.tables.policy_state()
    }

    /// What LMCache reports. Counts are kept, so it looks at no object, but for those of a shard in which a lock ran
    /// out that nobody released.
    pub fn report_status(&self) -> L1Status {
        let size_bytes = self.config.memory.size_bytes;
        let mut status = L1Status {
            memory_configured_bytes: size_bytes,
            capacity_bytes_by_backend: [("dram", size_bytes)].into(),
            write_ttl_seconds: self.config.write_ttl_seconds,
            read_ttl_seconds: self.config.read_ttl_seconds,
            ..L1Status::default()
        };
        self.tables.fill_status(self.clock.now_ns(), &mut status);
        let registration = self.arena.registration();
        status.memory_registration = registration.state.name();
        status.memory_registered_bytes = registration.registered_bytes;
        status.memory_registration_failure = registration.failure;
        status.memory_usage_ratio = status.memory_used_bytes as f64 / status.memory_total_bytes as f64;
        status
    }

    /// Its configuration.
    pub fn config(&self) -> &L1ManagerConfig {
        &self.config
    }

    /// Its memory.
    pub(super) fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }
}

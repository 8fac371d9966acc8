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
//! * [`slot`]: one key with its objects. * `tables`: all slots, the allocator and the policy.
//! * `write`, `read`, `remove`: the operations, each on a whole list of keys.
//! * [`code`]: what an operation says of each key. * [`status`]: what L1 says of itself.
//!
//! [`L1Manager`] puts one mutex in front of the tables. Every operation holds it for its whole list of keys,
//! so operations are atomic against each other, and tells the eviction policy of its effects before it lets
//! go. Nothing under the mutex waits or copies bytes.

pub mod code;
mod read;
mod remove;
pub mod slot;
pub mod status;
mod tables;
mod write;

use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::format::model::ObjectKey;
use crate::storage::config::{Compat, EvictionConfig, L1ManagerConfig};
use crate::storage::events::{Event, Events, L1Keys};
use crate::storage::eviction::{self, PolicyState};
use crate::storage::memory::{Arena, L1MemoryManager, PinnedSpan, Span};
use crate::storage::ticker::Waker;
use crate::storage::ttl_lock;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, OnceLock, lock};

pub use code::{KeyCodes, L1Error};
pub use slot::{ObjectStage, WriterTag};
pub use status::L1Status;
pub use write::WriteRequest;

use tables::Tables;

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
    tables: Mutex<Tables>,
    compat: Compat,
    events: Events,
    waker: OnceLock<Waker>,
    /// Written under the mutex of the tables: whoever holds that finds L1 either open or closed and empty.
    is_closed: AtomicBool,
}

impl L1Manager {
    /// An empty L1. Plain memory is reserved, not committed: what nobody writes costs nothing.
    ///
    /// # Errors
    /// If the size is zero, the alignment is no power of two, the memory cannot be had as it is configured, or it is
    /// to be a Device-DAX file, which this build does not have.
    pub fn new(config: L1ManagerConfig, clock: Clock, compat: Compat, events: Events) -> Result<Self> {
        let memory = &config.memory;
        if let Some(path) = &memory.devdax_path {
            return Err(Error::unsupported("L1 on Device-DAX is not part of this build")
                .with_context("path", path)
                .with_hint("configure L1 in host memory of the same size"));
        }
        let allocator = L1MemoryManager::new(memory)?;
        let arena = Arc::clone(allocator.arena());
        let tables = Mutex::new(Tables {
            index: tables::Index::default(),
            allocator,
            policy: eviction::create(config.eviction.policy, compat),
            write_ttl_ns: ttl_lock::ttl_ns(config.write_ttl_seconds),
            read_ttl_ns: ttl_lock::ttl_ns(config.read_ttl_seconds),
            compat,
            staging_bytes: 0,
            allocation_failures: 0,
            evicted_for_room: 0,
        });
        let is_closed = AtomicBool::new(false);
        Ok(Self { config, clock, arena, tables, compat, events, waker: OnceLock::new(), is_closed })
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        lock(&self.tables)
    }

    /// Whether L1 still takes something.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] after [`Self::close`].
    pub(super) fn check_open(&self) -> Result<()> {
        // Relaxed: who has to know for sure holds the mutex, which orders it; for the others, a call that
        // races with `close` may come before it or after it.
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Closed, "the storage manager is closed"));
        }
        Ok(())
    }

    /// Drops all objects, and takes none from then on.
    pub(super) fn close(&self) {
        let mut tables = self.tables();
        // Relaxed: see `check_open`.
        self.is_closed.store(true, Ordering::Relaxed);
        tables.clear(true, self.clock.now_ns());
    }

    /// Reserves an object for each of `keys`. Returns, parallel to `keys`, the outcomes and where the objects
    /// of the successful ones lie: [`L1Error::KeyNotWritable`] if the key is resident, or this tag is writing
    /// it; [`L1Error::OutOfMemory`] if not all that need memory get it. A reservation of the same tag that
    /// ran out is handed over with its buffer as it is.
    ///
    /// # Errors
    /// If an object of zero bytes would have to be allocated, or the storage manager is closed. Nothing is
    /// changed then.
    pub fn reserve_write(
        &self,
        keys: &[ObjectKey],
        request: WriteRequest,
    ) -> Result<(KeyCodes, Vec<Option<Span>>)> {
        let mut tables = self.tables();
        self.check_open()?;
        let reserved = tables.reserve_write(keys, request, self.clock.now_ns());
        self.wake_if_full(&tables);
        reserved
    }

    /// Makes what `tag` wrote readable: [`L1Error::KeyNotExist`] if it was not writing the key,
    /// [`L1Error::KeyInWrongState`] if its reservation ran out. If another writer was first, this one's object
    /// is dropped, which is a success all the same.
    pub fn finish_write(&self, keys: &[ObjectKey], tag: WriterTag) -> KeyCodes {
        self.tables().finish_write(keys, tag, self.clock.now_ns())
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
        let mut tables = self.tables();
        self.check_open()?;
        let (codes, spans) = tables.reserve_write(keys, request, self.clock.now_ns())?;
        self.wake_if_full(&tables);
        Ok((codes, self.pinned(spans)))
    }

    /// Pins spans; the caller holds the mutex of the tables, so none of them can have been freed.
    fn pinned(&self, spans: Vec<Option<Span>>) -> Vec<Option<PinnedSpan>> {
        spans.into_iter().map(|span| span.map(|span| self.arena.pin(span))).collect()
    }

    /// [`Self::finish_write`] that also says which objects are readable from now on, to be stored to L2.
    pub(super) fn finish_write_noting(
        &self,
        keys: &[ObjectKey],
        tag: WriterTag,
    ) -> (KeyCodes, Vec<ObjectKey>) {
        self.tables().finish_write_noting(keys, tag, self.clock.now_ns())
    }

    /// Holds objects for a store: they stay until [`Self::release_store_hold`], and their buffers are pinned.
    pub(super) fn hold_for_store(&self, keys: &[ObjectKey]) -> (KeyCodes, Vec<Option<PinnedSpan>>) {
        let now_ns = self.clock.now_ns();
        let mut tables = self.tables();
        let codes = tables.reserve_read(keys, 1, now_ns);
        let (_, spans) = tables.unsafe_read(keys, now_ns);
        (codes, self.pinned(spans))
    }

    /// Takes back one hold on each of `keys`.
    pub(super) fn release_store_hold(&self, keys: &[ObjectKey]) {
        self.tables().finish_read(keys, 1, self.clock.now_ns());
    }

    /// As [`Self::finish_write`], and read-locks each object that is resident then `read_locks` times, with
    /// nobody in between.
    pub fn finish_write_and_reserve_read(
        &self,
        keys: &[ObjectKey],
        read_locks: i64,
        tag: WriterTag,
    ) -> KeyCodes {
        let read_locks = ttl_lock::clamp_read_locks(read_locks);
        self.tables().finish_write_and_reserve_read(keys, read_locks, tag, self.clock.now_ns())
    }

    /// Drops what `tag` was writing. The codes are those of [`Self::finish_write`].
    pub fn finish_write_and_delete(&self, keys: &[ObjectKey], tag: WriterTag) -> KeyCodes {
        self.tables().finish_write_and_delete(keys, tag, self.clock.now_ns())
    }

    /// Read-locks each of `keys` that is resident, `read_locks` times (1 to 128) per occurrence.
    pub fn reserve_read<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a ObjectKey>,
        read_locks: i64,
    ) -> KeyCodes {
        let read_locks = ttl_lock::clamp_read_locks(read_locks);
        self.tables().reserve_read(keys, read_locks, self.clock.now_ns())
    }

    /// Where the read-locked ones of `keys` lie, parallel to `keys`. Takes no lock itself:
    /// [`L1Error::KeyNotReadable`] if nobody holds one.
    pub fn unsafe_read(&self, keys: &[ObjectKey]) -> (KeyCodes, Vec<Option<Span>>) {
        self.tables().unsafe_read(keys, self.clock.now_ns())
    }

    /// Releases `read_locks` (1 to 128) per occurrence: [`L1Error::KeyInWrongState`] if none is live.
    pub fn finish_read<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a ObjectKey>,
        read_locks: i64,
    ) -> KeyCodes {
        let read_locks = ttl_lock::clamp_read_locks(read_locks);
        self.tables().finish_read(keys, read_locks, self.clock.now_ns())
    }

    /// Counts `keys` as used.
    pub fn touch_keys(&self, keys: &[&ObjectKey]) {
        self.tables().touch_keys(keys);
    }

    /// Deletes `keys`: [`L1Error::KeyIsLocked`] for what is read or written, unless `force`.
    pub fn delete(&self, keys: &[ObjectKey], force: bool) -> KeyCodes {
        self.tables().delete(keys, force, self.clock.now_ns())
    }

    /// Deletes everything that is not locked; with `force`, everything.
    pub fn clear(&self, force: bool) {
        self.tables().clear(force, self.clock.now_ns());
    }

    /// Asks the policy for the share of the keys, or of the bytes, that `config` names, and deletes those of them that
    /// are not locked. Returns the victims in the policy's order, each with the outcome of its deletion.
    ///
    /// # Errors
    /// If the policy cannot choose: see [`eviction::isolated_lru`].
    pub fn evict(&self, config: &EvictionConfig) -> Result<Vec<(ObjectKey, L1Error)>> {
        let now_ns = self.clock.now_ns();
        let victims = self.tables().evict(config, now_ns)?;
        self.publish_evicted(&victims);
        Ok(victims)
    }

    fn publish_evicted(&self, victims: &[(ObjectKey, L1Error)]) {
        if self.events.has_sink() {
            let gone = victims.iter().filter(|(_, code)| *code == L1Error::Success);
            let keys: Vec<&ObjectKey> = gone.map(|(key, _)| key).collect();
            self.events.publish(|| Event::L1KeysEvicted(L1Keys { l1_tag: &self.config.tag, keys: &keys }));
        }
    }

    /// Wakes the eviction thread when an allocation reaches the watermark, from now on. Not as LMCache.
    pub(super) fn wake_at_watermark(&self, waker: Waker) {
        if self.compat == Compat::Native {
            // A controller starts once.
            let _ = self.waker.set(waker);
        }
    }

    /// Called with the tables after an allocation.
    fn wake_if_full(&self, tables: &Tables) {
        if let Some(waker) = self.waker.get() {
            let used = tables.allocator.used_bytes() as f64 / tables.allocator.total_bytes() as f64;
            if used >= self.config.eviction.trigger_watermark {
                waker.wake();
            }
        }
    }

    /// Whether an eviction could take `key`: it has an object that nobody reads, or a reservation that ran
    /// out.
    pub fn is_key_evictable(&self, key: &ObjectKey) -> bool {
        self.tables().index.is_evictable(key, self.clock.now_ns())
    }

    /// Used and usable bytes.
    pub fn get_memory_usage(&self) -> (u64, u64) {
        let mut tables = self.tables();
        tables.allocator.free_unpinned();
        (tables.allocator.used_bytes(), tables.allocator.total_bytes())
    }

    /// Logical bytes of the objects that are being written; part of the used bytes.
    pub fn get_staging_memory_usage(&self) -> u64 {
        self.tables().staging_bytes
    }

    /// Keys that got no memory, since the start.
    pub fn allocation_failures(&self) -> u64 {
        self.tables().allocation_failures
    }

    /// Objects that were evicted because an allocation found no room, since the start.
    pub fn evicted_for_room(&self) -> u64 {
        self.tables().evicted_for_room
    }

    /// Whether the allocator's books are right.
    pub fn memcheck(&self) -> bool {
        self.tables().allocator.memcheck()
    }

    /// Every object, in address order. For tests and diagnostics: it copies the whole table.
    pub fn objects(&self) -> Vec<ObjectInfo> {
        self.tables().objects(self.clock.now_ns())
    }

    /// The objects of one key. For tests and diagnostics.
    pub fn objects_of(&self, key: &ObjectKey) -> Vec<ObjectInfo> {
        self.tables().objects_of(key, self.clock.now_ns())
    }

    /// The policy's order. For tests and diagnostics.
    pub fn policy_state(&self) -> PolicyState {
        self.tables().policy.state()
    }

    /// What LMCache reports. Looks at every object.
    pub fn report_status(&self) -> L1Status {
        let size_bytes = self.config.memory.size_bytes;
        let mut status = L1Status {
            memory_configured_bytes: size_bytes,
            capacity_bytes_by_backend: [("dram", size_bytes)].into(),
            write_ttl_seconds: self.config.write_ttl_seconds,
            read_ttl_seconds: self.config.read_ttl_seconds,
            ..L1Status::default()
        };
        let mut tables = self.tables();
        tables.allocator.free_unpinned();
        tables.count(self.clock.now_ns(), &mut status);
        drop(tables);
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

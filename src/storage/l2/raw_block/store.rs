//! A device as a store of objects.

use serde_json::{Value, json};

use super::checkpoint::{self, ContainerHeader};
use super::checkpointer::Checkpointer;
use super::device::Device;
use super::entry_meta::EntryMeta;
use super::geometry::{CONTAINERS, Geometry, encode_slot_header};
use super::key_codec;
use super::recovery::{self, Report, is_in_its_slot};
use super::slots::{Reserved, Slots, Writing};
use crate::clock::monotonic_ns;
use crate::error::{Error, Result};
use crate::format::model::{MemoryLayoutDesc, ObjectKey};
use crate::os::file;
use crate::storage::config::Compat;
use crate::storage::config::l2::RawBlockAdapterConfig;
use crate::storage::l2::Transfer;
use crate::storage::l2::connector::{Connector, Put, Removed};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// What a device is opened with.
#[derive(Clone, Debug)]
pub struct RawBlockOptions {
    /// LMCache's settings.
    pub config: RawBlockAdapterConfig,
    /// As LMCache: a full device fails a store, one of two stores of a key at the same time fails, a load takes an
    /// object that is shorter than its buffer, and a busy device gets no checkpoint.
    pub compat: Compat,
}

/// A device of slots, as a [`Connector`].
#[derive(Debug)]
pub struct RawBlock {
    core: Arc<Core>,
    checkpointer: Mutex<Option<Checkpointer>>,
}

#[derive(Debug)]
pub(super) struct Core {
    options: RawBlockOptions,
    geometry: Geometry,
    device: Device,
    slots: Slots,
    report: Report,
    /// Held while a checkpoint is written: there is one at a time.
    checkpointing: Mutex<()>,
    meta: Mutex<Meta>,
    last_meta: Mutex<Option<(Option<MemoryLayoutDesc>, Arc<EntryMeta>)>>,
    inflight_io: AtomicU64,
    last_io_ns: AtomicU64,
}

/// The checkpoints so far. Its lock is never held during I/O: a status does not wait for the device.
#[derive(Debug)]
struct Meta {
    sequence: u64,
    /// The changes of the index that the last checkpoint has.
    persisted_total: u64,
    failures: u64,
    too_large: u64,
    last_error: Option<String>,
}

/// I/O under way.
struct Io<'a>(&'a Core);

impl<'a> Io<'a> {
    fn begin(core: &'a Core) -> Self {
        // Relaxed, here and below: whether the device is idle is a guess anyway.
        core.inflight_io.fetch_add(1, Ordering::Relaxed);
        Self(core)
    }
}

impl Drop for Io<'_> {
    fn drop(&mut self) {
        self.0.last_io_ns.store(monotonic_ns(), Ordering::Relaxed);
        self.0.inflight_io.fetch_sub(1, Ordering::Relaxed);
    }
}

impl RawBlock {
    /// Opens the device and finds its index.
    ///
    /// # Errors
    /// If the device cannot be opened or read, has no room for a slot, or holds something that is not raw_block's.
    pub fn open(options: RawBlockOptions) -> Result<Self> {
        let config = &options.config;
        let path = &config.device_path;
        let with_path = |error: Error| error.with_context("path", path.display());
        let device = Device::open(path, config.use_odirect, config.enable_zero_copy, config.block_align)?;
        let geometry = Geometry::new(config, device.size_bytes()).map_err(with_path)?;
        let recovered = recovery::recover(&device, config, &geometry, options.compat)?;
        let persisted_total = 0;
        let meta = Meta {
            sequence: recovered.sequence,
            persisted_total,
            failures: 0,
            too_large: 0,
            last_error: None,
        };
        let core = Arc::new(Core {
            geometry,
            device,
            slots: recovered.slots,
            report: recovered.report,
            checkpointing: Mutex::new(()),
            meta: Mutex::new(meta),
            last_meta: Mutex::new(None),
            inflight_io: AtomicU64::new(0),
            last_io_ns: AtomicU64::new(monotonic_ns()),
            options,
        });
        let config = &core.options.config;
        let checkpointer = match config.meta_enable_periodic {
            false => None,
            true => {
                let its = Arc::clone(&core);
                let write = move |at_once| its.checkpoint_if_idle(at_once).is_some();
                Some(Checkpointer::start(write, config.meta_checkpoint_interval)?)
            }
        };
        Ok(Self { core, checkpointer: Mutex::new(checkpointer) })
    }

    /// The layout of the device.
    pub fn geometry(&self) -> &Geometry {
        &self.core.geometry
    }

    /// Bytes of all slots: what eviction measures use against.
    pub fn capacity_bytes(&self) -> u64 {
        u64::from(self.core.geometry.max_slots) * self.core.geometry.slot_bytes
    }

    /// Writes a checkpoint now, if anything changed since the last one. Returns whether it was written.
    ///
    /// # Errors
    /// If the device cannot be written, or the index is larger than its place there.
    pub fn checkpoint_now(&self) -> Result<bool> {
        self.core.checkpoint()
    }

    fn stop(&self) {
        let Some(checkpointer) = lock(&self.checkpointer).take() else { return };
        checkpointer.stop();
    }
}

impl Drop for RawBlock {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Core {
    fn is_native(&self) -> bool {
        self.options.compat == Compat::Native
    }

    /// Writes a checkpoint if the device is idle, or if it `must`. `None`: it was put off.
    pub(super) fn checkpoint_if_idle(&self, must: bool) -> Option<Result<bool>> {
        let quiet_ns = self.options.config.meta_idle_quiet.as_nanos();
        let since_ns = monotonic_ns().saturating_sub(self.last_io_ns.load(Ordering::Relaxed));
        let is_idle = self.inflight_io.load(Ordering::Relaxed) == 0 && u128::from(since_ns) >= quiet_ns;
        (is_idle || (must && self.is_native())).then(|| self.checkpoint())
    }

    fn checkpoint(&self) -> Result<bool> {
        let _one_at_a_time = lock(&self.checkpointing);
        let (sequence, persisted_total) = {
            let meta = lock(&self.meta);
            (meta.sequence + 1, meta.persisted_total)
        };
        if self.slots.counts().dirty_total <= persisted_total {
            return Ok(false);
        }
        let written = self.write_checkpoint(sequence);
        let mut meta = lock(&self.meta);
        match &written {
            Ok(dirty_total) => {
                (meta.sequence, meta.persisted_total) = (sequence, *dirty_total);
                meta.last_error = None;
            }
            Err(error) => {
                meta.failures += 1;
                meta.last_error = Some(error.to_string());
            }
        }
        written.map(|_| true)
    }

    /// Writes checkpoint number `sequence`. Returns how many changes of the index it has.
    fn write_checkpoint(&self, sequence: u64) -> Result<u64> {
        let (config, geometry) = (&self.options.config, &self.geometry);
        let snapshot = self.slots.snapshot();
        let json = checkpoint::encode(config, geometry, &snapshot);
        if json.len() as u64 > geometry.max_checkpoint_bytes() {
            lock(&self.meta).too_large += 1;
            return Err(Error::invalid("the index is larger than its place on the raw block device")
                .with_context("path", config.device_path.display())
                .with_context("bytes", json.len())
                .with_context("place_bytes", geometry.max_checkpoint_bytes())
                .with_hint("use a new device with a larger meta_total_bytes, or larger slots"));
        }
        let offset = geometry.container_offset((sequence - 1) % CONTAINERS);
        let header = ContainerHeader {
            sequence,
            payload_bytes: json.len() as u64,
            crc32: crc32fast::hash(json.as_bytes()),
        };
        self.flush()?;
        self.device.write_bytes(json.as_bytes(), offset + geometry.block_align)?;
        self.flush()?;
        self.device.write_bytes(&header.encode(config.meta_magic, config.meta_version), offset)?;
        self.flush()?;
        Ok(snapshot.dirty_total)
    }

    /// What is listed has to be on the medium before the list, and the list before its header.
    fn flush(&self) -> Result<()> {
        if self.is_native() { self.device.sync() } else { Ok(()) }
    }

    fn put(&self, object: &Transfer) -> Result<Put> {
        let size_bytes = object.buffer.size_bytes() as u64;
        self.check_size(size_bytes)?;
        let native_size = self.is_native().then_some(size_bytes);
        let writing = match self.slots.reserve(&object.key, self.is_native(), native_size) {
            Reserved::Slot(writing) => writing,
            Reserved::Present => return Ok(Put::Present),
            Reserved::Busy => return Err(Error::invalid("another task is storing the same object")),
            Reserved::Full if self.is_native() => return Ok(Put::NoRoom),
            Reserved::Full => {
                return Err(Error::invalid("no slot of the raw block device is free")
                    .with_context("path", self.options.config.device_path.display())
                    .with_hint("add \"eviction\": {\"eviction_policy\": \"LRU\"} to the adapter, or use a larger device"));
            }
        };
        let io = Io::begin(self);
        let written = self.write_slot(&writing, object, size_bytes);
        drop(io);
        if let Err(error) = written {
            if self.is_native() && is_of_the_medium(&error) {
                writing.fail();
            }
            return Err(error);
        }
        let is_replaced = writing.commit(size_bytes, self.meta_of(object));
        let added_bytes = if is_replaced { 0 } else { self.geometry.slot_bytes };
        Ok(Put::Written { added_bytes: Some(added_bytes) })
    }

    /// What a checkpoint says of the object. Objects of one layout share it.
    fn meta_of(&self, object: &Transfer) -> Arc<EntryMeta> {
        let mut last = lock(&self.last_meta);
        match &*last {
            Some((layout, meta)) if *layout == object.layout => Arc::clone(meta),
            _ => {
                let meta = Arc::new(EntryMeta::of_layout(object.layout.as_ref()));
                *last = Some((object.layout.clone(), Arc::clone(&meta)));
                meta
            }
        }
    }

    fn write_slot(&self, writing: &Writing<'_>, object: &Transfer, size_bytes: u64) -> Result<()> {
        let geometry = &self.geometry;
        let offset = geometry.slot_offset(writing.slot);
        let mut header = vec![0; geometry.header_bytes as usize];
        if writing.is_listed {
            self.device.write_bytes(&header, offset)?;
        }
        self.device.write_object(&object.buffer, offset + geometry.header_bytes)?;
        let identity = key_codec::slot_identity(&key_codec::encode(&object.key));
        let says = encode_slot_header(identity, size_bytes);
        header[..says.len()].copy_from_slice(&says);
        self.device.write_bytes(&header, offset)
    }

    fn check_size(&self, size_bytes: u64) -> Result<()> {
        let needed = if self.device.is_direct() { self.geometry.aligned(size_bytes) } else { size_bytes };
        if size_bytes > 0 && needed <= self.geometry.max_payload_bytes() {
            return Ok(());
        }
        Err(Error::invalid("an object of this size fits no slot")
            .with_context("object_bytes", size_bytes)
            .with_context("most_bytes", self.geometry.max_payload_bytes())
            .with_hint(format!(
                "give slot_bytes at least {}; with other slots the device starts empty",
                self.geometry.aligned(size_bytes) + self.geometry.header_bytes
            )))
    }

    /// Whether an entry comes from a checkpoint, and nobody has looked whether its slot has that object. LMCache
    /// never looks then.
    fn is_unverified(&self, sequence: u64) -> bool {
        self.is_native() && !self.options.config.meta_verify_on_load && sequence < self.report.recovered
    }

    fn get(&self, object: &Transfer) -> Result<bool> {
        let Some(reading) = self.slots.read(&object.key) else { return Ok(false) };
        let (found, wanted) = (reading.entry.size_bytes, object.buffer.size_bytes() as u64);
        let is_it = if self.is_native() { found == wanted } else { found <= wanted };
        if !is_it {
            return Ok(false);
        }
        let _io = Io::begin(self);
        if self.is_unverified(reading.entry.sequence)
            && !is_in_its_slot(&self.device, &self.geometry, &object.key, reading.entry.slot, found)
        {
            // A process that was killed had given the slot to another object since its last checkpoint.
            self.slots.forget(&object.key, reading.entry.slot);
            return Ok(false);
        }
        let offset = self.geometry.slot_offset(reading.entry.slot) + self.geometry.header_bytes;
        let read = self.device.read_object(&object.buffer, found as usize, offset);
        if read.as_ref().is_err_and(|error| self.is_native() && is_of_the_medium(error)) {
            // A later store of the object takes another slot.
            self.slots.set_aside(&object.key, reading.entry.slot);
        }
        read.map(|()| true)
    }

    /// LMCache's fields of `RawBlockCore`, in its order, then ours. The locks are the adapter's, and counted there.
    fn status(&self) -> Value {
        let (config, geometry, counts) = (&self.options.config, &self.geometry, self.slots.counts());
        let meta = lock(&self.meta);
        json!({
            "is_healthy": meta.last_error.is_none(),
            "worker_error": meta.last_error,
            "type": "RawBlockCore",
            "key_namespace": "object",
            "device_path": config.device_path.to_string_lossy(),
            "block_align": geometry.block_align,
            "header_bytes": geometry.header_bytes,
            "slot_bytes": geometry.slot_bytes,
            "meta_total_bytes": geometry.meta_total_bytes,
            "usable_capacity_bytes": geometry.capacity_bytes,
            "indexed_key_count": counts.entries,
            "inflight_key_count": counts.writing,
            "free_slot_count": counts.free,
            "next_slot": counts.next_slot,
            "max_slots": geometry.max_slots,
            "metadata_seq": meta.sequence,
            "metadata_dirty_total": counts.dirty_total,
            "metadata_persisted": meta.persisted_total,
            "inflight_io_count": self.inflight_io.load(Ordering::Relaxed),
            "use_odirect": self.device.is_direct(),
            "enable_zero_copy": config.enable_zero_copy,
            "fixed_buffers_registered": false,
            "fixed_buffer_registered_bytes": 0,
            "io_engine": "posix",
            "io_engine_requested": config.io_engine.name(),
            "iouring_queue_depth": config.iouring_queue_depth,
            "use_uring_cmd": false,
            "fdp_slot_affinity_enabled": false,
            "fdp_slot_affinity_hit_count": 0,
            "fdp_slot_affinity_fallback_count": 0,
            "slots_being_read": counts.reading,
            "bad_slot_count": counts.bad,
            "checkpoint_failures": meta.failures,
            "checkpoint_too_large": meta.too_large,
            "recovered_key_count": self.report.recovered,
            "recovery_dropped_entries": self.report.dropped,
            "recovery_stale_entries": self.report.stale,
            "recovery_torn_checkpoints": self.report.torn,
            "recovery_refused": self.report.refused,
        })
    }
}

/// Whether an error is the slot's, and would come again there. What else fails a transfer passes: a full file system
/// below a file, a full quota, too little memory.
fn is_of_the_medium(error: &Error) -> bool {
    error.io_source().is_some_and(file::is_of_the_medium)
}

impl Connector for RawBlock {
    fn type_name(&self) -> &'static str {
        "raw_block"
    }

    fn class_name(&self) -> &'static str {
        "RawBlockL2Adapter"
    }

    fn has_room_for(&self, objects: usize) -> bool {
        self.core.slots.has_room_for(objects)
    }

    fn put(&self, objects: &[Transfer]) -> Vec<Result<Put>> {
        objects.iter().map(|object| self.core.put(object)).collect()
    }

    fn get(&self, objects: &[Transfer]) -> Vec<Result<bool>> {
        objects.iter().map(|object| self.core.get(object)).collect()
    }

    fn exists(&self, keys: &[ObjectKey], sizes_bytes: &[u64]) -> Vec<Result<bool>> {
        // 0: the caller cannot tell the size. A serde that needs the layout looks keys up so.
        let is_it = |found: u64, wanted: u64| !self.core.is_native() || wanted == 0 || found == wanted;
        let sized = keys.iter().zip(sizes_bytes);
        let exists = sized
            .map(|(key, wanted)| self.core.slots.size_bytes(key).is_some_and(|found| is_it(found, *wanted)));
        exists.map(Ok).collect()
    }

    fn remove(&self, keys: &[ObjectKey]) -> Vec<Result<Removed>> {
        let gone = Removed::Gone(Some(self.core.geometry.slot_bytes));
        let removed = keys.iter().map(|key| if self.core.slots.remove(key) { gone } else { Removed::Absent });
        removed.map(Ok).collect()
    }

    fn scan(&self, visit: &mut dyn FnMut(ObjectKey, u64)) -> Result<bool> {
        for (key, _) in self.core.slots.entries() {
            visit(key, self.core.geometry.slot_bytes);
        }
        Ok(true)
    }

    fn is_healthy(&self) -> bool {
        lock(&self.core.meta).last_error.is_none()
    }

    fn status(&self) -> Vec<(&'static str, Value)> {
        vec![("fdp_enabled", json!(false)), ("core", self.core.status())]
    }

    fn close(&self) {
        self.stop();
        // If it fails, what was stored since the last checkpoint is lost to the next process; the status says so.
        let _ = self.core.checkpoint();
    }
}

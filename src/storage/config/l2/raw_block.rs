//! `raw_block`: slots of one size on a block device, or in a file of fixed size.

use std::path::PathBuf;
use std::time::Duration;

use super::absent::NVME_SWITCHES;
use super::fs::workers;
use super::spec::Spec;
use crate::error::{Error, Result};
use crate::storage::config::fields::{Fields, MAX_CAPACITY_BYTES};

/// The type in JSON.
pub const TYPE: &str = "raw_block";

/// The keys of its own.
pub const KEYS: &[&str] = &[
    "device_path",
    "slot_bytes",
    "capacity_bytes",
    "use_odirect",
    "block_align",
    "header_bytes",
    "meta_total_bytes",
    "meta_magic",
    "meta_version",
    "meta_checkpoint_interval_sec",
    "meta_idle_quiet_ms",
    "meta_enable_periodic",
    "load_checkpoint_on_init",
    "meta_verify_on_load",
    "enable_zero_copy",
    "io_engine",
    "use_iouring",
    "use_uring",
    "iouring_queue_depth",
    "use_uring_cmd",
    "max_data_transfer_size",
    "fdp_enabled",
    "fdp_placement_ids",
    "fdp_data_placement_policy",
    "fdp_slot_reuse_policy",
    "meta_checkpoint_placement_id",
    "num_store_workers",
    "num_lookup_workers",
    "num_load_workers",
];

/// LMCache's default for `meta_total_bytes`.
const DEFAULT_META_TOTAL_BYTES: u64 = 256 << 20;

/// The least bytes of a header: magic, identity and length of the payload.
pub const MIN_HEADER_BYTES: u64 = 24;

/// The bytes of a magic.
pub const MAGIC_BYTES: usize = 8;

/// The deepest queue that io_uring takes.
pub const MAX_IOURING_QUEUE_DEPTH: u64 = 32_768;

/// Slots on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBlockAdapterConfig {
    /// `device_path`: the device, or a file of fixed size.
    pub device_path: PathBuf,
    /// `slot_bytes`: the size of a slot with its header; a multiple of [`Self::block_align`].
    pub slot_bytes: u64,
    /// `capacity_bytes`: how much of the device is used; all of it by default.
    pub capacity_bytes: Option<u64>,
    /// `use_odirect`: past the page cache. On by default.
    pub use_odirect: bool,
    /// `block_align`: the alignment of everything on the device; a power of two, 4096 by default.
    pub block_align: u64,
    /// `header_bytes`: what a slot's header takes; 4096 by default.
    pub header_bytes: u64,
    /// `meta_total_bytes`: what both checkpoints of the index take at the start of the device; 256 MiB by
    /// default.
    pub meta_total_bytes: u64,
    /// `meta_magic`: the first bytes of a checkpoint; `LMCIDX01` by default.
    pub meta_magic: [u8; MAGIC_BYTES],
    /// `meta_version`: the version that a checkpoint says; 1 by default.
    pub meta_version: u32,
    /// `meta_checkpoint_interval_sec`: the pause between two checkpoints; a minute by default.
    pub meta_checkpoint_interval: Duration,
    /// `meta_idle_quiet_ms`: how long nothing must have been stored before one; 100 ms by default.
    pub meta_idle_quiet: Duration,
    /// `meta_enable_periodic`: whether checkpoints are written before the end. On by default.
    pub meta_enable_periodic: bool,
    /// `load_checkpoint_on_init`: whether what is on the device is found again. On by default.
    pub load_checkpoint_on_init: bool,
    /// `meta_verify_on_load`: whether the headers of the slots are compared with the index then. On by default.
    pub meta_verify_on_load: bool,
    /// `enable_zero_copy`: whether aligned buffers are read into, and written from, in place. On by default.
    pub enable_zero_copy: bool,
    /// `io_engine`.
    pub io_engine: RawBlockIoEngine,
    /// `iouring_queue_depth`, above 0; 256 by default.
    pub iouring_queue_depth: u32,
    /// `max_data_transfer_size`: the most bytes of one request; the device's limit if it is not above 0.
    pub max_data_transfer_bytes: Option<u64>,
    /// `num_store_workers`; 2 by default.
    pub num_store_workers: usize,
    /// `num_lookup_workers`; 1 by default.
    pub num_lookup_workers: usize,
    /// `num_load_workers`; 4 by default.
    pub num_load_workers: usize,
}

/// How a device is read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RawBlockIoEngine {
    /// `posix`: POSIX calls.
    #[default]
    Posix,
    /// `io_uring`.
    IoUring,
}

impl RawBlockIoEngine {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Posix, Self::IoUring];

    /// The name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Posix => "posix",
            Self::IoUring => "io_uring",
        }
    }
}

pub(super) fn read(spec: Spec<'_>) -> Result<RawBlockAdapterConfig> {
    let fields = spec.fields;
    let io_engine = io_engine(fields)?;
    check_switches(fields)?;
    let config = RawBlockAdapterConfig {
        device_path: fields.required_text("device_path", "/dev/nvme1n1")?.into(),
        slot_bytes: slot_bytes(fields)?,
        capacity_bytes: Some(bytes(fields, "capacity_bytes", 0)?).filter(|bytes| *bytes > 0),
        use_odirect: fields.bool("use_odirect", true)?,
        block_align: bytes(fields, "block_align", 4096)?,
        header_bytes: bytes(fields, "header_bytes", 4096)?,
        meta_total_bytes: bytes(fields, "meta_total_bytes", DEFAULT_META_TOTAL_BYTES)?,
        meta_magic: magic(fields.text("meta_magic", "LMCIDX01")?)?,
        meta_version: fields.integer("meta_version", 1, 1..=u64::from(u32::MAX))? as u32,
        meta_checkpoint_interval: seconds(fields, "meta_checkpoint_interval_sec", 60)?,
        meta_idle_quiet: fields.milliseconds("meta_idle_quiet_ms", Duration::from_millis(100))?,
        meta_enable_periodic: fields.bool("meta_enable_periodic", true)?,
        load_checkpoint_on_init: fields.bool("load_checkpoint_on_init", true)?,
        meta_verify_on_load: fields.bool("meta_verify_on_load", true)?,
        enable_zero_copy: fields.bool("enable_zero_copy", true)?,
        io_engine,
        iouring_queue_depth: fields.integer("iouring_queue_depth", 256, 1..=MAX_IOURING_QUEUE_DEPTH)? as u32,
        max_data_transfer_bytes: u64::try_from(fields.signed("max_data_transfer_size", 0)?)
            .ok()
            .filter(|bytes| *bytes > 0),
        num_store_workers: workers(fields, "num_store_workers", 2)?,
        num_lookup_workers: workers(fields, "num_lookup_workers", 1)?,
        num_load_workers: workers(fields, "num_load_workers", 4)?,
    };
    config.check_sizes()?;
    Ok(config)
}

impl RawBlockAdapterConfig {
    fn check_sizes(&self) -> Result<()> {
        if !self.block_align.is_power_of_two() {
            return Err(Error::invalid("block_align must be a power of two")
                .with_hint("4096, the default, goes with every device"));
        }
        let sizes = [
            ("slot_bytes", self.slot_bytes),
            ("header_bytes", self.header_bytes),
            ("meta_total_bytes", self.meta_total_bytes),
        ];
        if let Some((name, bytes)) = sizes.iter().find(|(_, bytes)| !bytes.is_multiple_of(self.block_align)) {
            return Err(Error::invalid(format!("{name} must be a multiple of block_align"))
                .with_context("block_align", self.block_align)
                .with_hint(format!("the next one is {}", bytes.next_multiple_of(self.block_align))));
        }
        if self.header_bytes < MIN_HEADER_BYTES {
            return Err(Error::invalid(format!("header_bytes must be at least {MIN_HEADER_BYTES}")));
        }
        // Two containers, each with a block for its own header and one more at least.
        if self.meta_total_bytes / 4 < self.block_align {
            return Err(Error::invalid("meta_total_bytes must have room for four times block_align"));
        }
        if self.max_data_transfer_bytes.is_some_and(|bytes| !bytes.is_multiple_of(self.block_align)) {
            return Err(Error::invalid("max_data_transfer_size must be a multiple of block_align"));
        }
        if self.slot_bytes <= self.header_bytes {
            return Err(Error::invalid("slot_bytes must be more than header_bytes")
                .with_context("header_bytes", self.header_bytes)
                .with_hint("it is the largest object, rounded up to block_align, plus header_bytes"));
        }
        if self.capacity_bytes.is_some_and(|bytes| bytes <= self.meta_total_bytes) {
            return Err(Error::invalid("capacity_bytes must leave room for a slot behind meta_total_bytes")
                .with_context("meta_total_bytes", self.meta_total_bytes)
                .with_hint(
                    "leave capacity_bytes out to use the whole device, or make meta_total_bytes smaller",
                ));
        }
        Ok(())
    }
}

/// The engine by its name, or by one of LMCache's older switches where there is none.
fn io_engine(fields: Fields<'_>) -> Result<RawBlockIoEngine> {
    let switched_on = fields.bool("use_iouring", false)? | fields.bool("use_uring", false)?;
    let default = if switched_on { RawBlockIoEngine::IoUring } else { RawBlockIoEngine::Posix };
    match fields.given("io_engine") {
        None => Ok(default),
        Some(_) => fields.choice("io_engine", default, RawBlockIoEngine::ALL, RawBlockIoEngine::name),
    }
}

/// The switches of NVMe commands and placement. Switched on they were refused before; off they are LMCache's defaults.
fn check_switches(fields: Fields<'_>) -> Result<()> {
    NVME_SWITCHES.into_iter().try_for_each(|name| fields.bool(name, false).map(drop))
}

fn magic(text: &str) -> Result<[u8; MAGIC_BYTES]> {
    let bytes = text.as_bytes().try_into().ok().filter(|_| text.is_ascii());
    bytes.ok_or_else(|| Error::invalid("meta_magic must be 8 ASCII characters"))
}

fn slot_bytes(fields: Fields<'_>) -> Result<u64> {
    // A MiB and the header.
    fields.required("slot_bytes", "1052672")?;
    fields.integer("slot_bytes", 0, 1..=MAX_CAPACITY_BYTES)
}

fn bytes(fields: Fields<'_>, name: &str, default: u64) -> Result<u64> {
    fields.integer(name, default, 0..=MAX_CAPACITY_BYTES)
}

fn seconds(fields: Fields<'_>, name: &str, default: u64) -> Result<Duration> {
    fields.integer(name, default, 0..=24 * 60 * 60).map(Duration::from_secs)
}

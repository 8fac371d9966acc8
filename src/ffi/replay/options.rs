//! How a replay is asked for.

use std::ffi::{c_char, c_void};
use std::path::PathBuf;

use super::progress::{Teller, lmcache_progress_callback};
use crate::clock::{NS_PER_S, Waiter};
use crate::ffi::border::args::{Growing, optional_string, reserved, slice, string};
use crate::ffi::border::boundary::Failure;
use crate::ffi::reader::read_mode;
use crate::replay::copies::MAX_COPIES;
use crate::replay::nodes::{Alignment, MAX_NODES};
use crate::replay::selection::Selection;
use crate::replay::session::{Part, default_workers};
use crate::replay::{MAX_WORKERS, Order, Pace, ReplayOptions};
use crate::storage::config::{
    Compat, EvictionPolicyKind, GIB_BYTES, L2AdapterConfig, PrefetchConfig, StorageManagerConfig, StoreConfig,
};
use crate::storage::l2::namespace::NamespaceMode;
use crate::trace::ReadMode;

/// As recorded.
pub const LMCACHE_PACE_RECORDED: u32 = 0;
/// `pace_value` times as fast.
pub const LMCACHE_PACE_SPEED: u32 = 1;
/// `pace_value` records a second, evenly.
pub const LMCACHE_PACE_RATE: u32 = 2;
/// Each call as soon as the one before it is over.
pub const LMCACHE_PACE_ASAP: u32 = 3;

/// The clock alone at the recorded pace, else causal.
pub const LMCACHE_ORDER_DEFAULT: u32 = 0;
/// The clock alone, as LMCache: real threads and real races.
pub const LMCACHE_ORDER_RECORDED: u32 = 1;
/// What every call before it left: the same hits, misses and evictions at any pace, with any number of workers.
pub const LMCACHE_ORDER_CAUSAL: u32 = 2;

/// Traces lie beside each other as the wall clocks of their recorders have it.
pub const LMCACHE_ALIGN_WALL: u32 = 0;
/// All begin at once.
pub const LMCACHE_ALIGN_START: u32 = 1;

/// LMCache's behaviour, its known defects included, so that the answers are those of the recorded server.
pub const LMCACHE_COMPAT_LMCACHE: u32 = 0;
/// Ours, which differs in those defects only.
pub const LMCACHE_COMPAT_NATIVE: u32 = 1;

/// L2 adapters begin empty, in places of their own, and what they are given is removed at the end.
pub const LMCACHE_NAMESPACE_FRESH: u32 = 0;
/// They begin empty, and what they are given stays.
pub const LMCACHE_NAMESPACE_FRESH_KEPT: u32 = 1;
/// They have what they hold, as those of a server, and what they are given stays.
pub const LMCACHE_NAMESPACE_KEEP: u32 = 2;

/// L2 adapters of a replay, at most.
pub const LMCACHE_MAX_L2_ADAPTERS: usize = 64;

/// How to replay. `LMCACHE_REPLAY_OPTIONS_INIT` has the defaults, which are zero; the paths, and `config_json` or `l1_size_bytes`, have to
/// be set.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_replay_options {
    /// `sizeof(lmcache_replay_options)`.
    pub struct_size: u32,
    /// LMCACHE_READ_BUFFERED or LMCACHE_READ_MAPPED.
    pub read_mode: u32,
    /// The traces, of level "storage": one, or one of each node, which are replayed at once on one clock.
    pub paths: *const *const c_char,
    /// How many; at most 256.
    pub path_count: usize,
    /// How fast: LMCACHE_PACE_*.
    pub pace: u32,
    /// What a call waits for, besides its time: LMCACHE_ORDER_*.
    pub order: u32,
    /// For LMCACHE_PACE_SPEED from 1e-6 to 1e6, for LMCACHE_PACE_RATE from 1e-6 to 1e9.
    pub pace_value: f64,
    /// Threads that make the calls, at most 256; 0 for as many as suit the machine. In causal order they take turns.
    pub workers: u32,
    /// 1 to sleep until a call is due instead of spinning through the last moments: little CPU, and calls some tens of us late.
    pub low_cpu: u32,
    /// Leave out what was made before so many seconds from the start.
    pub from_s: f64,
    /// Leave out what was made from so many seconds on; 0 for nothing.
    pub to_s: f64,
    /// Replay so many times, one after the other, with the same keys; 0 is 1.
    pub loops: u32,
    /// Replay so many copies at once, each with a salt of its own; 0 is 1.
    pub tenants: u32,
    /// Where several traces lie beside each other: LMCACHE_ALIGN_*.
    pub alignment: u32,
    /// Whose behaviour counts where LMCache's is a known defect: LMCACHE_COMPAT_*. The default is LMCache's, and that of a storage manager
    /// (`config_json`) is ours.
    pub compat: u32,
    /// The whole configuration of the storage manager, as that of `lmcache_storage_options`: for a replay of what an engine recorded, its
    /// own. NULL for what the other fields say; else `compat`, `l1_size_bytes`, `eviction_policy` and `l2_adapters` are not set.
    pub config_json: *const c_char,
    /// Bytes of L1. Memory that no call writes is never touched, so it may be more than the machine has.
    pub l1_size_bytes: u64,
    /// Which objects leave L1 first: "LRU", "noop", ...; NULL is LRU.
    pub eviction_policy: *const c_char,
    /// L2 adapters as LMCache's JSON, for instance {"type":"fs","base_path":"/data/kv"}; may be NULL.
    pub l2_adapters: *const *const c_char,
    /// How many; at most LMCACHE_MAX_L2_ADAPTERS.
    pub l2_adapter_count: usize,
    /// What the adapters find, and what becomes of what they are given: LMCACHE_NAMESPACE_*.
    pub l2_namespace: u32,
    /// Nothing; 0.
    pub reserved: u32,
    /// How often `on_progress` is called; 0 for once a second. It is called at most a hundred times a second.
    pub progress_interval_ns: u64,
    /// Told how far it is; may be NULL.
    pub on_progress: lmcache_progress_callback,
    /// What it gets back.
    pub on_progress_user_data: *mut c_void,
}

// SAFETY: numbers, pointers, and a function pointer that may be NULL; the first field is the size.
unsafe impl Growing for lmcache_replay_options {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

/// What options come to.
pub(super) struct Asked {
    pub(super) paths: Vec<PathBuf>,
    pub(super) read_mode: ReadMode,
    pub(super) options: ReplayOptions,
    pub(super) workers: usize,
    pub(super) part: Part,
    pub(super) config: StorageManagerConfig,
    pub(super) namespace: NamespaceMode,
    pub(super) teller: Option<Teller>,
}

impl Asked {
    /// Looks at options, and copies them.
    ///
    /// # Safety
    /// The pointers of `given` are what their fields say.
    pub(super) unsafe fn new(given: &lmcache_replay_options) -> Result<Self, Failure> {
        // SAFETY: passed on, here and below.
        let paths = unsafe { strings(given.paths, given.path_count, MAX_NODES, "paths") }?;
        if paths.is_empty() {
            return Err(Failure::invalid("a replay needs a trace: path_count is 0"));
        }
        // SAFETY: as above.
        let config = unsafe { config(given) }?;
        reserved("reserved of the options", given.reserved)?;
        let options = pacing(given)?;
        let namespace = choose(
            given.l2_namespace,
            &[NamespaceMode::Fresh, NamespaceMode::FreshKept, NamespaceMode::Keep],
            "l2_namespace",
        )?;
        namespace.check(&config)?;
        Ok(Self {
            paths: paths.into_iter().map(PathBuf::from).collect(),
            read_mode: read_mode(given.read_mode)?,
            workers: workers(given.workers, options.order, config.l1_managers.len())?,
            options,
            part: part(given)?,
            config,
            namespace,
            teller: Teller::new(
                given.on_progress,
                given.on_progress_user_data,
                if given.progress_interval_ns == 0 { NS_PER_S } else { given.progress_interval_ns },
            ),
        })
    }
}

/// The value that a number stands for.
fn choose<T: Copy>(number: u32, values: &[T], what: &str) -> Result<T, Failure> {
    let value = values.get(number as usize).copied();
    value.ok_or_else(|| Failure::invalid(format!("{what} is {number}; it is 0 to {}", values.len() - 1)))
}

/// # Safety
/// `items` points to `count` strings that end in NUL, if that is not 0.
unsafe fn strings<'a>(
    items: *const *const c_char,
    count: usize,
    most: usize,
    what: &str,
) -> Result<Vec<&'a str>, Failure> {
    // SAFETY: passed on.
    let items = unsafe { slice(items, count, most, what) }?;
    // SAFETY: as above.
    items.iter().map(|item| unsafe { string(*item, what) }).collect()
}

fn pacing(given: &lmcache_replay_options) -> Result<ReplayOptions, Failure> {
    let out_of_range = || {
        let value = given.pace_value;
        Failure::invalid(format!(
            "pace_value is {value}; a speed is from 1e-6 to 1e6, a rate from 1e-6 to 1e9 records/s"
        ))
    };
    let pace = match given.pace {
        LMCACHE_PACE_RECORDED => Pace::Recorded,
        LMCACHE_PACE_SPEED => Pace::speed(given.pace_value).ok_or_else(out_of_range)?,
        LMCACHE_PACE_RATE => Pace::rate(given.pace_value).ok_or_else(out_of_range)?,
        LMCACHE_PACE_ASAP => Pace::Asap,
        other => {
            return Err(Failure::invalid(format!(
                "pace is {other}; it is LMCACHE_PACE_RECORDED (0) to LMCACHE_PACE_ASAP (3)"
            )));
        }
    };
    let usual = if pace == Pace::Recorded { Order::Recorded } else { Order::Causal };
    let order = choose(given.order, &[usual, Order::Recorded, Order::Causal], "order")?;
    let waiter = match choose(given.low_cpu, &[false, true], "low_cpu")? {
        true => Waiter::new(0),
        false => Waiter::measured(),
    };
    Ok(ReplayOptions { pace, order, waiter, ..ReplayOptions::default() })
}

fn workers(given: u32, order: Order, l1_managers: usize) -> Result<usize, Failure> {
    match given as usize {
        0 => Ok(default_workers(order, l1_managers)),
        workers if workers <= MAX_WORKERS => Ok(workers),
        workers => {
            Err(Failure::invalid(format!("workers is {workers}; a replay has at most {MAX_WORKERS} workers")))
        }
    }
}

fn part(given: &lmcache_replay_options) -> Result<Part, Failure> {
    let seconds = |value: f64, what: &str| match value.is_finite() && value >= 0.0 {
        true => Ok((value > 0.0).then_some(value)),
        false => Err(Failure::invalid(format!("{what} is no number of seconds that is not below 0"))),
    };
    let (from_s, to_s) = (seconds(given.from_s, "from_s")?, seconds(given.to_s, "to_s")?);
    if to_s.is_some_and(|to_s| from_s.unwrap_or(0.0) >= to_s) {
        return Err(Failure::invalid("the part must begin before it ends: from_s is not below to_s"));
    }
    let copies = |given: u32, what: &str| match given {
        0 => Ok(1),
        copies if copies <= MAX_COPIES => Ok(copies),
        copies => Err(Failure::invalid(format!("{what} is {copies}; {MAX_COPIES} are the most"))),
    };
    Ok(Part {
        selection: Selection { from_s, to_s, ..Selection::default() },
        loops: copies(given.loops, "loops")?,
        tenants: copies(given.tenants, "tenants")?,
        alignment: choose(given.alignment, &[Alignment::Wall, Alignment::Start], "alignment")?,
    })
}

fn whole_config(given: &lmcache_replay_options, json: &str) -> Result<StorageManagerConfig, Failure> {
    let is_set = given.compat != 0
        || given.l1_size_bytes != 0
        || !given.eviction_policy.is_null()
        || given.l2_adapter_count != 0;
    if is_set {
        return Err(Failure::invalid(
            "config_json is the whole configuration: compat, l1_size_bytes, eviction_policy and l2_adapters must not be set beside it",
        ));
    }
    Ok(StorageManagerConfig::from_json(json).map_err(|error| error.with_context("in", "config_json"))?)
}

/// # Safety
/// The pointers of `given` are what their fields say.
unsafe fn config(given: &lmcache_replay_options) -> Result<StorageManagerConfig, Failure> {
    // SAFETY: passed on, here and below.
    if let Some(json) = unsafe { optional_string(given.config_json, "config_json") }? {
        return whole_config(given, json);
    }
    // SAFETY: as above.
    let policy = unsafe { optional_string(given.eviction_policy, "eviction_policy") }?;
    let policy = EvictionPolicyKind::from_name(policy.unwrap_or("LRU"))?;
    let adapters = (given.l2_adapters, given.l2_adapter_count);
    // SAFETY: as above.
    let adapters = unsafe { strings(adapters.0, adapters.1, LMCACHE_MAX_L2_ADAPTERS, "l2_adapters") }?;
    let compat = choose(given.compat, &[Compat::Lmcache, Compat::Native], "compat")?;
    if given.l1_size_bytes == 0 {
        return Err(Failure::invalid("a replay needs an L1: l1_size_bytes is 0, and config_json is NULL"));
    }
    let mut config = StorageManagerConfig::l1_only(given.l1_size_bytes, policy);
    for l1 in &mut config.l1_managers {
        // As the command line has it, and LMCache: the configurations have one digest.
        l1.memory.init_size_bytes = given.l1_size_bytes.min(20 * GIB_BYTES);
    }
    config.compat = compat;
    (config.prefetch, config.store) = (PrefetchConfig::for_compat(compat), StoreConfig::for_compat(compat));
    config.l2_adapters = L2AdapterConfig::from_json_list(&adapters)?;
    config.check()?;
    Ok(config)
}

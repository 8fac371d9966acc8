//! L1 managers from LMCache's tagged JSON, one object per `--l1-manager`.
//!
//! The rules are those of LMCache's `from_dict` of each backend: unknown fields are refused, numbers are not
//! booleans, an eviction policy comes from the object or from the flags. The backends that LMCache has beside
//! host memory are refused before anything else is said about the object: whatever is wrong with it, mending it
//! would not help.

use serde_json::{Map, Value};

use super::{
    DEFAULT_ALIGN_BYTES, DEFAULT_L1_TAG, DEFAULT_READ_TTL_SECONDS, DEFAULT_WRITE_TTL_SECONDS,
    L1AllocatorKind, L1ManagerConfig, L1MemoryManagerConfig, PinKind,
};
use crate::error::{Error, Result};
use crate::storage::config::checks::gib_to_bytes;
use crate::storage::config::fields::Fields;
use crate::storage::config::strict_json::parse_object;
use crate::storage::config::{EvictionConfig, EvictionMeasure, EvictionPolicyKind};

/// The fields of every object.
pub const COMMON_FIELDS: &[&str] =
    &["type", "tag", "size_gb", "align_bytes", "eviction", "read_ttl_seconds", "write_ttl_seconds"];

/// The fields of a DRAM object. The last four are ours.
pub const DRAM_FIELDS: &[&str] = &[
    "use_lazy",
    "init_size_gb",
    "shm_name",
    "use_hugepages",
    "allocator",
    "numa_node",
    "first_touch",
    "pin",
];

/// The fields of an `eviction` object. The last is ours.
pub const EVICTION_FIELDS: &[&str] = &["eviction_policy", "trigger_watermark", "eviction_ratio", "by"];

/// LMCache's default for `init_size_gb`.
const DEFAULT_INIT_SIZE_GB: f64 = 20.0;

/// The largest number of a NUMA node: what Linux on x86-64 can be built for.
pub const MAX_NUMA_NODE: u32 = 1023;

/// What the flags say about everything that an object leaves out.
#[derive(Clone, Debug)]
pub struct TaggedDefaults {
    /// The global eviction settings, if a policy was given.
    pub eviction: Option<EvictionConfig>,
    /// `--l1-read-ttl-seconds`.
    pub read_ttl_seconds: i64,
    /// `--l1-write-ttl-seconds`.
    pub write_ttl_seconds: i64,
    /// `--l1-allocator`.
    pub allocator: L1AllocatorKind,
    /// `--l1-numa-node`.
    pub numa_node: Option<u32>,
    /// `--l1-first-touch`.
    pub first_touch: bool,
    /// `--l1-pin`.
    pub pin: PinKind,
}

impl Default for TaggedDefaults {
    /// Flags of which none was given.
    fn default() -> Self {
        Self {
            eviction: None,
            read_ttl_seconds: DEFAULT_READ_TTL_SECONDS,
            write_ttl_seconds: DEFAULT_WRITE_TTL_SECONDS,
            allocator: L1AllocatorKind::default(),
            numa_node: None,
            first_touch: false,
            pin: PinKind::None,
        }
    }
}

impl L1ManagerConfig {
    /// Reads one tagged object.
    ///
    /// # Errors
    /// If it is not a JSON object, breaks one of LMCache's rules, or asks for a backend that this build does
    /// not have.
    pub fn from_tagged_json(json: &str, defaults: &TaggedDefaults) -> Result<Self> {
        read(json, defaults).map_err(|error| error.with_context("flag", "--l1-manager"))
    }

    /// Reads the objects of all `--l1-manager` flags. Whether they go together is for
    /// [`StorageManagerConfig::check`](crate::storage::config::StorageManagerConfig::check).
    ///
    /// # Errors
    /// The first of [`Self::from_tagged_json`], with the position of the object, counted from 1.
    pub fn from_tagged_json_list<S: AsRef<str>>(list: &[S], defaults: &TaggedDefaults) -> Result<Vec<Self>> {
        Self::refuse_absent_in(list)?;
        each(list, |json| read(json, defaults)).collect()
    }

    /// Refuses the first of these objects that asks for an L1 that is not part of this build. Who reads other settings
    /// before them calls it before all of them.
    ///
    /// # Errors
    /// If one is not a JSON object, or asks for such an L1.
    pub fn refuse_absent_in<S: AsRef<str>>(list: &[S]) -> Result<()> {
        each(list, |json| parse_object(json).and_then(|object| refuse_absent(&object))).collect()
    }
}

/// What `read` makes of the objects of all `--l1-manager` flags, the flag named in its errors.
fn each<S: AsRef<str>, T>(list: &[S], read: impl Fn(&str) -> Result<T>) -> impl Iterator<Item = Result<T>> {
    list.iter().enumerate().map(move |(position, json)| {
        read(json.as_ref())
            .map_err(|error| error.with_context("flag", format!("--l1-manager #{}", position + 1)))
    })
}

fn read(json: &str, defaults: &TaggedDefaults) -> Result<L1ManagerConfig> {
    let object = parse_object(json)?;
    refuse_absent(&object)?;
    let fields = Fields(&object);
    if fields.required("type", "\"DRAM\"")?.as_str() != Some("DRAM") {
        return Err(Error::invalid("type must be DRAM: this build has L1 in host memory"));
    }
    read_dram(fields, read_common(fields, defaults)?, defaults)
}

/// LMCache's other backends: whatever else is wrong with such an object, mending it would not help.
fn refuse_absent(object: &Map<String, Value>) -> Result<()> {
    match object.get("type").and_then(Value::as_str) {
        Some(backend @ ("DEVDAX" | "GDS")) => {
            Err(Error::unsupported("this type of L1 is not part of this build: it has L1 in host memory")
                .with_context("type", backend)
                .with_hint("use type DRAM, of the size that the other tier had"))
        }
        _ => Ok(()),
    }
}

/// What LMCache has in every backend, in memory that has nothing but its size.
fn read_common(fields: Fields<'_>, defaults: &TaggedDefaults) -> Result<L1ManagerConfig> {
    fields.check_names(&[COMMON_FIELDS, DRAM_FIELDS])?;
    let tag = fields.required_text("tag", DEFAULT_L1_TAG)?;
    let align_bytes = fields.positive_integer("align_bytes", DEFAULT_ALIGN_BYTES as i64)?.unsigned_abs();
    let read_ttl_seconds = fields.positive_integer("read_ttl_seconds", defaults.read_ttl_seconds)?;
    let write_ttl_seconds = fields.positive_integer("write_ttl_seconds", defaults.write_ttl_seconds)?;
    if !align_bytes.is_power_of_two() {
        return Err(Error::invalid("align_bytes must be a power of two").with_hint("leave it out for 4096"));
    }
    let size_bytes = gib_to_bytes(fields.required_positive_number("size_gb", "4")?)?;
    if size_bytes < align_bytes {
        return Err(Error::invalid("size_gb must provide at least align_bytes bytes")
            .with_context("align_bytes", align_bytes)
            .with_hint("size_gb counts GiB: 0.5 is 512 MiB"));
    }
    let memory = L1MemoryManagerConfig {
        size_bytes,
        init_size_bytes: size_bytes,
        align_bytes,
        ..L1MemoryManagerConfig::default()
    };
    let eviction = read_eviction(fields, defaults.eviction.as_ref())
        .map_err(|error| error.with_context("in", "eviction"))?;
    Ok(L1ManagerConfig { tag: tag.to_owned(), memory, write_ttl_seconds, read_ttl_seconds, eviction })
}

fn read_dram(
    fields: Fields<'_>,
    config: L1ManagerConfig,
    defaults: &TaggedDefaults,
) -> Result<L1ManagerConfig> {
    let size_bytes = config.memory.size_bytes;
    let init_size_gb = fields.positive_number("init_size_gb", DEFAULT_INIT_SIZE_GB)?;
    // LMCache's default, by which it judges what goes with what.
    let use_lazy = fields.bool("use_lazy", true)?;
    let use_hugepages = fields.bool("use_hugepages", false)?;
    let shm_name = fields.text("shm_name", "")?;
    if !shm_name.is_empty() && use_lazy {
        return Err(
            Error::invalid("shm_name cannot coexist with use_lazy").with_hint("add \"use_lazy\": false")
        );
    }
    if use_hugepages && use_lazy {
        return Err(
            Error::invalid("use_hugepages cannot coexist with use_lazy").with_hint("add \"use_lazy\": false")
        );
    }
    let memory = L1MemoryManagerConfig {
        // What was given goes into the digest. Left out, it is false, as in LMCache on a machine that cannot
        // pin memory, which this build cannot either.
        use_lazy: fields.bool("use_lazy", false)?,
        init_size_bytes: gib_to_bytes(init_size_gb).map_or(size_bytes, |bytes| bytes.min(size_bytes)),
        shm_name: shm_name.to_owned(),
        use_hugepages,
        allocator: fields.choice(
            "allocator",
            defaults.allocator,
            L1AllocatorKind::ALL,
            L1AllocatorKind::name,
        )?,
        numa_node: match fields.optional_integer("numa_node", 0..=u64::from(MAX_NUMA_NODE))? {
            // In range, so it fits.
            Some(node) => Some(node as u32),
            None => defaults.numa_node,
        },
        first_touch: fields.bool("first_touch", defaults.first_touch)?,
        pin: fields.choice("pin", defaults.pin, PinKind::ALL, PinKind::name)?,
        ..config.memory
    };
    Ok(L1ManagerConfig { memory, ..config })
}

fn read_eviction(fields: Fields<'_>, defaults: Option<&EvictionConfig>) -> Result<EvictionConfig> {
    let empty = Map::new();
    let own = match fields.get("eviction") {
        None => Fields(&empty),
        Some(Value::Object(own)) => Fields(own),
        Some(_) => {
            return Err(Error::invalid("eviction must be an object")
                .with_hint("write {\"eviction_policy\": \"LRU\"}"));
        }
    };
    own.check_names(&[EVICTION_FIELDS])?;
    let mut config = defaults.cloned().unwrap_or_default();
    match (own.get("eviction_policy"), defaults) {
        (Some(Value::String(name)), _) => config.policy = EvictionPolicyKind::from_name(name)?,
        (None, Some(_)) => {}
        _ => {
            return Err(Error::invalid("an eviction policy is required for each L1").with_hint(
                "add --eviction-policy LRU, or \"eviction\": {\"eviction_policy\": \"LRU\"} to this L1",
            ));
        }
    }
    let whole = &mut config.whole_numbers;
    read_share(own, "trigger_watermark", &mut config.trigger_watermark, &mut whole.trigger_watermark)?;
    read_share(own, "eviction_ratio", &mut config.eviction_ratio, &mut whole.eviction_ratio)?;
    config.by = own.choice("by", config.by, EvictionMeasure::ALL, EvictionMeasure::name)?;
    Ok(config)
}

/// Overrides `share` by the field of that name, if it is there; either way it must lie in 0..=1.
fn read_share(
    fields: Fields<'_>,
    name: &'static str,
    share: &mut f64,
    is_whole_number: &mut bool,
) -> Result<()> {
    if let Some(value) = fields.get(name) {
        // A value that is no number is out of range like any other.
        *share = value.as_f64().unwrap_or(f64::NAN);
        *is_whole_number = value.is_i64() || value.is_u64();
    }
    if (0.0..=1.0).contains(share) {
        return Ok(());
    }
    Err(Error::invalid(format!("{name} must be between zero and one")))
}

//! L1 managers from LMCache's tagged JSON, one object per `--l1-manager`.
//!
//! The rules are those of LMCache's `DRAML1ManagerConfig.from_dict`: unknown fields are refused, numbers are
//! not booleans, an eviction policy comes from the object or from the flags. The backends that LMCache has
//! beside host memory are known by name, so that asking for one is answered as such.

use serde_json::{Map, Value};

use super::checks::gib_to_bytes;
use super::{
    DEFAULT_ALIGN_BYTES, EvictionConfig, EvictionPolicyKind, L1ManagerConfig, L1MemoryManagerConfig,
};
use crate::error::{Error, Result};

/// The fields of a DRAM object.
const FIELDS: [&str; 11] = [
    "type",
    "tag",
    "size_gb",
    "align_bytes",
    "eviction",
    "read_ttl_seconds",
    "write_ttl_seconds",
    "use_lazy",
    "init_size_gb",
    "shm_name",
    "use_hugepages",
];

/// The fields of its `eviction` object.
const EVICTION_FIELDS: [&str; 3] = ["eviction_policy", "trigger_watermark", "eviction_ratio"];

/// LMCache's default for `init_size_gb`.
const DEFAULT_INIT_SIZE_GB: f64 = 20.0;

/// What the flags say about everything that an object leaves out.
#[derive(Clone, Debug)]
pub struct TaggedDefaults {
    /// The global eviction settings, if a policy was given.
    pub eviction: Option<EvictionConfig>,
    /// `--l1-read-ttl-seconds`.
    pub read_ttl_seconds: i64,
    /// `--l1-write-ttl-seconds`.
    pub write_ttl_seconds: i64,
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
}

fn read(json: &str, defaults: &TaggedDefaults) -> Result<L1ManagerConfig> {
    let value: Value =
        serde_json::from_str(json).map_err(|error| Error::invalid("not a JSON object").with_source(error))?;
    let fields = Fields(value.as_object().ok_or_else(|| Error::invalid("not a JSON object"))?);
    fields.check_type()?;
    fields.check_names(&FIELDS)?;
    let tag = fields.tag()?;
    let align_bytes = fields.positive_int("align_bytes", DEFAULT_ALIGN_BYTES as i64)?;
    let read_ttl_seconds = fields.positive_int("read_ttl_seconds", defaults.read_ttl_seconds)?;
    let write_ttl_seconds = fields.positive_int("write_ttl_seconds", defaults.write_ttl_seconds)?;
    Ok(L1ManagerConfig {
        tag,
        memory: fields.memory(align_bytes as u64)?,
        write_ttl_seconds,
        read_ttl_seconds,
        eviction: fields.eviction(defaults.eviction.as_ref())?,
    })
}

struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn check_type(&self) -> Result<()> {
        match self.0.get("type").and_then(Value::as_str) {
            Some("DRAM") => Ok(()),
            Some(other @ ("DEVDAX" | "GDS")) => Err(Error::unsupported("this build has L1 in DRAM only")
                .with_context("type", other)
                .with_hint("use type DRAM, of the size that the other tier had")),
            _ => Err(Error::invalid("type must be DRAM, DEVDAX or GDS")),
        }
    }

    fn check_names(&self, known: &[&str]) -> Result<()> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(Error::invalid("unknown field")
                .with_context("field", name.escape_debug())
                .with_hint(format!("the fields are {}", known.join(", ")))),
        }
    }

    fn tag(&self) -> Result<String> {
        match self.0.get("tag").and_then(Value::as_str) {
            Some(tag) if !tag.trim().is_empty() => Ok(tag.to_owned()),
            _ => Err(Error::invalid("tag must be a non-empty string")),
        }
    }

    fn memory(&self, align_bytes: u64) -> Result<L1MemoryManagerConfig> {
        if !align_bytes.is_power_of_two() {
            return Err(Error::invalid("align_bytes must be a power of two"));
        }
        let size_bytes = gib_to_bytes(self.positive_number("size_gb", None)?)?;
        if size_bytes < align_bytes {
            return Err(Error::invalid("size_gb must provide at least align_bytes bytes"));
        }
        let init_size_gb = self.positive_number("init_size_gb", Some(DEFAULT_INIT_SIZE_GB))?;
        let use_lazy = self.bool("use_lazy", true)?;
        if self.bool("use_hugepages", false)? {
            return Err(Error::unsupported("this build has no 2 MiB page pool for L1")
                .with_hint("leave use_hugepages out"));
        }
        Ok(L1MemoryManagerConfig {
            size_bytes,
            // What was given goes into the digest. LMCache's default is true, and false on a machine that cannot
            // pin memory, which this build cannot either.
            use_lazy: self.bool("use_lazy", false)?,
            init_size_bytes: gib_to_bytes(init_size_gb).map_or(size_bytes, |bytes| bytes.min(size_bytes)),
            align_bytes,
            shm_name: self.shm_name(use_lazy)?,
            ..L1MemoryManagerConfig::default()
        })
    }

    /// The name is kept for the digest; the pool is private memory whatever it says, because nobody but the
    /// process itself reads it.
    fn shm_name(&self, use_lazy: bool) -> Result<String> {
        match self.0.get("shm_name") {
            None => Ok(String::new()),
            Some(Value::String(name)) if !name.is_empty() && use_lazy => {
                Err(Error::invalid("shm_name cannot coexist with use_lazy")
                    .with_hint("add \"use_lazy\": false"))
            }
            Some(Value::String(name)) => Ok(name.clone()),
            Some(_) => Err(Error::invalid("shm_name must be a string")),
        }
    }

    fn eviction(&self, defaults: Option<&EvictionConfig>) -> Result<EvictionConfig> {
        let empty = Map::new();
        let own = match self.0.get("eviction") {
            None => Fields(&empty),
            Some(Value::Object(own)) => Fields(own),
            Some(_) => return Err(Error::invalid("eviction must be an object")),
        };
        own.check_names(&EVICTION_FIELDS)?;
        let mut config = defaults.cloned().unwrap_or_default();
        match (own.0.get("eviction_policy"), defaults) {
            (Some(Value::String(name)), _) => config.policy = EvictionPolicyKind::from_name(name)?,
            (None, Some(_)) => {}
            _ => {
                return Err(Error::invalid("an eviction policy is required for each L1")
                    .with_hint("add --eviction-policy LRU"));
            }
        }
        own.read_share(
            "trigger_watermark",
            &mut config.trigger_watermark,
            &mut config.whole_numbers.trigger_watermark,
        )?;
        own.read_share(
            "eviction_ratio",
            &mut config.eviction_ratio,
            &mut config.whole_numbers.eviction_ratio,
        )?;
        Ok(config)
    }

    /// Overrides `share` by the field of that name, if it is there; either way it must lie in 0..=1.
    fn read_share(&self, name: &'static str, share: &mut f64, is_whole_number: &mut bool) -> Result<()> {
        if let Some(value) = self.0.get(name) {
            // A value that is no number is out of range like any other.
            *share = value.as_f64().unwrap_or(f64::NAN);
            *is_whole_number = value.is_i64() || value.is_u64();
        }
        if (0.0..=1.0).contains(share) {
            return Ok(());
        }
        Err(Error::invalid(format!("{name} must be between zero and one")))
    }

    fn positive_int(&self, name: &'static str, default: i64) -> Result<i64> {
        let value = self.0.get(name).map_or(Some(default), Value::as_i64);
        value
            .filter(|value| *value > 0)
            .ok_or_else(|| Error::invalid(format!("{name} must be a positive integer")))
    }

    fn positive_number(&self, name: &'static str, default: Option<f64>) -> Result<f64> {
        let value = self.0.get(name).map_or(default, Value::as_f64);
        value
            .filter(|value| *value > 0.0 && value.is_finite())
            .ok_or_else(|| Error::invalid(format!("{name} must be a finite positive number")))
    }

    fn bool(&self, name: &'static str, default: bool) -> Result<bool> {
        let value = self.0.get(name).map_or(Some(default), Value::as_bool);
        value.ok_or_else(|| Error::invalid(format!("{name} must be a boolean")))
    }
}

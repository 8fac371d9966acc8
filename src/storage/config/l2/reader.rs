//! One `--l2-adapter` object: its type, what every adapter has, and what its kind has.

use serde_json::{Map, Value};

use super::absent::{refuse_absent, refuse_unbuilt};
use super::known::unknown_type;
use super::spec::{Environment, Spec};
use super::{AdapterKind, L2AdapterConfig, fault_inject, fs, fs_native, mock, plugin, raw_block, resp, s3};
use crate::error::{Error, Result};
use crate::storage::config::fields::Fields;
use crate::storage::config::secret::masked;
use crate::storage::config::strict_json::parse_object;
use crate::storage::config::{DEFAULT_L1_TAG, EvictionConfig, EvictionMeasure, EvictionPolicyKind};
use crate::storage::serde::SerdeConfig;

/// The keys of every adapter.
pub const COMMON_KEYS: &[&str] = &["type", "affinity_tag", "shared", "eviction", "persist_enabled", "serde"];

/// The keys of an `eviction` object; `by` is ours.
pub const EVICTION_KEYS: &[&str] = &["eviction_policy", "trigger_watermark", "eviction_ratio", "by"];

impl L2AdapterConfig {
    /// Reads one object.
    ///
    /// # Errors
    /// If it is not a JSON object, its type is unknown or not part of this build, or a field is unknown, wrong, or there
    /// twice. No value of a field is part of the message.
    pub fn from_json(json: &str) -> Result<Self> {
        Self::from_json_in(json, &|name| std::env::var(name).ok())
    }

    /// [`Self::from_json`] in an environment of the caller's.
    ///
    /// # Errors
    /// Those of [`Self::from_json`].
    pub fn from_json_in(json: &str, environment: Environment<'_>) -> Result<Self> {
        let object = parse_object(json)?;
        refuse_absent(&object)?;
        let mut config = read(Spec { fields: Fields(&object), environment, depth: 0, read_inner: read })?;
        config.spec = masked(&Value::Object(object));
        Ok(config)
    }

    /// Reads the objects of all `--l2-adapter` flags; the position of an adapter is its id.
    ///
    /// # Errors
    /// The first of [`Self::from_json`], with the position of the object, counted from 1 as LMCache does.
    pub fn from_json_list<S: AsRef<str>>(list: &[S]) -> Result<Vec<Self>> {
        Self::refuse_absent_in(list)?;
        each(list, Self::from_json).collect()
    }

    /// Refuses the first of these objects that asks for something that is not part of this build, in whatever place. Who
    /// reads other settings before the adapters calls it before all of them.
    ///
    /// # Errors
    /// If one is not a JSON object, or asks for such a thing.
    pub fn refuse_absent_in<S: AsRef<str>>(list: &[S]) -> Result<()> {
        each(list, |json| {
            let object = parse_object(json)?;
            refuse_absent(&object).and_then(|()| refuse_unbuilt(&object))
        })
        .collect()
    }
}

/// What `read` makes of the objects of all `--l2-adapter` flags, the flag named in its errors.
fn each<S: AsRef<str>, T>(list: &[S], read: impl Fn(&str) -> Result<T>) -> impl Iterator<Item = Result<T>> {
    list.iter().enumerate().map(move |(position, json)| {
        read(json.as_ref())
            .map_err(|error| error.with_context("flag", format!("--l2-adapter #{}", position + 1)))
    })
}

/// Reads an object of any kind.
pub(super) fn read(spec: Spec<'_>) -> Result<L2AdapterConfig> {
    let fields = spec.fields;
    let Value::String(name) = fields.required("type", "\"fs\"")? else {
        return Err(Error::invalid("type must be a string"));
    };
    let (keys, read_kind) = kind(name).ok_or_else(|| unknown_type(name))?;
    read_as(spec, keys, read_kind).map_err(|error| error.with_context("type", name))
}

type ReadKind = fn(Spec<'_>) -> Result<AdapterKind>;

/// The keys of a kind, and its reader.
fn kind(name: &str) -> Option<(&'static [&'static str], ReadKind)> {
    Some(match name {
        mock::TYPE => (mock::KEYS, |spec| mock::read(spec).map(AdapterKind::Mock)),
        fs::TYPE => (fs::KEYS, |spec| fs::read(spec).map(AdapterKind::Fs)),
        fs_native::TYPE => (fs_native::KEYS, |spec| fs_native::read(spec).map(AdapterKind::FsNative)),
        raw_block::TYPE => (raw_block::KEYS, |spec| raw_block::read(spec).map(AdapterKind::RawBlock)),
        resp::TYPE => (resp::KEYS, |spec| resp::read(spec).map(AdapterKind::Resp)),
        s3::TYPE => (s3::KEYS, |spec| s3::read(spec).map(AdapterKind::S3)),
        fault_inject::TYPE => {
            (fault_inject::KEYS, |spec| fault_inject::read(spec).map(AdapterKind::FaultInject))
        }
        plugin::TYPE => (plugin::KEYS, |spec| plugin::read(spec).map(AdapterKind::Plugin)),
        _ => return None,
    })
}

fn read_as(spec: Spec<'_>, keys: &[&str], read_kind: ReadKind) -> Result<L2AdapterConfig> {
    let fields = spec.fields;
    fields.check_names(&[COMMON_KEYS, keys])?;
    let affinity_tag = match fields.get("affinity_tag") {
        None => DEFAULT_L1_TAG,
        Some(_) => fields.required_text("affinity_tag", DEFAULT_L1_TAG)?,
    };
    let config = L2AdapterConfig {
        kind: read_kind(spec)?,
        affinity_tag: affinity_tag.to_owned(),
        shared: fields.bool("shared", false)?,
        eviction: fields
            .given("eviction")
            .map(read_eviction)
            .transpose()
            .map_err(|error| error.with_context("in", "eviction"))?,
        persist_enabled: fields.bool("persist_enabled", true)?,
        serde: fields.given("serde").map(SerdeConfig::from_json).transpose()?,
        spec: masked(&Value::Object(fields.0.clone())),
    };
    if matches!(config.innermost().kind, AdapterKind::RawBlock(_)) && !config.persist_enabled {
        return Err(Error::invalid("raw_block requires persist_enabled to be true")
            .with_hint("leave persist_enabled out: what is on a device stays there"));
    }
    Ok(config)
}

/// LMCache checks neither share here. One outside of 0 to 1 evicts always, never, or everything, so it is
/// refused, as LMCache refuses it for a tagged L1.
fn read_eviction(value: &Value) -> Result<EvictionConfig> {
    let empty = Map::new();
    let fields = Fields(value.as_object().unwrap_or(&empty));
    if !value.is_object() {
        return Err(
            Error::invalid("eviction must be an object").with_hint("write {\"eviction_policy\": \"LRU\"}")
        );
    }
    fields.check_names(&[EVICTION_KEYS])?;
    let policy = EvictionPolicyKind::from_name(fields.required_text("eviction_policy", "LRU")?)?;
    let defaults = EvictionConfig::default();
    Ok(EvictionConfig {
        policy,
        trigger_watermark: fields.share("trigger_watermark", defaults.trigger_watermark)?,
        eviction_ratio: fields.share("eviction_ratio", defaults.eviction_ratio)?,
        by: fields.choice("by", defaults.by, EvictionMeasure::ALL, EvictionMeasure::name)?,
        ..defaults
    })
}

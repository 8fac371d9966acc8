//! What LMCache has and this build does not, in the object of an adapter.
//!
//! It is looked for in the whole object, inner adapters and serde included, before anything else is said about it: who
//! mends a path, then a number, and then hears that the adapter is not there, has mended for nothing.

use serde_json::{Map, Value};

use super::fault_inject::MAX_DEPTH;
use super::known::absent_type;
use super::{fault_inject, plugin, raw_block, s3};
use crate::error::{Error, Result};
use crate::storage::config::fields::Fields;
use crate::storage::serde::SerdeConfig;

/// Keys that a kind has in LMCache, or had, and that mean nothing here: kind, key, reason, what to do instead.
const REFUSED_KEYS: [(&str, &str, &str, &str); 4] = [
    (plugin::TYPE, "module_path", NO_PYTHON, OWN_LIBRARY),
    (plugin::TYPE, "class_name", NO_PYTHON, OWN_LIBRARY),
    (plugin::TYPE, "config_class_name", NO_PYTHON, OWN_LIBRARY),
    (
        raw_block::TYPE,
        "per_tp_device_paths",
        "a device for each rank is not for servers that ranks share",
        "give each server a device_path of its own",
    ),
];

const NO_PYTHON: &str = "a plugin that is a Python class is not part of this build";
const OWN_LIBRARY: &str = "give \"library_path\", a shared library with the C table of an adapter";

/// The settings of `raw_block` that ask for NVMe commands past the block layer.
const NVME_KEYS: [&str; 6] = [
    "use_uring_cmd",
    "fdp_enabled",
    "fdp_placement_ids",
    "fdp_data_placement_policy",
    "fdp_slot_reuse_policy",
    "meta_checkpoint_placement_id",
];

/// Those that are on or off.
pub(super) const NVME_SWITCHES: [&str; 2] = ["use_uring_cmd", "fdp_enabled"];

/// Refuses the first thing in the object that no build of this program has. What is no object, or has no type, is left
/// to the reader.
pub(super) fn refuse_absent(object: &Map<String, Value>) -> Result<()> {
    walk(object, 0, &|kind, object| {
        let fields = Fields(object);
        absent_type(kind).map_or(Ok(()), Err)?;
        let known = |error: Error| error.with_context("type", kind);
        refuse_keys(kind, fields).map_err(known)?;
        refuse_nvme(kind, fields).map_err(known)?;
        fields.given("serde").map_or(Ok(()), SerdeConfig::refuse_absent).map_err(known)
    })
}

/// Refuses the first thing in the object that another build of this program has.
pub(super) fn refuse_unbuilt(object: &Map<String, Value>) -> Result<()> {
    walk(object, 0, &|kind, object| {
        if kind == s3::TYPE && !cfg!(feature = "s3") {
            return Err(s3_is_not_built());
        }
        let serde = Fields(object).given("serde");
        serde.map_or(Ok(()), SerdeConfig::refuse_unbuilt).map_err(|error| error.with_context("type", kind))
    })
}

/// The error of a build without `s3`.
pub(in crate::storage) fn s3_is_not_built() -> Error {
    Error::unsupported("the adapter s3 is not part of this build")
        .with_context("type", s3::TYPE)
        .with_hint("build with `cargo build --release --features s3`")
}

/// Calls `look` with the type and the object of each adapter, the outermost first.
fn walk<F>(object: &Map<String, Value>, depth: usize, look: &F) -> Result<()>
where
    F: Fn(&str, &Map<String, Value>) -> Result<()>,
{
    let Some(kind) = object.get("type").and_then(Value::as_str) else { return Ok(()) };
    look(kind, object)?;
    let inner = object.get("inner").and_then(Value::as_object);
    match inner.filter(|_| kind == fault_inject::TYPE && depth < MAX_DEPTH) {
        None => Ok(()),
        Some(inner) => walk(inner, depth + 1, look)
            .map_err(|error| error.with_context("in", "inner").with_context("type", kind)),
    }
}

fn refuse_keys(kind: &str, fields: Fields<'_>) -> Result<()> {
    let refused = REFUSED_KEYS.iter().find(|(of, key, ..)| *of == kind && fields.get(key).is_some());
    match refused {
        None => Ok(()),
        Some((_, key, reason, instead)) => {
            Err(Error::unsupported(*reason).with_context("field", key).with_hint(*instead))
        }
    }
}

fn refuse_nvme(kind: &str, fields: Fields<'_>) -> Result<()> {
    let asked = NVME_KEYS.into_iter().find(|name| is_asked_for(fields, name));
    match asked.filter(|_| kind == raw_block::TYPE) {
        None => Ok(()),
        Some(name) => Err(Error::unsupported("NVMe commands through io_uring are not part of this build")
            .with_context("field", name)
            .with_hint("leave use_uring_cmd, the fdp settings and meta_checkpoint_placement_id out: the block device is used then")),
    }
}

/// Whether a setting is more than LMCache's words for none: a switch that is off, a policy without a name.
fn is_asked_for(fields: Fields<'_>, name: &str) -> bool {
    fields.given(name).is_some_and(|value| match value {
        Value::Bool(is_on) if NVME_SWITCHES.contains(&name) => *is_on,
        Value::String(text) if name.ends_with("_policy") => text != "none" && !text.is_empty(),
        _ => true,
    })
}

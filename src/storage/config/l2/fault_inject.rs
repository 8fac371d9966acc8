//! `fault_inject`: another adapter, with faults.

use std::time::Duration;

use serde_json::Value;

use super::L2AdapterConfig;
use super::spec::Spec;
use crate::error::{Error, Result};
use crate::storage::config::fields::Fields;

/// The type in JSON.
pub const TYPE: &str = "fault_inject";

/// The keys of its own.
pub const KEYS: &[&str] = &[
    "inner",
    "rate",
    "seed",
    "gap_indices",
    "gap_tail_ratios",
    "store_error_rate",
    "lookup_error_rate",
    "load_error_rate",
    "torn_write_rate",
    "delay_ms",
    "status_panics",
];

/// The keys that count for the whole, so that an inner object cannot have them.
const OUTER_KEYS: [&str; 5] = ["affinity_tag", "shared", "eviction", "persist_enabled", "serde"];

/// How many of them can be wrapped around each other.
pub const MAX_DEPTH: usize = 8;

/// The most entries of a list of gaps.
pub const MAX_GAPS: usize = 65_536;

/// Faults in front of an adapter. The same seed gives the same faults.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultInjectAdapterConfig {
    /// `inner`: the adapter behind it. Eviction, serde, tag and the like are those of the whole; its own are
    /// the defaults, and mean nothing.
    pub inner: Box<L2AdapterConfig>,
    /// `rate`: the share of the keys whose loads are dropped, always the same keys; 0 by default.
    pub rate: f64,
    /// `seed`: of everything that is drawn; 0 by default.
    pub seed: i64,
    /// `gap_indices`: positions in a load that are dropped, counted from its first key.
    pub gap_indices: Vec<u64>,
    /// `gap_tail_ratios`: the same as shares of a load's length, from its last key (0) to its first (1).
    pub gap_tail_ratios: Vec<f64>,
    /// `store_error_rate`: the share of the stores that fail. Ours; 0 by default.
    pub store_error_rate: f64,
    /// `lookup_error_rate`: the share of the lookups that fail. Ours; 0 by default.
    pub lookup_error_rate: f64,
    /// `load_error_rate`: the share of the loads that fail. Ours; 0 by default.
    pub load_error_rate: f64,
    /// `torn_write_rate`: the share of the objects that are stored with only their beginning written. Ours; 0
    /// by default.
    pub torn_write_rate: f64,
    /// `delay_ms`: what every task takes longer. Ours; 0 by default.
    pub delay: Duration,
    /// `status_panics`: whoever asks for the status meets a defect of the library, to see what a host makes of one. Ours; no by
    /// default.
    pub status_panics: bool,
}

pub(super) fn read(spec: Spec<'_>) -> Result<FaultInjectAdapterConfig> {
    let fields = spec.fields;
    let inner = inner(spec)?;
    Ok(FaultInjectAdapterConfig {
        inner: Box::new(inner),
        rate: fields.share("rate", 0.0)?,
        seed: fields.signed("seed", 0)?,
        gap_indices: gap_indices(spec)?,
        gap_tail_ratios: gap_tail_ratios(spec)?,
        store_error_rate: fields.share("store_error_rate", 0.0)?,
        lookup_error_rate: fields.share("lookup_error_rate", 0.0)?,
        load_error_rate: fields.share("load_error_rate", 0.0)?,
        torn_write_rate: fields.share("torn_write_rate", 0.0)?,
        delay: fields.milliseconds("delay_ms", Duration::ZERO)?,
        status_panics: fields.bool("status_panics", false)?,
    })
}

fn inner(spec: Spec<'_>) -> Result<L2AdapterConfig> {
    let depth = spec.depth + 1;
    if depth > MAX_DEPTH {
        return Err(Error::invalid("adapters are nested too deeply")
            .with_context("most", MAX_DEPTH)
            .with_hint("one fault_inject can have all kinds of faults at once"));
    }
    let inner = spec.fields.required("inner", "{\"type\": \"fs\", \"base_path\": \"/data/kv\"}")?;
    let Some(object) = inner.as_object() else {
        return Err(Error::invalid("inner must be the object of an adapter, with a type")
            .with_hint("write the object itself, not a text of it"));
    };
    if let Some(name) = OUTER_KEYS.into_iter().find(|name| object.contains_key(*name)) {
        return Err(Error::invalid("a setting of the whole stands in the inner adapter")
            .with_context("field", name)
            .with_hint("move it to the object around it; LMCache reads it and then passes over it"));
    }
    (spec.read_inner)(Spec { fields: Fields(object), depth, ..spec })
        .map_err(|error| error.with_context("in", "inner"))
}

fn gap_indices(spec: Spec<'_>) -> Result<Vec<u64>> {
    let what = "a list of non-negative integers";
    let values = gaps(spec, "gap_indices", what)?.iter().map(Value::as_u64);
    values.collect::<Option<_>>().ok_or_else(|| Error::invalid(format!("gap_indices must be {what}")))
}

fn gap_tail_ratios(spec: Spec<'_>) -> Result<Vec<f64>> {
    let what = "a list of numbers between zero and one";
    let is_share = |value: &f64| (0.0..=1.0).contains(value);
    let values = gaps(spec, "gap_tail_ratios", what)?.iter().map(|value| value.as_f64().filter(is_share));
    values.collect::<Option<_>>().ok_or_else(|| Error::invalid(format!("gap_tail_ratios must be {what}")))
}

fn gaps<'a>(spec: Spec<'a>, name: &str, what: &str) -> Result<&'a [Value]> {
    let values = spec.fields.list(name, what)?;
    if values.len() > MAX_GAPS {
        return Err(Error::invalid(format!("{name} must have at most {MAX_GAPS} entries")));
    }
    Ok(values)
}

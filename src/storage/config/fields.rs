//! A JSON object of a configuration, read field by field.
//!
//! The rules are LMCache's where it has one for a field, and the strictest of its own for the others: a
//! boolean is no number, a number with a point is no integer, and `null` is a value unless the field may be
//! left out. Python's `json` module reads `NaN`, `Infinity` and integers of any length; these are refused.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};

use super::GIB_BYTES;
use crate::error::{Error, Result};

/// The most bytes that a capacity in L2 can name: what LMCache's `int` and our counters both hold.
pub(super) const MAX_CAPACITY_BYTES: u64 = i64::MAX as u64;

/// The longest time that a setting can name: a day.
pub(super) const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// One object.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// Refuses the first field that is in none of the lists of `known` ones.
    pub(super) fn check_names(self, known: &[&[&str]]) -> Result<()> {
        let is_known = |name: &str| known.iter().any(|list| list.contains(&name));
        match self.0.keys().find(|name| !is_known(name)) {
            None => Ok(()),
            Some(name) => Err(Error::invalid("unknown field")
                .with_context("field", short(name))
                .with_hint(format!("the fields are {}", known.concat().join(", ")))),
        }
    }

    pub(super) fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name)
    }

    /// The field, unless it is missing or `null`.
    pub(super) fn given(self, name: &str) -> Option<&'a Value> {
        self.get(name).filter(|value| !value.is_null())
    }

    /// A field that must be there. `example` is a value of it, as JSON.
    pub(super) fn required(self, name: &str, example: &str) -> Result<&'a Value> {
        self.get(name).ok_or_else(|| missing(name, example))
    }

    /// A text that must be there and must not be blank. `example` is one.
    pub(super) fn required_text(self, name: &str, example: &str) -> Result<&'a str> {
        match self.required(name, &format!("\"{example}\""))?.as_str() {
            Some(text) if !text.trim().is_empty() => Ok(text),
            _ => Err(Error::invalid(format!("{name} must be a non-empty string"))),
        }
    }

    /// A text; what is missing or `null` is nothing.
    pub(super) fn optional_text(self, name: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.given(name) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| Error::invalid(format!("{name} must be a string")))
    }

    /// A text; what is missing is `default`.
    pub(super) fn text(self, name: &str, default: &'a str) -> Result<&'a str> {
        let value = self.get(name).map_or(Some(default), Value::as_str);
        value.ok_or_else(|| Error::invalid(format!("{name} must be a string")))
    }

    /// A boolean; what is missing is `default`.
    pub(super) fn bool(self, name: &str, default: bool) -> Result<bool> {
        let value = self.get(name).map_or(Some(default), Value::as_bool);
        value.ok_or_else(|| Error::invalid(format!("{name} must be a boolean")))
    }

    /// An integer of `range`; what is missing is `default`.
    pub(super) fn integer(self, name: &str, default: u64, range: RangeInclusive<u64>) -> Result<u64> {
        let value = self.get(name).map_or(Some(default), Value::as_u64);
        value.filter(|value| range.contains(value)).ok_or_else(|| not_in(name, &range))
    }

    /// An integer of `range`; what is missing or `null` is nothing.
    pub(super) fn optional_integer(self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>> {
        match self.given(name) {
            None => Ok(None),
            Some(_) => self.integer(name, 0, range).map(Some),
        }
    }

    /// An integer of 64 bits with a sign; what is missing is `default`.
    pub(super) fn signed(self, name: &str, default: i64) -> Result<i64> {
        let value = self.get(name).map_or(Some(default), Value::as_i64);
        value.ok_or_else(|| Error::invalid(format!("{name} must be an integer of 64 bits")))
    }

    /// An integer above zero, as LMCache reads TTLs and alignments; what is missing is `default`.
    pub(super) fn positive_integer(self, name: &str, default: i64) -> Result<i64> {
        let value = self.get(name).map_or(Some(default), Value::as_i64);
        value
            .filter(|value| *value > 0)
            .ok_or_else(|| Error::invalid(format!("{name} must be a positive integer")))
    }

    /// A number above zero that must be there. `example` is one.
    pub(super) fn required_positive_number(self, name: &str, example: &str) -> Result<f64> {
        self.required(name, example)?;
        self.positive_number(name, 0.0)
    }

    /// A number above zero; what is missing is `default`.
    pub(super) fn positive_number(self, name: &str, default: f64) -> Result<f64> {
        let value = self.get(name).map_or(Some(default), Value::as_f64);
        value
            .filter(|value| *value > 0.0 && value.is_finite())
            .ok_or_else(|| Error::invalid(format!("{name} must be a finite positive number")))
    }

    /// A number of `0..=1`; what is missing is `default`.
    pub(super) fn share(self, name: &str, default: f64) -> Result<f64> {
        let value = self.get(name).map_or(Some(default), Value::as_f64);
        value
            .filter(|value| (0.0..=1.0).contains(value))
            .ok_or_else(|| Error::invalid(format!("{name} must be a number between zero and one")))
    }

    /// A time in milliseconds, fractions included, of at most [`MAX_DURATION`].
    pub(super) fn milliseconds(self, name: &str, default: Duration) -> Result<Duration> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let limit_ms = MAX_DURATION.as_secs_f64() * 1e3;
        let value = value.as_f64().filter(|ms| (0.0..=limit_ms).contains(ms));
        let ms = value.ok_or_else(|| {
            Error::invalid(format!("{name} must be a number of milliseconds between zero and a day"))
        })?;
        Ok(Duration::from_secs_f64(ms / 1e3))
    }

    /// A time limit in milliseconds: [`Self::milliseconds`], but not zero.
    pub(super) fn timeout(self, name: &str, default: Duration) -> Result<Duration> {
        match self.milliseconds(name, default)? {
            Duration::ZERO => Err(Error::invalid(format!("{name} must be above zero"))),
            limit => Ok(limit),
        }
    }

    /// A capacity in GiB (LMCache calls them GB), in bytes; nothing if it is missing or zero, which is LMCache's
    /// word for "no limit is known".
    pub(super) fn capacity_gb(self, name: &str) -> Result<Option<u64>> {
        let value = self.get(name).map_or(Some(0.0), Value::as_f64);
        let gib = value
            .filter(|value| value.is_finite() && *value >= 0.0)
            .ok_or_else(|| Error::invalid(format!("{name} must be a non-negative number")))?;
        let capacity_bytes = gib_to_capacity(name, gib)?;
        Ok((capacity_bytes > 0).then_some(capacity_bytes))
    }

    /// One of `all` by its name; what is missing is `default`.
    pub(super) fn choice<T: Copy, const N: usize>(
        self,
        name: &str,
        default: T,
        all: [T; N],
        name_of: fn(T) -> &'static str,
    ) -> Result<T> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let chosen = all.into_iter().find(|choice| value.as_str() == Some(name_of(*choice)));
        chosen.ok_or_else(|| Error::invalid(format!("{name} must be one of {}", all.map(name_of).join(", "))))
    }

    /// A list; what is missing is empty. `what` says what it must be.
    pub(super) fn list(self, name: &str, what: &str) -> Result<&'a [Value]> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(Error::invalid(format!("{name} must be {what}"))),
        }
    }
}

/// `int(gib * 2^30)`, as Python computes it.
///
/// # Errors
/// If it is more than [`MAX_CAPACITY_BYTES`].
pub(super) fn gib_to_capacity(name: &str, gib: f64) -> Result<u64> {
    let capacity_bytes = gib * GIB_BYTES as f64;
    // 2^63 as a float: everything below it is an i64.
    if capacity_bytes < MAX_CAPACITY_BYTES as f64 {
        return Ok(capacity_bytes as u64);
    }
    Err(Error::invalid(format!("{name} must be less than 8589934592 (2^63 bytes)")))
}

/// The error for a key that must be there. `example` is a value of it, as JSON.
pub(super) fn missing(name: &str, example: &str) -> Error {
    Error::invalid(format!("the JSON misses the key {name}")).with_hint(format!("add \"{name}\": {example}"))
}

fn not_in(name: &str, range: &RangeInclusive<u64>) -> Error {
    let (least, most) = (*range.start(), *range.end());
    Error::invalid(match (least, most) {
        (1, u64::MAX | MAX_CAPACITY_BYTES) => format!("{name} must be a positive integer"),
        (0, u64::MAX | MAX_CAPACITY_BYTES) => format!("{name} must be a non-negative integer"),
        _ => format!("{name} must be an integer from {least} to {most}"),
    })
}

/// How much of a name from outside is shown.
const MAX_NAME_CHARS: usize = 64;

/// A name from outside, as it can be printed.
pub(super) fn short(name: &str) -> String {
    let shown: String = name.chars().take(MAX_NAME_CHARS).flat_map(char::escape_debug).collect();
    if name.chars().count() > MAX_NAME_CHARS { format!("{shown}...") } else { shown }
}

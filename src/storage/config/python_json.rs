//! JSON exactly as Python's `json.dumps(value, sort_keys=True)` writes it.
//!
//! LMCache hashes its configuration through that text, so every byte counts: `", "` and `": "` between parts,
//! keys sorted by code point, everything past ASCII escaped (surrogate pairs past the first plane), floats
//! as `repr` prints them, and the `NaN` and `Infinity` that JSON itself does not have.

use std::collections::BTreeMap;

use serde_json::Value;

/// A value as Python's `json` module sees it. An integer and a float of the same size are different values.
#[derive(Clone, Debug, PartialEq)]
pub enum PyValue {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// An `int` that 64 bits hold.
    Int(i64),
    /// A `float`.
    Float(f64),
    /// A `str`.
    Str(String),
    /// A `list` or a `tuple`.
    List(Vec<PyValue>),
    /// A `dict` with `str` keys. UTF-8 sorts as its code points do, which is Python's order.
    Dict(BTreeMap<String, PyValue>),
}

impl PyValue {
    /// A `dict` of these pairs.
    pub fn dict<const N: usize>(pairs: [(&str, PyValue); N]) -> Self {
        Self::Dict(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// What Python's `json.loads` makes of `value`. An integer past 64 bits becomes a float. Recursion is bounded by
    /// serde_json's own limit of 128 levels.
    pub fn of_json(value: &Value) -> Self {
        match value {
            Value::Null => Self::None,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => Self::Int(whole),
                None => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Self::Str(text.clone()),
            Value::Array(values) => Self::List(values.iter().map(Self::of_json).collect()),
            Value::Object(pairs) => {
                Self::Dict(pairs.iter().map(|(name, value)| (name.clone(), Self::of_json(value))).collect())
            }
        }
    }

    /// The text of `json.dumps(self, sort_keys=True)`.
    pub fn dumps(&self) -> String {
        let mut text = String::new();
        write_value(&mut text, self);
        text
    }
}

impl From<&str> for PyValue {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

fn write_value(text: &mut String, value: &PyValue) {
    match value {
        PyValue::None => text.push_str("null"),
        PyValue::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        PyValue::Int(value) => text.push_str(&value.to_string()),
        PyValue::Float(value) => text.push_str(&float_repr(*value)),
        PyValue::Str(value) => write_string(text, value),
        PyValue::List(values) => {
            text.push('[');
            for (position, value) in values.iter().enumerate() {
                text.push_str(if position == 0 { "" } else { ", " });
                write_value(text, value);
            }
            text.push(']');
        }
        PyValue::Dict(pairs) => {
            text.push('{');
            for (position, (key, value)) in pairs.iter().enumerate() {
                text.push_str(if position == 0 { "" } else { ", " });
                write_string(text, key);
                text.push_str(": ");
                write_value(text, value);
            }
            text.push('}');
        }
    }
}

/// `json.dumps(value)` of a text, appended to `text`.
pub(in crate::storage) fn write_string(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            ' '..='~' => text.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    text.push('"');
}

/// The decimal exponents between which `repr` writes a float without one.
const PLAIN_EXPONENTS: std::ops::Range<i32> = -4..16;

/// `repr(value)`: the shortest digits that read back as the same double, with `.0` or an exponent so that
/// they read back as a float.
fn float_repr(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let digits = mantissa.replace('.', "");
    if PLAIN_EXPONENTS.contains(&exponent) {
        format!("{sign}{}", plain_digits(&digits, exponent))
    } else {
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        format!("{sign}{mantissa}e{exponent_sign}{:02}", exponent.unsigned_abs())
    }
}

/// `digits` with a decimal point, where the first digit stands for `10^exponent`.
fn plain_digits(digits: &str, exponent: i32) -> String {
    if exponent < 0 {
        let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
        return format!("0.{zeros}{digits}");
    }
    let whole_digits = exponent as usize + 1;
    if digits.len() <= whole_digits {
        return format!("{digits}{}.0", "0".repeat(whole_digits - digits.len()));
    }
    format!("{}.{}", &digits[..whole_digits], &digits[whole_digits..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_change_form_where_python_changes_it() {
        let cases = [
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.25e-7, "1.25e-07"),
            (10.0, "10.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1e100, "1e+100"),
            (-0.0, "-0.0"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, expected) in cases {
            assert_eq!(PyValue::Float(value).dumps(), expected);
        }
    }
}

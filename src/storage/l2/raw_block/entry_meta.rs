//! What LMCache writes of an object into its checkpoint, besides where it is.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::format::model::{Dtype, MemoryLayoutDesc};
use crate::storage::config::python_json::write_string;

/// LMCache's own names for types of torch; all others are `torch.<name>`.
const DTYPE_NAMES: [(&str, &str); 14] = [
    ("float16", "half"),
    ("bfloat16", "bfloat16"),
    ("float32", "float"),
    ("float64", "double"),
    ("int8", "int8"),
    ("uint8", "uint8"),
    ("int16", "int16"),
    ("int32", "int32"),
    ("int64", "int64"),
    ("bool", "bool"),
    ("float8_e4m3fn", "fp8_e4m3fn"),
    ("float8_e4m3fnuz", "fp8_e4m3fnuz"),
    ("float8_e5m2", "fp8_e5m2"),
    ("float8_e5m2fnuz", "fp8_e5m2fnuz"),
];

/// What a checkpoint says of an object besides its place and size, as it is written there: from `"shape"` to the end
/// of its entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EntryMeta(Box<str>);

impl EntryMeta {
    /// What LMCache writes for an object of `layout`: the shape and type of its first tensor, though its size is that
    /// of all. Without a layout, neither.
    pub(super) fn of_layout(layout: Option<&MemoryLayoutDesc>) -> Self {
        let first = layout.and_then(|layout| layout.groups().next());
        let shape = first.map(|(shape, _)| shape.iter().map(|extent| i128::from(*extent)).collect());
        let dtype = first.map(|(_, dtype)| Cow::Owned(dtype_name(dtype)));
        Self::new(shape, dtype, "KV_2LTD", None)
    }

    pub(super) fn new(
        shape: Option<Vec<i128>>,
        dtype: Option<Cow<'_, str>>,
        format: &str,
        positions: Option<Vec<i128>>,
    ) -> Self {
        let mut text = String::from("\"shape\":");
        write_list(&mut text, shape);
        text.push_str(",\"dtype\":");
        match dtype {
            None => text.push_str("null"),
            Some(name) => write_string(&mut text, &name),
        }
        text.push_str(",\"fmt\":");
        write_string(&mut text, format);
        text.push_str(",\"cached_positions\":");
        write_list(&mut text, positions);
        Self(text.into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

fn write_list(text: &mut String, list: Option<Vec<i128>>) {
    let Some(list) = list else { return text.push_str("null") };
    text.push('[');
    for (position, number) in list.iter().enumerate() {
        // Writing to a string cannot fail, here and below.
        let _ = write!(text, "{}{number}", if position == 0 { "" } else { "," });
    }
    text.push(']');
}

fn dtype_name(dtype: Dtype) -> String {
    let known = DTYPE_NAMES.iter().find(|(torch, _)| *torch == dtype.short_name());
    known.map_or_else(|| dtype.to_string(), |(_, name)| (*name).to_owned())
}

/// The name that LMCache would write again for one that it read; `None` for what it does not know.
pub(super) fn known_dtype_name(name: &str) -> Option<String> {
    if DTYPE_NAMES.iter().any(|(_, known)| *known == name) {
        return Some(name.to_owned());
    }
    let torch = name.strip_prefix("torch.").unwrap_or(name);
    Dtype::from_name(&format!("torch.{torch}")).map(dtype_name)
}

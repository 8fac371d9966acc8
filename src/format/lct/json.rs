//! Arguments as JSON.
//!
//! LMCache's wrappers are taken off (`{"__t__": tag, "v": payload}` becomes the payload), binary data becomes
//! lowercase hexadecimal, and keys have the same five fields at both levels:
//! `{chunk_hash, model_name, kv_rank, object_group_id, cache_salt}`. Doubles print so that reading them back
//! gives the same double; JSON has no NaN and no infinity, so those become `null`. Every control character is
//! escaped, those that JSON allows too: what a file says must not command a terminal.

use std::borrow::Cow;
use std::io::Write;

use super::cursor::{Head, WireError};
use super::keys::{HEX_HASH_NAME, WireKey, event_key, key_of_payload};
use super::value::Value;
use crate::format::model::key::Hex;

/// What a value is printed as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Without LMCache's wrappers, with uniform keys.
    Arguments,
    /// As it stands.
    Plain,
}

/// Appends the arguments of a record to `out`.
///
/// # Errors
/// If the value is not well-formed, which the arguments of a decoded record always are.
pub fn write_json(value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), WireError> {
    write_value(value, Form::Arguments, out)
}

/// The value as it stands, as a JSON tree; `null` if it nests deeper than JSON parsers go.
pub fn to_json(value: &Value<'_>) -> serde_json::Value {
    let mut text = Vec::new();
    match write_value(value, Form::Plain, &mut text) {
        Ok(()) => serde_json::from_slice(&text).unwrap_or_default(),
        Err(_) => serde_json::Value::Null,
    }
}

fn write_value(value: &Value<'_>, form: Form, out: &mut Vec<u8>) -> Result<(), WireError> {
    match value.head()? {
        Head::Nil => out.extend_from_slice(b"null"),
        Head::Bool(flag) => push(out, format_args!("{flag}")),
        Head::UInt(number) => push(out, format_args!("{number}")),
        Head::Int(number) => push(out, format_args!("{number}")),
        Head::Float(number) => write_f64(number, out),
        Head::Str(text) => write_text(text, out),
        Head::Bin(bytes) | Head::Ext(_, bytes) => push(out, format_args!("\"{}\"", Hex(bytes))),
        Head::Array(_) => write_list(value, form, out)?,
        Head::Map(_) => write_map(value, form, out)?,
    }
    Ok(())
}

/// Appends a double in its shortest form that reads back the same.
pub fn write_f64(number: f64, out: &mut Vec<u8>) {
    write_serde(&number, out);
}

/// Appends a string with JSON's escapes.
pub fn write_str(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    write_serde(text, out);
    if text.chars().any(is_raw_control) {
        let tail = String::from_utf8_lossy(&out.split_off(start)).into_owned();
        out.extend_from_slice(escape_controls(&tail).as_bytes());
    }
}

/// Escapes the control characters that JSON leaves alone in a JSON text: DEL and the C1 set.
pub fn escape_controls(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_raw_control) {
        return Cow::Borrowed(json);
    }
    let escape = |c: char| match is_raw_control(c) {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    };
    Cow::Owned(json.chars().map(escape).collect())
}

fn is_raw_control(c: char) -> bool {
    ('\u{7f}'..='\u{9f}').contains(&c)
}

/// Appends a key with its five fields.
pub fn write_key(key: &WireKey<'_>, out: &mut Vec<u8>) {
    let view = &key.view;
    out.extend_from_slice(b"{\"chunk_hash\":");
    match key.hash_is_hex {
        true => write_text(view.chunk_hash, out),
        false => push(out, format_args!("\"{}\"", Hex(view.chunk_hash))),
    }
    out.extend_from_slice(b",\"model_name\":");
    write_str(view.model_name, out);
    push(out, format_args!(",\"kv_rank\":{},\"object_group_id\":{}", view.kv_rank, view.object_group_id));
    out.extend_from_slice(b",\"cache_salt\":");
    write_str(view.cache_salt, out);
    out.push(b'}');
}

fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _ = out.write_fmt(text);
}

fn write_serde<T: serde::Serialize + ?Sized>(scalar: &T, out: &mut Vec<u8>) {
    // A scalar always serialises, and writing to a Vec cannot fail.
    let _ = serde_json::to_writer(out, scalar);
}

fn write_text(text: &[u8], out: &mut Vec<u8>) {
    write_str(&String::from_utf8_lossy(text), out);
}

fn write_list(list: &Value<'_>, form: Form, out: &mut Vec<u8>) -> Result<(), WireError> {
    out.push(b'[');
    for (position, element) in list.elements()?.enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_value(&element?, form, out)?;
    }
    out.push(b']');
    Ok(())
}

fn write_map(map: &Value<'_>, form: Form, out: &mut Vec<u8>) -> Result<(), WireError> {
    if form == Form::Arguments {
        match map.sole_tagged() {
            Some((b"ObjectKey", payload)) => match key_of_payload(&payload) {
                Ok(key) => {
                    write_key(&key, out);
                    return Ok(());
                }
                Err(_) => return write_value(&payload, form, out),
            },
            Some((_, payload)) => return write_value(&payload, form, out),
            None => {}
        }
        if let Some(key) = usual_event_key(map) {
            write_key(&key, out);
            return Ok(());
        }
    }
    out.push(b'{');
    for (position, entry) in map.entries()?.enumerate() {
        let (name, value) = entry?;
        if position > 0 {
            out.push(b',');
        }
        write_name(&name, out)?;
        out.push(b':');
        write_value(&value, form, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// An event's key as LMCache writes it: five fields, the hash first.
fn usual_event_key<'a>(map: &Value<'a>) -> Option<WireKey<'a>> {
    let mut entries = map.entries().ok()?;
    let (first, _) = entries.next()?.ok()?;
    (first.head().ok()? == Head::Str(HEX_HASH_NAME)).then(|| event_key(map).ok())?
}

/// The name of a map's entry: JSON has strings only, so anything else is its JSON text as a string. No map stands
/// in a name, so this escapes once, however deep the name.
fn write_name(name: &Value<'_>, out: &mut Vec<u8>) -> Result<(), WireError> {
    match name.head()? {
        Head::Str(text) => write_text(text, out),
        _ => {
            let mut text = Vec::new();
            write_value(name, Form::Plain, &mut text)?;
            write_text(&text, out);
        }
    }
    Ok(())
}

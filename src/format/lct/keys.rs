//! The keys of a record, one after the other, borrowed from the file.
//!
//! Which keys those are: the argument `keys`; or those of `spec`, row by row (flat in releases before 0.5.6);
//! or, at events level, the key of each of `entries`; else none.

use super::cursor::{Cursor, Head, MAX_DEPTH, Text, WireError};
use super::usual_key::take_usual_key;
use super::value::Value;
use crate::format::model::KeyView;

/// A key as it stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireKey<'a> {
    /// The five fields; those that the release did not record have their defaults. At events level
    /// `chunk_hash` is the hexadecimal text of the hash.
    pub view: KeyView<'a>,
    /// Whether the file says which tenant the key belongs to. LMCache's storage-level recorder never does:
    /// it drops `cache_salt`, and with it the difference between tenants.
    pub salt_recorded: bool,
    /// Whether `chunk_hash` is hexadecimal text.
    pub hash_is_hex: bool,
}

/// Calls `visit` for each key of a record's arguments and returns how many there were.
///
/// # Errors
/// At the first value that is not a key where a key must be; the keys before it were visited.
#[inline]
pub fn for_each_key<'a>(args: &Value<'a>, mut visit: impl FnMut(WireKey<'a>)) -> Result<usize, WireError> {
    for entry in args.entries()? {
        let (name, value) = entry?;
        match name.head()? {
            Head::Str(b"keys") => return keys_of_list(&value, &mut visit),
            Head::Str(b"spec") => return keys_of_spec(&value, &mut visit),
            Head::Str(b"entries") => return keys_of_batch(&value, &mut visit),
            _ => {}
        }
    }
    Ok(0)
}

fn keys_of_list<'a>(list: &Value<'a>, visit: &mut impl FnMut(WireKey<'a>)) -> Result<usize, WireError> {
    let elements = list.elements()?;
    let (count, mut cursor) = (elements.remaining(), elements.cursor());
    for _ in 0..count {
        visit(take_key(&mut cursor)?);
    }
    Ok(count)
}

fn keys_of_spec<'a>(spec: &Value<'a>, visit: &mut impl FnMut(WireKey<'a>)) -> Result<usize, WireError> {
    let Some((_, payload)) = spec.tagged()? else { return Err(spec.error("expected a prefetch spec")) };
    let Some(rows) = payload.get(b"key_groups")? else {
        return keys_of_list(&payload.require("keys")?, visit);
    };
    let mut count = 0;
    for row in rows.elements()? {
        let row = row?.payload_of("GroupedObjectKeys")?;
        count += keys_of_list(&row.require("keys")?, visit)?;
    }
    Ok(count)
}

fn keys_of_batch<'a>(entries: &Value<'a>, visit: &mut impl FnMut(WireKey<'a>)) -> Result<usize, WireError> {
    let mut count = 0;
    for entry in entries.elements()? {
        visit(event_key(&entry?.require("key")?)?);
        count += 1;
    }
    Ok(count)
}

#[inline]
fn take_key<'a>(cursor: &mut Cursor<'a>) -> Result<WireKey<'a>, WireError> {
    if let Some(usual) = take_usual_key(cursor) {
        let view = KeyView {
            chunk_hash: usual.chunk_hash,
            model_name: usual.model_name,
            kv_rank: usual.kv_rank,
            object_group_id: usual.object_group_id,
            cache_salt: "",
        };
        return Ok(WireKey { view, salt_recorded: false, hash_is_hex: false });
    }
    let key = storage_key(&Value::at(*cursor))?;
    cursor.skip(MAX_DEPTH, Text::Ignored)?;
    Ok(key)
}

/// A wrapped `ObjectKey` in any form that LMCache's decoder takes.
pub(super) fn storage_key<'a>(value: &Value<'a>) -> Result<WireKey<'a>, WireError> {
    let payload = value.payload_of("ObjectKey")?;
    let salt = payload.get(b"cache_salt")?;
    let view = KeyView {
        chunk_hash: payload.require("chunk_hash")?.as_bin()?,
        model_name: payload.require("model_name")?.as_str()?,
        kv_rank: payload.require("kv_rank")?.as_i64()?,
        object_group_id: object_group_id(payload.get(b"object_group_id")?)?,
        cache_salt: salt.map_or(Ok(""), |salt| salt.as_str())?,
    };
    Ok(WireKey { view, salt_recorded: salt.is_some(), hash_is_hex: false })
}

/// The key of a cache event: a plain map with the hash in hexadecimal.
fn event_key<'a>(value: &Value<'a>) -> Result<WireKey<'a>, WireError> {
    let salt = value.get(b"cache_salt")?;
    let view = KeyView {
        chunk_hash: value.require("chunk_hash_hex")?.as_str()?.as_bytes(),
        model_name: value.require("model_name")?.as_str()?,
        kv_rank: value.require("kv_rank")?.as_i64()?,
        object_group_id: object_group_id(value.get(b"object_group_id")?)?,
        cache_salt: salt.map_or(Ok(""), |salt| salt.as_str())?,
    };
    Ok(WireKey { view, salt_recorded: salt.is_some(), hash_is_hex: true })
}

/// An object group's number; releases before 0.4.7 have one group and do not name it.
pub(super) fn object_group_id(value: Option<Value<'_>>) -> Result<u32, WireError> {
    let Some(value) = value else { return Ok(0) };
    u32::try_from(value.as_u64()?).map_err(|_| value.error("an object_group_id past 32 bits"))
}

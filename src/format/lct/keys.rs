//! Keys as they stand in a file, borrowed.

use super::cursor::WireError;
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

/// The key of a cache event in any order of its fields: a plain map with the hash in hexadecimal.
pub(super) fn event_key<'a>(value: &Value<'a>) -> Result<WireKey<'a>, WireError> {
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

//! Keys as they stand in a file, borrowed.

use super::cursor::{Head, WireError};
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
    key_of_payload(&value.payload_of("ObjectKey")?)
}

/// The payload of a wrapped `ObjectKey`.
pub(super) fn key_of_payload<'a>(payload: &Value<'a>) -> Result<WireKey<'a>, WireError> {
    let fields = KeyFields::read(payload, HASH_NAME)?;
    let missing = || payload.error("an ObjectKey without its chunk_hash");
    fields.into_key(payload, fields.chunk_hash.ok_or_else(missing)?.as_bin()?, false)
}

/// The key of a cache event in any order of its fields: a plain map with the hash in hexadecimal.
pub(super) fn event_key<'a>(value: &Value<'a>) -> Result<WireKey<'a>, WireError> {
    let fields = KeyFields::read(value, HEX_HASH_NAME)?;
    let missing = || value.error("an event's key without its chunk_hash_hex");
    fields.into_key(value, fields.chunk_hash.ok_or_else(missing)?.as_str()?.as_bytes(), true)
}

/// The name of the hash in a wrapped key.
const HASH_NAME: &[u8] = b"chunk_hash";

/// The name of the hash in an event's key.
pub(super) const HEX_HASH_NAME: &[u8] = b"chunk_hash_hex";

#[derive(Clone, Copy, Default)]
struct KeyFields<'a> {
    chunk_hash: Option<Value<'a>>,
    model_name: Option<Value<'a>>,
    kv_rank: Option<Value<'a>>,
    object_group_id: Option<Value<'a>>,
    cache_salt: Option<Value<'a>>,
}

impl<'a> KeyFields<'a> {
    fn read(map: &Value<'a>, hash_name: &[u8]) -> Result<Self, WireError> {
        let mut fields = Self::default();
        for entry in map.entries()? {
            let (name, value) = entry?;
            let Head::Str(name) = name.head()? else { continue };
            match name {
                b"model_name" => fields.model_name = Some(value),
                b"kv_rank" => fields.kv_rank = Some(value),
                b"object_group_id" => fields.object_group_id = Some(value),
                b"cache_salt" => fields.cache_salt = Some(value),
                name if name == hash_name => fields.chunk_hash = Some(value),
                _ => {}
            }
        }
        Ok(fields)
    }

    fn into_key(
        self,
        map: &Value<'a>,
        chunk_hash: &'a [u8],
        hash_is_hex: bool,
    ) -> Result<WireKey<'a>, WireError> {
        let (Some(model_name), Some(kv_rank)) = (self.model_name, self.kv_rank) else {
            return Err(map.error("a key without its model_name or kv_rank"));
        };
        let view = KeyView {
            chunk_hash,
            model_name: model_name.as_str()?,
            kv_rank: kv_rank.as_i64()?,
            object_group_id: object_group_id(self.object_group_id)?,
            cache_salt: self.cache_salt.map_or(Ok(""), |salt| salt.as_str())?,
        };
        Ok(WireKey { view, salt_recorded: self.cache_salt.is_some(), hash_is_hex })
    }
}

/// An object group's number; releases before 0.4.7 have one group and do not name it.
pub(super) fn object_group_id(value: Option<Value<'_>>) -> Result<u32, WireError> {
    let Some(value) = value else { return Ok(0) };
    u32::try_from(value.as_u64()?).map_err(|_| value.error("an object_group_id past 32 bits"))
}

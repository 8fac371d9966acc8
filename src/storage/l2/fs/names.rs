//! The names of the files: LMCache's, and an escape for those of its names that two keys would share.
//!
//! ```text
//! <model, '/' as "-SEP-">@0x<kv_rank, 8 hex digits>@<object group, hex>@<chunk hash, hex>[@<cache_salt>].data
//! ```
//!
//! LMCache's name leads back to another key where the model has `-SEP-` itself, or becomes so by its slashes:
//! `a-SEP-b` and `a/b`, `a-SEP/-b` and `a/SEP--b`. Under [`Compat::Native`] a model that does not come back from its
//! own name is written `@%<model>`, with `%`, `/` and NUL as `%25`, `%2F` and `%00`. No key of LMCache's has such a
//! name: its second field begins with `0x` or `-0x` if its first is empty.

use std::fmt::Write as _;

use crate::error::{Error, Result};
use crate::format::model::key::Hex;
use crate::format::model::{ChunkHash, KeyScope, ObjectKey};
use crate::storage::config::Compat;
use crate::sync::Arc;

/// The longest name that Linux's file systems take.
pub const MAX_NAME_BYTES: usize = 255;

/// What every object's file ends with.
pub const EXTENSION: &str = ".data";

const SLASH: &str = "-SEP-";
const FIELD: char = '@';
const ESCAPED: &str = "@%";

/// The name of the file of `key`.
///
/// # Errors
/// If no file can have that name: it is longer than [`MAX_NAME_BYTES`], or, with LMCache's names, has a NUL.
pub fn file_name(key: &ObjectKey, compat: Compat) -> Result<String> {
    let scope = key.scope();
    let mut name = model_field(scope.model_name(), compat);
    if name.contains('\0') {
        return Err(Error::invalid("an object with NUL in its model's name has no file name"));
    }
    let written = match scope.kv_rank() {
        // Python's `#010x` counts the sign among its ten places.
        rank @ ..0 => write!(name, "{FIELD}-0x{:07x}", rank.unsigned_abs()),
        rank => write!(name, "{FIELD}0x{rank:08x}"),
    };
    written
        .and_then(|()| write!(name, "{FIELD}{:x}", scope.object_group_id()))
        .and_then(|()| write!(name, "{FIELD}{}", Hex(key.chunk_hash().as_bytes())))
        .map_err(|_| Error::invalid("a key that cannot be written"))?;
    if !scope.cache_salt().is_empty() {
        name.push(FIELD);
        name.push_str(scope.cache_salt());
    }
    name.push_str(EXTENSION);
    if name.len() > MAX_NAME_BYTES {
        return Err(Error::invalid("the file name of an object is longer than file systems take")
            .with_context("bytes", name.len())
            .with_context("most", MAX_NAME_BYTES)
            .with_hint("a shorter model name or cache_salt makes it shorter"));
    }
    Ok(name)
}

fn model_field(model: &str, compat: Compat) -> String {
    let plain = model.replace('/', SLASH);
    let leads_back = plain.replace(SLASH, "/") == model && !model.contains('\0');
    if leads_back || compat == Compat::Lmcache {
        return plain;
    }
    let escaped = model.replace('%', "%25").replace('/', "%2F").replace('\0', "%00");
    format!("{ESCAPED}{escaped}")
}

/// The key whose file has this name; `None` if no object's file does.
pub fn key_of(name: &str, compat: Compat) -> Option<ObjectKey> {
    let (model, fields) = match name.strip_prefix(ESCAPED) {
        Some(rest) if compat == Compat::Native => {
            let (model, fields) = rest.split_once(FIELD)?;
            (model.replace("%00", "\0").replace("%2F", "/").replace("%25", "%"), fields)
        }
        _ => {
            let (model, fields) = name.split_once(FIELD)?;
            (model.replace(SLASH, "/"), fields)
        }
    };
    let fields = fields.strip_suffix(EXTENSION)?;
    let mut fields = fields.splitn(4, FIELD);
    let (rank, group, hash) = (rank(fields.next()?)?, fields.next()?, fields.next()?);
    let group = u32::from_str_radix(group, 16).ok()?;
    let scope = KeyScope::new(&model, rank, group, fields.next().unwrap_or_default()).ok()?;
    let key = ObjectKey::new(ChunkHash::new(&unhex(hash)?), Arc::new(scope));
    // Other spellings of the same fields are other files.
    (file_name(&key, compat).ok()? == name).then_some(key)
}

fn rank(field: &str) -> Option<i64> {
    let (is_negative, digits) = match field.strip_prefix('-') {
        Some(rest) => (true, rest.strip_prefix("0x")?),
        None => (false, field.strip_prefix("0x")?),
    };
    let magnitude = i128::from(u64::from_str_radix(digits, 16).ok()?);
    i64::try_from(if is_negative { -magnitude } else { magnitude }).ok()
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| (digit as char).to_digit(16).map(|value| value as u8);
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?));
    if rest.is_empty() { bytes.collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(model: &str, rank: i64, group: u32, hash: &[u8], salt: &str) -> ObjectKey {
        let scope = KeyScope::new(model, rank, group, salt).unwrap();
        ObjectKey::new(ChunkHash::new(hash), Arc::new(scope))
    }

    /// Names that LMCache 0.5.6 gave to these keys.
    #[test]
    fn names_are_those_of_lmcache() {
        let cases = [
            (key("a/b.c", 0x0805_0401, 18, &[1, 0xff], ""), "a-SEP-b.c@0x08050401@12@01ff.data"),
            (key("m", 0, 0, &[], "t.data"), "m@0x00000000@0@@t.data.data"),
            (key("m", -1, 0, &[0], ""), "m@-0x0000001@0@00.data"),
            (key("m", 1 << 40, u32::MAX, &[0xab], "s"), "m@0x10000000000@ffffffff@ab@s.data"),
        ];
        for (key, name) in cases {
            for compat in Compat::ALL {
                assert_eq!(file_name(&key, compat).unwrap(), name);
                assert_eq!(key_of(name, compat), Some(key.clone()));
            }
        }
    }

    #[test]
    fn models_that_lmcache_confuses_have_names_of_their_own() {
        for pair in [["a-SEP-b", "a/b"], ["a-SEP/-b", "a/SEP--b"]] {
            let [a, b] = pair.map(|model| key(model, 1, 0, &[1], ""));
            assert_eq!(file_name(&a, Compat::Lmcache).unwrap(), file_name(&b, Compat::Lmcache).unwrap());
            let [name_a, name_b] = [&a, &b].map(|key| file_name(key, Compat::Native).unwrap());
            assert_ne!(name_a, name_b);
            assert_eq!(key_of(&name_a, Compat::Native), Some(a));
            assert_eq!(key_of(&name_b, Compat::Native), Some(b));
        }
        let odd = key("-SEP-/%2F\0", 1, 0, &[1], "");
        let name = file_name(&odd, Compat::Native).unwrap();
        assert_eq!(name, "@%-SEP-%2F%252F%00@0x00000001@0@01.data");
        assert_eq!(key_of(&name, Compat::Native), Some(odd.clone()));
        assert!(file_name(&odd, Compat::Lmcache).is_err());
    }

    #[test]
    fn the_longest_name_and_one_past_it() {
        let rest = "@0x00000001@0@01.data".len();
        let longest = file_name(&key(&"m".repeat(MAX_NAME_BYTES - rest), 1, 0, &[1], ""), Compat::Native);
        assert_eq!(longest.unwrap().len(), MAX_NAME_BYTES);
        let past = key(&"m".repeat(MAX_NAME_BYTES - rest + 1), 1, 0, &[1], "");
        assert!(file_name(&past, Compat::Native).unwrap_err().to_string().contains("bytes 256, most 255"));
    }

    #[test]
    fn other_names_are_nobodys() {
        for name in [
            "",
            ".data",
            "m",
            "m.data",
            "m@0x00000001@0@01",
            "m@0x00000001@0@01.tmp",
            "m@0x1@0@01.data",
            "m@00000001@0@01.data",
            "m@0x00000001@0@1.data",
            "m@0x00000001@0@AB.data",
            "m@0x00000001@00@01.data",
            "m@0x00000001@0@01@.data",
            "m@0x00000001@0@01@a@b.data",
            "m@0x00000001@g@01.data",
            "m@0x00000001@0@0g.data",
            "@%ab@0x00000001@0@01.data",
            "m@0xffffffffffffffff@0@01.data",
            "m@0x00000001@+1@01.data",
        ] {
            assert_eq!(key_of(name, Compat::Native), None, "{name}");
        }
    }
}

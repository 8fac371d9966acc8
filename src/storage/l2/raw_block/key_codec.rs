//! The names of objects on a device: LMCache's `key_codec.py`.

use std::fmt::Write as _;

use blake2b_simd::Params;

use crate::format::model::key::Hex;
use crate::format::model::{ChunkHash, KeyScope, ObjectKey};
use crate::sync::Arc;

/// `{model, percent-encoded}@{rank:#010x}@{group:x}@{hash}[@salt]`.
pub fn encode(key: &ObjectKey) -> String {
    let scope = key.scope();
    let mut name = String::new();
    for byte in scope.model_name().bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                name.push(char::from(byte))
            }
            // Writing to a string cannot fail, here and below.
            _ => drop(write!(name, "%{byte:02X}")),
        }
    }
    // Python counts the sign among the ten places of `#010x`.
    let rank = scope.kv_rank();
    let _ = match rank < 0 {
        false => write!(name, "@{rank:#010x}"),
        true => write!(name, "@-0x{:07x}", rank.unsigned_abs()),
    };
    let _ = write!(name, "@{:x}@{}", scope.object_group_id(), Hex(key.chunk_hash().as_bytes()));
    if !scope.cache_salt().is_empty() {
        let _ = write!(name, "@{}", scope.cache_salt());
    }
    name
}

/// The key of a name, if it is one that [`encode`] gives. Reads scopes from `scopes` where they are known there.
pub fn decode(name: &str, scopes: &mut Scopes) -> Option<ObjectKey> {
    let mut parts = name.split('@');
    let (model, rank, group, hash) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (salt, rest) = (parts.next().unwrap_or(""), parts.next());
    if rest.is_some() {
        return None;
    }
    let rank = match rank.strip_prefix('-') {
        None => i64::from_str_radix(rank.strip_prefix("0x")?, 16).ok()?,
        Some(rank) => i64::from_str_radix(&format!("-{}", rank.strip_prefix("0x")?), 16).ok()?,
    };
    let group = u32::from_str_radix(group, 16).ok()?;
    let scope = scopes.of(&unquoted(model)?, rank, group, salt)?;
    let key = ObjectKey::new(ChunkHash::new(&bytes_of_hex(hash)?), scope);
    // Other ways to write the same key would be other names for LMCache.
    (encode(&key) == name).then_some(key)
}

/// Scopes that were met while a device was read; keys share them.
#[derive(Debug, Default)]
pub struct Scopes {
    last: Option<Arc<KeyScope>>,
    known: hashbrown::HashMap<ScopeFields, Arc<KeyScope>, foldhash::fast::RandomState>,
}

type ScopeFields = (Box<str>, i64, u32, Box<str>);

impl Scopes {
    fn of(&mut self, model: &str, rank: i64, group: u32, salt: &str) -> Option<Arc<KeyScope>> {
        let is_it = |scope: &&Arc<KeyScope>| {
            (scope.model_name(), scope.kv_rank(), scope.object_group_id(), scope.cache_salt())
                == (model, rank, group, salt)
        };
        if let Some(scope) = self.last.as_ref().filter(is_it) {
            return Some(Arc::clone(scope));
        }
        let fields = (model.into(), rank, group, salt.into());
        let scope = match self.known.get(&fields) {
            Some(scope) => Arc::clone(scope),
            None => {
                let scope = Arc::new(KeyScope::new(model, rank, group, salt).ok()?);
                self.known.insert(fields, Arc::clone(&scope));
                scope
            }
        };
        self.last = Some(Arc::clone(&scope));
        Some(scope)
    }
}

fn unquoted(model: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(model.len());
    let mut rest = model.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => bytes.push(hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)?),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

fn bytes_of_hex(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| Some(hex_digit(pair[0])? << 4 | hex_digit(*pair.get(1)?)?)).collect()
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// What a slot's header says of its object: the first 8 bytes of a hash of its name.
pub fn slot_identity(name: &str) -> u64 {
    let digest = Params::new().hash_length(8).hash(name.as_bytes());
    digest.as_bytes().iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

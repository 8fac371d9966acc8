//! Object keys: which KV chunk of which model, shard, layer group and tenant an object holds.
//!
//! A key is a chunk hash and a [`KeyScope`]: the four fields that all chunks of a prompt on one rank share.
//! The scope is interned by whoever makes keys (one allocation per distinct scope), so a key is 48 bytes,
//! its clone is one counter, and its hash is taken over the chunk hash and one word.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};

use crate::error::{Error, Result};
use crate::sync::{Arc, OnceLock};

/// The longest `cache_salt` that LMCache accepts, in Unicode code points.
pub const MAX_SALT_CHARS: usize = 128;

/// Chunk hashes up to this length are held in the key itself; LMCache's are 32 bytes (SHA-256, BLAKE3).
pub const INLINE_HASH_BYTES: usize = 32;

/// The hash of a KV chunk's tokens and of everything before them: opaque bytes of any length, even none.
#[derive(Clone)]
pub struct ChunkHash(HashRepr);

#[derive(Clone)]
enum HashRepr {
    /// The bytes in words, so that they lie where words do: copies and comparisons take half as long.
    Inline {
        len_bytes: u8,
        words: [u64; INLINE_HASH_BYTES / 8],
    },
    Long(Arc<[u8]>),
}

impl ChunkHash {
    /// Copies `bytes`.
    #[inline]
    pub fn new(bytes: &[u8]) -> Self {
        if let Ok(whole) = <&[u8; INLINE_HASH_BYTES]>::try_from(bytes) {
            // LMCache's, whose copy takes no loop.
            let words = bytemuck::pod_read_unaligned(whole);
            return Self(HashRepr::Inline { len_bytes: INLINE_HASH_BYTES as u8, words });
        }
        if bytes.len() > INLINE_HASH_BYTES {
            return Self(HashRepr::Long(Arc::from(bytes)));
        }
        let mut words = [0; INLINE_HASH_BYTES / 8];
        bytemuck::bytes_of_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
        Self(HashRepr::Inline { len_bytes: bytes.len() as u8, words })
    }

    /// Becomes the hash of `bytes`. One of LMCache's is stored where another one was, and nothing is built to be copied.
    #[inline]
    pub(crate) fn set(&mut self, bytes: &[u8]) {
        match (&mut self.0, <&[u8; INLINE_HASH_BYTES]>::try_from(bytes)) {
            (HashRepr::Inline { len_bytes, words }, Ok(whole)) => {
                *len_bytes = INLINE_HASH_BYTES as u8;
                *words = bytemuck::pod_read_unaligned(whole);
            }
            _ => *self = Self::new(bytes),
        }
    }

    /// The bytes of a hash that is held in the key, filled up with zeros, and how many there are.
    #[inline(always)]
    pub fn as_inline(&self) -> Option<(&[u8; INLINE_HASH_BYTES], u8)> {
        match &self.0 {
            HashRepr::Inline { len_bytes, words } => Some((bytemuck::must_cast_ref(words), *len_bytes)),
            HashRepr::Long(_) => None,
        }
    }

    /// The bytes of the hash.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            HashRepr::Inline { len_bytes, words } => &bytemuck::bytes_of(words)[..usize::from(*len_bytes)],
            HashRepr::Long(bytes) => bytes,
        }
    }
}

impl PartialEq for ChunkHash {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self.as_inline(), other.as_inline()) {
            // What follows the hash is zero in both, so that no length has to be looked at to compare the bytes.
            (Some((bytes, len_bytes)), Some((others, others_len_bytes))) => {
                len_bytes == others_len_bytes && bytes == others
            }
            _ => self.as_bytes() == other.as_bytes(),
        }
    }
}

impl Eq for ChunkHash {}

impl Hash for ChunkHash {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.as_inline() {
            Some((bytes, len_bytes)) => {
                let words: &[[u8; 16]; INLINE_HASH_BYTES / 16] = bytemuck::must_cast_ref(bytes);
                words.iter().for_each(|word| state.write_u128(u128::from_le_bytes(*word)));
                state.write_u8(len_bytes);
            }
            None => state.write(self.as_bytes()),
        }
    }
}

impl fmt::Debug for ChunkHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(self.as_bytes()))
    }
}

/// Displays bytes as lowercase hexadecimal.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Everything of a key but its chunk hash: what the chunks of one prompt on one rank have in common.
#[derive(Debug)]
pub struct KeyScope {
    model_name: Box<str>,
    kv_rank: i64,
    object_group_id: u32,
    cache_salt: Box<str>,
    hash64: u64,
}

/// Checks a salt by LMCache's rules.
///
/// # Errors
/// If it has `@`, `/`, `\` or NUL in it, or more than [`MAX_SALT_CHARS`] code points.
pub fn check_cache_salt(cache_salt: &str) -> Result<()> {
    if cache_salt.contains(['@', '/', '\\', '\0']) {
        return Err(Error::invalid("a cache_salt must not contain '@', '/', '\\' or NUL")
            .with_context("cache_salt", cache_salt.escape_debug()));
    }
    let salt_chars = cache_salt.chars().count();
    if salt_chars > MAX_SALT_CHARS {
        return Err(Error::invalid("a cache_salt must not be longer than 128 characters")
            .with_context("characters", salt_chars));
    }
    Ok(())
}

impl KeyScope {
    /// Checks the fields by LMCache's rules (`ObjectKey.__post_init__`): no `@` in the model name; none of
    /// `@`, `/`, `\`, NUL in the salt, and at most [`MAX_SALT_CHARS`] code points of it.
    pub fn new(model_name: &str, kv_rank: i64, object_group_id: u32, cache_salt: &str) -> Result<Self> {
        if model_name.contains('@') {
            return Err(
                Error::invalid("a model name must not contain '@'").with_context("model_name", model_name)
            );
        }
        check_cache_salt(cache_salt)?;
        let hash64 = Self::hash64_of(model_name, kv_rank, object_group_id, cache_salt);
        Ok(Self {
            model_name: model_name.into(),
            kv_rank,
            object_group_id,
            cache_salt: cache_salt.into(),
            hash64,
        })
    }

    /// What [`hash64`](Self::hash64) of these fields is.
    pub(super) fn hash64_of(model_name: &str, kv_rank: i64, object_group_id: u32, cache_salt: &str) -> u64 {
        hash_state().hash_one((model_name, kv_rank, object_group_id, cache_salt))
    }

    /// The model, as the engine names it; may contain `/`.
    pub fn model_name(&self) -> &str {
        &self.model_name
    }

    /// `(world_size << 24) | (global_rank << 16) | (local_world_size << 8) | local_rank`.
    pub fn kv_rank(&self) -> i64 {
        self.kv_rank
    }

    /// The group of layers that share a layout and an attention window.
    pub fn object_group_id(&self) -> u32 {
        self.object_group_id
    }

    /// The tenant; empty where tenants are not kept apart.
    pub fn cache_salt(&self) -> &str {
        &self.cache_salt
    }

    /// A hash of all fields, the same everywhere in this process and in no other.
    pub fn hash64(&self) -> u64 {
        self.hash64
    }
}

impl PartialEq for KeyScope {
    fn eq(&self, other: &Self) -> bool {
        self.hash64 == other.hash64
            && self.kv_rank == other.kv_rank
            && self.object_group_id == other.object_group_id
            && self.model_name == other.model_name
            && self.cache_salt == other.cache_salt
    }
}

impl Eq for KeyScope {}

impl Hash for KeyScope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash64);
    }
}

/// One seed for the process: keys made by different threads hash alike, and a file cannot know the seed.
fn hash_state() -> &'static foldhash::fast::RandomState {
    static STATE: OnceLock<foldhash::fast::RandomState> = OnceLock::new();
    STATE.get_or_init(foldhash::fast::RandomState::default)
}

/// The name of one stored object. Equality and hash are over all five fields of LMCache's `ObjectKey`.
#[derive(Clone)]
pub struct ObjectKey {
    chunk_hash: ChunkHash,
    scope: Arc<KeyScope>,
}

impl ObjectKey {
    /// The key of `chunk_hash` in `scope`.
    pub fn new(chunk_hash: ChunkHash, scope: Arc<KeyScope>) -> Self {
        Self { chunk_hash, scope }
    }

    /// The hash of the chunk.
    pub fn chunk_hash(&self) -> &ChunkHash {
        &self.chunk_hash
    }

    /// Puts another chunk in its place.
    #[inline]
    pub(super) fn set_chunk_hash(&mut self, chunk_hash: &[u8]) {
        self.chunk_hash.set(chunk_hash);
    }

    /// The other four fields.
    #[inline]
    pub fn scope(&self) -> &Arc<KeyScope> {
        &self.scope
    }

    /// The same key, borrowed.
    pub fn view(&self) -> KeyView<'_> {
        KeyView {
            chunk_hash: self.chunk_hash.as_bytes(),
            model_name: self.scope.model_name(),
            kv_rank: self.scope.kv_rank(),
            object_group_id: self.scope.object_group_id(),
            cache_salt: self.scope.cache_salt(),
        }
    }
}

impl PartialEq for ObjectKey {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.chunk_hash == other.chunk_hash
            && (Arc::ptr_eq(&self.scope, &other.scope) || self.scope == other.scope)
    }
}

impl Eq for ObjectKey {}

impl Hash for ObjectKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.scope.hash64);
        self.chunk_hash.hash(state);
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.view(), f)
    }
}

/// A key whose fields lie in somebody else's bytes: what a reader hands out while it walks a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyView<'a> {
    /// See [`ObjectKey::chunk_hash`].
    pub chunk_hash: &'a [u8],
    /// See [`KeyScope::model_name`].
    pub model_name: &'a str,
    /// See [`KeyScope::kv_rank`].
    pub kv_rank: i64,
    /// See [`KeyScope::object_group_id`].
    pub object_group_id: u32,
    /// See [`KeyScope::cache_salt`].
    pub cache_salt: &'a str,
}

impl fmt::Display for KeyView<'_> {
    /// LMCache's wire form: `model@kv_rank@group@hash`, and `@salt` if there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chunk_hash, model_name, kv_rank, object_group_id, cache_salt } = self;
        write!(f, "{model_name}@")?;
        match *kv_rank {
            // Python's `08x` counts the sign among its eight places.
            rank @ ..0 => write!(f, "-{:07x}", rank.unsigned_abs())?,
            rank => write!(f, "{rank:08x}")?,
        }
        write!(f, "@{object_group_id:x}@{}", Hex(chunk_hash))?;
        if !cache_salt.is_empty() {
            write!(f, "@{cache_salt}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_48_bytes_and_displayed_as_on_the_wire() {
        assert_eq!(size_of::<ObjectKey>(), 48);
        let view =
            KeyView { chunk_hash: b"h", model_name: "m", kv_rank: 1, object_group_id: 0, cache_salt: "" };
        let key = || ObjectKey::new(ChunkHash::new(b"h"), Arc::new(KeyScope::new("m", 1, 0, "").unwrap()));
        assert_eq!(key(), key());
        assert_eq!(key().view(), view);
        assert_eq!(view.to_string(), "m@00000001@0@68");
        // f"{-1:08x}" of Python.
        assert_eq!(KeyView { kv_rank: -1, ..view }.to_string(), "m@-0000001@0@68");
    }

    #[test]
    fn salts_are_accepted_to_the_limit_and_refused_past_it() {
        let at_limit = "\u{e9}".repeat(MAX_SALT_CHARS);
        assert!(KeyScope::new("m", 0, 0, &at_limit).is_ok());
        assert!(KeyScope::new("m", 0, 0, &(at_limit + "x")).is_err());
        for bad in ["a@", "a/", "a\\", "a\0"] {
            assert!(KeyScope::new("m", 0, 0, bad).is_err(), "{bad:?}");
        }
        assert!(KeyScope::new("a@b", 0, 0, "").is_err());
        assert!(KeyScope::new("org/model \u{e9}", -1, 0, "").is_ok());
    }

    #[test]
    fn hashes_of_any_length_are_kept() {
        for len_bytes in [0, 1, INLINE_HASH_BYTES, INLINE_HASH_BYTES + 1, 200] {
            let bytes = vec![7; len_bytes];
            assert_eq!(ChunkHash::new(&bytes).as_bytes(), bytes);
        }
        assert_ne!(ChunkHash::new(&[0]), ChunkHash::new(&[0, 0]));
        let lengths = [0, 1, INLINE_HASH_BYTES, INLINE_HASH_BYTES + 1];
        for (before, after) in lengths.into_iter().flat_map(|before| lengths.map(|after| (before, after))) {
            let (mut hash, bytes) = (ChunkHash::new(&vec![7; before]), vec![9; after]);
            hash.set(&bytes);
            assert_eq!(hash, ChunkHash::new(&bytes), "{before} {after}");
        }
    }
}

//! The serde `aesgcm`: objects encrypted and authenticated by AES-GCM, with a key for each tenant.
//!
//! An object becomes a frame:
//!
//! ```text
//! 0x01 | IV, 12 random bytes | ciphertext, as long as the object | tag, 16 bytes
//! ```
//!
//! Nothing else is authenticated: a frame that is moved to another key of the same tenant is accepted there, as by
//! LMCache. The key is `HKDF-SHA256(ikm = master key file, no salt, info = "lmcache-l2-aesgcm-v1" + cache_salt)`. It is
//! derived again for each object: that costs half a microsecond, and so nothing has to be kept, bounded or locked.
//!
//! Random IVs may collide: a tenant whose objects are written more than 2^32 times needs a new master key.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{aead, hkdf};

use super::config::{AesGcmConfig, AesKeySize};
use super::{Serde, append, check_plain_bytes, copy, wire_prefix};
use crate::error::{Error, ErrorKind, Result};
use crate::format::model::{MemoryLayoutDesc, ObjectKey};

/// The longest master key file that is read. HKDF takes any length and gains nothing past 64 bytes; a file this large is
/// not a key.
pub const MAX_MASTER_KEY_BYTES: u64 = 1 << 20;

/// The first byte of a frame.
const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = 1 + NONCE_LEN;
/// How much longer than an object its frame is.
const FRAME_OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

const INFO_PREFIX: &[u8] = b"lmcache-l2-aesgcm-v1";

/// Encrypts and decrypts with the keys of one master key.
pub struct AesGcm {
    algorithm: &'static aead::Algorithm,
    /// The master key, extracted; keys are expanded from it.
    master_key: hkdf::Prk,
    random: SystemRandom,
}

impl AesGcm {
    /// Reads the master key of `config`.
    ///
    /// # Errors
    /// If the file cannot be read, is empty, or is longer than [`MAX_MASTER_KEY_BYTES`].
    pub fn open(config: &AesGcmConfig) -> Result<Self> {
        let path = &config.master_key_path;
        let master_key = read_master_key(path).map_err(|error| error.with_context("path", path.display()))?;
        Ok(Self::new(config.key_size, &master_key))
    }

    fn new(key_size: AesKeySize, master_key: &[u8]) -> Self {
        let algorithm = match key_size {
            AesKeySize::Bits128 => &AES_128_GCM,
            AesKeySize::Bits256 => &AES_256_GCM,
        };
        let master_key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(master_key);
        Self { algorithm, master_key, random: SystemRandom::new() }
    }

    /// The key of the tenant of `key`.
    fn tenant_key(&self, key: &ObjectKey) -> Result<LessSafeKey> {
        let info = [INFO_PREFIX, key.scope().cache_salt().as_bytes()];
        // Neither can fail: the length is one that HKDF allows, and that of the algorithm's keys.
        let expanded = self.master_key.expand(&info, self.algorithm);
        let expanded = expanded.map_err(|_| Error::invalid("no key of this length can be derived"))?;
        Ok(LessSafeKey::new(UnboundKey::from(expanded)))
    }
}

fn read_master_key(path: &Path) -> Result<Vec<u8>> {
    let cannot = |source| {
        Error::io("cannot read the master key of the serde aesgcm", source)
            .with_hint("master_key_path must name a file that this process may read")
    };
    let file = File::open(path).map_err(cannot)?;
    let mut master_key = Vec::new();
    file.take(MAX_MASTER_KEY_BYTES + 1).read_to_end(&mut master_key).map_err(cannot)?;
    match master_key.len() as u64 {
        0 => Err(Error::invalid("the master key file of the serde aesgcm is empty")),
        1..=MAX_MASTER_KEY_BYTES => Ok(master_key),
        _ => Err(Error::invalid("the master key file of the serde aesgcm is too large to be a key")
            .with_context("most_bytes", MAX_MASTER_KEY_BYTES)),
    }
}

impl Serde for AesGcm {
    fn name(&self) -> &'static str {
        "aesgcm"
    }

    fn estimate_bytes(&self, layout: &MemoryLayoutDesc) -> Result<u64> {
        let frame_bytes = layout.size_bytes().checked_add(FRAME_OVERHEAD_BYTES as u64);
        frame_bytes.ok_or_else(|| Error::invalid("the object is too large to be encrypted"))
    }

    fn serialize(
        &self,
        key: &ObjectKey,
        layout: &MemoryLayoutDesc,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        check_plain_bytes(layout, plain.len())?;
        let mut iv = [0; NONCE_LEN];
        self.random
            .fill(&mut iv)
            .map_err(|_| Error::new(ErrorKind::Io, "the system has no random numbers"))?;
        out.clear();
        out.reserve(plain.len() + FRAME_OVERHEAD_BYTES);
        out.push(VERSION);
        out.extend_from_slice(&iv);
        append(out, plain);
        let (nonce, text) = (Nonce::assume_unique_for_key(iv), &mut out[HEADER_BYTES..]);
        let tag =
            self.tenant_key(key)?.seal_in_place_separate_tag(nonce, Aad::empty(), text).map_err(|_| {
                // Nobody who ignores the error shall write what is not encrypted.
                text.fill(0);
                Error::invalid("the object is too large to be encrypted")
            })?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    fn deserialize(
        &self,
        key: &ObjectKey,
        layout: &MemoryLayoutDesc,
        wire: &[u8],
        out: &mut [u8],
    ) -> Result<()> {
        check_plain_bytes(layout, out.len())?;
        let frame = wire_prefix(wire, out.len().saturating_add(FRAME_OVERHEAD_BYTES))?;
        let (header, rest) = frame.split_at(HEADER_BYTES);
        let (text, tag) = rest.split_at(out.len());
        if header[0] != VERSION {
            return Err(Error::new(
                ErrorKind::UnsupportedVersion,
                "the object was not encrypted by this serde",
            )
            .with_context("version", header[0])
            .with_context("expected_version", VERSION));
        }
        let refused = |_| {
            Error::new(ErrorKind::Corrupt, "the object was altered, or encrypted with another key")
                .with_hint("give all servers that share L2 the same master_key_path content and aes_bits")
        };
        let nonce = Nonce::try_assume_unique_for_key(&header[1..]).map_err(refused)?;
        let tag = tag.try_into().map_err(|_| refused(ring::error::Unspecified))?;
        copy(out, text);
        match self.tenant_key(key)?.open_in_place_separate_tag(nonce, Aad::empty(), tag, out, 0..) {
            Ok(_) => Ok(()),
            Err(error) => {
                // What was not authenticated is nobody's to read.
                out.fill(0);
                Err(refused(error))
            }
        }
    }
}

impl std::fmt::Debug for AesGcm {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AesGcm").field("algorithm", self.algorithm).finish_non_exhaustive()
    }
}

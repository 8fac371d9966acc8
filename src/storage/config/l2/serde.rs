//! How an adapter's payloads are transformed: the `serde` object of an adapter.

use std::path::PathBuf;

use serde_json::Value;

use super::fs::workers;
use crate::error::{Error, Result};
use crate::storage::config::fields::{Fields, short};

/// The keys of `fp8`.
const FP8_KEYS: &[&str] = &["type", "fp8_dtype", "max_workers"];

/// The keys of `aesgcm`.
const AESGCM_KEYS: &[&str] = &["type", "key_provider", "aes_bits", "master_key_path", "max_workers"];

/// A transformation of payloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SerdeConfig {
    /// `fp8`: one byte for each element.
    Fp8 {
        /// `fp8_dtype`; `float8_e4m3fn` by default.
        dtype: Fp8Dtype,
        /// `max_workers`: how many objects are transformed at once; 1 by default.
        max_workers: usize,
    },
    /// `aesgcm`: encrypted and authenticated, with a key for each `cache_salt`.
    AesGcm {
        /// `aes_bits`: 128, the default, or 256.
        aes_bits: AesBits,
        /// `master_key_path`: the file whose bytes the keys are derived from.
        master_key_path: PathBuf,
        /// `max_workers`: how many objects are transformed at once; 1 by default.
        max_workers: usize,
    },
}

/// The element type of `fp8`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fp8Dtype {
    /// `float8_e4m3fn`: four bits of exponent, three of mantissa, no infinity.
    #[default]
    E4m3Fn,
    /// `float8_e5m2`: five bits of exponent, two of mantissa.
    E5m2,
}

impl Fp8Dtype {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::E4m3Fn, Self::E5m2];

    /// torch's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::E4m3Fn => "float8_e4m3fn",
            Self::E5m2 => "float8_e5m2",
        }
    }
}

/// The length of an AES key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AesBits {
    /// 128 bits.
    #[default]
    Aes128,
    /// 256 bits.
    Aes256,
}

impl AesBits {
    /// The number of bits.
    pub fn bits(self) -> u32 {
        match self {
            Self::Aes128 => 128,
            Self::Aes256 => 256,
        }
    }
}

impl SerdeConfig {
    /// The name in configurations.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fp8 { .. } => "fp8",
            Self::AesGcm { .. } => "aesgcm",
        }
    }

    /// Reads a `serde` object. LMCache does so when it makes the adapter, and passes over keys that it does not
    /// know.
    ///
    /// # Errors
    /// If it is not an object, or a field of it is unknown or wrong.
    pub fn from_json(value: &Value) -> Result<Self> {
        let fields = Fields(value.as_object().ok_or_else(|| Error::invalid("serde must be an object"))?);
        let Some(name) = fields.get("type").and_then(Value::as_str) else {
            return Err(Error::invalid("serde must have a type").with_hint("the types are fp8 and aesgcm"));
        };
        let read = match name {
            "fp8" => read_fp8(fields),
            "aesgcm" => read_aesgcm(fields),
            "turboquant" => {
                Err(Error::unsupported("the serde turboquant needs a GPU and is not part of this build")
                    .with_hint("use fp8, or none"))
            }
            _ => Err(Error::invalid("unknown serde type").with_hint("the types are fp8 and aesgcm")),
        };
        read.map_err(|error| error.with_context("serde", short(name)))
    }
}

fn read_fp8(fields: Fields<'_>) -> Result<SerdeConfig> {
    fields.check_names(&[FP8_KEYS])?;
    let dtype = fields.choice("fp8_dtype", Fp8Dtype::default(), Fp8Dtype::ALL, Fp8Dtype::name)?;
    Ok(SerdeConfig::Fp8 { dtype, max_workers: workers(fields, "max_workers", 1)? })
}

fn read_aesgcm(fields: Fields<'_>) -> Result<SerdeConfig> {
    fields.check_names(&[AESGCM_KEYS])?;
    if fields.text("key_provider", "hkdf")? != "hkdf" {
        return Err(Error::invalid("key_provider must be hkdf"));
    }
    let aes_bits = match fields.get("aes_bits").map_or(Some(128), Value::as_u64) {
        Some(128) => AesBits::Aes128,
        Some(256) => AesBits::Aes256,
        _ => return Err(Error::invalid("aes_bits must be 128 or 256")),
    };
    Ok(SerdeConfig::AesGcm {
        aes_bits,
        master_key_path: fields.required_text("master_key_path")?.into(),
        max_workers: workers(fields, "max_workers", 1)?,
    })
}

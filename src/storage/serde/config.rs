//! The `"serde"` object of an L2 adapter's JSON: LMCache's types, keys and defaults.
//!
//! LMCache ignores keys that it does not know and converts values of other types by Python's rules. Here both are
//! refused by name: a misspelt `aes_bits` would be found out by nobody else.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::float8::Float8;
use crate::error::{Error, Result};

/// The most threads that one adapter may transform objects with.
pub const MAX_WORKERS: usize = 256;

/// The keys of `fp8`.
pub const FP8_KEYS: &[&str] = &["type", "fp8_dtype", "max_workers"];

/// The keys of `aesgcm`.
pub const AESGCM_KEYS: &[&str] = &["type", "key_provider", "aes_bits", "master_key_path", "max_workers"];

/// A serde as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SerdeConfig {
    /// `{"type": "fp8"}`.
    Fp8(Fp8Config),
    /// `{"type": "aesgcm"}`.
    AesGcm(AesGcmConfig),
}

/// Elements as 8-bit floats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fp8Config {
    /// `fp8_dtype`, by default `float8_e4m3fn`.
    pub format: Float8,
    /// `max_workers`, by default 1: how many threads transform the adapter's objects.
    pub max_workers: usize,
}

/// Encrypted objects. LMCache's `key_provider` has one value, `hkdf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AesGcmConfig {
    /// `aes_bits`, by default 128.
    pub key_size: AesKeySize,
    /// `master_key_path`: the file whose bytes, all of them, are the secret that keys are derived from.
    pub master_key_path: PathBuf,
    /// `max_workers`, by default 1: how many threads transform the adapter's objects.
    pub max_workers: usize,
}

/// The two sizes of AES keys that LMCache knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AesKeySize {
    /// `"aes_bits": 128`.
    #[default]
    Bits128,
    /// `"aes_bits": 256`.
    Bits256,
}

impl SerdeConfig {
    /// Reads a `"serde"` object: `{"type": name, ...}` with the keys of that type.
    ///
    /// # Errors
    /// If it is no object, names a type that this build does not have, or has a key that the type does not.
    pub fn from_json(value: &Value) -> Result<Self> {
        read(value).map_err(|error| error.with_context("in", "serde"))
    }

    /// Refuses a type of LMCache's that no build of this program has; other mistakes are left to [`Self::from_json`].
    pub(in crate::storage) fn refuse_absent(value: &Value) -> Result<()> {
        let name = value.get("type").and_then(Value::as_str);
        name.and_then(absent_type).map_or(Ok(()), |error| Err(error.with_context("in", "serde")))
    }

    /// Refuses a type that another build of this program has.
    pub(in crate::storage) fn refuse_unbuilt(value: &Value) -> Result<()> {
        if value.get("type").and_then(Value::as_str) != Some("aesgcm") || cfg!(feature = "aesgcm") {
            return Ok(());
        }
        Err(aesgcm_is_not_built().with_context("in", "serde"))
    }

    /// The name of the type.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fp8(_) => "fp8",
            Self::AesGcm(_) => "aesgcm",
        }
    }

    /// How many threads transform the adapter's objects.
    pub fn max_workers(&self) -> usize {
        match self {
            Self::Fp8(config) => config.max_workers,
            Self::AesGcm(config) => config.max_workers,
        }
    }
}

impl AesKeySize {
    /// Bytes of a key.
    pub fn bytes(self) -> usize {
        match self {
            Self::Bits128 => 16,
            Self::Bits256 => 32,
        }
    }
}

fn read(value: &Value) -> Result<SerdeConfig> {
    let fields = Fields(value.as_object().ok_or_else(|| Error::invalid("serde must be an object"))?);
    match fields.text("type")? {
        Some("fp8") => Ok(SerdeConfig::Fp8(fields.fp8()?)),
        Some("aesgcm") => Ok(SerdeConfig::AesGcm(fields.aesgcm()?)),
        Some(other) => Err(absent_type(other).unwrap_or_else(|| unknown_type(other))),
        None => Err(Error::invalid("the JSON misses the key type").with_hint(KNOWN_TYPES)),
    }
}

const KNOWN_TYPES: &str = "the types are aesgcm and fp8";

fn absent_type(name: &str) -> Option<Error> {
    match name {
        "turboquant" => Some(
            Error::unsupported("the serde turboquant needs CUDA kernels, which this build does not have")
                .with_hint("use fp8, which halves bfloat16 on the CPU"),
        ),
        "multi" | "asym_k16_v8" => Some(
            Error::unsupported("LMCache has this serde as a class, but no configuration can name it")
                .with_context("type", name)
                .with_hint(KNOWN_TYPES),
        ),
        _ => None,
    }
}

fn unknown_type(name: &str) -> Error {
    Error::invalid("unknown type of serde").with_context("type", name.escape_debug()).with_hint(KNOWN_TYPES)
}

/// The error of a build without `aesgcm`.
pub(super) fn aesgcm_is_not_built() -> Error {
    Error::unsupported("the serde aesgcm is not part of this build")
        .with_hint("build with the cargo feature aesgcm, which is a default one, or use the serde fp8")
}

struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn fp8(&self) -> Result<Fp8Config> {
        self.check_names(FP8_KEYS)?;
        let format = match self.text("fp8_dtype")? {
            None => Float8::default(),
            Some(name) => Float8::from_name(name).ok_or_else(|| {
                Error::invalid("fp8_dtype is not an 8-bit float")
                    .with_context("fp8_dtype", name.escape_debug())
                    .with_hint(format!("the types are {}", Float8::ALL.map(Float8::name).join(", ")))
            })?,
        };
        Ok(Fp8Config { format, max_workers: self.max_workers()? })
    }

    fn aesgcm(&self) -> Result<AesGcmConfig> {
        self.check_names(AESGCM_KEYS)?;
        match self.text("key_provider")? {
            None | Some("hkdf") => {}
            Some(other) => {
                return Err(Error::unsupported("key_provider must be hkdf, the only one that LMCache has")
                    .with_context("key_provider", other.escape_debug()));
            }
        }
        let key_size = match self.0.get("aes_bits").map_or(Some(128), Value::as_u64) {
            Some(128) => AesKeySize::Bits128,
            Some(256) => AesKeySize::Bits256,
            _ => return Err(Error::invalid("aes_bits must be 128 or 256")),
        };
        let path = self.text("master_key_path")?.filter(|path| !path.is_empty());
        let master_key_path = path
            .ok_or_else(|| {
                let error = match self.0.get("master_key_path") {
                    None => Error::invalid("the JSON misses the key master_key_path"),
                    Some(_) => Error::invalid("master_key_path must be a non-empty string"),
                };
                error.with_hint(
                    "make a key by `head -c 32 /dev/urandom > FILE`, and give every server the same file",
                )
            })?
            .into();
        Ok(AesGcmConfig { key_size, master_key_path, max_workers: self.max_workers()? })
    }

    fn check_names(&self, known: &[&str]) -> Result<()> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(Error::invalid("unknown key")
                .with_context("key", name.escape_debug())
                .with_hint(format!("the keys are {}", known.join(", ")))),
        }
    }

    fn text(&self, name: &'static str) -> Result<Option<&'a str>> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Error::invalid(format!("{name} must be a string"))),
        }
    }

    fn max_workers(&self) -> Result<usize> {
        let value = self.0.get("max_workers").map_or(Some(1), Value::as_u64);
        value
            .and_then(|workers| usize::try_from(workers).ok())
            .filter(|workers| (1..=MAX_WORKERS).contains(workers))
            .ok_or_else(|| Error::invalid(format!("max_workers must be an integer from 1 to {MAX_WORKERS}")))
    }
}

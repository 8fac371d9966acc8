//! `fs_native`: the files of [`fs`] under the name that LMCache's native adapter has.
//!
//! In LMCache they are two programs. With `use_odirect` its native one writes an object with its padding; the
//! adapter tells from its type whether it has to.

use super::fs::{self, FsAdapterConfig};
use super::spec::Spec;
use crate::error::Result;

/// The type in JSON.
pub const TYPE: &str = "fs_native";

/// The keys of its own.
pub const KEYS: &[&str] = fs::KEYS;

pub(super) fn read(spec: Spec<'_>) -> Result<FsAdapterConfig> {
    fs::read(spec)
}

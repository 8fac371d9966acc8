//! `plugin`: an adapter in a shared library, called through a table of C functions.
//!
//! LMCache's type of that name loads a Python class by `module_path` and `class_name`; there is no Python here.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::spec::Spec;
use crate::error::{Error, Result};
use crate::storage::config::secret::masked;

/// The type in JSON.
pub const TYPE: &str = "plugin";

/// The keys of its own.
pub const KEYS: &[&str] = &["library_path", "adapter_params", "max_capacity_gb"];

/// A shared library.
#[derive(Clone, PartialEq)]
pub struct PluginAdapterConfig {
    /// `library_path`: the library. Ours.
    pub library_path: PathBuf,
    /// `adapter_params`: handed to the library as JSON text. Empty by default.
    pub adapter_params: Map<String, Value>,
    /// `max_capacity_gb`: what eviction measures use against; nothing by default.
    pub max_capacity_bytes: Option<u64>,
}

impl std::fmt::Debug for PluginAdapterConfig {
    /// Values whose names say that they are secrets are masked.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let params = masked(&Value::Object(self.adapter_params.clone()));
        f.debug_struct("PluginAdapterConfig")
            .field("library_path", &self.library_path)
            .field("adapter_params", &params.to_string())
            .field("max_capacity_bytes", &self.max_capacity_bytes)
            .finish()
    }
}

pub(super) fn read(spec: Spec<'_>) -> Result<PluginAdapterConfig> {
    let fields = spec.fields;
    let adapter_params = match fields.get("adapter_params") {
        None => Map::new(),
        Some(Value::Object(params)) => params.clone(),
        Some(_) => {
            return Err(Error::invalid("adapter_params must be an object")
                .with_hint("write {\"key\": value, ...}: the plugin gets it as JSON text"));
        }
    };
    Ok(PluginAdapterConfig {
        library_path: fields.required_text("library_path", "/opt/libmyadapter.so")?.into(),
        adapter_params,
        max_capacity_bytes: fields.capacity_gb("max_capacity_gb")?,
    })
}

//! What an adapter says of itself.

use serde::Serialize;
use serde_json::{Map, Value};

/// LMCache's `report_status()` of an adapter: two fields that all have, and those of its type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdapterStatus {
    /// Whether it can do its work.
    pub is_healthy: bool,
    /// LMCache's name for the class.
    #[serde(rename = "type")]
    pub class_name: &'static str,
    /// The fields of its type.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl AdapterStatus {
    /// How many operations failed: of those that its type counts.
    pub fn failed_operations(&self) -> u64 {
        let failed = self.fields.iter().filter(|(name, _)| name.starts_with("failed_"));
        failed.filter_map(|(_, count)| count.as_u64()).sum()
    }

    /// The last error that it had.
    pub fn last_error(&self) -> Option<&str> {
        self.fields.get("last_error")?.as_str().filter(|error| !error.is_empty())
    }

    /// Why it does not use what its device held, and begins empty: of `raw_block`.
    pub fn refused_recovery(&self) -> Option<&str> {
        self.fields.get("core")?.get("recovery_refused")?.as_str()
    }

    /// A status with these fields.
    pub fn new<const N: usize>(
        class_name: &'static str,
        is_healthy: bool,
        fields: [(&str, Value); N],
    ) -> Self {
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { is_healthy, class_name, fields }
    }
}

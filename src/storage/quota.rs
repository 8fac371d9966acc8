//! How many bytes each tenant may have in an adapter that keeps tenants apart: LMCache's `QuotaManager`.

use crate::sync::{Mutex, lock};

/// The limits by `cache_salt`. A salt without one may have nothing.
#[derive(Debug, Default)]
pub struct QuotaManager {
    limits: Mutex<hashbrown::HashMap<Box<str>, u64, foldhash::fast::RandomState>>,
}

impl QuotaManager {
    /// Sets the limit of a salt.
    pub fn set_quota(&self, cache_salt: &str, limit_bytes: u64) {
        lock(&self.limits).insert(cache_salt.into(), limit_bytes);
    }

    /// Takes the limit of a salt away; returns whether it had one.
    pub fn delete_quota(&self, cache_salt: &str) -> bool {
        lock(&self.limits).remove(cache_salt).is_some()
    }

    /// The limit of a salt; 0 if it has none.
    pub fn get_limit_bytes(&self, cache_salt: &str) -> u64 {
        lock(&self.limits).get(cache_salt).copied().unwrap_or(0)
    }

    /// All limits, by salt.
    pub fn list_quotas(&self) -> Vec<(String, u64)> {
        let limits = lock(&self.limits);
        let mut quotas: Vec<_> = limits.iter().map(|(salt, bytes)| (salt.to_string(), *bytes)).collect();
        quotas.sort_unstable();
        quotas
    }
}

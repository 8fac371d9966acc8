//! Keys, and policies to try them on.

use std::sync::Arc;

use lmcache::format::model::{ChunkHash, KeyScope, ObjectKey};
use lmcache::storage::config::{Compat, EvictionPolicyKind};
use lmcache::storage::eviction::{self, Demand, EvictionPolicy, PolicyState};

/// A policy, and the tenant that its victims are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) kind: EvictionPolicyKind,
    pub(crate) compat: Compat,
    pub(crate) salt: Option<&'static str>,
}

impl Subject {
    /// One that ignores tenants, or is asked for all.
    pub(crate) const fn native(kind: EvictionPolicyKind) -> Self {
        Self { kind, compat: Compat::Native, salt: None }
    }

    pub(crate) fn create(&self) -> Box<dyn EvictionPolicy> {
        eviction::create(self.kind, self.compat)
    }

    pub(crate) fn evicts(&self) -> bool {
        self.kind != EvictionPolicyKind::Noop
    }
}

/// A key without a tenant.
pub(crate) fn key(number: u32) -> ObjectKey {
    salted_key(number, "")
}

/// The key of a tenant.
pub(crate) fn salted_key(number: u32, salt: &str) -> ObjectKey {
    let scope = KeyScope::new("model", 0x0100_0100, 0, salt).unwrap();
    ObjectKey::new(ChunkHash::new(&number.to_be_bytes()), Arc::new(scope))
}

/// The number of a key.
pub(crate) fn number(key: &ObjectKey) -> u32 {
    u32::from_be_bytes(key.chunk_hash().as_bytes().try_into().unwrap())
}

/// Keys `0..count` without a tenant.
pub(crate) fn keys(count: u32) -> Vec<ObjectKey> {
    (0..count).map(key).collect()
}

pub(crate) fn refs(keys: &[ObjectKey]) -> Vec<&ObjectKey> {
    keys.iter().collect()
}

pub(crate) fn numbers(keys: &[ObjectKey]) -> Vec<u32> {
    keys.iter().map(number).collect()
}

/// The numbers of the victims that a ratio of all keys gives.
pub(crate) fn name(policy: &mut dyn EvictionPolicy, ratio: f64) -> Vec<u32> {
    numbers(&policy.victims(Demand::Ratio(ratio), Some(""), &|_| true).unwrap())
}

/// Has one key evicted; returns its number.
pub(crate) fn evict_one(policy: &mut dyn EvictionPolicy) -> u32 {
    let demand = Demand::Bytes { needed: 1, size_of: &|_| 1 };
    let victims = policy.victims(demand, Some(""), &|_| true).unwrap();
    policy.on_keys_removed(&refs(&victims));
    number(&victims[0])
}

/// The keys that a state says are present.
pub(crate) fn present(state: PolicyState) -> Vec<ObjectKey> {
    fn keys<M>(queue: Vec<(ObjectKey, M)>) -> Vec<ObjectKey> {
        queue.into_iter().map(|(key, _)| key).collect()
    }
    match state {
        PolicyState::Lru { order } | PolicyState::Fifo { order } => order,
        PolicyState::Arc { t1, t2, .. } => [t1, t2].concat(),
        PolicyState::IsolatedLru { per_salt } => per_salt.into_iter().flat_map(|(_, keys)| keys).collect(),
        PolicyState::Noop => Vec::new(),
        PolicyState::S3Fifo { small, main, named, .. } => [keys(small), keys(main), named].concat(),
        PolicyState::Sieve { queue, named, .. } => [keys(queue), named].concat(),
    }
}

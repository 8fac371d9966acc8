//! Each policy once more, as plainly as it can be written: vectors that are searched from end to end, one key at
//! a time. Written from the papers and from the description of LMCache, not from the policies.

mod arc;
mod isolated_lru;
mod queues;
mod s3_fifo;
mod sieve;

use std::collections::HashSet;

use lmcache::storage::config::{Compat, EvictionPolicyKind};
use lmcache::storage::eviction::PolicyState;

/// How much is to go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Amount {
    /// A percentage of the keys.
    Percent(i32),
    Bytes(u64),
}

/// What victims are asked for with.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) amount: Amount,
    pub(crate) salt: Option<&'static str>,
    pub(crate) locked: HashSet<u32>,
}

impl Request {
    /// Whether `named` is enough, where there are `tracked` keys.
    fn is_met(&self, named: &[u32], tracked: usize) -> bool {
        match self.amount {
            Amount::Percent(percent) => {
                let percent = usize::try_from(percent).unwrap_or(0).min(100);
                let count = match tracked * percent / 100 {
                    0 if percent > 0 => 1,
                    count => count,
                };
                named.len() >= count
            }
            Amount::Bytes(needed) => named.iter().map(|key| size_of(*key)).sum::<u64>() >= needed,
        }
    }

    /// As many of `candidates`, in their order, as are wanted.
    fn take(&self, candidates: impl IntoIterator<Item = u32>, tracked: usize) -> Vec<u32> {
        let mut named = Vec::new();
        for key in candidates {
            if !self.is_met(&named, tracked) && !self.locked.contains(&key) {
                named.push(key);
            }
        }
        named
    }
}

/// The tenants of the models' keys.
pub(crate) const SALTS: [&str; 3] = ["", "a", "b"];

/// The tenant of a key: one has more keys than the others.
pub(crate) fn salt_of(key: u32) -> &'static str {
    SALTS[[0, 0, 0, 1, 1, 2][(key % 6) as usize]]
}

/// The bytes of a key; some have none.
pub(crate) fn size_of(key: u32) -> u64 {
    u64::from(key * 7 % 5) * 10
}

pub(crate) trait Model {
    fn reserve(&mut self, key: u32) {
        self.create(key);
    }
    fn create(&mut self, key: u32);
    fn touch(&mut self, key: u32);
    fn remove(&mut self, key: u32);
    fn victims(&mut self, request: &Request) -> Vec<u32>;
    fn tracked(&self) -> usize;
    fn state(&self) -> PolicyState;
}

pub(crate) fn of(kind: EvictionPolicyKind, compat: Compat) -> Box<dyn Model> {
    match kind {
        EvictionPolicyKind::Lru => Box::<queues::Lru>::default(),
        EvictionPolicyKind::Fifo => Box::<queues::Fifo>::default(),
        EvictionPolicyKind::Noop => Box::<queues::Noop>::default(),
        EvictionPolicyKind::Arc => Box::<arc::Arc>::default(),
        EvictionPolicyKind::IsolatedLru => Box::new(isolated_lru::IsolatedLru::new(compat)),
        EvictionPolicyKind::S3Fifo => Box::<s3_fifo::S3Fifo>::default(),
        EvictionPolicyKind::Sieve => Box::<sieve::Sieve>::default(),
    }
}

/// Takes `key` out of `list`; whether it was there.
fn take_out(list: &mut Vec<u32>, key: u32) -> bool {
    let before = list.len();
    list.retain(|other| *other != key);
    list.len() < before
}

fn keys(list: &[u32]) -> Vec<lmcache::format::model::ObjectKey> {
    list.iter().map(|key| crate::support::salted_key(*key, salt_of(*key))).collect()
}

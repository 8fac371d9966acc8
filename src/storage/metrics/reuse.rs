//! How long it takes, and how many other chunks are used meanwhile, until a chunk is read again; of a share of them. A chunk is a
//! hash of a tenant's: its ranks and groups count once, and internal reads (stores to L2, prefetches) do not.

use std::collections::HashSet;

use super::families::{DEFAULT_BUCKETS, salt_of};
use super::instruments::{Histogram, Instrument, Metric};
use super::sample::Sampler;
use super::series::MAX_SERIES;
use crate::clock::{NS_PER_S, monotonic_ns};
use crate::format::model::{ChunkHash, ObjectKey};
use crate::storage::events::Event;
use crate::sync::{Mutex, lock};

/// The most chunks that are followed: LMCache's cap. It then forgets one by chance; here the next is not followed.
const MAX_FOLLOWED: usize = 100_000;

type Map<K, V> = hashbrown::HashMap<K, V, foldhash::fast::RandomState>;

const REAL_REUSE_GAP: Instrument = Instrument::new(
    "lmcache.sm",
    "real_reuse_gap",
    "s",
    "Gap between a chunk's last access (read or write) and next read. Storage cost. Tagged with cache_salt",
);

const REAL_REUSE_GAP_OBJECTS: Instrument = Instrument::new(
    "lmcache.sm",
    "real_reuse_gap_objects",
    "{chunks}",
    "Per-cache_salt access-counter gap between two reads of the same chunk. Storage volume. Tagged with cache_salt",
);

/// Follows a share of the chunks from access to access.
#[derive(Debug)]
pub(super) struct Reuse {
    gap: Histogram,
    gap_chunks: Histogram,
    sampler: Sampler,
    tenants: Mutex<Tenants>,
}

#[derive(Debug, Default)]
struct Tenants {
    by_salt: Map<Box<str>, Tenant>,
    followed: usize,
}

#[derive(Debug, Default)]
struct Tenant {
    /// How often its chunks were read or written.
    accesses: u64,
    /// When each followed chunk was used last.
    last: Map<ChunkHash, Access>,
}

#[derive(Clone, Copy, Debug)]
struct Access {
    at_ns: u64,
    number: u64,
}

impl Reuse {
    pub(super) fn new(sample_rate: f64) -> Self {
        Self {
            gap: Histogram::new(REAL_REUSE_GAP, &DEFAULT_BUCKETS),
            gap_chunks: Histogram::new(REAL_REUSE_GAP_OBJECTS, &DEFAULT_BUCKETS),
            sampler: Sampler::new(sample_rate),
            tenants: Mutex::default(),
        }
    }

    /// Both histograms as they are now.
    pub(super) fn metrics(&self) -> [Metric; 2] {
        [&self.gap, &self.gap_chunks].map(Histogram::metric)
    }

    /// Looks at an event.
    pub(super) fn observe(&self, event: &Event<'_>) {
        match event {
            Event::SmReadPrefetchedFinished(keys) => self.access(keys.succeeded, true),
            Event::SmWriteFinished(keys) => self.access(keys.succeeded, false),
            _ => {}
        }
    }

    fn access(&self, keys: &[&ObjectKey], is_read: bool) {
        if keys.is_empty() {
            return;
        }
        // Keys of a call are distinct, and so are the hashes of those of one scope.
        let has_one_scope = keys.iter().all(|key| key.scope() == keys[0].scope());
        let mut seen = HashSet::new();
        let mut tenants = lock(&self.tenants);
        // Under the lock: no other thread has noted a later time.
        let now_ns = monotonic_ns();
        for key in keys {
            if has_one_scope || seen.insert((salt_of(key), key.chunk_hash())) {
                self.access_one(&mut tenants, key, now_ns, is_read);
            }
        }
    }

    fn access_one(&self, tenants: &mut Tenants, key: &ObjectKey, now_ns: u64, is_read: bool) {
        let salt = salt_of(key);
        if !tenants.by_salt.contains_key(salt) {
            if tenants.by_salt.len() >= MAX_SERIES {
                return;
            }
            tenants.by_salt.insert(salt.into(), Tenant::default());
        }
        let Some(tenant) = tenants.by_salt.get_mut(salt) else { return };
        tenant.accesses += 1;
        if !self.sampler.takes((key.chunk_hash().as_bytes(), salt)) {
            return;
        }
        let now = Access { at_ns: now_ns, number: tenant.accesses };
        match tenant.last.get_mut(key.chunk_hash()) {
            Some(last) => {
                let before = std::mem::replace(last, now);
                if is_read {
                    let labels = [("cache_salt", salt)];
                    self.gap.observe(&labels, (now.at_ns - before.at_ns) as f64 / NS_PER_S as f64);
                    self.gap_chunks.observe(&labels, (now.number - before.number) as f64);
                }
            }
            None if tenants.followed < MAX_FOLLOWED => {
                tenants.followed += 1;
                tenant.last.insert(key.chunk_hash().clone(), now);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::model::KeyScope;
    use crate::storage::events::SmKeys;
    use crate::storage::metrics::instruments::Points;
    use crate::sync::Arc;

    fn key(name: u8, rank: i64, salt: &str) -> ObjectKey {
        let scope = Arc::new(KeyScope::new("m", rank, 0, salt).expect("a valid scope"));
        ObjectKey::new(ChunkHash::new(&[name; 8]), scope)
    }

    /// How many gaps there are of each tenant, and the sum of the chunks in them.
    fn gaps(reuse: &Reuse) -> Vec<(u64, f64)> {
        let [_, chunks] = reuse.metrics();
        let Points::Histograms { points, .. } = chunks.points else { panic!("a histogram") };
        points.iter().map(|(_, seen)| (seen.count, seen.sum)).collect()
    }

    #[test]
    fn reads_are_counted_from_the_access_before_by_tenant() {
        let reuse = Reuse::new(1.0);
        let read = |keys: &[ObjectKey]| {
            let succeeded: Vec<&ObjectKey> = keys.iter().collect();
            reuse.observe(&Event::SmReadPrefetchedFinished(SmKeys { succeeded: &succeeded, failed: &[] }));
        };
        let write = |keys: &[ObjectKey]| {
            let succeeded: Vec<&ObjectKey> = keys.iter().collect();
            reuse.observe(&Event::SmWriteFinished(SmKeys { succeeded: &succeeded, failed: &[] }));
        };
        // Two ranks of a chunk are one access.
        write(&[key(1, 0, ""), key(1, 1, ""), key(2, 0, "")]);
        assert_eq!(gaps(&reuse), []);
        read(&[key(1, 0, ""), key(1, 1, "")]);
        assert_eq!(gaps(&reuse), [(1, 2.0)], "accesses 1 and 3");
        write(&[key(1, 0, "")]);
        read(&[key(9, 0, "other")]);
        read(&[key(1, 0, ""), key(3, 0, "")]);
        assert_eq!(gaps(&reuse), [(2, 3.0)], "accesses 4 and 5; another tenant counts for itself");
    }
}

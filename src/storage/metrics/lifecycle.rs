//! How long objects live in L1, and how long it takes until they are wanted again; of a share of them.

use super::families::salt_of;
use super::instruments::{Histogram, Instrument, Metric};
use super::sample::Sampler;
use crate::clock::{NS_PER_S, monotonic_ns};
use crate::format::model::ObjectKey;
use crate::storage::events::{Event, L1Keys};
use crate::sync::{Mutex, lock};

/// Boundaries of ages and gaps in seconds.
const AGE_BUCKETS: [f64; 13] =
    [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0];

/// Boundaries of the time until an evicted object is wanted again.
const REUSE_BUCKETS: [f64; 7] = [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0];

/// How long an evicted object is remembered: LMCache's cap.
const MAX_REUSE_WAIT_NS: u64 = 300 * NS_PER_S;

/// The most objects that are followed; more are not sampled.
const MAX_FOLLOWED: usize = 100_000;

type KeyMap<V> = hashbrown::HashMap<(String, ObjectKey), V, foldhash::fast::RandomState>;

#[derive(Clone, Copy, Debug)]
struct Life {
    born_ns: u64,
    touched_ns: u64,
}

#[derive(Debug, Default)]
struct Followed {
    alive: KeyMap<Life>,
    /// When each was evicted.
    evicted: KeyMap<u64>,
}

/// Follows a share of the objects from write to eviction.
#[derive(Debug)]
pub(super) struct Lifecycle {
    lifetime: Histogram,
    idle: Histogram,
    reuse_gap: Histogram,
    evict_reuse_gap: Histogram,
    sampler: Sampler,
    followed: Mutex<Followed>,
}

impl Lifecycle {
    pub(super) fn new(sample_rate: f64) -> Self {
        let new = |name, help, bounds| Histogram::new(Instrument::new("lmcache.l1", name, "s", help), bounds);
        Self {
            lifetime: new(
                "l1_chunk_lifetime",
                "L1 chunk lifetime from allocation to eviction (seconds)",
                &AGE_BUCKETS,
            ),
            idle: new(
                "l1_chunk_idle_before_evict",
                "Idle time before L1 chunk eviction (seconds)",
                &AGE_BUCKETS,
            ),
            reuse_gap: new(
                "l1_chunk_reuse_gap",
                "Time gaps between consecutive touches (write or read) of the same L1 chunk (seconds)",
                &AGE_BUCKETS,
            ),
            evict_reuse_gap: new(
                "l1_chunk_evict_reuse_gap",
                "Time from L1 chunk eviction to next reuse, capped at 300 s",
                &REUSE_BUCKETS,
            ),
            sampler: Sampler::new(sample_rate),
            followed: Mutex::default(),
        }
    }

    /// All histograms as they are now.
    pub(super) fn metrics(&self) -> [Metric; 4] {
        [&self.lifetime, &self.idle, &self.reuse_gap, &self.evict_reuse_gap].map(Histogram::metric)
    }

    /// Looks at an event.
    pub(super) fn observe(&self, event: &Event<'_>) {
        match event {
            Event::L1WriteFinished(keys) | Event::L1WriteFinishedAndReadReserved(keys) => {
                self.each(keys, Self::written);
            }
            Event::L1ReadFinished(keys) => self.each(keys, Self::read),
            Event::L1KeysEvicted(keys) => self.each(keys, Self::evicted),
            _ => {}
        }
    }

    fn is_sampled(&self, key: &ObjectKey) -> bool {
        self.sampler.takes((key.chunk_hash().as_bytes(), salt_of(key), key.scope().kv_rank()))
    }

    fn each(&self, keys: &L1Keys<'_>, then: fn(&Self, &mut Followed, (String, ObjectKey), u64)) {
        let sampled: Vec<&ObjectKey> = keys.keys.iter().copied().filter(|key| self.is_sampled(key)).collect();
        if sampled.is_empty() {
            return;
        }
        let mut followed = lock(&self.followed);
        // Under the lock: no other thread has noted a later time.
        let now_ns = monotonic_ns();
        for key in sampled {
            then(self, &mut followed, (keys.l1_tag.to_owned(), key.clone()), now_ns);
        }
    }

    fn written(&self, followed: &mut Followed, key: (String, ObjectKey), now_ns: u64) {
        if let Some(evicted_ns) = followed.evicted.remove(&key) {
            let gap_ns = (now_ns - evicted_ns).min(MAX_REUSE_WAIT_NS);
            observe(&self.evict_reuse_gap, &key.0, gap_ns);
        }
        if followed.alive.len() < MAX_FOLLOWED {
            followed.alive.insert(key, Life { born_ns: now_ns, touched_ns: now_ns });
        }
    }

    fn read(&self, followed: &mut Followed, key: (String, ObjectKey), now_ns: u64) {
        if let Some(life) = followed.alive.get_mut(&key) {
            observe(&self.reuse_gap, &key.0, now_ns - life.touched_ns);
            life.touched_ns = now_ns;
        }
    }

    fn evicted(&self, followed: &mut Followed, key: (String, ObjectKey), now_ns: u64) {
        let Some(life) = followed.alive.remove(&key) else { return };
        observe(&self.lifetime, &key.0, now_ns - life.born_ns);
        observe(&self.idle, &key.0, now_ns - life.touched_ns);
        if followed.evicted.len() >= MAX_FOLLOWED {
            followed.evicted.retain(|_, evicted_ns| now_ns - *evicted_ns < MAX_REUSE_WAIT_NS);
        }
        if followed.evicted.len() < MAX_FOLLOWED {
            followed.evicted.insert(key, now_ns);
        }
    }
}

fn observe(histogram: &Histogram, l1_tag: &str, duration_ns: u64) {
    histogram.observe(&[("l1_tag", l1_tag)], duration_ns as f64 / NS_PER_S as f64);
}

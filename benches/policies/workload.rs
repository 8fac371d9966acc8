//! A cache of a tenth of the objects, and accesses that follow Zipf's law with exponent 0.9: an object that is there
//! is used, and one that is not takes the place of another.
//!
//! Contenders take turns in one process, round by round, so that a change of the machine's mood meets all of them. Each
//! round has a stream of its own, the same for all, and the first, in which the caches fill, is not timed. A policy of ours knows the order, not whether an object is there: that
//! is the manager's table, for which a bit per object stands here.

use std::hint::black_box;
use std::sync::Arc;

use lmcache::clock::monotonic_ns;
use lmcache::format::model::{ChunkHash, KeyScope, ObjectKey};
use lmcache::storage::config::{Compat, EvictionPolicyKind};
use lmcache::storage::eviction::{self, Demand, EvictionPolicy};

/// A power of two.
pub(crate) const OBJECTS: usize = 1 << 20;
pub(crate) const CAPACITY: usize = OBJECTS / 10;
const EXPONENT: f64 = 0.9;
const ACCESSES: usize = 1 << 20;

/// What is timed.
pub(crate) trait Cache {
    /// Uses `object`, or puts it in; whether it was there.
    fn access(&mut self, object: u32) -> bool;
}

/// The key of an object, which looks like one of LMCache's.
pub(crate) fn keys() -> Vec<ObjectKey> {
    let scope = Arc::new(KeyScope::new("model", 0x0100_0100, 0, "").expect("a scope"));
    let mut random = Random(7);
    let key = |object: usize| {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&(object as u32).to_le_bytes());
        hash[4..].as_chunks_mut().0.iter_mut().for_each(|word| *word = random.next().to_le_bytes());
        ObjectKey::new(ChunkHash::new(&hash), Arc::clone(&scope))
    };
    (0..OBJECTS).map(key).collect()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Draws by Zipf's law.
struct Zipf {
    /// Up to each rank, how often objects are accessed, in arbitrary units.
    sums: Vec<f64>,
    random: Random,
}

impl Zipf {
    fn new() -> Self {
        let mut sum = 0.0;
        let sums = (1..=OBJECTS).map(|rank| {
            sum += (rank as f64).powf(-EXPONENT);
            sum
        });
        Self { sums: sums.collect(), random: Random(1) }
    }

    fn stream(&mut self) -> Vec<u32> {
        let total = self.sums[OBJECTS - 1];
        let access = |_| {
            let point = (self.random.next() >> 11) as f64 / (1_u64 << 53) as f64 * total;
            let rank = self.sums.partition_point(|sum| *sum < point) as u32;
            // Popular objects are no neighbours in memory.
            rank.wrapping_mul(0x9e37_79b1) % OBJECTS as u32
        };
        (0..ACCESSES).map(access).collect()
    }
}

/// A policy of ours, and which objects are there.
struct PolicyCache {
    policy: Box<dyn EvictionPolicy>,
    keys: Arc<[ObjectKey]>,
    is_resident: Vec<bool>,
    residents: usize,
}

impl PolicyCache {
    fn new(kind: EvictionPolicyKind, keys: Arc<[ObjectKey]>) -> Self {
        let policy = eviction::create(kind, Compat::Native);
        Self { policy, keys, is_resident: vec![false; OBJECTS], residents: 0 }
    }

    fn evict_one(&mut self) {
        let demand = Demand::Bytes { needed: 1, size_of: &|_| 1 };
        let victims = self.policy.victims(demand, None, &|_| true).expect("a policy that chooses");
        let victim = &victims[0];
        let number = victim.chunk_hash().as_bytes().first_chunk().expect("32 bytes");
        self.policy.on_keys_removed(&[victim]);
        self.is_resident[u32::from_le_bytes(*number) as usize] = false;
        self.residents -= 1;
    }
}

impl Cache for PolicyCache {
    fn access(&mut self, object: u32) -> bool {
        let was_there = self.is_resident[object as usize];
        if was_there {
            self.policy.on_keys_touched(&[&self.keys[object as usize]]);
            return true;
        }
        if self.residents == CAPACITY {
            self.evict_one();
        }
        self.policy.on_keys_created(&[&self.keys[object as usize]]);
        self.is_resident[object as usize] = true;
        self.residents += 1;
        false
    }
}

/// A contender and what was seen of it.
pub(crate) struct Row {
    name: String,
    cache: Box<dyn Cache>,
    ns_per_access: Vec<f64>,
    hits: usize,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, cache: impl Cache + 'static) -> Self {
        Self { name: name.into(), cache: Box::new(cache), ns_per_access: Vec::new(), hits: 0 }
    }

    fn pass(&mut self, stream: &[u32]) {
        let start_ns = monotonic_ns();
        let hits = stream.iter().filter(|object| black_box(self.cache.access(**object))).count();
        self.ns_per_access.push((monotonic_ns() - start_ns) as f64 / stream.len() as f64);
        self.hits += hits;
    }
}

/// Our policies.
pub(crate) fn rows() -> Vec<Row> {
    let keys: Arc<[ObjectKey]> = keys().into();
    let kinds = EvictionPolicyKind::ALL.into_iter().filter(|kind| *kind != EvictionPolicyKind::Noop);
    kinds.map(|kind| Row::new(kind.name(), PolicyCache::new(kind, Arc::clone(&keys)))).collect()
}

/// Times all rows in turn and prints them.
pub(crate) fn run(rows: &mut [Row]) {
    let has = |flag: &str| std::env::args().any(|word| word == flag);
    // As cargo calls a bench that it tests, one round is enough.
    let rounds = if has("--test") || !has("--bench") { 1 } else { 9 };
    let mut zipf = Zipf::new();
    for round in 0..=rounds {
        let stream = zipf.stream();
        for row in &mut *rows {
            if round == 1 {
                (row.hits, row.ns_per_access) = (0, Vec::new());
            }
            row.pass(&stream);
        }
    }
    println!("{OBJECTS} objects, room for {CAPACITY}, Zipf {EXPONENT}; median of {rounds} rounds");
    println!("{:<24}{:>12}{:>10}", "", "ns/access", "hits");
    for row in rows {
        row.ns_per_access.sort_by(f64::total_cmp);
        let (ns, hits) = (row.ns_per_access[rounds / 2], row.hits as f64 / (rounds * ACCESSES) as f64);
        println!("{:<24}{ns:>12.1}{:>9.1}%", row.name, hits * 100.0);
    }
}

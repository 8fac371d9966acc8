//! Many threads on few objects of one storage manager, for as long as is asked: no reader may see a torn
//! object, and the books must be right whenever the threads pause. Ends with an error if they are not.
//!
//! ```text
//! cargo run --release --example stress 60
//! ```

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

use lmcache::clock::{Clock, NS_PER_S, monotonic_ns};
use lmcache::format::model::call::GroupedObjectKeys;
use lmcache::format::model::{
    ChunkHash, Dtype, FetchingPolicy, KeyScope, LockMode, MemoryLayoutDesc, ObjectKey, PrefetchTaskSpec,
    WriteMode,
};
use lmcache::storage::config::{EvictionPolicyKind, StorageManagerConfig};
use lmcache::storage::{L1Error, StorageManager};

/// What a worker found wrong, or why a call failed.
type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const DEFAULT_SECONDS: u64 = 5;
const THREADS: u64 = 4;
/// Calls of each thread between two looks at the books.
const CALLS: u64 = 2_000;
const KEYS: usize = 64;
const MAX_KEYS_PER_CALL: u64 = 8;
const PAGE_BYTES: u64 = 4096;
const TORN: &str = "an object is torn";
/// Less than the keys need, so that writers run out of memory and evictions find something to do.
const L1_PAGES: u64 = 48;

fn main() -> Outcome {
    let seconds = match std::env::args().nth(1) {
        Some(argument) => argument.parse()?,
        None => DEFAULT_SECONDS,
    };
    // With small units L1 has 64 shards, with pages it has one.
    let shapes = [
        (EvictionPolicyKind::Lru, 64),
        (EvictionPolicyKind::Lru, PAGE_BYTES),
        (EvictionPolicyKind::Arc, PAGE_BYTES),
    ];
    for (policy, align_bytes) in shapes {
        let (rounds, reads) = stress(policy, align_bytes, seconds * NS_PER_S / shapes.len() as u64)?;
        println!("{} by {align_bytes}: {rounds} rounds, {reads} objects read, none torn", policy.name());
    }
    Ok(())
}

/// Rounds of calls from all threads for at least `budget_ns`. Returns how many rounds there were, and how many
/// objects were read.
fn stress(policy: EvictionPolicyKind, align_bytes: u64, budget_ns: u64) -> Outcome<(u64, u64)> {
    let mut config = StorageManagerConfig::l1_only(L1_PAGES * PAGE_BYTES, policy);
    config.l1_managers[0].memory.align_bytes = align_bytes;
    config.l1_managers[0].eviction.trigger_watermark = 0.5;
    let shared = Arc::new(Shared {
        manager: StorageManager::with_clock(config, Clock::system())?,
        keys: keys()?,
        reads: AtomicU64::new(0),
    });
    let started_ns = monotonic_ns();
    let mut rounds = 0;
    while rounds == 0 || monotonic_ns() - started_ns < budget_ns {
        rounds += 1;
        let seeds = (1..=THREADS).map(|thread| rounds * THREADS + thread);
        let workers: Vec<_> = seeds.map(|seed| start(&shared, seed)).collect::<Outcome<_>>()?;
        for worker in workers {
            worker.join().map_err(|_| "a worker panicked")??;
        }
        check_books(&shared.manager)?;
    }
    close_under_load(&shared)?;
    // Relaxed: the workers were joined.
    let reads = shared.reads.load(Ordering::Relaxed);
    require(reads > 0 && shared.manager.stats().evicted_keys > 0, "nothing was read, or nothing evicted")?;
    Ok((rounds, reads))
}

/// Closes the manager while the workers are at it.
fn close_under_load(shared: &Arc<Shared>) -> Outcome {
    let workers: Vec<_> = (1..=THREADS).map(|seed| start(shared, seed)).collect::<Outcome<_>>()?;
    shared.manager.close()?;
    for worker in workers {
        // What is closed refuses calls and drops what was held: both end a worker, and neither tears an object.
        let ended_by = worker.join().map_err(|_| "a worker panicked")?.err();
        if let Some(torn) = ended_by.filter(|complaint| complaint.to_string() == TORN) {
            return Err(torn);
        }
    }
    require(shared.manager.get_l1_usage().0 == 0, "a closed manager holds something")?;
    require(shared.manager.memcheck(), "the allocator's books are wrong after the end")
}

fn start(shared: &Arc<Shared>, seed: u64) -> Outcome<JoinHandle<Outcome>> {
    let mut worker = Worker { shared: Arc::clone(shared), random: Random(seed.wrapping_mul(0x9e37_79b9)) };
    Ok(Builder::new().spawn(move || worker.run())?)
}

fn require(holds: bool, complaint: &'static str) -> Outcome {
    if holds { Ok(()) } else { Err(complaint.into()) }
}

fn keys() -> Outcome<Vec<ObjectKey>> {
    let scope = Arc::new(KeyScope::new("model", 0x0100_0100, 0, "")?);
    Ok((0..KEYS).map(|i| ObjectKey::new(ChunkHash::new(&i.to_be_bytes()), Arc::clone(&scope))).collect())
}

fn layout(bytes: u64) -> Outcome<MemoryLayoutDesc> {
    let uint8 = Dtype::from_name("torch.uint8").ok_or("no such dtype")?;
    Ok(MemoryLayoutDesc::new(vec![(Box::new([bytes]), uint8)])?)
}

/// Nobody holds or writes anything, no two objects overlap, and the memory in use is theirs.
fn check_books(manager: &StorageManager) -> Outcome {
    let status = manager.report_status().l1_manager.ok_or("there is one L1")?;
    require(status.read_locked_count == 0, "a read lock was left behind")?;
    require(status.staging_object_count == 0 && status.staging_bytes == 0, "a reservation was left behind")?;
    let spans: Vec<_> = manager.l1_manager().objects().iter().map(|object| object.span).collect();
    require(status.total_object_count == spans.len() as u64, "objects were miscounted")?;
    let taken_bytes: u64 = spans.iter().map(|span| span.phy_size_bytes).sum();
    require(status.memory_used_bytes == taken_bytes, "memory in use is not that of the objects")?;
    let is_apart = |pair: &[lmcache::storage::memory::Span]| {
        pair[0].offset_bytes + pair[0].phy_size_bytes <= pair[1].offset_bytes
    };
    require(spans.windows(2).all(is_apart), "two objects overlap")?;
    require(manager.memcheck(), "the allocator's books are wrong")
}

/// A small random number generator (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

struct Shared {
    manager: StorageManager,
    keys: Vec<ObjectKey>,
    reads: AtomicU64,
}

struct Worker {
    shared: Arc<Shared>,
    random: Random,
}

impl Worker {
    fn run(&mut self) -> Outcome {
        let shared = Arc::clone(&self.shared);
        for _ in 0..CALLS {
            let first = self.random.below(KEYS as u64 - MAX_KEYS_PER_CALL) as usize;
            let count = 1 + self.random.below(MAX_KEYS_PER_CALL) as usize;
            let keys = &shared.keys[first..first + count];
            match self.random.below(12) {
                0..=3 => self.write(keys, WriteMode::New)?,
                4 => self.write(keys, WriteMode::All)?,
                5..=8 => self.read(keys)?,
                9 => {
                    shared.manager.delete_l1_keys(keys, false);
                    shared.manager.touch_l1_keys(keys);
                }
                10 => require(shared.manager.memcheck(), "the allocator's books are wrong")?,
                _ => {
                    let victims = shared.manager.evict_l1_once().pop().ok_or("there is one L1")?.victims?;
                    let is_gone = |(_, code): &(ObjectKey, L1Error)| *code == L1Error::Success;
                    require(victims.iter().all(is_gone), "a victim was not evicted")?;
                }
            }
        }
        Ok(())
    }

    /// Every object holds one byte, over and over; which one is the writer's choice.
    fn write(&mut self, keys: &[ObjectKey], mode: WriteMode) -> Outcome {
        let manager = &self.shared.manager;
        let layout = layout(1 + self.random.below(2 * PAGE_BYTES))?;
        let reservation = manager.reserve_write_with_mode(keys, &layout, mode)?;
        let byte = self.random.below(256) as u8;
        let mut mine = Vec::new();
        for (position, key) in keys.iter().enumerate() {
            if let Some(buffer) = reservation.buffer(position) {
                buffer.write(&vec![byte; buffer.span().size_bytes as usize])?;
                mine.push(key.clone());
            }
        }
        require(manager.finish_write(&mine)?.all_succeeded(), "a reservation was lost")
    }

    /// Reads the prefix that is there.
    fn read(&self, keys: &[ObjectKey]) -> Outcome {
        const READERS: i64 = 2;
        let manager = &self.shared.manager;
        let row = GroupedObjectKeys {
            keys: keys.to_vec(),
            object_group_id: 0,
            layout: layout(PAGE_BYTES)?,
            sliding_window_size: -1,
        };
        let spec = PrefetchTaskSpec {
            key_groups: vec![row],
            num_kv_readers: READERS,
            fetching_policy: FetchingPolicy::Prefix,
            lock_mode: LockMode::Lock,
        };
        let handle = manager.submit_prefetch_task(&spec, "", false)?;
        let result = manager.query_prefetch_status(&handle).ok_or("a prefetch without result")?;
        let held = &keys[..result.hit_count()];
        let context = manager.read_prefetched_results(held, None)?;
        for object in context.objects().ok_or("what a prefetch locked cannot be read")? {
            let mut bytes = vec![0; object.span().size_bytes as usize];
            require(object.read_into(&mut bytes) == bytes.len(), "an object was cut short")?;
            require(bytes.iter().all(|byte| *byte == bytes[0]), TORN)?;
            // Relaxed: a counter that orders nothing.
            self.shared.reads.fetch_add(1, Ordering::Relaxed);
        }
        context.exit(false);
        require(manager.finish_read_prefetched(held, READERS, None)?.all_succeeded(), "a read lock was lost")
    }
}

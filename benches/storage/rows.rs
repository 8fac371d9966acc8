//! How long the calls of a storage manager take per key, in batches of 16 keys, on one thread and on two.
//!
//! L1 holds 100,000 other objects. Each thread has keys of its own, of one model, and goes over one batch again and
//! again: what is measured is the manager, not the memory of the machine. The threads begin together. Rounds of all rows
//! take turns, the first does not count, and the best and the median of the others are printed.

use std::hint::black_box;
use std::sync::{Arc, Barrier};

use lmcache::clock::{Clock, monotonic_ns};
use lmcache::format::model::call::GroupedObjectKeys;
use lmcache::format::model::{
    ChunkHash, Dtype, FetchingPolicy, KeyScope, LockMode, MemoryLayoutDesc, ObjectKey, PrefetchTaskSpec,
};
use lmcache::storage::StorageManager;
use lmcache::storage::config::{Compat, EvictionPolicyKind, GIB_BYTES, StorageManagerConfig};

/// Keys of a call.
pub(crate) const BATCH: usize = 16;
/// How many objects L1 holds beside the batches that are measured.
pub(crate) const RESIDENT: usize = 100_000;
/// How many prompts a thread reads in turn, where it is more than one: no two calls after each other have the same keys.
const PROMPTS: usize = 256;
/// Calls of a round.
const CALLS: usize = 2_000;
const ROUNDS: usize = 41;

/// Something to measure: nanoseconds that `calls` calls took, without what is between them.
pub(crate) trait Work: Sync {
    /// `thread` is 0 or 1.
    fn run(&self, thread: usize, calls: usize) -> u64;
}

/// A line of the table.
pub(crate) struct Row {
    name: String,
    work: Box<dyn Work>,
    /// Nanoseconds per key on one thread, and keys per nanosecond on two, of each round.
    one: Vec<f64>,
    two: Vec<f64>,
}

impl Row {
    pub(crate) fn new(name: &str, work: impl Work + 'static) -> Self {
        Self { name: name.to_owned(), work: Box::new(work), one: Vec::new(), two: Vec::new() }
    }

    fn round(&mut self) {
        let keys = (CALLS * BATCH) as f64;
        self.one.push(self.work.run(0, CALLS) as f64 / keys);
        let (work, start) = (&self.work, Barrier::new(2));
        let spent = std::thread::scope(|scope| {
            let threads = [0, 1].map(|thread| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    work.run(thread, CALLS)
                })
            });
            threads.map(|thread| thread.join().expect("the thread ends"))
        });
        self.two.push(spent.iter().map(|ns| keys / *ns as f64).sum());
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures and prints.
pub(crate) fn run(rows: &mut [Row]) {
    for _ in 0..ROUNDS {
        rows.iter_mut().for_each(Row::round);
    }
    let (best, median_of) = ("best", "median");
    println!("{:<54} {:>19} {:>14} {:>10}", "ns per key", "1 thread", "2 threads", "times");
    println!("{:<54} {best:>9} {median_of:>9} {median_of:>14}", "");
    for row in rows {
        let (one, two) = (median(&mut row.one[1..]), median(&mut row.two[1..]));
        let (name, best) = (&row.name, row.one[1]);
        println!("{name:<54} {best:>9.1} {one:>9.1} {:>14.1} {:>9.2}x", 2.0 / two, two * one);
    }
}

/// Keys of one model.
pub(crate) fn keys(count: usize) -> Vec<ObjectKey> {
    let scope = Arc::new(KeyScope::new("model", 0x0100_0100, 0, "").expect("a scope"));
    let hash = |i: usize| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        ChunkHash::new(&bytes)
    };
    (0..count).map(|i| ObjectKey::new(hash(i), Arc::clone(&scope))).collect()
}

fn layout() -> MemoryLayoutDesc {
    let bfloat16 = Dtype::from_name("torch.bfloat16").expect("a dtype");
    MemoryLayoutDesc::new(vec![(Box::new([2, 256, 1024]), bfloat16)]).expect("a layout")
}

/// The row of the name `wanted`, or all that have it in their names.
pub(crate) fn rows(wanted: &str) -> Vec<Row> {
    let managers = [
        ("LRU", Compat::Native, EvictionPolicyKind::Lru),
        ("ARC", Compat::Native, EvictionPolicyKind::Arc),
        ("LMCache's LRU", Compat::Lmcache, EvictionPolicyKind::Lru),
    ];
    let mut rows = Vec::new();
    for (name, compat, policy) in managers {
        let [write, read] =
            ["reserve + finish write", "prefetch + read + finish"].map(|what| format!("{what}, {name}"));
        if !write.contains(wanted) && !read.contains(wanted) {
            continue;
        }
        let keys = keys(RESIDENT + 2 * BATCH);
        let manager = Arc::new(manager(compat, policy, &keys[..RESIDENT]));
        let writes =
            Write { manager: Arc::clone(&manager), keys: keys[RESIDENT..].to_vec(), layout: layout() };
        rows.push(Row::new(&write, writes));
        let reads = |count| Read { manager: Arc::clone(&manager), prompts: prompts(&keys, count) };
        rows.push(Row::new(&read, reads(1)));
        rows.push(Row::new(&format!("{read}, {PROMPTS} in turn"), reads(PROMPTS)));
    }
    let floor = "the read, LRU, a manager for each";
    if floor.contains(wanted) {
        rows.push(Row::new(
            floor,
            ReadApart([(); 2].map(|()| reader(Compat::Native, EvictionPolicyKind::Lru))),
        ));
    }
    let is_name = rows.iter().any(|row| row.name == wanted);
    rows.retain(|row| if is_name { row.name == wanted } else { row.name.contains(wanted) });
    rows
}

/// `count` prompts for each of two threads.
fn prompts(keys: &[ObjectKey], count: usize) -> [Vec<PrefetchTaskSpec>; 2] {
    [0, RESIDENT / 2].map(|first| keys[first..][..count * BATCH].chunks(BATCH).map(spec).collect())
}

fn reader(compat: Compat, policy: EvictionPolicyKind) -> Read {
    let keys = keys(RESIDENT);
    let manager = Arc::new(manager(compat, policy, &keys));
    Read { manager, prompts: prompts(&keys, 1) }
}

fn manager(compat: Compat, policy: EvictionPolicyKind, resident: &[ObjectKey]) -> StorageManager {
    let mut config = StorageManagerConfig::l1_only(200 * GIB_BYTES, policy);
    config.compat = compat;
    let manager = StorageManager::with_clock(config, Clock::system()).expect("a manager");
    for batch in resident.chunks(1000) {
        manager.reserve_write(batch, &layout()).expect("open");
        manager.finish_write(batch).expect("open");
    }
    manager
}

fn spec(batch: &[ObjectKey]) -> PrefetchTaskSpec {
    let keys = batch.to_vec();
    let row = GroupedObjectKeys { keys, object_group_id: 0, layout: layout(), sliding_window_size: -1 };
    PrefetchTaskSpec {
        key_groups: vec![row],
        num_kv_readers: 1,
        fetching_policy: FetchingPolicy::Prefix,
        lock_mode: LockMode::Lock,
    }
}

/// `reserve_write` and `finish_write`; what was written is deleted between, which is not timed.
struct Write {
    manager: Arc<StorageManager>,
    keys: Vec<ObjectKey>,
    layout: MemoryLayoutDesc,
}

impl Work for Write {
    fn run(&self, thread: usize, calls: usize) -> u64 {
        let batch = &self.keys[thread * BATCH..][..BATCH];
        let mut spent_ns = 0;
        for _ in 0..calls {
            let start_ns = monotonic_ns();
            black_box(self.manager.reserve_write(batch, &self.layout).expect("open"));
            black_box(self.manager.finish_write(batch).expect("open"));
            spent_ns += monotonic_ns() - start_ns;
            self.manager.delete_l1_keys(batch, false);
        }
        spent_ns
    }
}

/// What an engine does with a prompt that is in L1: submit, query, enter, objects, exit, finish.
struct Read {
    manager: Arc<StorageManager>,
    /// Of each thread: the prompts that it reads in turn.
    prompts: [Vec<PrefetchTaskSpec>; 2],
}

impl Work for Read {
    fn run(&self, thread: usize, calls: usize) -> u64 {
        let start_ns = monotonic_ns();
        for spec in self.prompts[thread].iter().cycle().take(calls) {
            let batch = &spec.key_groups[0].keys;
            let handle = self.manager.submit_prefetch_task(spec, "request", false).expect("open");
            black_box(self.manager.query_prefetch_status(&handle));
            let context = self.manager.read_prefetched_results(batch, None).expect("one L1");
            assert_eq!(black_box(context.objects()).map(|objects| objects.len()), Some(BATCH));
            context.exit(false);
            black_box(self.manager.finish_read_prefetched(batch, 1, None).expect("one L1"));
        }
        monotonic_ns() - start_ns
    }
}

/// The threads share nothing: how much two of them do more than one on this machine at best.
struct ReadApart([Read; 2]);

impl Work for ReadApart {
    fn run(&self, thread: usize, calls: usize) -> u64 {
        self.0[thread].run(thread, calls)
    }
}

/// A key like `key` of another hash.
pub(crate) fn nth_copy(key: &ObjectKey, number: u64) -> ObjectKey {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(key.chunk_hash().as_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    ObjectKey::new(ChunkHash::new(&bytes), Arc::clone(key.scope()))
}

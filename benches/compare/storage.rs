//! The storage manager beside NVIDIA's `kvbm-logical`: the rows of the package's own bench `storage`, and
//! * its write: 16 blocks allocated, staged, registered and let go of; the pool is full, so each evicts one, which it does
//!   within the call that we time;
//! * its read: 16 registered blocks matched and let go of.
//!
//! It keeps blocks, not bytes, by hashes of 128 bits; it counts uses instead of locking for a time.
//!
//! ```text
//! cd benches/compare && cargo bench --bench storage
//! ```

#[path = "../storage/rows.rs"]
#[expect(dead_code, reason = "the metadata of the package's own bench needs more of it")]
mod rows;

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use kvbm_logical::manager::FrequencyTrackingCapacity;
use kvbm_logical::{BlockManager, BlockRegistry, SequenceHash};
use lmcache::clock::monotonic_ns;
use rows::{BATCH, RESIDENT, Row, Work};

const BLOCK_TOKENS: usize = 16;

#[derive(Clone, Debug)]
struct HostMemory;

type Blocks = BlockManager<HostMemory>;

fn main() {
    let mut rows = rows::rows("");
    let resident: Vec<SequenceHash> = (0..RESIDENT as u64).map(hash).collect();
    let batches = [0, RESIDENT / 2].map(|first| resident[first..first + BATCH].to_vec());
    rows.push(Row::new("kvbm-logical match", Match { manager: full_of(&resident), batches }));
    let next = AtomicU64::new(RESIDENT as u64);
    rows.push(Row::new("kvbm-logical register, evict", Register { manager: full_of(&resident), next }));
    rows::run(&mut rows);
}

fn full_of(resident: &[SequenceHash]) -> Blocks {
    let manager = manager();
    resident.chunks(BATCH).for_each(|batch| write(&manager, batch));
    manager
}

fn manager() -> Blocks {
    let tracker = FrequencyTrackingCapacity::Medium.create_tracker();
    let registry = BlockRegistry::builder().frequency_tracker(tracker).build();
    Blocks::builder()
        .block_count(RESIDENT)
        .block_size(BLOCK_TOKENS)
        .registry(registry)
        .with_lru_backend()
        .build()
        .expect("a manager")
}

fn hash(number: u64) -> SequenceHash {
    SequenceHash::new(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), None, number % BATCH as u64)
}

fn write(manager: &Blocks, hashes: &[SequenceHash]) {
    let blocks = manager.allocate_blocks(hashes.len()).expect("blocks that nobody uses");
    let staged = blocks.into_iter().zip(hashes).map(|(block, hash)| {
        block.stage(*hash, manager.block_size()).unwrap_or_else(|_| unreachable!("the size is right"))
    });
    black_box(manager.register_blocks(staged.collect()));
}

struct Register {
    manager: Blocks,
    next: AtomicU64,
}

impl Work for Register {
    fn run(&self, _thread: usize, calls: usize) -> u64 {
        let mut spent_ns = 0;
        for _ in 0..calls {
            let first = self.next.fetch_add(BATCH as u64, Ordering::Relaxed);
            let hashes: [SequenceHash; BATCH] = std::array::from_fn(|i| hash(first + i as u64));
            let start_ns = monotonic_ns();
            write(&self.manager, &hashes);
            spent_ns += monotonic_ns() - start_ns;
        }
        spent_ns
    }
}

struct Match {
    manager: Blocks,
    batches: [Vec<SequenceHash>; 2],
}

impl Work for Match {
    fn run(&self, thread: usize, calls: usize) -> u64 {
        let start_ns = monotonic_ns();
        for _ in 0..calls {
            let matched = self.manager.match_blocks(&self.batches[thread]);
            assert_eq!(black_box(matched).len(), BATCH);
        }
        monotonic_ns() - start_ns
    }
}

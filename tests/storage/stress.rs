//! Many threads on few keys: afterwards the books must be right, and no reader may ever see a torn object.

use std::sync::atomic::{AtomicU64, Ordering};

use lmcache::clock::Clock;
use lmcache::format::model::call::GroupedObjectKeys;
use lmcache::format::model::{FetchingPolicy, LockMode, ObjectKey, PrefetchTaskSpec};
use lmcache::storage::config::{Compat, EvictionPolicyKind, StorageManagerConfig};
use lmcache::storage::{L1Error, StorageManager};

use crate::support::{PAGE, keys, layout};

const THREADS: u64 = 4;
const ROUNDS: u64 = 1_500;
const KEYS: u32 = 64;

/// A small random number generator (xorshift), so that a failure comes back with its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

struct Worker<'a> {
    manager: &'a StorageManager,
    keys: &'a [ObjectKey],
    random: Random,
    reads: &'a AtomicU64,
}

impl Worker<'_> {
    fn run(&mut self) {
        for _ in 0..ROUNDS {
            let first = self.random.below(u64::from(KEYS) - 8) as usize;
            let keys = &self.keys[first..first + 1 + self.random.below(8) as usize];
            match self.random.below(10) {
                0..=3 => self.write(keys),
                4..=7 => self.read(keys),
                8 => {
                    self.manager.delete_l1_keys(keys, false);
                    self.manager.touch_l1_keys(keys);
                }
                _ => {
                    let pass = self.manager.evict_l1_once().pop().unwrap();
                    assert!(pass.victims.unwrap().iter().all(|(_, code)| *code == L1Error::Success));
                }
            }
        }
    }

    /// Every object holds one byte, over and over; which one is the writer's choice.
    fn write(&mut self, keys: &[ObjectKey]) {
        let size_bytes = 1 + self.random.below(2 * PAGE);
        let reservation = self.manager.reserve_write(keys, &layout(size_bytes)).unwrap();
        let byte = self.random.below(256) as u8;
        for buffer in reservation.buffers() {
            buffer.write(&vec![byte; size_bytes as usize]).unwrap();
        }
        let mine: Vec<_> = (0..keys.len())
            .filter(|position| reservation.buffer(*position).is_some())
            .map(|position| keys[position].clone())
            .collect();
        assert!(self.manager.finish_write(&mine).unwrap().all_succeeded());
    }

    fn read(&mut self, keys: &[ObjectKey]) {
        let row = GroupedObjectKeys {
            keys: keys.to_vec(),
            object_group_id: 0,
            layout: layout(PAGE),
            sliding_window_size: -1,
        };
        let spec = PrefetchTaskSpec {
            key_groups: vec![row],
            num_kv_readers: 2,
            fetching_policy: FetchingPolicy::Prefix,
            lock_mode: LockMode::Lock,
        };
        let handle = self.manager.submit_prefetch_task(&spec, "", false).unwrap();
        let hits = self.manager.query_prefetch_status(&handle).unwrap().hit_count();
        let held = &keys[..hits];
        let context = self.manager.read_prefetched_results(held, None).unwrap();
        for object in context.objects().expect("what a prefetch locked can be read") {
            let mut bytes = vec![0; object.span().size_bytes as usize];
            assert_eq!(object.read_into(&mut bytes), bytes.len());
            assert!(bytes.iter().all(|byte| *byte == bytes[0]), "a torn object");
            self.reads.fetch_add(1, Ordering::Relaxed);
        }
        assert!(context.exit(false).is_empty());
        assert!(self.manager.finish_read_prefetched(held, 2, None).unwrap().all_succeeded());
    }
}

#[test]
fn threads_leave_the_books_right_and_the_objects_whole() {
    // With small units L1 has 64 shards, with pages it has one.
    let shapes = [
        (EvictionPolicyKind::Lru, Compat::Native, 64),
        (EvictionPolicyKind::Lru, Compat::Lmcache, PAGE),
        (EvictionPolicyKind::Arc, Compat::Native, PAGE),
    ];
    for (policy, compat, align_bytes) in shapes {
        let mut config = StorageManagerConfig::l1_only(48 * PAGE, policy);
        config.compat = compat;
        config.l1_managers[0].memory.align_bytes = align_bytes;
        config.l1_managers[0].eviction.trigger_watermark = 0.5;
        let manager = StorageManager::with_clock(config, Clock::system()).unwrap();
        let (keys, reads) = (keys(0, KEYS), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for seed in 1..=THREADS {
                let mut worker = Worker {
                    manager: &manager,
                    keys: &keys,
                    random: Random(seed * 0x9e37_79b9),
                    reads: &reads,
                };
                scope.spawn(move || worker.run());
            }
        });
        assert!(reads.load(Ordering::Relaxed) > 100, "readers found something");
        assert!(manager.stats().evicted_keys > 0);
        check_books(&manager);
        manager.clear(false);
        assert_eq!(manager.get_l1_usage().0, 0);
        assert!(manager.memcheck());
    }
}

/// Nothing is locked or staged, and what the objects take up is what the allocator says is in use.
fn check_books(manager: &StorageManager) {
    let status = manager.report_status().l1_manager.unwrap();
    let objects = manager.l1_manager().objects();
    assert_eq!((status.read_locked_count, status.staging_object_count, status.staging_bytes), (0, 0, 0));
    assert_eq!(status.total_object_count, objects.len() as u64);
    let taken: u64 = objects.iter().map(|object| object.span.phy_size_bytes).sum();
    assert_eq!(status.memory_used_bytes, taken);
    let apart = objects
        .windows(2)
        .all(|pair| pair[0].span.offset_bytes + pair[0].span.phy_size_bytes <= pair[1].span.offset_bytes);
    assert!(apart, "two objects overlap");
    assert!(manager.memcheck());
}

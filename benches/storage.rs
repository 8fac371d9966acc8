//! How long the calls of a storage manager take, per batch of 16 keys.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use std::hint::black_box;
use std::sync::Arc;

use lmcache::clock::Clock;
use lmcache::format::model::call::GroupedObjectKeys;
use lmcache::format::model::{
    ChunkHash, Dtype, FetchingPolicy, KeyScope, LockMode, MemoryLayoutDesc, ObjectKey, PrefetchTaskSpec,
};
use lmcache::storage::StorageManager;
use lmcache::storage::config::{EvictionPolicyKind, GIB_BYTES, StorageManagerConfig};

const BATCH: usize = 16;
/// How many objects L1 holds beside the batch that is measured.
const RESIDENT: usize = 100_000;

fn keys(count: usize) -> Vec<ObjectKey> {
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

fn manager(policy: EvictionPolicyKind) -> (StorageManager, Vec<ObjectKey>) {
    let config = StorageManagerConfig::l1_only(200 * GIB_BYTES, policy);
    let manager = StorageManager::with_clock(config, Clock::system()).expect("a manager");
    let keys = keys(RESIDENT + BATCH);
    for batch in keys[BATCH..].chunks(1000) {
        manager.reserve_write(batch, &layout()).expect("open");
        manager.finish_write(batch).expect("open");
    }
    (manager, keys)
}

fn write(c: &mut Criterion) {
    let mut group = c.benchmark_group("reserve+finish");
    group.throughput(Throughput::Elements(BATCH as u64));
    for policy in [EvictionPolicyKind::Lru, EvictionPolicyKind::Arc] {
        let (manager, keys) = manager(policy);
        let (batch, layout) = (&keys[..BATCH], layout());
        group.bench_function(policy.name(), |b| {
            b.iter_custom(|rounds| {
                let mut spent = std::time::Duration::ZERO;
                for _ in 0..rounds {
                    let start_ns = lmcache::clock::monotonic_ns();
                    black_box(manager.reserve_write(batch, &layout).expect("open"));
                    black_box(manager.finish_write(batch).expect("open"));
                    spent += std::time::Duration::from_nanos(lmcache::clock::monotonic_ns() - start_ns);
                    manager.delete_l1_keys(batch, false);
                }
                spent
            });
        });
    }
    group.finish();
}

fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("prefetch+read+finish");
    group.throughput(Throughput::Elements(BATCH as u64));
    for policy in [EvictionPolicyKind::Lru, EvictionPolicyKind::Arc] {
        let (manager, keys) = manager(policy);
        let batch = &keys[RESIDENT / 2..RESIDENT / 2 + BATCH];
        let row = GroupedObjectKeys {
            keys: batch.to_vec(),
            object_group_id: 0,
            layout: layout(),
            sliding_window_size: -1,
        };
        let spec = PrefetchTaskSpec {
            key_groups: vec![row],
            num_kv_readers: 1,
            fetching_policy: FetchingPolicy::Prefix,
            lock_mode: LockMode::Lock,
        };
        group.bench_function(policy.name(), |b| {
            b.iter(|| {
                let handle = manager.submit_prefetch_task(&spec, "request", false).expect("open");
                black_box(manager.query_prefetch_status(&handle));
                let context = manager.read_prefetched_results(batch, None).unwrap();
                black_box(context.objects());
                context.exit(false);
                manager.finish_read_prefetched(batch, 1, None).unwrap()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, write, read);
criterion_main!(benches);

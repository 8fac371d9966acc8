//! Hours of use in seconds: threads that write, prefetch, read, cancel, delete and evict at once, over adapters that
//! fail, drop and delay, and that come and go; checked against what a sequential run would allow.
//!
//! The bytes of an object follow from its key, so whoever reads can tell whose they are. What may happen to an object is
//! little: it is there with its bytes, or it is not there. What must hold at the end is the books: nothing is locked, held
//! or pinned, every request was answered, memory in use is that of the objects, and what an adapter counts is what it
//! has.
//!
//! `LMCACHE_STRESS_SECONDS` makes it run longer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lmcache::clock::{NS_PER_S, monotonic_ns};
use lmcache::format::model::{FetchingPolicy, LockMode, ObjectKey};
use lmcache::storage::config::{Compat, EvictionMeasure, EvictionPolicyKind, L2AdapterConfig, StorePolicy};
use lmcache::storage::{L1Owners, StorageManager, StorageManagerBuilder};

use crate::support::{PAGE, config, hit_keys, keys, layout, payload, spec};

const THREADS: u64 = 4;
const OBJECTS: u32 = 160;
const L1_PAGES: u64 = 64;

/// Xorshift: the same sequence for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    /// A stretch of the objects, as a prompt has it.
    fn keys(&mut self, all: &[ObjectKey], longest: u64) -> Vec<ObjectKey> {
        let first = self.next(all.len() as u64) as usize;
        let count = 1 + self.next(longest) as usize;
        all.iter().cycle().skip(first).take(count).cloned().collect()
    }
}

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    read: AtomicU64,
    from_l2: AtomicU64,
    cancelled: AtomicU64,
}

struct Worker<'a> {
    manager: &'a StorageManager,
    all: &'a [ObjectKey],
    counts: &'a Counts,
    random: Random,
}

impl Worker<'_> {
    fn step(&mut self) {
        match self.random.next(20) {
            0..=5 => self.write(),
            6..=14 => self.read(),
            15 => drop(self.manager.delete_l1_keys(&self.random.keys(self.all, 8), false)),
            16 => self.manager.touch_l1_keys(&self.random.keys(self.all, 8)),
            17 => drop(self.manager.evict_l1_once()),
            18 => drop(self.manager.evict_l2_once()),
            _ => assert!(self.manager.memcheck()),
        }
    }

    fn write(&mut self) {
        let keys = self.random.keys(self.all, 8);
        let reservation = self.manager.reserve_write(&keys, &layout(PAGE)).expect("no error");
        let mut groups: Vec<(u32, Vec<ObjectKey>)> = Vec::new();
        for (position, key) in keys.iter().enumerate() {
            let Some(buffer) = reservation.buffer(position) else { continue };
            buffer.write(&payload(key)).expect("no error");
            let owner = reservation.owner(position);
            match groups.iter_mut().find(|(other, _)| *other == owner) {
                Some((_, keys)) => keys.push(key.clone()),
                None => groups.push((owner, vec![key.clone()])),
            }
        }
        let borrowed: Vec<_> = groups.iter().map(|(owner, keys)| (*owner, keys.as_slice())).collect();
        let finished = self.manager.finish_write_by_owner(&borrowed).expect("no error");
        assert!(finished.iter().all(|codes| codes.all_succeeded()), "who reserved can finish");
        self.counts.written.fetch_add(keys.len() as u64, Ordering::Relaxed);
    }

    fn read(&mut self) {
        let keys = self.random.keys(self.all, 24);
        let mut spec = spec(&keys);
        spec.lock_mode = if self.random.next(8) == 0 { LockMode::NoLock } else { LockMode::Lock };
        spec.fetching_policy =
            if self.random.next(4) == 0 { FetchingPolicy::Full } else { FetchingPolicy::Prefix };
        let skip_l2 = self.random.next(8) == 0;
        let handle = self.manager.submit_prefetch_task(&spec, "", skip_l2).expect("no error");
        if self.random.next(6) == 0 {
            self.counts.cancelled.fetch_add(1, Ordering::Relaxed);
            return self.manager.cancel_prefetch(&handle, &spec);
        }
        assert!(self.manager.wait_prefetch_status(&handle, Duration::from_secs(60)), "an answer comes");
        let result = self.manager.query_prefetch_status(&handle).expect("asked for once");
        self.counts.from_l2.fetch_add(result.l2_hit_cells[0].popcount() as u64, Ordering::Relaxed);
        if spec.lock_mode == LockMode::NoLock {
            return;
        }
        let held = hit_keys(&keys, &result);
        let owners: Option<L1Owners> =
            (self.manager.l1_managers().len() > 1).then(|| result.l1_owners.into_iter().collect());
        let context = self.manager.read_prefetched_results(&held, owners.as_ref()).expect("no error");
        let objects = context.objects().expect("what a prefetch locked is there");
        for (object, key) in objects.iter().zip(&held) {
            let mut bytes = vec![0; PAGE as usize];
            object.read_into(&mut bytes);
            assert!(bytes == payload(key), "the bytes of {} are somebody else's", key.view());
        }
        self.counts.read.fetch_add(objects.len() as u64, Ordering::Relaxed);
        drop(objects);
        context.exit(false);
        let released = self.manager.finish_read_prefetched(&held, 1, owners.as_ref()).expect("no error");
        assert!(released.all_succeeded(), "nobody takes a reader's lock");
    }
}

fn adapter(json: &str) -> L2AdapterConfig {
    L2AdapterConfig::from_json(json).expect("no error")
}

fn faulty() -> L2AdapterConfig {
    adapter(
        r#"{"type":"fault_inject","rate":0.1,"seed":7,"store_error_rate":0.1,"load_error_rate":0.05,
            "lookup_error_rate":0.05,"delay_ms":1,
            "inner":{"type":"mock","max_size_gb":0.0003,"mock_bandwidth_gb":50,"jitter_ms":1},
            "eviction":{"eviction_policy":"LRU","trigger_watermark":0.8,"eviction_ratio":0.3}}"#,
    )
}

/// What holds when everybody has stopped.
fn assert_books(manager: &StorageManager) {
    assert!(manager.flush_stores(Duration::from_secs(60)), "stores end");
    let deadline_ns = monotonic_ns() + 60 * NS_PER_S;
    while manager.outstanding_tasks() > 0 && monotonic_ns() < deadline_ns {
        std::thread::yield_now();
    }
    assert_eq!(manager.outstanding_tasks(), 0);
    let status = manager.report_status();
    assert!(status.is_healthy, "{status:?}");
    let prefetch = status.prefetch_controller;
    assert_eq!((prefetch.in_flight_request_count, prefetch.pending_queue_size), (0, 0));
    for (tag, l1) in &status.l1_managers {
        assert_eq!((l1.read_locked_count, l1.write_locked_count, l1.staging_bytes), (0, 0, 0), "{tag}");
        assert_eq!(l1.temporary_count, 0, "{tag}");
    }
    for l1 in manager.l1_managers() {
        let taken: u64 = l1.objects().iter().map(|object| object.span.phy_size_bytes).sum();
        assert_eq!(l1.get_memory_usage().0, taken, "memory in use is that of the objects");
    }
    assert!(manager.memcheck());
}

fn run(manager: &StorageManager, seconds: f64, churns: bool) -> Counts {
    let (all, counts, stop) = (keys(0, OBJECTS), Counts::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for seed in 1..=THREADS {
            let (all, counts, stop) = (&all, &counts, &stop);
            scope.spawn(move || {
                let random = Random(seed * 0x9e37_79b9);
                let mut worker = Worker { manager, all, counts, random };
                while !stop.load(Ordering::Relaxed) {
                    worker.step();
                }
            });
        }
        let end_ns = monotonic_ns() + (seconds * NS_PER_S as f64) as u64;
        while monotonic_ns() < end_ns {
            std::thread::park_timeout(Duration::from_millis(50));
            assert!(!manager.report_status().l1_managers.is_empty());
            if churns {
                let id = manager.add_l2_adapter(faulty()).expect("no error");
                std::thread::park_timeout(Duration::from_millis(20));
                manager.delete_l2_adapter(id, Duration::from_secs(60)).expect("no error");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    counts
}

fn seconds() -> f64 {
    std::env::var("LMCACHE_STRESS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(0.6)
}

#[test]
fn threads_faults_and_aborts_leave_the_books_right_and_the_objects_whole() {
    for (policy, by) in [
        (EvictionPolicyKind::Lru, EvictionMeasure::Keys),
        (EvictionPolicyKind::S3Fifo, EvictionMeasure::Bytes),
        (EvictionPolicyKind::Sieve, EvictionMeasure::Keys),
        (EvictionPolicyKind::Arc, EvictionMeasure::Bytes),
    ] {
        let mut config = config(Compat::Native, L1_PAGES);
        config.l1_managers[0].eviction.policy = policy;
        config.l1_managers[0].eviction.by = by;
        config.l1_managers[0].eviction.trigger_watermark = 0.8;
        config.store.retry_backoff_ms = 1;
        config.prefetch.timeout_ms = Some(20);
        config.l2_adapters = vec![faulty()];
        let manager = StorageManager::new(config).expect("no error");
        let counts = run(&manager, seconds(), true);
        assert_books(&manager);
        assert!(counts.read.load(Ordering::Relaxed) > 100, "{policy}: something was read");
        assert!(counts.from_l2.load(Ordering::Relaxed) > 0, "{policy}: something came from L2");
        assert!(counts.cancelled.load(Ordering::Relaxed) > 0, "{policy}");
        manager.close().expect("no error");
    }
}

#[test]
fn several_l1s_and_an_l1_that_only_buffers_hold_out_too() {
    let mut config = config(Compat::Native, L1_PAGES);
    let mut second = config.l1_managers[0].clone();
    second.tag = "second".to_owned();
    config.l1_managers.push(second);
    config.store_policy = StorePolicy::SkipL1;
    let mut other = adapter(r#"{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":100}"#);
    other.affinity_tag = "second".to_owned();
    config.l2_adapters = vec![faulty(), other];
    config.store.retry_backoff_ms = 1;
    let manager = StorageManagerBuilder::new(config).build().expect("no error");
    let counts = run(&manager, seconds(), false);
    assert_books(&manager);
    assert!(counts.read.load(Ordering::Relaxed) > 100);
}

#[test]
fn the_behaviour_of_lmcache_holds_out_as_far_as_it_can() {
    let mut config = config(Compat::Lmcache, L1_PAGES);
    config.l2_adapters = vec![adapter(r#"{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":100}"#)];
    let manager = StorageManager::new(config).expect("no error");
    let (all, counts) = (keys(0, OBJECTS), Counts::default());
    let mut worker = Worker { manager: &manager, all: &all, counts: &counts, random: Random(3) };
    for _ in 0..2000 {
        worker.write();
        manager.evict_l1_once();
        worker.read();
    }
    assert_books(&manager);
}

//! Causal order on calls that are made up: reads that come soon after writes, several L1s and adapters, stores that fail,
//! locks that run out. What they find is the same at every pace.

use lmcache::format::model::call::GroupedObjectKeys;
use lmcache::format::model::{
    Dtype, FetchingPolicy, LockMode, MemoryLayoutDesc, PrefetchTaskSpec, StorageCall, WriteMode,
};
use lmcache::replay::manager_target::ManagerTarget;
use lmcache::replay::{MissReason, Order, Pace, RecordBody, TimedRecord};
use lmcache::storage::config::{
    Compat, EvictionPolicyKind, L2AdapterConfig, PrefetchPolicy, StorageManagerConfig, StorePolicy,
};

use crate::causal::{self, Left, differences, play};
use crate::fakes::keys;

/// What L1 hands out at least, and here for every object.
const PAGE: u64 = 4096;

/// The bytes of an object.
const OBJECT_BYTES: u64 = 16;

/// Calls, each some time after the one before.
#[derive(Default)]
struct MadeCalls {
    records: Vec<TimedRecord>,
    now_ms: f64,
}

impl MadeCalls {
    fn wait_ms(&mut self, ms: f64) {
        self.now_ms += ms;
    }

    fn call(&mut self, call: StorageCall) {
        let (seq, t_mono_s) = (self.records.len() as u64, self.now_ms / 1e3);
        self.records.push(TimedRecord { seq, t_mono_s, body: RecordBody::Call(call) });
    }

    fn layout() -> MemoryLayoutDesc {
        let uint8 = Dtype::from_name("torch.uint8").expect("a type");
        MemoryLayoutDesc::new(vec![(Box::new([OBJECT_BYTES]), uint8)]).expect("a layout")
    }

    fn reserve(&mut self, names: &str) {
        let layout = Self::layout();
        self.call(StorageCall::ReserveWrite { keys: keys(names), layout, mode: WriteMode::New });
    }

    fn finish(&mut self, names: &str) {
        self.call(StorageCall::FinishWrite { keys: keys(names) });
    }

    fn write(&mut self, names: &str) {
        self.reserve(names);
        self.finish(names);
    }

    fn prefetch(&mut self, names: &str) {
        let row = GroupedObjectKeys {
            keys: keys(names),
            object_group_id: 0,
            layout: Self::layout(),
            sliding_window_size: -1,
        };
        let spec = PrefetchTaskSpec {
            key_groups: vec![row],
            num_kv_readers: 1,
            fetching_policy: FetchingPolicy::Prefix,
            lock_mode: LockMode::Lock,
        };
        let external_request_id = String::new();
        self.call(StorageCall::SubmitPrefetch { spec, external_request_id, skip_l2: false });
    }

    fn read(&mut self, names: &str) {
        self.call(StorageCall::ReadEnter { keys: keys(names) });
        self.call(StorageCall::ReadExit { keys: keys(names) });
    }

    fn release(&mut self, names: &str) {
        self.call(StorageCall::FinishRead { keys: keys(names), read_locks: 1 });
    }
}

fn adapter(json: &str) -> L2AdapterConfig {
    L2AdapterConfig::from_json(json).expect("an adapter")
}

/// A mock with room for so many objects.
fn mock_fields(objects: u64, latency_ms: f64) -> String {
    let gb = (objects * OBJECT_BYTES + 1) as f64 / f64::from(1 << 30);
    format!(r#""type":"mock","max_size_gb":{gb:.12},"mock_bandwidth_gb":10,"latency_ms":{latency_ms}"#)
}

const EVICTION: &str = r#""eviction":{"eviction_policy":"LRU","trigger_watermark":0.7,"eviction_ratio":0.2}"#;

fn mock(objects: u64, latency_ms: f64) -> L2AdapterConfig {
    adapter(&format!("{{{},{EVICTION}}}", mock_fields(objects, latency_ms)))
}

/// One L1 of so many pages, in which locks and reservations last a second.
fn config(pages: u64, compat: Compat) -> StorageManagerConfig {
    let mut config = causal::config(pages * PAGE, compat, &[]);
    let l1 = &mut config.l1_managers[0];
    (l1.write_ttl_seconds, l1.read_ttl_seconds) = (1, 1);
    config
}

/// Several of them, by the tags 0, 1 and so on.
fn config_of_several(pages: &[u64], compat: Compat) -> StorageManagerConfig {
    let mut config = config(1, compat);
    let first = config.l1_managers[0].clone();
    let l1 = |(position, pages): (usize, &u64)| {
        let mut l1 = first.clone();
        (l1.tag, l1.memory.size_bytes) = (position.to_string(), pages * PAGE);
        l1
    };
    config.l1_managers = pages.iter().enumerate().map(l1).collect();
    config
}

/// The calls leave the same at each of these paces, and with other adapters that only take another time. Returns what.
fn assert_repeats(
    name: &str,
    records: &[TimedRecord],
    [config, other]: [&StorageManagerConfig; 2],
    speeds: [f64; 2],
) -> Left {
    let workers = if config.l1_managers.len() == 1 { 2 } else { 1 };
    let speed = |factor| Pace::speed(factor).expect("a speed");
    let (first, _) = play(records, config, Pace::Asap, 1);
    let others =
        [(other, Pace::Asap, workers), (config, speed(speeds[0]), 1), (other, speed(speeds[1]), workers)];
    for (config, pace, workers) in others {
        let (left, _) = play(records, config, pace, workers);
        assert!(
            first == left,
            "{name} {:?} {pace:?} {workers}: {}",
            config.compat,
            differences(&first, &left)
        );
    }
    first
}

/// Each read comes after a write, and after another one that gives the store time to be done, or not.
fn reads_soon_after_writes() -> Vec<TimedRecord> {
    let mut made = MadeCalls::default();
    for name in "abcdefgh".chars() {
        let name = name.to_string();
        made.write(&name);
        made.wait_ms(40.0);
        made.finish("x");
        made.wait_ms(10.0);
        made.read(&name);
        made.release(&name);
        made.wait_ms(50.0);
    }
    made.records
}

/// Until a store is over, LMCache's holds a read lock, with which a read succeeds that has no lock itself.
#[test]
fn a_read_sees_no_store_under_way() {
    for compat in Compat::ALL {
        for policy in StorePolicy::ALL {
            let mut config = config(32, compat);
            config.store_policy = policy;
            config.l2_adapters = vec![mock(1000, 5.0)];
            let left = assert_repeats(policy.name(), &reads_soon_after_writes(), [&config; 2], [2.0, 50.0]);
            let reason = match policy {
                StorePolicy::Default => MissReason::NotLocked,
                StorePolicy::SkipL1 => MissReason::Evicted,
            };
            assert_eq!(left.misses.reads.found().collect::<Vec<_>>(), [(reason, 8)], "{compat:?} {policy:?}");
        }
    }
}

/// A reservation in the first L1 has run out when the key is reserved anew, in the second one.
#[test]
fn which_l1_holds_a_key_goes_by_the_time_of_the_trace() {
    let mut made = MadeCalls::default();
    made.reserve("bc");
    made.reserve("a");
    made.finish("bc");
    made.wait_ms(2500.0);
    made.reserve("a");
    made.wait_ms(100.0);
    made.finish("a");
    made.prefetch("a");
    made.read("a");
    made.release("a");
    for compat in Compat::ALL {
        let config = config_of_several(&[2, 8], compat);
        let left = assert_repeats("two L1s", &made.records, [&config; 2], [2.0, 1000.0]);
        assert_eq!((left.totals.hit_keys, left.totals.reads_found_nothing), (1, 0), "{compat:?}");
    }
}

/// The first chunk never comes, so the others are of no use, and stay in L1 in the order in which they became readable. Each
/// comes from another adapter.
#[test]
fn what_comes_first_from_several_adapters_is_no_matter_of_their_speed() {
    let mut made = MadeCalls::default();
    made.write("abc");
    made.write("wxyz"); // Seven of eight pages: four keys go, a, b and c first.
    made.wait_ms(1200.0);
    made.prefetch("abc");
    made.release("abc");
    made.write("pq"); // Seven again: four go, b or c last.
    made.wait_ms(1200.0);
    made.read("x");
    let config = |latencies_ms: [f64; 2], compat| {
        let mut config = config(8, compat);
        config.l1_managers[0].eviction.eviction_ratio = 0.6;
        config.prefetch_policy = PrefetchPolicy::Retain;
        let [one, other] = latencies_ms;
        let gap = mock_fields(2, one);
        let gap = format!(r#"{{"type":"fault_inject","rate":0,"gap_indices":[0],"inner":{{{gap}}}}}"#);
        config.l2_adapters = vec![adapter(&gap), mock(1000, other)];
        config
    };
    for compat in Compat::ALL {
        let configs = [[0.5, 20.0], [20.0, 0.5]].map(|ms| config(ms, compat));
        let left = assert_repeats("a gap", &made.records, configs.each_ref(), [100.0, 1000.0]);
        assert_eq!((left.totals.hit_keys, left.totals.requested_keys), (0, 3), "{compat:?}");
    }
}

/// What finds room there must not depend on how fast it grows.
#[test]
fn an_l1_that_grows_has_its_size_from_the_start() {
    const GROWN: u64 = 256 << 20;
    let mut config = config(1, Compat::Lmcache);
    let memory = &mut config.l1_managers[0].memory;
    (memory.size_bytes, memory.init_size_bytes, memory.use_lazy) = (GROWN, 64 << 20, true);
    let targets = ManagerTarget::of_all(config, Order::Causal, 1).expect("memory");
    assert_eq!(targets[0].manager().get_l1_usage(), (0, GROWN));
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % end
    }

    /// Up to so many names that lie beside each other.
    fn names(&mut self, most: u64) -> &'static str {
        const NAMES: &str = "abcdefghijklmn";
        let start = self.below(NAMES.len() as u64) as usize;
        let end = (start + 1 + self.below(most) as usize).min(NAMES.len());
        &NAMES[start..end]
    }
}

/// Calls over few keys: writes, some of which are never finished, and reads with and without a prefetch.
fn random_calls(seed: u64, steps: usize) -> Vec<TimedRecord> {
    let (mut random, mut made) = (Random(seed), MadeCalls::default());
    let mut open: Option<&str> = None;
    for _ in 0..steps {
        made.wait_ms([0.0, 0.0, 0.0, 15.0, 40.0, 40.0, 150.0, 600.0][random.below(8) as usize]);
        let names = random.names(4);
        match random.below(10) {
            0..=3 => made.write(names),
            4 => {
                made.reserve(names);
                open = Some(names);
            }
            5 => made.finish(open.take().unwrap_or(names)),
            6 => made.read(names),
            7 => {
                made.write(names);
                made.wait_ms([0.0, 20.0, 40.0][random.below(3) as usize]);
                made.read(names);
            }
            _ => {
                made.prefetch(names);
                made.wait_ms([0.0, 30.0][random.below(2) as usize]);
                made.read(names);
                if random.below(8) > 0 {
                    made.release(names);
                }
            }
        }
    }
    made.records
}

/// What can make a difference, by name. The two adapters take so many milliseconds.
fn random_configs(compat: Compat, [one_ms, other_ms]: [f64; 2]) -> Vec<(&'static str, StorageManagerConfig)> {
    let with = |pages: &[u64], adapters: Vec<L2AdapterConfig>| {
        let mut config = config_of_several(pages, compat);
        config.l2_adapters = adapters;
        (config.store.retry_backoff_ms, config.store.retries) = (30, 3);
        config
    };
    let tagged = |tag: &str, latency_ms| {
        let fields = mock_fields(12, latency_ms);
        adapter(&format!(r#"{{{fields},"affinity_tag":"{tag}",{EVICTION}}}"#))
    };
    let only = |adapter: L2AdapterConfig| L2AdapterConfig { affinity_tag: "0".to_owned(), ..adapter };
    let faulty = |objects, latency_ms, load_error_rate| {
        let inner = mock_fields(objects, latency_ms);
        only(adapter(&format!(
            r#"{{"type":"fault_inject","rate":0,"store_error_rate":0.3,"load_error_rate":{load_error_rate},{EVICTION},
                "inner":{{{inner}}}}}"#
        )))
    };
    let one = || with(&[8], vec![only(mock(12, one_ms))]);
    let two = || with(&[8], vec![only(mock(6, one_ms)), only(mock(12, other_ms))]);
    let skip_l1 = StorageManagerConfig { store_policy: StorePolicy::SkipL1, ..one() };
    let retaining = |config| StorageManagerConfig { prefetch_policy: PrefetchPolicy::Retain, ..config };
    let mut fifo = retaining(two());
    fifo.l1_managers[0].eviction.policy = EvictionPolicyKind::Fifo;
    vec![
        ("one adapter", one()),
        ("skip_l1", skip_l1),
        ("two adapters, retain, FIFO", fifo),
        ("two adapters, skip_l1", StorageManagerConfig { store_policy: StorePolicy::SkipL1, ..two() }),
        ("two L1s", with(&[3, 6], vec![tagged("0", one_ms), tagged("1", other_ms)])),
        ("stores that fail", with(&[8], vec![faulty(12, one_ms, 0.1)])),
        ("loads that fail", retaining(with(&[8], vec![faulty(6, one_ms, 0.3), faulty(12, other_ms, 0.3)]))),
    ]
}

/// Seeds that are tried for each configuration; `LMCACHE_SEEDS` tries more.
fn seeds() -> u64 {
    std::env::var("LMCACHE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1)
}

fn assert_random_calls_repeat(compat: Compat) {
    let (mut l2_hits, mut evicted, mut found_nothing) = (0, 0, 0);
    let [configs, others] = [[0.5, 1.5], [1.5, 0.5]].map(|ms| random_configs(compat, ms));
    for (number, ((name, config), (_, other))) in configs.iter().zip(&others).enumerate() {
        for seed in 0..seeds() {
            let records = random_calls(seed * 1000 + number as u64, 100);
            let left =
                assert_repeats(&format!("{name}, seed {seed}"), &records, [config, other], [20.0, 100.0]);
            l2_hits += left.totals.l2_hit_keys;
            evicted += left.totals.evicted_keys;
            found_nothing += left.totals.reads_found_nothing;
        }
    }
    assert!(l2_hits > 10 && evicted > 10 && found_nothing > 10, "{l2_hits} {evicted} {found_nothing}");
}

#[test]
fn random_calls_repeat_as_lmcache() {
    assert_random_calls_repeat(Compat::Lmcache);
}

#[test]
fn random_calls_repeat_natively() {
    assert_random_calls_repeat(Compat::Native);
}

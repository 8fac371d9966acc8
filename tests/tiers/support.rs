//! Managers with one or two mocks behind gates, on a clock that stands still.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use lmcache::clock::{Clock, ManualClock, NS_PER_S};
use lmcache::error::Result;
use lmcache::format::model::call::GroupedObjectKeys;
use lmcache::format::model::{
    ChunkHash, Dtype, FetchingPolicy, KeyScope, LockMode, MemoryLayoutDesc, ObjectKey, PrefetchTaskSpec,
};
use lmcache::storage::config::{
    Compat, EvictionPolicyKind, L2AdapterConfig, PrefetchConfig, StorageManagerConfig, StoreConfig,
};
use lmcache::storage::l2::mock::{MockAdapter, MockOptions};
use lmcache::storage::l2::{AdapterStatus, L2Adapter, Ledger, LoadTask, LookupTask, StoreOutcome, StoreTask};
use lmcache::storage::{Bitmap, PrefetchHandle, PrefetchResult, StorageManager, StorageManagerBuilder};

use crate::gate::{Gate, Kind};

pub(crate) const PAGE: u64 = 4096;

/// A mock that fails its next stores, as often as it is told to.
#[derive(Debug)]
pub(crate) struct Fragile {
    pub(crate) mock: MockAdapter,
    pub(crate) failures: AtomicU32,
    pub(crate) stores: Mutex<Vec<Vec<ObjectKey>>>,
    pub(crate) lookups: Mutex<Vec<usize>>,
    pub(crate) loads: Mutex<Vec<usize>>,
}

impl L2Adapter for Fragile {
    fn type_name(&self) -> &'static str {
        "mock"
    }

    fn submit_store(&self, task: StoreTask) {
        let keys: Vec<_> = task.objects.iter().map(|object| object.key.clone()).collect();
        self.stores.lock().expect("no error").push(keys);
        let fails =
            self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match fails {
            Ok(_) => {
                let failed = Bitmap::from_fn(task.objects.len(), |_| true);
                drop(task.objects);
                task.done.answer(StoreOutcome { refused: Bitmap::new(failed.len()), failed, bytes: 0 });
            }
            Err(_) => self.mock.submit_store(task),
        }
    }

    fn submit_lookup_and_lock(&self, task: LookupTask) {
        self.lookups.lock().expect("no error").push(task.keys.len());
        self.mock.submit_lookup_and_lock(task);
    }

    fn submit_unlock(&self, keys: &[ObjectKey]) {
        self.mock.submit_unlock(keys);
    }

    fn submit_load(&self, task: LoadTask) {
        self.loads.lock().expect("no error").push(task.objects.len());
        self.mock.submit_load(task);
    }

    fn delete(&self, keys: &[ObjectKey]) -> usize {
        self.mock.delete(keys)
    }

    fn ledger(&self) -> &Ledger {
        self.mock.ledger()
    }

    fn report_status(&self) -> AdapterStatus {
        self.mock.report_status()
    }

    fn close(&self) {
        self.mock.close();
    }
}

/// A manager under test.
pub(crate) struct Bench {
    pub(crate) manager: StorageManager,
    pub(crate) hand: ManualClock,
    pub(crate) mocks: Vec<Arc<Fragile>>,
    pub(crate) gates: Vec<Arc<Gate>>,
}

/// A configuration with an L1 of `pages`, and times to live of 10 s.
pub(crate) fn config(compat: Compat, pages: u64) -> StorageManagerConfig {
    let mut config = StorageManagerConfig::l1_only(pages * PAGE, EvictionPolicyKind::Lru);
    config.compat = compat;
    config.store = StoreConfig::for_compat(compat);
    config.prefetch = PrefetchConfig::for_compat(compat);
    config.l1_managers[0].write_ttl_seconds = 10;
    config.l1_managers[0].read_ttl_seconds = 10;
    config.l1_managers[0].eviction.trigger_watermark = 2.0;
    config
}

pub(crate) fn mock_config() -> L2AdapterConfig {
    L2AdapterConfig::from_json(r#"{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":1000000}"#)
        .expect("no error")
}

/// A mock and the gate before it.
type Made = (Arc<Fragile>, Arc<Gate>);

impl Bench {
    /// One mock.
    pub(crate) fn new(compat: Compat, pages: u64) -> Self {
        Self::with(config(compat, pages), 1)
    }

    pub(crate) fn with(config: StorageManagerConfig, adapters: usize) -> Self {
        Self::of(config, adapters, 1 << 30)
    }

    /// One mock that holds so much.
    pub(crate) fn with_capacity(config: StorageManagerConfig, capacity_bytes: u64) -> Self {
        Self::of(config, 1, capacity_bytes)
    }

    fn of(mut config: StorageManagerConfig, adapters: usize, capacity_bytes: u64) -> Self {
        config.l2_adapters = vec![mock_config(); adapters];
        let made: Arc<Mutex<Vec<Made>>> = Arc::default();
        let maker = Arc::clone(&made);
        let (clock, hand) = Clock::manual(NS_PER_S);
        let make = move |_: &L2AdapterConfig, context: &_| -> Result<Arc<dyn L2Adapter>> {
            let context: &lmcache::storage::l2::factory::AdapterContext = context;
            let options = MockOptions {
                capacity_bytes,
                delay: Default::default(),
                keeps_bytes: true,
                compat: context.compat,
            };
            let fragile = Arc::new(Fragile {
                mock: MockAdapter::new(options),
                failures: AtomicU32::new(0),
                stores: Mutex::default(),
                lookups: Mutex::default(),
                loads: Mutex::default(),
            });
            let gate = Arc::new(Gate::new(Arc::clone(&fragile) as Arc<dyn L2Adapter>));
            maker.lock().expect("no error").push((fragile, Arc::clone(&gate)));
            Ok(gate)
        };
        let manager = StorageManagerBuilder::new(config)
            .without_threads(clock)
            .adapter_factory(Arc::new(make))
            .build()
            .expect("no error");
        let (mocks, gates) = made.lock().expect("no error").iter().cloned().unzip();
        Self { manager, hand, mocks, gates }
    }

    /// Writes objects of one page, each filled with the first byte of its hash, and stores them.
    pub(crate) fn write(&self, keys: &[ObjectKey]) {
        let reservation = self.manager.reserve_write(keys, &layout(PAGE)).expect("no error");
        assert!(reservation.codes().all_succeeded());
        for (position, key) in keys.iter().enumerate() {
            reservation.buffer(position).expect("no error").write(&payload(key)).expect("no error");
        }
        assert!(self.manager.finish_write(keys).expect("no error").all_succeeded());
        self.manager.pump();
    }

    /// Writes objects that are in L2 alone afterwards.
    pub(crate) fn write_to_l2(&self, keys: &[ObjectKey]) {
        for keys in keys.chunks(4) {
            self.write(keys);
            self.manager.clear(true);
        }
    }

    pub(crate) fn submit(&self, spec: &PrefetchTaskSpec) -> PrefetchHandle {
        let handle = self.manager.submit_prefetch_task(spec, "", false).expect("no error");
        self.manager.pump();
        handle
    }

    pub(crate) fn prefetch(&self, spec: &PrefetchTaskSpec) -> PrefetchResult {
        let handle = self.submit(spec);
        self.manager.query_prefetch_status(&handle).expect("a result")
    }

    pub(crate) fn hold(&self, kind: Kind, hold: bool) {
        self.gates[0].hold(kind, hold);
        self.manager.pump();
    }

    /// Every object of `keys` can be read, and has its bytes.
    pub(crate) fn assert_readable(&self, keys: &[ObjectKey]) {
        let context = self.manager.read_prefetched_results(keys, None).expect("no error");
        for (object, key) in context.objects().expect("all of them").iter().zip(keys) {
            let mut bytes = vec![0; PAGE as usize];
            object.read_into(&mut bytes);
            assert!(bytes == payload(key), "the bytes of {}", key.view());
        }
    }

    /// Nothing is locked, reserved or held, in L1 or in L2.
    pub(crate) fn assert_idle(&self) {
        self.manager.pump();
        let status = self.manager.report_status();
        for l1 in status.l1_managers.values() {
            assert_eq!((l1.read_locked_count, l1.write_locked_count, l1.staging_object_count), (0, 0, 0));
        }
        assert!(self.mocks.iter().all(|mock| mock.mock.locked_keys().is_empty()));
        assert_eq!(self.manager.outstanding_tasks(), 0);
        assert!(self.manager.memcheck());
    }
}

pub(crate) fn payload(key: &ObjectKey) -> Vec<u8> {
    key.chunk_hash().as_bytes().iter().copied().cycle().take(PAGE as usize).collect()
}

pub(crate) fn keys(first: u32, count: u32) -> Vec<ObjectKey> {
    keys_of_group(0, first, count)
}

pub(crate) fn keys_of_group(group: u32, first: u32, count: u32) -> Vec<ObjectKey> {
    let scope = Arc::new(KeyScope::new("model", 0x0100_0100, group, "").expect("no error"));
    let key =
        |number: u32| ObjectKey::new(ChunkHash::new(&(number * 7 + 1).to_be_bytes()), Arc::clone(&scope));
    (first..first + count).map(key).collect()
}

pub(crate) fn layout(bytes: u64) -> MemoryLayoutDesc {
    let uint8 = Dtype::from_name("torch.uint8").expect("no error");
    MemoryLayoutDesc::new(vec![(Box::new([bytes]), uint8)]).expect("no error")
}

/// One row of pages, by prefix, with locks for one reader.
pub(crate) fn spec(keys: &[ObjectKey]) -> PrefetchTaskSpec {
    spec_of_rows(&[(keys.to_vec(), -1)])
}

pub(crate) fn spec_of_rows(rows: &[(Vec<ObjectKey>, i64)]) -> PrefetchTaskSpec {
    let row = |(keys, window): &(Vec<ObjectKey>, i64)| GroupedObjectKeys {
        keys: keys.clone(),
        object_group_id: keys.first().map_or(0, |key| key.scope().object_group_id()),
        layout: layout(PAGE),
        sliding_window_size: *window,
    };
    PrefetchTaskSpec {
        key_groups: rows.iter().map(row).collect(),
        num_kv_readers: 1,
        fetching_policy: FetchingPolicy::Prefix,
        lock_mode: LockMode::Lock,
    }
}

/// The hits, row by row.
pub(crate) fn hits(result: &PrefetchResult) -> Vec<String> {
    result.hit_cells.iter().map(Bitmap::to_string).collect()
}

/// The keys of the hits of a request of one row.
pub(crate) fn hit_keys(keys: &[ObjectKey], result: &PrefetchResult) -> Vec<ObjectKey> {
    result.hit_cells[0].ones().map(|cell| keys[cell].clone()).collect()
}

//! From a CUDA device to L1 and back, through the storage manager, on the fake driver.

use std::sync::Arc;

use lmcache::device::cuda::DeviceMemory;
use lmcache::device::{
    Device, EngineKvFormat as F, HostDevice, Memory, PageBufferShape, PagedLayout, Stream, Tensor,
};
use lmcache::format::model::{
    ChunkHash, Dtype, FetchingPolicy, GroupedObjectKeys, KeyScope, LockMode, MemoryLayoutDesc, ObjectKey,
    PrefetchTaskSpec,
};
use lmcache::storage::config::{EvictionPolicyKind, StorageManagerConfig};
use lmcache::storage::device::{DeviceRetrieve, DeviceStore, PagedPart, TransferTicket};
use lmcache::storage::{StorageManager, StorageManagerBuilder};

use crate::cases::memory_of;
use crate::cuda::{ENGINE, KERNEL, PATIENCE, options};
use crate::fake::{self, Variant, fake};

const LAYERS: u64 = 3;
const BLOCKS: u64 = 32;
const BLOCK_TOKENS: u64 = 4;
const OBJECT_TOKENS: u64 = 8;
const ROW_BYTES: u64 = 2 * 4 * 2;
const TENSOR_BYTES: u64 = 2 * BLOCKS * BLOCK_TOKENS * ROW_BYTES;

/// A cache of an engine, from `base` on.
fn layout(base: u64) -> PagedLayout {
    let (layers, blocks, block_tokens) = (LAYERS, BLOCKS, BLOCK_TOKENS);
    let (heads, head_size, element_bytes, block_stride_elements) = (2, 4, 2, 0);
    let shape = PageBufferShape {
        layers,
        blocks,
        block_tokens,
        heads,
        head_size,
        element_bytes,
        block_stride_elements,
    };
    let tensor = |i| Tensor { offset: base + i * TENSOR_BYTES, len_bytes: TENSOR_BYTES };
    PagedLayout::new(F::NL_X_NB_TWO_NH_BS_HS, shape, &[0, 1, 2].map(tensor)).expect("a layout")
}

fn keys(first: u32) -> Vec<ObjectKey> {
    let scope = Arc::new(KeyScope::new("model", 0x0100_0100, 0, "").expect("a scope"));
    let key = |i: u32| ObjectKey::new(ChunkHash::new(&i.to_be_bytes()), Arc::clone(&scope));
    (first..first + 4).map(key).collect()
}

fn objects() -> MemoryLayoutDesc {
    let bf16 = Dtype::from_name("torch.bfloat16").expect("a type");
    MemoryLayoutDesc::new(vec![(Box::new([2, LAYERS, OBJECT_TOKENS, 8]), bf16)]).expect("a layout")
}

/// The blocks of four objects, in an order that jumps.
fn table(seed: i64) -> Vec<i64> {
    (0..8).map(|i| (i * 5 + seed) % BLOCKS as i64).collect()
}

fn prefetch(manager: &StorageManager, keys: &[ObjectKey]) -> usize {
    let (keys, layout) = (keys.to_vec(), objects());
    let row = GroupedObjectKeys { keys, object_group_id: 0, layout, sliding_window_size: -1 };
    let (fetching_policy, lock_mode) = (FetchingPolicy::Prefix, LockMode::Lock);
    let spec = PrefetchTaskSpec { key_groups: vec![row], num_kv_readers: 1, fetching_policy, lock_mode };
    let handle = manager.submit_prefetch_task(&spec, "request", false).expect("a task");
    assert!(manager.wait_prefetch_status(&handle, PATIENCE));
    manager.query_prefetch_status(&handle).expect("a status").hit_count()
}

/// The objects of `keys` as L1 has them.
fn in_l1(manager: &StorageManager, keys: &[ObjectKey]) -> Vec<u8> {
    assert_eq!(prefetch(manager, keys), keys.len());
    let context = manager.read_prefetched_results(keys, None).expect("objects");
    let mut bytes = Vec::new();
    for object in context.objects().expect("objects") {
        let mut object_bytes = vec![0; (2 * LAYERS * OBJECT_TOKENS * ROW_BYTES) as usize];
        object.read_into(&mut object_bytes);
        bytes.extend(object_bytes);
    }
    drop(context);
    manager.finish_read_prefetched(keys, 1, None).expect("locks");
    bytes
}

/// An engine: its stream, its cache and its tables.
struct Engine<'a> {
    stream: &'a dyn Stream,
    layout: PagedLayout,
}

impl Engine<'_> {
    fn store(&self, manager: &StorageManager, keys: &[ObjectKey], table: &[i64]) -> TransferTicket {
        let (layout, skip_prefix_blocks) = (&self.layout, 0);
        let parts =
            [PagedPart { layout, block_ids: table, object_tokens: OBJECT_TOKENS, skip_prefix_blocks }];
        let request = DeviceStore { keys, layout: &objects(), parts: &parts, null_block: None };
        manager.store_from_device(&request, self.stream).expect("a ticket")
    }

    fn retrieve(&self, manager: &StorageManager, keys: &[ObjectKey], table: &[i64]) -> TransferTicket {
        let (layout, skip_prefix_blocks) = (&self.layout, 0);
        let parts =
            [PagedPart { layout, block_ids: table, object_tokens: OBJECT_TOKENS, skip_prefix_blocks }];
        let request = DeviceRetrieve { keys, parts: &parts, owners: None };
        manager.retrieve_to_device(&request, self.stream).expect("a ticket")
    }
}

fn is_good(manager: &StorageManager, ticket: &TransferTicket) -> bool {
    manager.wait_transfer(ticket, PATIENCE).expect("it is told").is_good()
}

/// What the reference device stores from the same pages.
fn by_the_reference(pages: &[u8], table: &[i64]) -> Vec<u8> {
    let manager = StorageManagerBuilder::new(config()).build().expect("a manager");
    let device = HostDevice::with_thread(memory_of(pages)).expect("a device");
    let stream = device.open_stream().expect("a stream");
    let engine = Engine { stream: &*stream, layout: layout(0) };
    assert!(is_good(&manager, &engine.store(&manager, &keys(0), table)));
    in_l1(&manager, &keys(0))
}

fn config() -> StorageManagerConfig {
    StorageManagerConfig::l1_only(64 << 12, EvictionPolicyKind::Lru)
}

fn random_pages(cache: &DeviceMemory) -> Vec<u8> {
    let pages: Vec<u8> = (0..3 * TENSOR_BYTES).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    cache.write(0, &pages).expect("the cache");
    pages
}

#[test]
fn what_is_stored_from_a_device_can_be_retrieved_whether_its_driver_knows_l1_or_not() {
    fake::run_inside("cuda_l1::inside_l1", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_l1() {
    let Some(fake) = fake() else { return };
    for (crossover, is_pinned) in [(KERNEL, true), (ENGINE, true), (KERNEL, false), (ENGINE, false)] {
        let device = fake.device(options(crossover));
        let mut builder = StorageManagerBuilder::new(config());
        if is_pinned {
            builder = builder.page_registrar(device.clone());
        }
        let manager = builder.build().expect("a manager");
        assert_eq!(fake.calls("cuMemHostRegister_v2") > 0, is_pinned);
        let cache = device.allocate(3 * TENSOR_BYTES).unwrap();
        let pages = random_pages(&cache);
        let stream = device.open_stream().unwrap();
        let engine = Engine { stream: &*stream, layout: layout(cache.address()) };
        let before = fake.calls("cuLaunchHostFunc");
        assert!(is_good(&manager, &engine.store(&manager, &keys(0), &table(0))));
        // One for the bell of each plan, and more only where a buffer stands between.
        assert_eq!(fake.calls("cuLaunchHostFunc") - before == 1, is_pinned);
        let stored = in_l1(&manager, &keys(0));
        assert!(stored == by_the_reference(&pages, &table(0)));
        // Into other blocks, and from there into other objects.
        assert_eq!(prefetch(&manager, &keys(0)), 4);
        assert!(is_good(&manager, &engine.retrieve(&manager, &keys(0), &table(3))));
        assert!(is_good(&manager, &engine.store(&manager, &keys(100), &table(3))));
        assert!(in_l1(&manager, &keys(100)) == stored);
        // The device is lost under a store and a retrieve: they fail, and L1 has what it had.
        fake.hold(1);
        let store = engine.store(&manager, &keys(200), &table(6));
        assert_eq!(prefetch(&manager, &keys(0)), 4);
        let retrieve = engine.retrieve(&manager, &keys(0), &table(6));
        fake.lose(719);
        assert!(!is_good(&manager, &store) && !is_good(&manager, &retrieve));
        fake.hold(0);
        assert!(!is_good(&manager, &engine.store(&manager, &keys(300), &table(6))));
        assert_eq!((prefetch(&manager, &keys(200)), prefetch(&manager, &keys(300))), (0, 0));
        assert!(in_l1(&manager, &keys(0)) == stored);
        let l1 = manager.report_status().l1_manager.expect("an L1");
        assert_eq!((l1.read_locked_count, l1.staging_object_count), (0, 0));
        drop((manager, cache, stream, device));
        fake.assert_clean("after L1");
        fake.sweep();
        fake.reset();
    }
}

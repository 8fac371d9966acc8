//! Engines, their pages, and managers to test with.

use std::sync::Arc;
use std::time::Duration;

use lmcache::clock::{Clock, ManualClock};
use lmcache::device::{
    Device, Direction, EngineKvFormat as F, HostDevice, ObjectSpan, PageBufferShape, PagedLayout,
    PagedTransfer, Plan, Stream, Tensor,
};
use lmcache::format::model::{
    ChunkHash, Dtype, FetchingPolicy, GroupedObjectKeys, KeyScope, LockMode, MemoryLayoutDesc, ObjectKey,
    PrefetchTaskSpec,
};
use lmcache::storage::StorageManager;
use lmcache::storage::config::{Compat, EvictionPolicyKind, StorageManagerConfig};
use lmcache::storage::device::{
    DeviceRetrieve, DeviceStore, ObjectOutcome, PagedPart, TransferOutcome, TransferTicket,
};

use crate::cases;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Tokens of a block, and of an object.
pub(crate) const BLOCK_TOKENS: u64 = 4;
pub(crate) const OBJECT_TOKENS: u64 = 8;
const OBJECT_BLOCKS: usize = (OBJECT_TOKENS / BLOCK_TOKENS) as usize;

/// The bytes of an object of an [`Engine`]: K and V of 3 layers, 8 tokens, 2 heads of 4 elements of 2 bytes.
pub(crate) const OBJECT_BYTES: u64 = 2 * 3 * OBJECT_TOKENS * 2 * 4 * 2;

/// What an object takes up in L1.
pub(crate) const PAGE: u64 = 4_096;

/// An engine with a cache of 64 blocks on a device of its own, and a stream.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) device: HostDevice,
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) layout: PagedLayout,
}

/// A cache in `format` of the model that all engines here serve.
pub(crate) fn layout_of(format: F) -> PagedLayout {
    let shape = PageBufferShape {
        layers: 3,
        blocks: 64,
        block_tokens: BLOCK_TOKENS,
        heads: 2,
        head_size: 4,
        element_bytes: 2,
        block_stride_elements: 0,
    };
    let count = PagedLayout::tensor_count(format, 3);
    let len_bytes = 2 * 3 * 64 * BLOCK_TOKENS * 2 * 4 * 2 / count;
    let tensors: Vec<_> = (0..count).map(|i| Tensor { offset: i * (len_bytes + 24), len_bytes }).collect();
    PagedLayout::new(format, shape, &tensors).unwrap()
}

fn memory_bytes(layout: &PagedLayout) -> u64 {
    let count = PagedLayout::tensor_count(layout.format(), 3);
    2 * 3 * 64 * BLOCK_TOKENS * 2 * 4 * 2 + count * 24
}

pub(crate) fn random_bytes(count: u64, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..count).map(next).collect()
}

impl Engine {
    /// An engine whose cache is full of random bytes, on a device that does nothing until it is pumped.
    pub(crate) fn new(format: F, seed: u64) -> Self {
        let layout = layout_of(format);
        let device = HostDevice::new(cases::memory_of(&random_bytes(memory_bytes(&layout), seed)));
        Self { stream: device.open_stream().unwrap(), device, layout }
    }

    /// The same with a thread.
    pub(crate) fn with_thread(format: F, seed: u64) -> Self {
        let layout = layout_of(format);
        let memory = cases::memory_of(&random_bytes(memory_bytes(&layout), seed));
        let device = HostDevice::with_thread(memory).unwrap();
        Self { stream: device.open_stream().unwrap(), device, layout }
    }

    pub(crate) fn part<'a>(&'a self, table: &'a [i64]) -> PagedPart<'a> {
        PagedPart {
            layout: &self.layout,
            block_ids: table,
            object_tokens: OBJECT_TOKENS,
            skip_prefix_blocks: 0,
        }
    }

    /// The objects that the blocks of `table` are, one behind the other.
    pub(crate) fn objects(&self, table: &[i64]) -> Vec<u8> {
        if table.is_empty() {
            return Vec::new();
        }
        let span = |i: usize| ObjectSpan { offset: i as u64 * OBJECT_BYTES, len_bytes: OBJECT_BYTES };
        let objects: Vec<_> = (0..table.len() / OBJECT_BLOCKS).map(span).collect();
        let plan = Plan::new(&[PagedTransfer {
            layout: &self.layout,
            block_ids: table,
            objects: &objects,
            object_tokens: OBJECT_TOKENS,
            skip_prefix_blocks: 0,
        }]);
        let host = vec![0; objects.len() * OBJECT_BYTES as usize];
        let device = cases::bytes_of(self.device.memory());
        cases::run(&plan.unwrap(), Direction::DeviceToHost, &device, &host).1
    }

    pub(crate) fn store(
        &self,
        manager: &StorageManager,
        keys: &[ObjectKey],
        table: &[i64],
    ) -> TransferTicket {
        let (layout, parts) = (layout(), [self.part(table)]);
        let request = DeviceStore { keys, layout: &layout, parts: &parts, null_block: None };
        manager.store_from_device(&request, &*self.stream).unwrap()
    }

    pub(crate) fn retrieve(
        &self,
        manager: &StorageManager,
        keys: &[ObjectKey],
        table: &[i64],
    ) -> TransferTicket {
        let parts = [self.part(table)];
        let request = DeviceRetrieve { keys, parts: &parts, owners: None };
        manager.retrieve_to_device(&request, &*self.stream).unwrap()
    }

    /// Does all that the device has to do, and what follows from it.
    pub(crate) fn finish(&self, manager: &StorageManager, ticket: &TransferTicket) -> Arc<TransferOutcome> {
        while self.device.pump() {}
        manager.wait_transfer(ticket, Duration::ZERO).expect("it is over")
    }

    /// Stores whole objects and waits.
    pub(crate) fn stored(&self, manager: &StorageManager, keys: &[ObjectKey], table: &[i64]) {
        let outcome = self.finish(manager, &self.store(manager, keys, table));
        assert!(outcome.is_good(), "{outcome:?}");
    }
}

/// Keys `first..first + count` of one model.
pub(crate) fn keys(first: u32, count: u32) -> Vec<ObjectKey> {
    let scope = Arc::new(KeyScope::new("model", 0x0100_0100, 0, "").unwrap());
    let key = |i: u32| ObjectKey::new(ChunkHash::new(&i.to_be_bytes()), Arc::clone(&scope));
    (first..first + count).map(key).collect()
}

/// The objects of every engine here.
pub(crate) fn layout() -> MemoryLayoutDesc {
    let bf16 = Dtype::from_name("torch.bfloat16").unwrap();
    MemoryLayoutDesc::new(vec![(Box::new([2, 3, OBJECT_TOKENS, 8]), bf16)]).unwrap()
}

/// A table of `objects` objects: all blocks of the cache from `seed` on, in an order that jumps.
pub(crate) fn table(objects: usize, seed: i64) -> Vec<i64> {
    (0..(objects * OBJECT_BLOCKS) as i64).map(|i| (i * 29 + seed) % 64).collect()
}

pub(crate) fn config(objects: u64, compat: Compat) -> StorageManagerConfig {
    let mut config = StorageManagerConfig::l1_only(objects * PAGE, EvictionPolicyKind::Lru);
    config.compat = compat;
    config.l1_managers[0].write_ttl_seconds = 10;
    config.l1_managers[0].read_ttl_seconds = 10;
    config
}

/// A manager for so many objects, without threads, on a clock that stands still.
pub(crate) fn manager(objects: u64) -> (StorageManager, ManualClock) {
    let (clock, hand) = Clock::manual(1);
    (StorageManager::with_clock(config(objects, Compat::Native), clock).unwrap(), hand)
}

/// Locks `keys` for one reader, as a lookup does.
pub(crate) fn prefetch(manager: &StorageManager, keys: &[ObjectKey]) -> usize {
    let row = GroupedObjectKeys {
        keys: keys.to_vec(),
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
    let handle = manager.submit_prefetch_task(&spec, "request", false).unwrap();
    assert!(manager.wait_prefetch_status(&handle, PATIENCE));
    manager.query_prefetch_status(&handle).unwrap().hit_count()
}

/// The objects of `keys` as L1 has them; none if one is missing.
pub(crate) fn in_l1(manager: &StorageManager, keys: &[ObjectKey]) -> Option<Vec<u8>> {
    let found = prefetch(manager, keys);
    let context = manager.read_prefetched_results(keys, None).unwrap();
    let mut bytes = Vec::new();
    for object in context.objects().unwrap_or_default() {
        let mut object_bytes = vec![0; OBJECT_BYTES as usize];
        object.read_into(&mut object_bytes);
        bytes.extend(object_bytes);
    }
    drop(context);
    if found == keys.len() {
        manager.finish_read_prefetched(keys, 1, None).unwrap();
    }
    (found == keys.len()).then_some(bytes)
}

/// How many objects are locked for reading, being written, and how many bytes are in use.
pub(crate) fn locks(manager: &StorageManager) -> (u64, u64, u64) {
    let l1 = manager.report_status().l1_manager.unwrap();
    (l1.read_locked_count, l1.staging_object_count, manager.get_l1_usage().0)
}

pub(crate) fn all(outcome: ObjectOutcome, count: usize) -> Vec<ObjectOutcome> {
    vec![outcome; count]
}

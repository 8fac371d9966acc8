//! Keys, layouts and managers to test with.

use std::sync::Arc;

use lmcache::clock::{Clock, ManualClock};
use lmcache::format::model::{ChunkHash, Dtype, KeyScope, MemoryLayoutDesc, ObjectKey};
use lmcache::storage::config::{Compat, EvictionPolicyKind, StorageManagerConfig};
use lmcache::storage::{KeyCodes, L1Error, StorageManager};

/// The alignment of L1, and the size of most objects here.
pub(crate) const PAGE: u64 = 4096;

/// Keys `first..first + count` of one model.
pub(crate) fn keys(first: u32, count: u32) -> Vec<ObjectKey> {
    let scope = Arc::new(KeyScope::new("model", 0x0100_0100, 0, "").expect("a scope"));
    let key = |i: u32| ObjectKey::new(ChunkHash::new(&i.to_be_bytes()), Arc::clone(&scope));
    (first..first + count).map(key).collect()
}

/// Objects of `bytes` bytes.
pub(crate) fn layout(bytes: u64) -> MemoryLayoutDesc {
    let uint8 = Dtype::from_name("torch.uint8").expect("a dtype");
    MemoryLayoutDesc::new(vec![(Box::new([bytes]), uint8)]).expect("a layout")
}

/// A manager for `objects` pages that is like LMCache, on a clock that stands still, with times to live of 10 s.
pub(crate) fn manager(objects: u64, policy: EvictionPolicyKind) -> (StorageManager, ManualClock) {
    manager_like(Compat::Lmcache, objects, policy)
}

/// The same with the behaviour of `compat`.
pub(crate) fn manager_like(
    compat: Compat,
    objects: u64,
    policy: EvictionPolicyKind,
) -> (StorageManager, ManualClock) {
    let mut config = StorageManagerConfig::l1_only(objects * PAGE, policy);
    config.compat = compat;
    config.l1_managers[0].write_ttl_seconds = 10;
    config.l1_managers[0].read_ttl_seconds = 10;
    let (clock, hand) = Clock::manual(1);
    (StorageManager::with_clock(config, clock).expect("a manager"), hand)
}

/// Reserves and finishes `keys` as objects of one page.
pub(crate) fn store(manager: &StorageManager, keys: &[ObjectKey]) {
    assert!(manager.reserve_write(keys, &layout(PAGE)).expect("open").codes().all_succeeded());
    assert!(manager.finish_write(keys).expect("open").all_succeeded());
}

/// The codes, with their LMCache names.
pub(crate) fn names(codes: &KeyCodes) -> Vec<&'static str> {
    codes.as_slice().iter().map(|code: &L1Error| code.name()).collect()
}

//! Reading what a prefetch has locked: enter, exit, release.

use super::manager::lmcache_storage;
use super::outputs::Outputs;
use super::scratch::{map, on_keys};
use super::writing::write_outcomes;
use crate::ffi::border::args::flag;
use crate::ffi::border::boundary::OK;
use crate::ffi::border::status::Status;
use crate::ffi::keys::lmcache_key_list;
use crate::format::model::ObjectKey;
use crate::storage::{KeyCodes, ReadBuffer, StorageManager};

/// The bytes of an object in L1. They must not be written.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_read_buffer {
    /// Where it lies; NULL if the key cannot be read.
    pub data: *const u8,
    /// Its bytes; 0 if it cannot be read.
    pub size_bytes: u64,
    /// One of LMCACHE_KEY_*.
    pub outcome: u32,
    /// Which L1 manager it lies in: 0 where there is one.
    pub l1_manager: u32,
}

fn write_buffers<'a>(
    buffers: Outputs<lmcache_read_buffer>,
    codes: &KeyCodes,
    object: impl Fn(usize) -> Option<ReadBuffer<'a>>,
    owner: impl Fn(usize) -> u32,
) {
    buffers.write(codes.as_slice().iter().enumerate().map(|(position, code)| {
        let object = object(position);
        lmcache_read_buffer {
            data: object.map_or(std::ptr::null(), |object| object.as_ptr()),
            size_bytes: object.map_or(0, |object| object.span().size_bytes),
            outcome: *code as u32,
            l1_manager: owner(position),
        }
    }));
}

/// Begins to read what a prefetch has locked; it takes no lock itself. `l1_managers` are those that the prefetch gave, and may be NULL where
/// there is one L1 manager; else each key is looked for. `buffers` gets one value for each key, in their order.
///
/// If all keys can be read it is OK, and the caller calls `lmcache_storage_read_exit` with the same keys when it has read. If not, it
/// is MISS: no buffer is given, `outcome` says which key is at fault, one lock is released on each key that could be
/// read, and there is nothing to exit.
///
/// Buffers are valid while the locks are held that the prefetch took: until `lmcache_storage_finish_read` has released the last, and
/// at most `l1_read_ttl_seconds` (300 if nothing is said) after a lock was last taken. After that they can be another object's.
///
/// # Safety
/// `keys` points to a list whose pointers are what their fields say; `l1_managers` is NULL or points to as many numbers; `buffers` points
/// to room for `buffer_count` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_read_enter(
    storage: *const lmcache_storage,
    keys: *const lmcache_key_list,
    l1_managers: *const u32,
    buffers: *mut lmcache_read_buffer,
    buffer_count: usize,
) -> Status {
    let call = |manager: &StorageManager, keys: &[ObjectKey], owners: Option<&[u32]>| {
        // SAFETY: the caller's promise.
        let buffers = unsafe { Outputs::new(buffers, buffer_count, keys.len(), "buffers") }?;
        let owners = map(keys, owners);
        let context = manager.read_prefetched_results(keys, owners.as_ref())?;
        let object = |position| context.object(position);
        write_buffers(buffers, context.codes(), object, |position| context.owner(position));
        if context.codes().all_succeeded() {
            context.leave_open();
            return OK;
        }
        context.exit(false);
        Ok(Status::LMCACHE_STATUS_MISS)
    };
    // SAFETY: the caller's promise.
    unsafe { on_keys(storage, keys, l1_managers, call) }
}

/// Ends a read that `lmcache_storage_read_enter` began, with the same keys and `l1_managers`. `failed` is 1 if the reader could not use
/// what it got: then one lock is released on each key; else the caller releases them with `lmcache_storage_finish_read`, when
/// its device is done.
///
/// # Safety
/// `keys` points to a list whose pointers are what their fields say; `l1_managers` is NULL or points to as many numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_read_exit(
    storage: *const lmcache_storage,
    keys: *const lmcache_key_list,
    l1_managers: *const u32,
    failed: u32,
) -> Status {
    let call = |manager: &StorageManager, keys: &[ObjectKey], owners: Option<&[u32]>| {
        let failed = flag("failed", failed)?;
        let owners = map(keys, owners);
        manager.exit_read(keys, failed, owners.as_ref())?;
        OK
    };
    // SAFETY: the caller's promise.
    unsafe { on_keys(storage, keys, l1_managers, call) }
}

/// Releases `read_locks` locks (1 to 128; others count as the nearest of them) on each key: those that the prefetch took for its readers.
/// `outcomes` gets one of LMCACHE_KEY_* for each key; with `outcome_count` 0 it may be NULL.
///
/// # Safety
/// `keys` points to a list whose pointers are what their fields say; `l1_managers` is NULL or points to as many numbers; `outcomes`
/// points to room for `outcome_count` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_finish_read(
    storage: *const lmcache_storage,
    keys: *const lmcache_key_list,
    read_locks: i64,
    l1_managers: *const u32,
    outcomes: *mut u32,
    outcome_count: usize,
) -> Status {
    let call = |manager: &StorageManager, keys: &[ObjectKey], owners: Option<&[u32]>| {
        // SAFETY: the caller's promise.
        let outcomes = unsafe { Outputs::optional(outcomes, outcome_count, keys.len(), "outcomes") }?;
        let owners = map(keys, owners);
        let codes = manager.finish_read_prefetched(keys, read_locks, owners.as_ref())?;
        write_outcomes(outcomes, codes.as_slice())
    };
    // SAFETY: the caller's promise.
    unsafe { on_keys(storage, keys, l1_managers, call) }
}

/// Looks at what is read-locked already, for instance by a prefetch of another process's part, without beginning a read. OK says that the
/// call was served, and `outcome` what became of each key. The buffers are valid as those of `lmcache_storage_read_enter`.
///
/// # Safety
/// As for `lmcache_storage_read_enter`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_unsafe_read(
    storage: *const lmcache_storage,
    keys: *const lmcache_key_list,
    l1_managers: *const u32,
    buffers: *mut lmcache_read_buffer,
    buffer_count: usize,
) -> Status {
    let call = |manager: &StorageManager, keys: &[ObjectKey], owners: Option<&[u32]>| {
        // SAFETY: the caller's promise.
        let buffers = unsafe { Outputs::new(buffers, buffer_count, keys.len(), "buffers") }?;
        let owners = map(keys, owners);
        let read = manager.unsafe_read(keys, owners.as_ref())?;
        let object = |position| read.object(position);
        write_buffers(buffers, read.codes(), object, |position| read.owner(position));
        OK
    };
    // SAFETY: the caller's promise.
    unsafe { on_keys(storage, keys, l1_managers, call) }
}

//! What keeps a storage manager in shape: deleting, touching, evicting, quotas, usage.

use std::ffi::c_char;
use std::time::Duration;

use super::manager::{Storage, lmcache_storage};
use super::outputs::Outputs;
use super::scratch::on_keys;
use crate::ffi::border::args::{Growing, flag, output, string};
use crate::ffi::border::boundary::{Failure, OK, guard};
use crate::ffi::border::growing_output::growing_output;
use crate::ffi::border::status::Status;
use crate::ffi::callbacks;
use crate::ffi::handles;
use crate::ffi::keys::lmcache_key_list;
use crate::format::model::ObjectKey;
use crate::format::model::key::check_cache_salt;
use crate::storage::StorageManager;

/// How full the tiers are. It begins with its size; `LMCACHE_STORAGE_USAGE_INIT` sets it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_storage_usage {
    /// `sizeof(lmcache_storage_usage)`.
    pub struct_size: u32,
    /// L2 adapters.
    pub l2_adapter_count: u32,
    /// Bytes of all L1s that are in use.
    pub l1_used_bytes: u64,
    /// Bytes of all L1s.
    pub l1_total_bytes: u64,
    /// Bytes in all L2 adapters; 0 if there is none.
    pub l2_used_bytes: u64,
}

// SAFETY: numbers; the first field is the size.
unsafe impl Growing for lmcache_storage_usage {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

/// Which of the keys are in L1 and can be prefetched from there: `is_resident` gets a 1 or a 0 for each. It takes no lock, so another thread can have
/// evicted them by the time that this returns; what is in L2 is not looked at. To look up and hold, prefetch.
///
/// # Safety
/// `keys` points to a list whose pointers are what their fields say; `is_resident` points to room for `count` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_contains(
    storage: *const lmcache_storage,
    keys: *const lmcache_key_list,
    is_resident: *mut u8,
    count: usize,
) -> Status {
    let call = |manager: &StorageManager, keys: &[ObjectKey], _: Option<&[u32]>| {
        // SAFETY: the caller's promise.
        let out = unsafe { Outputs::new(is_resident, count, keys.len(), "is_resident") }?;
        out.write(keys.iter().map(|key| u8::from(manager.l1_managers().any(|l1| l1.is_resident(key)))));
        OK
    };
    // SAFETY: the caller's promise.
    unsafe { on_keys(storage, keys, std::ptr::null(), call) }
}

/// Counts the keys as used, so that they are evicted later.
///
/// # Safety
/// `keys` points to a list whose pointers are what their fields say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_touch(
    storage: *const lmcache_storage,
    keys: *const lmcache_key_list,
) -> Status {
    let call = |manager: &StorageManager, keys: &[ObjectKey], _: Option<&[u32]>| {
        manager.touch_l1_keys(keys);
        OK
    };
    // SAFETY: the caller's promise.
    unsafe { on_keys(storage, keys, std::ptr::null(), call) }
}

/// Deletes the keys from every L1, and from no L2. `deleted` gets how many went, `locked` how many stayed because they are being read or
/// written; either may be NULL. With `force` 1 those go, too, and their buffers can be other objects' from then on.
///
/// # Safety
/// `keys` points to a list whose pointers are what their fields say; `deleted` and `locked` are NULL or point to room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_delete(
    storage: *const lmcache_storage,
    keys: *const lmcache_key_list,
    force: u32,
    deleted: *mut usize,
    locked: *mut usize,
) -> Status {
    let call = |manager: &StorageManager, keys: &[ObjectKey], _: Option<&[u32]>| {
        let (gone, stayed) = manager.delete_l1_keys(keys, flag("force", force)?);
        for (out, count) in [(deleted, gone), (locked, stayed)].into_iter().filter(|(out, _)| !out.is_null())
        {
            // SAFETY: the caller's promise.
            unsafe { output(out, "out") }?.write(count);
        }
        OK
    };
    // SAFETY: the caller's promise.
    unsafe { on_keys(storage, keys, std::ptr::null(), call) }
}

/// Deletes everything that is not locked from L1; with `force` 1, everything, and then buffers can be other objects' from then on.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_storage_clear(storage: *const lmcache_storage, force: u32) -> Status {
    guard(|| {
        let force = flag("force", force)?;
        handles::with::<Storage, _>(storage, |storage| {
            storage.manager.clear(force);
            OK
        })
    })
}

/// Makes one eviction pass over every L1 and every L2 adapter now, on this thread; the storage manager's own threads do it by themselves
/// about once a second. Within a callback it is BUSY, since that may come from such a pass.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_storage_evict(storage: *const lmcache_storage) -> Status {
    guard(|| {
        handles::with::<Storage, _>(storage, |storage| {
            callbacks::refuse_in_callback("lmcache_storage_evict")?;
            storage.manager.evict_l1_once();
            storage.manager.evict_l2_once();
            OK
        })
    })
}

/// Waits until everything that was written is stored in L2, or given up: at most `timeout_ns`, and then it is TIMEOUT. Within a callback it is
/// BUSY.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_storage_flush_stores(storage: *const lmcache_storage, timeout_ns: u64) -> Status {
    guard(|| {
        handles::with::<Storage, _>(storage, |storage| {
            callbacks::refuse_in_callback("lmcache_storage_flush_stores")?;
            if storage.manager.flush_stores(Duration::from_nanos(timeout_ns)) {
                return OK;
            }
            let sentence = "not everything is stored in L2 yet";
            Err(Failure::misuse(Status::LMCACHE_STATUS_TIMEOUT, sentence))
        })
    })
}

/// How many bytes a `cache_salt` may have, for the policy IsolatedLRU; one that had a quota gets this one instead.
///
/// # Safety
/// `cache_salt` ends in NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_set_quota(
    storage: *const lmcache_storage,
    cache_salt: *const c_char,
    limit_bytes: u64,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let cache_salt = unsafe { string(cache_salt, "cache_salt") }?;
        check_cache_salt(cache_salt)?;
        handles::with::<Storage, _>(storage, |storage| {
            storage.manager.quota_manager().set_quota(cache_salt, limit_bytes);
            OK
        })
    })
}

/// Takes the quota of a `cache_salt` back; NOT_FOUND if it has none.
///
/// # Safety
/// `cache_salt` ends in NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_delete_quota(
    storage: *const lmcache_storage,
    cache_salt: *const c_char,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let cache_salt = unsafe { string(cache_salt, "cache_salt") }?;
        handles::with::<Storage, _>(storage, |storage| {
            if storage.manager.quota_manager().delete_quota(cache_salt) {
                return OK;
            }
            let sentence = format!("the cache_salt {cache_salt:?} has no quota");
            Err(Failure::misuse(Status::LMCACHE_STATUS_NOT_FOUND, sentence))
        })
    })
}

/// How full the tiers are.
///
/// # Safety
/// `out` points to numbers whose `struct_size` is set, and has that many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_get_usage(
    storage: *const lmcache_storage,
    out: *mut lmcache_storage_usage,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { growing_output(out, "out") }?;
        handles::with::<Storage, _>(storage, |storage| {
            let (l1_used_bytes, l1_total_bytes) = storage.manager.get_l1_usage();
            let adapters = storage.manager.l2_adapters().len();
            out.write(&lmcache_storage_usage {
                struct_size: size_of::<lmcache_storage_usage>() as u32,
                l2_adapter_count: u32::try_from(adapters).unwrap_or(u32::MAX),
                l1_used_bytes,
                l1_total_bytes,
                l2_used_bytes: storage.manager.get_l2_usage().unwrap_or(0),
            });
            OK
        })
    })
}

/// Whether the allocators' books are right: CORRUPT if they are not, which is a defect, or a host that wrote past a buffer of shared memory.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_storage_memcheck(storage: *const lmcache_storage) -> Status {
    guard(|| {
        handles::with::<Storage, _>(storage, |storage| match storage.manager.memcheck() {
            true => OK,
            false => {
                Err(Failure::misuse(Status::LMCACHE_STATUS_CORRUPT, "the books of an L1 allocator are wrong"))
            }
        })
    })
}

//! Keys for the time of a call, written over those that the thread had in the call before.

use std::cell::Cell;

use super::manager::{Storage, lmcache_storage};
use crate::ffi::border::args::slice;
use crate::ffi::border::boundary::{Ended, Failure, guard};
use crate::ffi::border::status::Status;
use crate::ffi::handles;
use crate::ffi::keys::{KeptKeys, Keys, LMCACHE_MAX_KEYS, lmcache_key_list};
use crate::format::model::ObjectKey;
use crate::storage::{L1Owners, StorageManager};

thread_local! {
    static KEYS: Cell<KeptKeys> = const { Cell::new(KeptKeys::new()) };
}

/// A whole call on the keys of a list, and, if the caller says so, the L1 that each lies in.
///
/// # Safety
/// `keys` points to a list whose pointers are what their fields say; `l1_managers` is NULL or points to as many numbers. Both stay for
/// the time of the call.
pub(super) unsafe fn on_keys(
    storage: *const lmcache_storage,
    keys: *const lmcache_key_list,
    l1_managers: *const u32,
    call: impl FnOnce(&StorageManager, &[ObjectKey], Option<&[u32]>) -> Ended,
) -> Status {
    guard(|| {
        // SAFETY: passed on, here and below.
        let list = unsafe { Keys::new(keys) }?;
        // SAFETY: as above.
        let owners = unsafe { owners(l1_managers, &list) }?;
        handles::with::<Storage, _>(storage, |storage| {
            with_keys(&list, |keys| call(&storage.manager, keys, owners))
        })
    })
}

/// Runs `call` with the keys of a list.
fn with_keys(list: &Keys<'_>, call: impl FnOnce(&[ObjectKey]) -> Ended) -> Ended {
    let mut kept = KEYS.try_with(Cell::take).unwrap_or_default();
    let ended = kept.of(list).and_then(call);
    kept.trim();
    let _ = KEYS.try_with(|keys| keys.set(kept));
    ended
}

/// Which L1 each key lies in, if the caller says so.
///
/// # Safety
/// `owners` is NULL, or points to a number for each key, which stay until the value is gone.
unsafe fn owners<'a>(owners: *const u32, keys: &Keys<'_>) -> Result<Option<&'a [u32]>, Failure> {
    if owners.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on.
    unsafe { slice(owners, keys.count, LMCACHE_MAX_KEYS, "l1_managers") }.map(Some)
}

/// The same, as the storage manager takes it.
pub(super) fn map(keys: &[ObjectKey], owners: Option<&[u32]>) -> Option<L1Owners> {
    owners.map(|owners| keys.iter().cloned().zip(owners.iter().copied()).collect())
}

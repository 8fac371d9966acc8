//! Keys for the time of a call, in memory that the thread keeps.

use std::cell::Cell;

use crate::ffi::args::slice;
use crate::ffi::boundary::{Ended, Failure};
use crate::ffi::keys::{Keys, LMCACHE_MAX_KEYS};
use crate::format::model::ObjectKey;
use crate::storage::L1Owners;

/// Room for so many keys is kept.
const KEPT_KEYS: usize = 4096;

thread_local! {
    static KEYS: Cell<Vec<ObjectKey>> = const { Cell::new(Vec::new()) };
}

/// Runs `call` with the keys of a list.
pub(super) fn with_keys(list: &Keys<'_>, call: impl FnOnce(&[ObjectKey]) -> Ended) -> Ended {
    let mut keys = KEYS.try_with(Cell::take).unwrap_or_default();
    let ended = list.build(&mut keys).and_then(|()| call(&keys));
    keys.clear();
    if keys.capacity() <= KEPT_KEYS {
        let _ = KEYS.try_with(|kept| kept.set(keys));
    }
    ended
}

/// Which L1 each key lies in, if the caller says so.
///
/// # Safety
/// `owners` is NULL, or points to a number for each key, which stay until the value is gone.
pub(super) unsafe fn owners<'a>(owners: *const u32, keys: &Keys<'_>) -> Result<Option<&'a [u32]>, Failure> {
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

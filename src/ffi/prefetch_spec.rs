//! What a prefetch asks for.

use super::border::args::{flag, reference, reserved, slice};
use super::border::boundary::Failure;
use super::keys::{KeptKeys, Keys, layout, lmcache_key_list, lmcache_layout};
use crate::format::model::{FetchingPolicy, GroupedObjectKeys, LockMode, PrefetchTaskSpec};
use crate::sync::Arc;

/// Rows of a prefetch, at most.
pub const LMCACHE_MAX_ROWS: usize = 4096;

/// Keys of a prefetch, of all its rows together, at most: each row has its own, also where their lists are one.
pub const LMCACHE_MAX_PREFETCH_KEYS: usize = 4194304;

/// The longest prefix that every row can serve, given its window.
pub const LMCACHE_FETCH_PREFIX: u32 = 0;
/// Every column that all rows have.
pub const LMCACHE_FETCH_FULL: u32 = 1;

/// Hits stay locked for reading until their readers finish.
pub const LMCACHE_LOCK: u32 = 0;
/// Nothing stays locked: the prefetch only warms L1.
pub const LMCACHE_NO_LOCK: u32 = 1;

/// One row of a prefetch: the keys of one object group and rank, chunk after chunk.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_prefetch_row {
    /// Its keys.
    pub keys: lmcache_key_list,
    /// The layout of their objects.
    pub layout: *const lmcache_layout,
    /// How many of the last chunks are needed; -1 for all.
    pub sliding_window_size: i64,
    /// The object group.
    pub object_group_id: u32,
    /// Nothing; 0.
    pub reserved: u32,
}

/// What a prefetch asks for: rows of keys, all of one length.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_prefetch_spec {
    /// The rows.
    pub rows: *const lmcache_prefetch_row,
    /// How many; at most LMCACHE_MAX_ROWS.
    pub row_count: usize,
    /// How many readers will each release one lock.
    pub num_kv_readers: i64,
    /// LMCACHE_FETCH_PREFIX or LMCACHE_FETCH_FULL.
    pub fetching_policy: u32,
    /// LMCACHE_LOCK or LMCACHE_NO_LOCK.
    pub lock_mode: u32,
    /// 1 to look in L1 only.
    pub skip_l2: u32,
    /// Nothing; 0.
    pub reserved: u32,
}

/// Looks at a spec, and copies it. With it comes whether L2 is skipped.
///
/// # Safety
/// `spec` is NULL or points to a spec whose pointers are what their fields say.
pub(super) unsafe fn read_spec(
    spec: *const lmcache_prefetch_spec,
) -> Result<(PrefetchTaskSpec, bool), Failure> {
    // SAFETY: the caller's promise, here and below.
    let spec = *unsafe { reference(spec, "spec") }?;
    // SAFETY: as above.
    let rows = unsafe { slice(spec.rows, spec.row_count, LMCACHE_MAX_ROWS, "the rows of the prefetch") }?;
    let keys = rows.iter().try_fold(0_usize, |keys, row| keys.checked_add(row.keys.count));
    if keys.is_none_or(|keys| keys > LMCACHE_MAX_PREFETCH_KEYS) {
        return Err(Failure::invalid(format!(
            "the rows of a prefetch have at most {LMCACHE_MAX_PREFETCH_KEYS} keys together, and these have more"
        )));
    }
    reserved("reserved of the prefetch", spec.reserved)?;
    let key_groups = rows.iter().map(|row| {
        reserved("reserved of a row", row.reserved)?;
        // SAFETY: as above.
        let list = unsafe { Keys::new(&raw const row.keys) }?;
        let mut keys = KeptKeys::new();
        keys.of(&list)?;
        Ok::<_, Failure>(GroupedObjectKeys {
            keys: keys.into_keys(),
            object_group_id: row.object_group_id,
            layout: Arc::unwrap_or_clone(layout(row.layout)?),
            sliding_window_size: row.sliding_window_size,
        })
    });
    let made = PrefetchTaskSpec {
        key_groups: key_groups.collect::<Result<_, _>>()?,
        num_kv_readers: spec.num_kv_readers,
        fetching_policy: match spec.fetching_policy {
            LMCACHE_FETCH_PREFIX => FetchingPolicy::Prefix,
            LMCACHE_FETCH_FULL => FetchingPolicy::Full,
            other => {
                return Err(Failure::invalid(format!(
                    "fetching_policy is {other}; it is LMCACHE_FETCH_PREFIX (0) or LMCACHE_FETCH_FULL (1)"
                )));
            }
        },
        lock_mode: match spec.lock_mode {
            LMCACHE_LOCK => LockMode::Lock,
            LMCACHE_NO_LOCK => LockMode::NoLock,
            other => {
                return Err(Failure::invalid(format!(
                    "lock_mode is {other}; it is LMCACHE_LOCK (0) or LMCACHE_NO_LOCK (1)"
                )));
            }
        },
    };
    Ok((made, flag("skip_l2", spec.skip_l2)?))
}

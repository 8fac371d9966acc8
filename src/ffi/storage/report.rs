//! What a storage manager tells of itself, as text that is copied out.

use std::ffi::c_char;

use super::manager::{Storage, lmcache_storage};
use super::outputs::text;
use crate::error::{Error, ErrorKind};
use crate::ffi::border::boundary::{Failure, guard};
use crate::ffi::border::status::Status;
use crate::ffi::handles;

/// # Safety
/// As for the functions that call it.
unsafe fn tell(
    storage: *const lmcache_storage,
    buffer: *mut c_char,
    length: usize,
    needed: *mut usize,
    make: impl FnOnce(&Storage) -> Result<String, Failure>,
) -> Status {
    guard(|| {
        handles::with::<Storage, _>(storage, |storage| {
            let made = make(storage)?;
            // SAFETY: the caller's promise.
            unsafe { text(&made, buffer, length, needed) }
        })
    })
}

/// Copies LMCache's status tree into `buffer` as JSON, with its NUL, cut to `length` bytes; `needed` gets how long it is without the NUL, and
/// may be NULL. With `length` 0 nothing is copied and `buffer` may be NULL. It can be longer the next time. Nothing in it waits.
///
/// # Safety
/// `buffer` points to room for `length` bytes; `needed` is NULL or points to room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_status_json(
    storage: *const lmcache_storage,
    buffer: *mut c_char,
    length: usize,
    needed: *mut usize,
) -> Status {
    let json = |storage: &Storage| {
        let json = serde_json::to_string(&storage.manager.report_status());
        json.map_err(|error| {
            Error::new(ErrorKind::Policy, "the status could not be written as JSON").with_source(error).into()
        })
    };
    // SAFETY: passed on.
    unsafe { tell(storage, buffer, length, needed, json) }
}

/// The same, of the metrics, by LMCache's names, in the text format of Prometheus (OpenMetrics 1.0). UNSUPPORTED if the storage manager was made
/// without `with_metrics`.
///
/// # Safety
/// As for `lmcache_storage_status_json`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_metrics_text(
    storage: *const lmcache_storage,
    buffer: *mut c_char,
    length: usize,
    needed: *mut usize,
) -> Status {
    let metrics = |storage: &Storage| {
        let none = || {
            Error::unsupported("this storage manager counts nothing")
                .with_hint("set with_metrics to 1 in its options")
        };
        Ok(storage.metrics.as_ref().ok_or_else(none)?.encode(&storage.manager)?)
    };
    // SAFETY: passed on.
    unsafe { tell(storage, buffer, length, needed, metrics) }
}

/// The same, of the configuration, as LMCache's recorder writes it: what `storage_config_json` of `lmcache_recorder_options` is meant for.
///
/// # Safety
/// As for `lmcache_storage_status_json`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_config_json(
    storage: *const lmcache_storage,
    buffer: *mut c_char,
    length: usize,
    needed: *mut usize,
) -> Status {
    // SAFETY: passed on.
    unsafe { tell(storage, buffer, length, needed, |storage| Ok(storage.manager.config().to_json())) }
}

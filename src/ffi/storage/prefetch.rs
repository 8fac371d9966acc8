//! Prefetches: submitting one, and hearing of its end by asking, waiting, a callback or an eventfd.

use std::ffi::{c_char, c_int, c_void};
use std::time::Duration;

use super::manager::{Storage, lmcache_storage};
use super::outputs::Outputs;
use crate::error::{Error, ErrorKind};
use crate::ffi::border::args::{Growing, optional_string, output};
use crate::ffi::border::boundary::{Ended, Failure, OK, guard};
use crate::ffi::border::growing_output::{GrowingOutput, optional_growing_output};
use crate::ffi::border::status::Status;
use crate::ffi::callbacks;
use crate::ffi::handles::{self, Exclusive, Kind, Object};
use crate::ffi::prefetch_spec::{lmcache_prefetch_spec, read_spec};
use crate::format::model::PrefetchTaskSpec;
use crate::os::event::duplicate_eventfd;
use crate::storage::prefetch::{Rows, validate_spec};
use crate::storage::{Bitmap, L1Owners, PrefetchHandle, PrefetchResult, StorageManager};
use crate::sync::Arc;

/// A prefetch that was submitted. One thread at a time may use it, whichever; a second one gets BUSY.
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_prefetch(());

/// Told once that a prefetch is done: on a thread of the storage manager, which serves no other prefetch meanwhile, so it has to be short;
/// or, if it is done already, on the thread that asks to be told, before that call returns. It may call the library, up to 4 calls
/// deep; to wait for a prefetch, to free this one or its storage manager, and to close any is BUSY. It must return.
#[allow(non_camel_case_types, reason = "the name in C")]
pub type lmcache_prefetch_callback = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// The cells of a row that are in L1 and, unless the prefetch asked for no locks, locked for its readers.
pub const LMCACHE_CELLS_HIT: u32 = 0;
/// Those of them that L1 had.
pub const LMCACHE_CELLS_L1_HIT: u32 = 1;
/// Those of them that came from L2.
pub const LMCACHE_CELLS_L2_HIT: u32 = 2;
/// What was there when the prefetch was planned, hit or not; known for LMCACHE_FETCH_FULL only.
pub const LMCACHE_CELLS_FOUND: u32 = 3;

/// The L1 manager of a cell that is no hit, or not locked.
pub const LMCACHE_NO_L1_MANAGER: u32 = 0xffff_ffff;

/// What a prefetch found, in numbers. It begins with its size; `LMCACHE_PREFETCH_RESULT_INIT` sets it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_prefetch_result {
    /// `sizeof(lmcache_prefetch_result)`.
    pub struct_size: u32,
    /// Rows of the prefetch.
    pub row_count: u32,
    /// Columns: the keys of each row.
    pub column_count: u32,
    /// Nothing; 0.
    pub reserved: u32,
    /// Cells that were asked for: rows times columns.
    pub requested_cells: u64,
    /// Those that are in L1 now and, unless the prefetch asked for no locks, locked for its readers.
    pub hit_cells: u64,
    /// Those of them that L1 had.
    pub l1_hit_cells: u64,
    /// Those of them that came from L2.
    pub l2_hit_cells: u64,
    /// From the call to the moment the data was there.
    pub duration_ns: u64,
}

// SAFETY: numbers; the first field is the size.
unsafe impl Growing for lmcache_prefetch_result {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

struct Prefetch {
    manager: Arc<StorageManager>,
    /// The handle of the storage manager.
    storage: u64,
    spec: PrefetchTaskSpec,
    handle: PrefetchHandle,
    /// Once the host has been told of it; its locks are the host's then.
    result: Option<PrefetchResult>,
    /// The L1 manager of each hit, once somebody has asked where there are several.
    owners: Option<L1Owners>,
}

impl Object for Prefetch {
    const KIND: Kind = Kind::Prefetch;
    const NAME: &'static str = "prefetch";
}

impl Exclusive for Prefetch {}

impl Drop for Prefetch {
    /// What nobody has heard of is given up, with its locks.
    fn drop(&mut self) {
        if self.result.is_none() {
            self.manager.cancel_prefetch(&self.handle, &self.spec);
        }
    }
}

impl Prefetch {
    fn take(&mut self) -> Result<Option<&PrefetchResult>, Failure> {
        if self.result.is_none() {
            self.result = self.manager.query_prefetch_status(&self.handle);
        }
        Ok(self.result.as_ref())
    }

    /// The result, once the host was told of it.
    fn known(&self) -> Result<&PrefetchResult, Failure> {
        known(&self.result)
    }

    /// The L1 manager of each cell of a row; nothing for one that is no hit.
    fn l1_managers(&mut self, row: usize) -> Result<impl ExactSizeIterator<Item = Option<u32>>, Failure> {
        let result = known(&self.result)?;
        let hits = row_of(&result.hit_cells, row)?;
        if self.manager.l1_managers().len() > 1 && self.owners.is_none() {
            self.owners = Some(result.l1_owners.iter().cloned().collect());
        }
        let owners = self.owners.as_ref();
        let keys = self.spec.key_groups.get(row).map_or(&[][..], |group| &group.keys);
        Ok(keys.iter().enumerate().map(move |(cell, key)| match (owners, hits.test(cell)) {
            (_, false) => None,
            (None, true) => Some(0),
            (Some(owners), true) => owners.get(key),
        }))
    }

    fn numbers(&self, result: &PrefetchResult) -> lmcache_prefetch_result {
        let count = |rows: &Rows| rows.iter().map(|row| row.popcount() as u64).sum();
        let groups = &self.spec.key_groups;
        let ready_ns = self.handle.ready_time_ns().unwrap_or(self.handle.submit_time_ns);
        lmcache_prefetch_result {
            struct_size: size_of::<lmcache_prefetch_result>() as u32,
            // A prefetch has at most LMCACHE_MAX_ROWS rows of LMCACHE_MAX_KEYS keys.
            row_count: groups.len() as u32,
            column_count: groups.first().map_or(0, |group| group.keys.len()) as u32,
            reserved: 0,
            requested_cells: self.handle.total_requested_keys as u64,
            hit_cells: count(&result.hit_cells),
            l1_hit_cells: count(&result.l1_hit_cells),
            l2_hit_cells: count(&result.l2_hit_cells),
            duration_ns: ready_ns.saturating_sub(self.handle.submit_time_ns),
        }
    }

    /// Tells the result, or that it is not there.
    fn tell(&mut self, out: Option<GrowingOutput<lmcache_prefetch_result>>) -> Ended {
        if self.take()?.is_none() {
            return Ok(Status::LMCACHE_STATUS_PENDING);
        }
        if let Some(out) = out {
            out.write(&self.numbers(self.known()?));
        }
        OK
    }
}

/// A result that the host was told of.
fn known(result: &Option<PrefetchResult>) -> Result<&PrefetchResult, Failure> {
    result.as_ref().ok_or_else(|| {
        Failure::invalid(
            "nobody has asked for the result of the prefetch yet: lmcache_prefetch_query gives it",
        )
    })
}

/// One of the rows of a result.
fn row_of(rows: &Rows, row: usize) -> Result<&Bitmap, Failure> {
    let count = rows.iter().len();
    rows.get(row).ok_or_else(|| Failure::invalid(format!("there is no row {row}: the prefetch has {count}")))
}

fn submit(
    manager: &Arc<StorageManager>,
    storage: u64,
    spec: PrefetchTaskSpec,
    request_id: &str,
    skip_l2: bool,
) -> Result<Prefetch, Failure> {
    validate_spec(&spec)?;
    let handle = manager.submit_prefetch_task(&spec, request_id, skip_l2)?;
    Ok(Prefetch { manager: Arc::clone(manager), storage, spec, handle, result: None, owners: None })
}

/// Looks keys up, locks the hits of L1, loads from L2 what L1 has not, and locks that, too. What LMCache's PrefetchTaskSpec refuses is
/// INVALID_ARGUMENT: no rows, rows of different lengths, a window of 0 or below -1, less than one reader. `request_id` is the engine's
/// name for the request; it may be NULL. The prefetch may outlive the storage manager.
///
/// # Safety
/// `spec` points to a spec whose pointers are what their fields say; `request_id` is NULL or ends in NUL; `out` points to room for a
/// handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_submit_prefetch(
    storage: *const lmcache_storage,
    spec: *const lmcache_prefetch_spec,
    request_id: *const c_char,
    out: *mut *mut lmcache_prefetch,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let out = unsafe { output(out, "out") }?;
        // SAFETY: as above.
        let (spec, skip_l2) = unsafe { read_spec(spec) }?;
        // SAFETY: as above.
        let request_id = unsafe { optional_string(request_id, "request_id") }?.unwrap_or_default();
        let number = storage.addr() as u64;
        handles::with::<Storage, _>(storage, |storage| {
            let prefetch = submit(&storage.manager, number, spec, request_id, skip_l2)?;
            out.write(handles::new(prefetch)?);
            OK
        })
    })
}

/// Submits another prefetch by a handle that is there, which spares making and freeing one. What the handle stood for before is given up
/// as by `lmcache_prefetch_free`.
///
/// # Safety
/// `spec` points to a spec whose pointers are what their fields say; `request_id` is NULL or ends in NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_prefetch_resubmit(
    prefetch: *mut lmcache_prefetch,
    spec: *const lmcache_prefetch_spec,
    request_id: *const c_char,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let (spec, skip_l2) = unsafe { read_spec(spec) }?;
        // SAFETY: as above.
        let request_id = unsafe { optional_string(request_id, "request_id") }?.unwrap_or_default();
        handles::with_exclusive::<Prefetch, _>(prefetch, |prefetch| {
            *prefetch = submit(&prefetch.manager, prefetch.storage, spec, request_id, skip_l2)?;
            OK
        })
    })
}

/// Asks whether a prefetch is done, and gives the numbers of its result: PENDING while it is not. Once it was OK, the locks on the hits
/// are the caller's, who releases them by `lmcache_storage_finish_read`; it can be asked again. `out` may be NULL.
///
/// # Safety
/// `out` is NULL or points to a result whose `struct_size` is set, and has that many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_prefetch_query(
    prefetch: *mut lmcache_prefetch,
    out: *mut lmcache_prefetch_result,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { optional_growing_output(out, "out") }?;
        handles::with_exclusive::<Prefetch, _>(prefetch, |prefetch| prefetch.tell(out))
    })
}

/// The same, after at most `timeout_ns`: PENDING if it is not done by then. UINT64_MAX waits for as long as it takes; how long that can
/// be is in the configuration (`prefetch_timeout_ms`). Within a callback it is BUSY, unless the prefetch is done or `timeout_ns` is 0. A prefetch that another thread
/// frees meanwhile is waited for all the same.
///
/// # Safety
/// `out` is NULL or points to a result whose `struct_size` is set, and has that many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_prefetch_wait(
    prefetch: *mut lmcache_prefetch,
    timeout_ns: u64,
    out: *mut lmcache_prefetch_result,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { optional_growing_output(out, "out") }?;
        handles::with_exclusive::<Prefetch, _>(prefetch, |prefetch| {
            if timeout_ns > 0 && prefetch.take()?.is_none() {
                callbacks::refuse_in_callback("lmcache_prefetch_wait")?;
                prefetch.manager.wait_prefetch_status(&prefetch.handle, Duration::from_nanos(timeout_ns));
            }
            prefetch.tell(out)
        })
    })
}

/// A function of the host that is told once.
pub(super) struct OnDone {
    pub(super) callback: unsafe extern "C" fn(*mut c_void),
    pub(super) user_data: *mut c_void,
    /// The storage manager, and the prefetch or the transfer.
    pub(super) handles: [u64; 2],
}

// SAFETY: the host says that its callback may be called from any thread with its data.
unsafe impl Send for OnDone {}

impl OnDone {
    pub(super) fn call(&self) {
        // SAFETY: the host's promise.
        callbacks::call_host(self.handles, || unsafe { (self.callback)(self.user_data) });
    }
}

/// Has `callback` be told once when the prefetch is done: also if it is given up, if it is freed, or if the storage manager is closed before.
/// It can be asked for several times; each is told.
///
/// # Safety
/// `callback` may be called once with `user_data` from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_prefetch_on_done(
    prefetch: *mut lmcache_prefetch,
    callback: lmcache_prefetch_callback,
    user_data: *mut c_void,
) -> Status {
    guard(|| {
        let callback = callback.ok_or_else(|| Failure::null("callback"))?;
        callbacks::refuse_too_deep()?;
        let number = handles::number::<Prefetch, _>(prefetch)?;
        let mut watched = None;
        handles::with_exclusive::<Prefetch, _>(prefetch, |prefetch| {
            watched = Some((prefetch.handle.clone(), prefetch.storage));
            OK
        })?;
        // Outside of the call on the handle, so that a callback that comes at once can ask for the result.
        if let Some((handle, storage)) = watched {
            let on_done = OnDone { callback, user_data, handles: [storage, number] };
            handle.on_done(move || on_done.call());
        }
        OK
    })
}

/// Adds 1 to an eventfd once when the prefetch is done, for who waits for many things at once; see `lmcache_prefetch_on_done`. The
/// descriptor is duplicated: the caller keeps its own. It has to be EFD_NONBLOCK, so that a full one holds nothing up; what is no eventfd, or
/// waits, is INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_prefetch_signal_on_done(prefetch: *mut lmcache_prefetch, eventfd: c_int) -> Status {
    guard(|| {
        handles::with_exclusive::<Prefetch, _>(prefetch, |prefetch| {
            let event = duplicate_eventfd(eventfd).map_err(|error| {
                Error::new(
                    ErrorKind::InvalidArgument,
                    "the prefetch cannot signal its end by this descriptor",
                )
                .with_context("eventfd", eventfd)
                .with_source(error)
                .with_hint("make it by eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)")
            })?;
            prefetch.handle.signal_on_done(event);
            OK
        })
    })
}

/// The cells of row `row` (from 0) that `which` (one of LMCACHE_CELLS_*) is about: `cells` gets a 1 or a 0 for each column, and `set`
/// how many are 1; either may be NULL, `cells` with `cell_count` 0. MISS, and nothing is written, if it is LMCACHE_CELLS_FOUND of a prefetch
/// that does not know. The result must have been asked for.
///
/// # Safety
/// `cells` points to room for `cell_count` bytes; `set` is NULL or points to room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_prefetch_get_row(
    prefetch: *mut lmcache_prefetch,
    row: usize,
    which: u32,
    cells: *mut u8,
    cell_count: usize,
    set: *mut usize,
) -> Status {
    guard(|| {
        handles::with_exclusive::<Prefetch, _>(prefetch, |prefetch| {
            let result = prefetch.known()?;
            let rows = match which {
                LMCACHE_CELLS_HIT => Some(&result.hit_cells),
                LMCACHE_CELLS_L1_HIT => Some(&result.l1_hit_cells),
                LMCACHE_CELLS_L2_HIT => Some(&result.l2_hit_cells),
                LMCACHE_CELLS_FOUND => result.found_cells.as_ref(),
                other => return Err(Failure::invalid(format!("there are no cells {other}"))),
            };
            let Some(rows) = rows else { return Ok(Status::LMCACHE_STATUS_MISS) };
            let bitmap = row_of(rows, row)?;
            // SAFETY: the caller's promise, here and below.
            let cells = unsafe { Outputs::optional(cells, cell_count, bitmap.len(), "cells") }?;
            if let Some(cells) = cells {
                cells.write((0..bitmap.len()).map(|cell| u8::from(bitmap.test(cell))));
            }
            if !set.is_null() {
                // SAFETY: as above.
                unsafe { output(set, "set") }?.write(bitmap.popcount());
            }
            OK
        })
    })
}

/// Which L1 manager holds each hit of row `row` and its locks, for the calls that read and release them; LMCACHE_NO_L1_MANAGER for what
/// is no hit. The result must have been asked for. Of use where there are several L1 managers; otherwise each hit is in 0.
///
/// # Safety
/// `l1_managers` points to room for `count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_prefetch_get_row_l1_managers(
    prefetch: *mut lmcache_prefetch,
    row: usize,
    l1_managers: *mut u32,
    count: usize,
) -> Status {
    guard(|| {
        handles::with_exclusive::<Prefetch, _>(prefetch, |prefetch| {
            let of_cells = prefetch.l1_managers(row)?;
            // SAFETY: the caller's promise.
            let out = unsafe { Outputs::new(l1_managers, count, of_cells.len(), "l1_managers") }?;
            out.write(of_cells.map(|l1_manager| l1_manager.unwrap_or(LMCACHE_NO_L1_MANAGER)));
            OK
        })
    })
}

/// Gives a prefetch back; NULL is fine. One whose result nobody has asked for is given up: what it has locked is released. A result that
/// was asked for stays the caller's, with its locks.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_prefetch_free(prefetch: *mut lmcache_prefetch) -> Status {
    guard(|| handles::free::<Prefetch, _>(prefetch))
}

//! Making a storage manager, and its end.

use std::ffi::c_char;

use super::adapter::HostAdapters;
use crate::capture;
use crate::device::PageRegistrar;
use crate::ffi::border::args::{Growing, flag, growing, output, string};
use crate::ffi::border::boundary::{Failure, OK, guard};
use crate::ffi::border::status::Status;
use crate::ffi::device::memory::{OpenDevice, lmcache_device};
use crate::ffi::handles::{self, Kind, Object, Shared};
use crate::ffi::recorder::{Recorder, lmcache_recorder};
use crate::ffi::{callbacks, log};
use crate::storage::config::StorageManagerConfig;
use crate::storage::metrics::{DEFAULT_SAMPLE_RATE, StorageMetrics};
use crate::storage::{StorageManager, StorageManagerBuilder};
use crate::sync::Arc;

/// A storage manager: LMCache's, with its L1, its L2 adapters and its threads. Any number of threads may use it at once.
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_storage(());

/// What a storage manager is made of. `LMCACHE_STORAGE_OPTIONS_INIT` has the defaults, which are zero; `config_json` has to be set.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_storage_options {
    /// `sizeof(lmcache_storage_options)`.
    pub struct_size: u32,
    /// 1 to count what happens, for `lmcache_storage_metrics_text`; it costs every call a little.
    pub with_metrics: u32,
    /// The configuration as one JSON object: the flags of docs/configuration.md by their names, without "--" and with "_" for "-", for
    /// instance {"l1_size_gb": 4, "eviction_policy": "LRU", "l2_adapter": [{"type": "fs", "base_path": "/data/kv"}]}.
    pub config_json: *const c_char,
    /// The share of the objects whose life is measured, above 0 and at most 1; 0 for 0.01.
    pub metrics_sample_rate: f64,
    /// NULL, or a GPU that L1 is pinned by, so that it copies at full speed; the GPU stays open as long as the storage manager is. Of a device
    /// that is no GPU it is UNSUPPORTED.
    pub pinned_by: *const lmcache_device,
}

// SAFETY: numbers and a pointer; the first field is the size.
unsafe impl Growing for lmcache_storage_options {
    const SIZES: &'static [usize] = &[24, size_of::<Self>()];
}

pub(in crate::ffi) struct Storage {
    pub(super) manager: Arc<StorageManager>,
    pub(super) metrics: Option<Arc<StorageMetrics>>,
    pub(super) adapters: Arc<HostAdapters>,
}

impl Object for Storage {
    const KIND: Kind = Kind::Storage;
    const NAME: &'static str = "storage manager";
}

impl Shared for Storage {}

impl Storage {
    /// Closes it where there is nobody to hand an error to.
    fn close_and_log(&self) {
        if let Err(error) = self.manager.close() {
            log::say(&format!("a storage manager that was freed: {error}"));
        }
    }
}

impl Drop for Storage {
    /// Whoever freed it has closed it; this is for one that found no handle.
    fn drop(&mut self) {
        self.close_and_log();
    }
}

fn registrar(device: *const lmcache_device) -> Result<Arc<dyn PageRegistrar>, Failure> {
    let mut found = None;
    handles::with::<OpenDevice, _>(device, |device| {
        found = Some(device.registrar()?);
        OK
    })?;
    found.ok_or_else(|| Failure::null("pinned_by"))
}

fn new(options: &lmcache_storage_options, config: StorageManagerConfig) -> Result<Storage, Failure> {
    let sample_rate = match options.metrics_sample_rate {
        0.0 => DEFAULT_SAMPLE_RATE,
        rate => rate,
    };
    let metrics = match flag("with_metrics", options.with_metrics)? {
        false => None,
        true => Some(Arc::new(StorageMetrics::new(sample_rate)?)),
    };
    config.warnings().iter().for_each(|warning| log::say(warning));
    let adapters: Arc<HostAdapters> = Arc::default();
    let mut builder = StorageManagerBuilder::new(config)
        .adapter_factory(HostAdapters::factory(&adapters))
        .pin_warning(Arc::new(log::say));
    if !options.pinned_by.is_null() {
        builder = builder.page_registrar(registrar(options.pinned_by)?);
    }
    let manager = Arc::new(builder.build()?);
    if let Some(metrics) = &metrics {
        manager.attach_events(Arc::clone(metrics) as _)?;
    }
    Ok(Storage { manager, metrics, adapters })
}

/// Makes a storage manager and starts its threads. What in the configuration is hardly meant is told to the log callback, and
/// later memory of L1 that cannot be pinned. Memory of L1 is reserved, and taken when it is first written, unless it is pinned.
///
/// # Safety
/// `options` points to options whose strings end in NUL; `out` points to room for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_new(
    options: *const lmcache_storage_options,
    out: *mut *mut lmcache_storage,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let out = unsafe { output(out, "out") }?;
        // SAFETY: as above.
        let options = unsafe { growing(options, "options") }?;
        // SAFETY: as above.
        let json = unsafe { string(options.config_json, "config_json") }?;
        let in_json = |error: crate::error::Error| error.with_context("in", "config_json");
        let config = StorageManagerConfig::from_json(json).map_err(in_json)?;
        out.write(handles::new(new(&options, config)?)?);
        OK
    })
}

/// Records every call on this storage manager from now on, while `recorder` is on: the six that LMCache records, each with what became of
/// it. Only one recorder can be attached, and stays; CLOSED if it was closed. A host that attaches one does not record these calls itself. Close the recorder
/// after the storage manager; one that is freed without that is closed when the storage manager and its prefetches are freed.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_storage_record(
    storage: *const lmcache_storage,
    recorder: *const lmcache_recorder,
) -> Status {
    guard(|| {
        handles::with::<Storage, _>(storage, |storage| {
            handles::with::<Recorder, _>(recorder, |recorder| {
                recorder.0.check_open()?;
                capture::attach(&storage.manager, Arc::clone(&recorder.0))?;
                OK
            })
        })
    })
}

/// Ends everything: prefetches under way end with a miss, stores under way are not waited for (`lmcache_storage_flush_stores` does
/// that), threads stop, adapters close (the `close` of a table has returned when this does), objects are dropped. Calls that would add something are CLOSED from then on; others find
/// nothing. Closing twice does no harm. Within a callback it is BUSY, since it waits for the threads that callbacks come from.
///
/// The memory behind buffers stays mapped until the handle and all its prefetches are freed.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_storage_close(storage: *const lmcache_storage) -> Status {
    guard(|| {
        handles::with::<Storage, _>(storage, |storage| {
            callbacks::refuse_in_callback("closing a storage manager")?;
            storage.manager.close()?;
            OK
        })
    })
}

/// Gives a storage manager back, and closes it before as `lmcache_storage_close` does: when this returns, no thread of it is there any more,
/// and no function of an L2 table is called. What goes wrong in that is told to the log callback. No buffer may be used from then on. Its
/// prefetches are to be freed, too, before or after. NULL is fine.
///
/// Within a callback it is BUSY, since it waits for the threads that callbacks come from. Calls of other threads on it end as on one that
/// is closed.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_storage_free(storage: *mut lmcache_storage) -> Status {
    guard(|| {
        if !storage.is_null() {
            callbacks::refuse_in_callback("freeing a storage manager")?;
        }
        handles::free_after::<Storage, _>(storage, Storage::close_and_log)
    })
}

//! L2 adapters that come and go while a storage manager runs: of a configuration, or of the host's own.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use serde_json::Value;

use super::manager::{Storage, lmcache_storage};
use crate::ffi::border::args::{Growing, growing, optional_string, output, string};
use crate::ffi::border::boundary::{Failure, OK, guard};
use crate::ffi::border::status::Status;
use crate::ffi::callbacks;
use crate::ffi::handles;
use crate::format::model::ObjectKey;
use crate::storage::config::{AdapterKind, L2AdapterConfig};
use crate::storage::l2::connected::{ConnectorAdapter, ConnectorOptions};
use crate::storage::l2::connector::{Connector, Put, Removed};
use crate::storage::l2::factory::{self, AdapterFactory};
use crate::storage::l2::plugin::table::{PluginKey, PluginObject};
use crate::storage::l2::plugin::{HostFunctions, HostStore, Plugin};
use crate::storage::l2::{L2AdapterId, Transfer};
use crate::sync::{Arc, Mutex, lock};

/// Threads that call a table, if it does not say how many.
const DEFAULT_WORKERS: u32 = 4;

/// Threads that may call a table, at most.
pub const LMCACHE_MAX_L2_WORKERS: u32 = 1024;

/// Writes objects, or fills their buffers: an answer for each, of lmcache_l2_plugin.h.
#[allow(non_camel_case_types, reason = "the name in C")]
pub type lmcache_l2_objects_function = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        objects: *const PluginObject,
        count: usize,
        answers: *mut i32,
    ) -> i32,
>;

/// Looks keys up, each of which has to have at least so many bytes: an answer for each.
#[allow(non_camel_case_types, reason = "the name in C")]
pub type lmcache_l2_exists_function = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        keys: *const PluginKey,
        sizes_bytes: *const u64,
        count: usize,
        answers: *mut i32,
    ) -> i32,
>;

/// Removes objects: an answer for each key.
#[allow(non_camel_case_types, reason = "the name in C")]
pub type lmcache_l2_keys_function = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        keys: *const PluginKey,
        count: usize,
        answers: *mut i32,
    ) -> i32,
>;

/// Lets go of a store.
#[allow(non_camel_case_types, reason = "the name in C")]
pub type lmcache_l2_close_function = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Writes at most `capacity` bytes of the calling thread's last error, and returns how many.
#[allow(non_camel_case_types, reason = "the name in C")]
pub type lmcache_l2_last_error_function =
    Option<unsafe extern "C" fn(user_data: *mut c_void, text: *mut c_char, capacity: usize) -> usize>;

/// A store behind L1, of the host's own: the functions of a plugin (lmcache_l2_plugin.h has their answers), without a library around
/// them. They are called on threads that the storage manager starts for them, several at once, each with parts of tasks, and wait for their
/// I/O there. Each returns 0 if every object has its answer, anything else if the whole call failed. What they are handed is there during the
/// call only. They may call the library, up to 4 calls deep, but not close or free the storage manager, nor add or remove adapters, evict, or wait for
/// prefetches or stores: that is BUSY. No exception may leave them. An answer that lmcache_l2_plugin.h does not have is an error of that object.
///
/// `LMCACHE_L2_ADAPTER_TABLE_INIT` sets the size; `put`, `get`, `exists` and `remove` have to be set.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_l2_adapter_table {
    /// `sizeof(lmcache_l2_adapter_table)`.
    pub struct_size: u32,
    /// How many threads call the functions, at most LMCACHE_MAX_L2_WORKERS; 0 for 4.
    pub workers: u32,
    /// What the store is called in the status; may be NULL.
    pub name: *const c_char,
    /// What the functions get back.
    pub user_data: *mut c_void,
    /// Writes objects: answers are LMCACHE_L2_PUT_*.
    pub put: lmcache_l2_objects_function,
    /// Fills the buffers of objects: answers are LMCACHE_L2_GET_*.
    pub get: lmcache_l2_objects_function,
    /// Looks keys up: answers are LMCACHE_L2_GET_*.
    pub exists: lmcache_l2_exists_function,
    /// Removes objects: answers are LMCACHE_L2_REMOVE_*.
    pub remove: lmcache_l2_keys_function,
    /// Called once, last of all, on any thread: nothing is called with `user_data` afterwards. It has returned when the call does that ended the
    /// adapter: `lmcache_storage_delete_l2_adapter`, `lmcache_storage_close` or `lmcache_storage_free`. May be NULL.
    pub close: lmcache_l2_close_function,
    /// Says why something failed. May be NULL.
    pub last_error: lmcache_l2_last_error_function,
}

// SAFETY: numbers, pointers, and function pointers that may be NULL; the first field is the size.
unsafe impl Growing for lmcache_l2_adapter_table {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

/// The end of a table: its `close` is called once the table was taken over and its last function has returned, by whoever marks the second
/// of the two. A table that was not taken over stays the host's, and is not closed.
#[derive(Debug)]
struct TableEnd {
    close: lmcache_l2_close_function,
    user_data: *mut c_void,
    /// The handle of the storage manager.
    storage: u64,
    state: Mutex<TableState>,
}

#[derive(Debug, Default)]
struct TableState {
    is_taken_over: bool,
    is_unused: bool,
}

// SAFETY: the host says that `close` may be called with its data from any thread.
unsafe impl Send for TableEnd {}
// SAFETY: as above.
unsafe impl Sync for TableEnd {}

impl TableEnd {
    fn new(table: &lmcache_l2_adapter_table, storage: u64) -> Self {
        Self { close: table.close, user_data: table.user_data, storage, state: Mutex::default() }
    }

    /// Sets one of the two, each once. `close` is the host's, so no lock is held in it.
    fn mark(&self, set: impl FnOnce(&mut TableState)) {
        let mut state = lock(&self.state);
        set(&mut state);
        let is_over = state.is_taken_over && state.is_unused;
        drop(state);
        if let (true, Some(close)) = (is_over, self.close) {
            // SAFETY: the host's promise; nothing else is called with its data from now on.
            callbacks::call_host([self.storage, 0], || unsafe { close(self.user_data) });
        }
    }
}

/// A table that is in use.
#[derive(Debug)]
struct OpenTable {
    functions: Plugin,
    end: Arc<TableEnd>,
}

impl Drop for OpenTable {
    fn drop(&mut self) {
        self.end.mark(|state| state.is_unused = true);
    }
}

/// A store of the host's, whose functions keep the storage manager while they run.
#[derive(Debug)]
struct HostConnector {
    /// Nothing once it is closed.
    table: Mutex<Option<Arc<OpenTable>>>,
    /// The handle of the storage manager.
    storage: u64,
}

impl HostConnector {
    fn table(&self) -> Option<Arc<OpenTable>> {
        lock(&self.table).clone()
    }

    fn call<R>(
        &self,
        count: usize,
        call: impl FnOnce(&Plugin) -> Vec<crate::error::Result<R>>,
    ) -> Vec<crate::error::Result<R>> {
        match self.table() {
            Some(table) => callbacks::call_host([self.storage, 0], || call(&table.functions)),
            None => (0..count).map(|_| Err(crate::error::Error::invalid("the store is closed"))).collect(),
        }
    }
}

impl Connector for HostConnector {
    fn type_name(&self) -> &'static str {
        "host"
    }

    fn class_name(&self) -> &'static str {
        "HostL2Adapter"
    }

    fn put(&self, objects: &[Transfer]) -> Vec<crate::error::Result<Put>> {
        self.call(objects.len(), |store| store.put(objects))
    }

    fn get(&self, objects: &[Transfer]) -> Vec<crate::error::Result<bool>> {
        self.call(objects.len(), |store| store.get(objects))
    }

    fn exists(&self, keys: &[ObjectKey], sizes_bytes: &[u64]) -> Vec<crate::error::Result<bool>> {
        self.call(keys.len(), |store| store.exists(keys, sizes_bytes))
    }

    fn remove(&self, keys: &[ObjectKey]) -> Vec<crate::error::Result<Removed>> {
        self.call(keys.len(), |store| store.remove(keys))
    }

    fn status(&self) -> Vec<(&'static str, Value)> {
        self.table().map(|table| table.functions.status()).unwrap_or_default()
    }

    fn close(&self) {
        // Its `close` is a function of the host: no lock may be taken in it.
        let table = lock(&self.table).take();
        drop(table);
    }
}

/// Brings stores of the host to where adapters are made.
#[derive(Debug, Default)]
pub(super) struct HostAdapters {
    /// Held while an adapter is added.
    turn: Mutex<()>,
    /// The store that the adapter which is being added is made of, with its threads; none if its configuration says all.
    next: Mutex<Option<(HostConnector, usize)>>,
}

impl HostAdapters {
    /// What makes adapters: of the host's store, if one was brought, else of the configuration.
    pub(super) fn factory(adapters: &Arc<Self>) -> Arc<AdapterFactory> {
        let adapters = Arc::clone(adapters);
        Arc::new(move |config, context| {
            let Some((connector, workers)) = lock(&adapters.next).take() else {
                return factory::create(config, context);
            };
            let capacity_bytes = match &config.kind {
                AdapterKind::Plugin(plugin) => plugin.max_capacity_bytes.unwrap_or(0),
                _ => 0,
            };
            let options = ConnectorOptions { workers, capacity_bytes, compat: context.compat };
            let adapter = ConnectorAdapter::start(connector, options)?;
            factory::with_wrappers(Arc::new(adapter), config, context)
        })
    }
}

impl Storage {
    fn add(
        &self,
        config: L2AdapterConfig,
        store: Option<(HostConnector, usize)>,
    ) -> Result<L2AdapterId, Failure> {
        callbacks::refuse_in_callback("adding an L2 adapter")?;
        let turn = lock(&self.adapters.turn);
        *lock(&self.adapters.next) = store;
        let added = self.manager.add_l2_adapter(config);
        // One that was refused before it was made.
        *lock(&self.adapters.next) = None;
        drop(turn);
        Ok(added?)
    }
}

/// Adds an L2 adapter: what is written and looked up from now on goes to it, too. `config_json` is an object of `l2_adapter` in the
/// configuration. `out` gets its number, and may be NULL. Within a callback it is BUSY.
///
/// # Safety
/// `config_json` ends in NUL; `out` is NULL or points to room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_add_l2_adapter(
    storage: *const lmcache_storage,
    config_json: *const c_char,
    out: *mut u32,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let json = unsafe { string(config_json, "config_json") }?;
        let config = L2AdapterConfig::from_json(json)?;
        handles::with::<Storage, _>(storage, |storage| {
            let id = storage.add(config, None)?;
            // SAFETY: as above.
            unsafe { number_out(out, id) }
        })
    })
}

/// # Safety
/// `out` is NULL or points to room for a number.
unsafe fn number_out(out: *mut u32, id: L2AdapterId) -> crate::ffi::border::boundary::Ended {
    if !out.is_null() {
        // SAFETY: the caller's promise.
        unsafe { output(out, "out") }?.write(id);
    }
    OK
}

/// Adds an L2 adapter of the host's own. `config_json` has what every adapter can have (`affinity_tag`, `shared`, `eviction`, `serde`), and
/// `max_capacity_gb`, for instance {"type": "plugin", "library_path": "a name", "max_capacity_gb": 8}: it is an object of type "plugin", of which
/// no library is loaded. NULL for the defaults. The table is copied. `out` gets the number, and may be NULL. Within a callback it is BUSY.
///
/// If it is OK, the storage manager has the table, and ends with its `close`. If it fails, whyever, `user_data` stays the host's: `close` is not
/// called, and when this returns no function is called any more.
///
/// # Safety
/// `table` points to a table whose strings end in NUL, and whose functions may be called from any thread with its `user_data` until
/// `lmcache_storage_delete_l2_adapter` of the adapter, or `lmcache_storage_close` or `lmcache_storage_free` of the storage manager, has
/// returned OK; `config_json` is NULL or ends in NUL; `out` is NULL or points to room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_add_l2_table(
    storage: *const lmcache_storage,
    table: *const lmcache_l2_adapter_table,
    config_json: *const c_char,
    out: *mut u32,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let table = unsafe { growing(table, "table") }?;
        // SAFETY: as above.
        let name = unsafe { optional_string(table.name, "the name of the table") }?.unwrap_or("host");
        // SAFETY: as above.
        let json = unsafe { optional_string(config_json, "config_json") }?;
        let config = host_config(json)?;
        let number = storage.addr() as u64;
        handles::with::<Storage, _>(storage, |storage| {
            let workers = workers(&table)?;
            let end = Arc::new(TableEnd::new(&table, number));
            // SAFETY: as above.
            let store = unsafe { HostStore::new(name, functions(&table)?, table.user_data) };
            let open = OpenTable { functions: Plugin::of_host(store, name), end: Arc::clone(&end) };
            let connector = HostConnector { table: Mutex::new(Some(Arc::new(open))), storage: number };
            let id = storage.add(config, Some((connector, workers)))?;
            end.mark(|state| state.is_taken_over = true);
            // SAFETY: as above.
            unsafe { number_out(out, id) }
        })
    })
}

fn host_config(json: Option<&str>) -> Result<L2AdapterConfig, Failure> {
    let config = L2AdapterConfig::from_json(json.unwrap_or(r#"{"type": "plugin", "library_path": "host"}"#))?;
    match &config.kind {
        AdapterKind::Plugin(plugin) if plugin.adapter_params.is_empty() => Ok(config),
        AdapterKind::Plugin(_) => {
            Err(Failure::invalid("a table has no adapter_params: its user_data says all"))
        }
        _ => Err(Failure::invalid("the configuration of a table has the type \"plugin\"")),
    }
}

fn workers(table: &lmcache_l2_adapter_table) -> Result<usize, Failure> {
    match table.workers {
        0 => Ok(DEFAULT_WORKERS as usize),
        1..=LMCACHE_MAX_L2_WORKERS => Ok(table.workers as usize),
        other => Err(Failure::invalid(format!("workers is {other}; {LMCACHE_MAX_L2_WORKERS} are the most"))),
    }
}

fn functions(table: &lmcache_l2_adapter_table) -> Result<HostFunctions, Failure> {
    let missing = |name: &str| Failure::null(&format!("the function {name} of the table"));
    Ok(HostFunctions {
        put: table.put.ok_or_else(|| missing("put"))?,
        get: table.get.ok_or_else(|| missing("get"))?,
        exists: table.exists.ok_or_else(|| missing("exists"))?,
        remove: table.remove.ok_or_else(|| missing("remove"))?,
        // Called by the table's end, if it is the library's.
        close: None,
        last_error: table.last_error,
    })
}

/// Removes an L2 adapter: it gets no more tasks, those under way are finished, and it is closed. NOT_FOUND if there is none of that number.
/// TIMEOUT if its tasks take longer than `timeout_ns`: it gets no new ones from then on, and this can be called again. Within a callback it is
/// BUSY.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_storage_delete_l2_adapter(
    storage: *const lmcache_storage,
    l2_adapter: u32,
    timeout_ns: u64,
) -> Status {
    guard(|| {
        handles::with::<Storage, _>(storage, |storage| {
            callbacks::refuse_in_callback("removing an L2 adapter")?;
            if !storage.manager.l2_adapters().iter().any(|entry| entry.id == l2_adapter) {
                let sentence = format!("there is no L2 adapter {l2_adapter}");
                return Err(Failure::misuse(Status::LMCACHE_STATUS_NOT_FOUND, sentence));
            }
            storage.manager.delete_l2_adapter(l2_adapter, Duration::from_nanos(timeout_ns))?;
            OK
        })
    })
}

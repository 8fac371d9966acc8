//! Loading a plugin, and calling it.
#![expect(unsafe_code, reason = "functions of a shared library are called by address")]

use std::ffi::{CStr, c_char, c_void};
use std::path::Path;
use std::ptr::NonNull;

use super::table::{
    ABI_VERSION, CloseFn, ENTRY, ExistsFn, KeysFn, LastErrorFn, OK, ObjectsFn, OpenFn, PluginKey,
    PluginObject, PluginTable, UNANSWERED,
};
use crate::error::{Error, ErrorKind, Result};
use crate::format::model::ObjectKey;
use crate::storage::l2::Transfer;

/// What to do about a table that the library makes wrong by itself.
const OWN_FAULT: &str =
    "lmcache_l2_plugin_table has to return the address of a table that stays: tell the plugin's author";

/// The longest error text that is taken over from a library, in bytes.
const MAX_ERROR_BYTES: usize = 1024;

/// The longest name that is taken over from a library, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// A store that is open: of a library whose table was checked, or of a host.
pub(super) struct Library {
    functions: Functions,
    handle: Handle,
    name: String,
    /// Keeps the functions where they are. Last: it goes after the store was closed. A host's stay by themselves.
    _code: Option<libloading::Library>,
}

/// A store in this process: what a library's table has, of a host that has no library around it.
pub struct HostStore(Library);

impl std::fmt::Debug for HostStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HostStore").field(&self.0).finish()
    }
}

/// The functions of a host, as those of a [`PluginTable`]. The last two may be missing.
#[derive(Clone, Copy, Debug)]
pub struct HostFunctions {
    /// Writes objects.
    pub put: ObjectsFn,
    /// Reads objects.
    pub get: ObjectsFn,
    /// Looks keys up.
    pub exists: ExistsFn,
    /// Removes objects.
    pub remove: KeysFn,
    /// Called last of all.
    pub close: Option<CloseFn>,
    /// Says why something failed.
    pub last_error: Option<LastErrorFn>,
}

impl HostStore {
    /// A store that is open already.
    ///
    /// # Safety
    /// The functions do what `include/lmcache_l2_plugin.h` asks of a plugin's, with `handle`, from any thread, until `close`
    /// has returned; without a `close`, for ever.
    pub unsafe fn new(name: &str, functions: HostFunctions, handle: *mut c_void) -> Self {
        let HostFunctions { put, get, exists, remove, close, last_error } = functions;
        let functions = Functions { close, put, get, exists, remove, last_error };
        let name = name.chars().take(MAX_NAME_BYTES).collect();
        Self(Library { functions, handle: Handle(handle), name, _code: None })
    }

    pub(super) fn into_library(self) -> Library {
        self.0
    }
}

/// The library's own; it promises to be called from any thread.
struct Handle(*mut c_void);

// SAFETY: the table demands that a handle can be used from any thread, several at a time.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The functions of a table, all there.
#[derive(Clone, Copy)]
struct Functions {
    close: Option<CloseFn>,
    put: ObjectsFn,
    get: ObjectsFn,
    exists: ExistsFn,
    remove: KeysFn,
    last_error: Option<LastErrorFn>,
}

type Entry = unsafe extern "C" fn() -> *const PluginTable;

impl Library {
    pub(super) fn open(path: &Path, params: &str) -> Result<Self> {
        // SAFETY: loading runs the library's initialisers; who names a library in the configuration vouches for it.
        let code = unsafe { libloading::Library::new(path) };
        let code = code.map_err(|error| {
            wrong("cannot load the plugin", &error).with_hint(
                "give library_path as a full path: a name without a slash is looked for in LD_LIBRARY_PATH only",
            )
        })?;
        // SAFETY: the type is that of the function which the table's documentation asks for under this name.
        let entry = unsafe { code.get::<Entry>(ENTRY) };
        let entry = *entry.map_err(|error| {
            wrong("the plugin has no lmcache_l2_plugin_table", &error)
                .with_hint("export that function: include/lmcache_l2_plugin.h has it")
        })?;
        // SAFETY: the function takes nothing and returns an address.
        let table = unsafe { entry() };
        let (open, functions, name) = read_table(table)?;
        let handle = functions.open(open, params)?;
        Ok(Self { functions, handle, name, _code: Some(code) })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Why the calling thread's last call failed, in the library's words.
    pub(super) fn last_error(&self) -> Option<String> {
        self.functions.last_error(self.handle.0)
    }

    pub(super) fn put(&self, objects: &[Transfer]) -> Result<Vec<i32>> {
        self.objects("put", self.functions.put, objects)
    }

    pub(super) fn get(&self, objects: &[Transfer]) -> Result<Vec<i32>> {
        self.objects("get", self.functions.get, objects)
    }

    fn objects(&self, name: &'static str, function: ObjectsFn, objects: &[Transfer]) -> Result<Vec<i32>> {
        let described: Vec<_> = objects.iter().map(object_of).collect();
        let mut answers = vec![UNANSWERED; objects.len()];
        // SAFETY: keys and buffers are described as they are, are held by `objects` during the call, and there are as
        // many answers as objects.
        let code =
            unsafe { function(self.handle.0, described.as_ptr(), described.len(), answers.as_mut_ptr()) };
        self.answers(name, code, answers)
    }

    pub(super) fn exists(&self, keys: &[ObjectKey], sizes_bytes: &[u64]) -> Result<Vec<i32>> {
        let described: Vec<_> = keys.iter().map(key_of).collect();
        let mut sizes_bytes = sizes_bytes.to_vec();
        sizes_bytes.resize(keys.len(), 0);
        let mut answers = vec![UNANSWERED; keys.len()];
        let (count, handle) = (described.len(), self.handle.0);
        // SAFETY: keys are described as they are and held by the caller; there are as many sizes and answers as keys.
        let code = unsafe {
            (self.functions.exists)(
                handle,
                described.as_ptr(),
                sizes_bytes.as_ptr(),
                count,
                answers.as_mut_ptr(),
            )
        };
        self.answers("exists", code, answers)
    }

    pub(super) fn remove(&self, keys: &[ObjectKey]) -> Result<Vec<i32>> {
        let described: Vec<_> = keys.iter().map(key_of).collect();
        let mut answers = vec![UNANSWERED; keys.len()];
        let (count, handle) = (described.len(), self.handle.0);
        // SAFETY: as in `exists`.
        let code =
            unsafe { (self.functions.remove)(handle, described.as_ptr(), count, answers.as_mut_ptr()) };
        self.answers("remove", code, answers)
    }

    fn answers(&self, name: &'static str, code: i32, answers: Vec<i32>) -> Result<Vec<i32>> {
        if code == OK {
            return Ok(answers);
        }
        let words = self.last_error().unwrap_or_else(|| "it gave no reason".to_owned());
        Err(Error::new(ErrorKind::Io, format!("{words} (code {code} of {name})")))
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        if let Some(close) = self.functions.close {
            // SAFETY: the handle is open, is closed here only, and nobody has the library any more.
            unsafe { close(self.handle.0) };
        }
    }
}

/// An error of loading, with the linker's own words: libloading keeps them one level below its own.
fn wrong(message: &'static str, error: &libloading::Error) -> Error {
    let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    Error::invalid(message).with_source(reason)
}

/// The functions of the table at `table`, and the name in it.
fn read_table(table: *const PluginTable) -> Result<(OpenFn, Functions, String)> {
    let Some(table) = NonNull::new(table.cast_mut()) else {
        return Err(Error::invalid("the plugin gave no table").with_hint(OWN_FAULT));
    };
    if !table.is_aligned() {
        return Err(
            Error::invalid("the plugin gave a table at an address where none can be").with_hint(OWN_FAULT)
        );
    }
    // Only the part that every version has is read before size and version are known to be ours.
    // SAFETY: the library promises a table, which begins with its size.
    let struct_bytes = unsafe { table.cast::<usize>().read() };
    if struct_bytes < size_of::<PluginTable>() {
        return Err(Error::invalid("the plugin's table is too short")
            .with_context("struct_bytes", struct_bytes)
            .with_context("needed_bytes", size_of::<PluginTable>())
            .with_hint("compile the plugin with the header of this version"));
    }
    // SAFETY: the table is as long as it says, and that is long enough.
    let table = unsafe { table.as_ref() };
    if table.abi_version != ABI_VERSION {
        return Err(Error::new(ErrorKind::UnsupportedVersion, "the plugin's table has another version")
            .with_context("abi_version", table.abi_version)
            .with_context("known_version", ABI_VERSION)
            .with_hint("compile the plugin with the header of this version"));
    }
    if table.reserved != 0 {
        return Err(Error::invalid("the plugin's table sets what is kept for later")
            .with_context("reserved", table.reserved)
            .with_hint("set it to 0: tell the plugin's author"));
    }
    let missing = |name: &'static str| {
        Error::invalid("a function is missing in the plugin's table")
            .with_context("function", name)
            .with_hint("all functions but last_error are required: give the table this one too")
    };
    let open = table.open.ok_or_else(|| missing("open"))?;
    let functions = Functions {
        close: Some(table.close.ok_or_else(|| missing("close"))?),
        put: table.put.ok_or_else(|| missing("put"))?,
        get: table.get.ok_or_else(|| missing("get"))?,
        exists: table.exists.ok_or_else(|| missing("exists"))?,
        remove: table.remove.ok_or_else(|| missing("remove"))?,
        last_error: table.last_error,
    };
    Ok((open, functions, name_at(table.name)))
}

fn name_at(name: *const c_char) -> String {
    if name.is_null() {
        return String::new();
    }
    // SAFETY: a name that is not null is terminated and stays with the table.
    let name = unsafe { CStr::from_ptr(name) };
    let bytes = name.to_bytes();
    String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_NAME_BYTES)]).into_owned()
}

impl Functions {
    fn open(&self, open: OpenFn, params: &str) -> Result<Handle> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: the text is there during the call, and so is the place for the handle.
        let code = unsafe { open(params.as_ptr().cast(), params.len(), &raw mut handle) };
        if code == OK && !handle.is_null() {
            return Ok(Handle(handle));
        }
        let error = match code {
            OK => Error::invalid("the plugin opened and gave no handle"),
            code => {
                let words = self.last_error(std::ptr::null_mut());
                let words = words.unwrap_or_else(|| "it gave no reason".to_owned());
                Error::invalid(format!("the plugin did not open: {words}")).with_context("code", code)
            }
        };
        Err(error.with_hint(
            "the plugin opens with what adapter_params of the adapter says: mend what it complains of",
        ))
    }

    fn last_error(&self, handle: *mut c_void) -> Option<String> {
        let function = self.last_error?;
        let mut text = vec![0_u8; MAX_ERROR_BYTES];
        // SAFETY: there is as much room as is said.
        let len = unsafe { function(handle, text.as_mut_ptr().cast(), text.len()) };
        text.truncate(len);
        let text = String::from_utf8_lossy(&text).into_owned();
        Some(text).filter(|text| !text.is_empty())
    }
}

fn key_of(key: &ObjectKey) -> PluginKey {
    let (hash, scope) = (key.chunk_hash().as_bytes(), key.scope());
    PluginKey {
        chunk_hash: hash.as_ptr(),
        chunk_hash_bytes: hash.len(),
        model_name: scope.model_name().as_ptr().cast(),
        model_name_bytes: scope.model_name().len(),
        cache_salt: scope.cache_salt().as_ptr().cast(),
        cache_salt_bytes: scope.cache_salt().len(),
        kv_rank: scope.kv_rank(),
        object_group_id: scope.object_group_id(),
        reserved: 0,
    }
}

fn object_of(object: &Transfer) -> PluginObject {
    PluginObject {
        key: key_of(&object.key),
        data: object.buffer.as_mut_ptr().cast(),
        data_bytes: object.buffer.size_bytes(),
    }
}

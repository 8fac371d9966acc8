//! The table of C functions that a plugin gives us. `include/lmcache_l2_plugin.h` says the same in C, and
//! `docs/l2.md` what a plugin promises.

use std::ffi::{c_char, c_void};

/// The version of this table. One that is changed in another way than by fields at its end gets another number.
pub const ABI_VERSION: u32 = 1;

/// The function that a library exports: `const lmcache_l2_plugin *lmcache_l2_plugin_table(void)`.
pub const ENTRY: &[u8] = b"lmcache_l2_plugin_table\0";

/// The answer of a whole call: each object has its own answer.
pub const OK: i32 = 0;

/// `put`: the object was written.
pub const PUT_WRITTEN: i32 = 0;
/// `put`: it was there already.
pub const PUT_PRESENT: i32 = 1;
/// `put`: there is no room for it.
pub const PUT_NO_ROOM: i32 = 2;
/// `get` and `exists`: the object is not there, or smaller than was asked for.
pub const GET_MISS: i32 = 0;
/// `get` and `exists`: it is there; `get` has filled its buffer.
pub const GET_HIT: i32 = 1;
/// `remove`: the object was not there.
pub const REMOVE_ABSENT: i32 = 0;
/// `remove`: it was, and is not any more.
pub const REMOVE_GONE: i32 = 1;

/// What an answer is before the library has given one.
pub const UNANSWERED: i32 = i32::MIN;

/// LMCache's `ObjectKey`. All texts are UTF-8 and not terminated; they are ours, and there during the call.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct PluginKey {
    /// The hash of the chunk.
    pub chunk_hash: *const u8,
    /// Its bytes.
    pub chunk_hash_bytes: usize,
    /// The model.
    pub model_name: *const c_char,
    /// Its bytes.
    pub model_name_bytes: usize,
    /// The tenant; may be empty.
    pub cache_salt: *const c_char,
    /// Its bytes.
    pub cache_salt_bytes: usize,
    /// LMCache's packed rank.
    pub kv_rank: i64,
    /// The group of layers.
    pub object_group_id: u32,
    /// Zero.
    pub reserved: u32,
}

/// An object, and its bytes in our memory, which are there during the call.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct PluginObject {
    /// Which object.
    pub key: PluginKey,
    /// Read by `put`, filled by `get`. Others may write them meanwhile, if a lock ran out: then the object is wrong.
    pub data: *mut c_void,
    /// How many bytes.
    pub data_bytes: usize,
}

/// `int32_t put(void *handle, const lmcache_l2_object *objects, size_t count, int32_t *answers)`; `get` is the same.
pub type ObjectsFn = unsafe extern "C" fn(*mut c_void, *const PluginObject, usize, *mut i32) -> i32;

/// `int32_t exists(void *handle, const lmcache_l2_key *keys, const uint64_t *sizes_bytes, size_t count, int32_t
/// *answers)`.
pub type ExistsFn = unsafe extern "C" fn(*mut c_void, *const PluginKey, *const u64, usize, *mut i32) -> i32;

/// `int32_t remove(void *handle, const lmcache_l2_key *keys, size_t count, int32_t *answers)`.
pub type KeysFn = unsafe extern "C" fn(*mut c_void, *const PluginKey, usize, *mut i32) -> i32;

/// `int32_t open(const char *params_json, size_t params_bytes, void **handle)`.
pub type OpenFn = unsafe extern "C" fn(*const c_char, usize, *mut *mut c_void) -> i32;

/// `void close(void *handle)`.
pub type CloseFn = unsafe extern "C" fn(*mut c_void);

/// `size_t last_error(void *handle, char *text, size_t capacity)`: writes at most `capacity` bytes of the calling
/// thread's last error, and returns how many it has. The handle is null after an `open` that failed.
pub type LastErrorFn = unsafe extern "C" fn(*mut c_void, *mut c_char, usize) -> usize;

/// The table. It is the library's, and there for as long as the library is loaded.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct PluginTable {
    /// `sizeof(lmcache_l2_plugin)`, as the library was compiled.
    pub struct_bytes: usize,
    /// [`ABI_VERSION`], as the library was compiled.
    pub abi_version: u32,
    /// Zero.
    pub reserved: u32,
    /// What the store is called, terminated; may be null.
    pub name: *const c_char,
    /// Opens the store. Required.
    pub open: Option<OpenFn>,
    /// Closes it. Required.
    pub close: Option<CloseFn>,
    /// Writes objects. Required.
    pub put: Option<ObjectsFn>,
    /// Reads objects. Required.
    pub get: Option<ObjectsFn>,
    /// Looks keys up. Required.
    pub exists: Option<ExistsFn>,
    /// Removes objects. Required.
    pub remove: Option<KeysFn>,
    /// Says why something failed. May be null.
    pub last_error: Option<LastErrorFn>,
}

//! What calls are about: scopes, layouts, and lists of keys.

use std::ffi::c_char;

use super::border::args::{output, reference, slice, string};
use super::border::boundary::{Failure, OK, guard};
use super::border::status::Status;
use super::handles::{self, Kind, Object, Shared, slots};
use crate::format::model::interner::put_key;
use crate::format::model::{Dtype, KeyScope, MemoryLayoutDesc, ObjectKey};
use crate::sync::Arc;

/// Keys of a list, at most.
pub const LMCACHE_MAX_KEYS: usize = 1048576;

/// Bytes of a hash, at most.
pub const LMCACHE_MAX_HASH_BYTES: usize = 4096;

/// Tensors of a layout, and dimensions of a tensor, at most.
pub const LMCACHE_MAX_TENSORS: usize = 1024;

/// What the keys of a prompt have in common: model, rank, object group and tenant. It never changes; any number of threads may
/// use it at once.
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_scope(());

/// How an object lies in memory: the shape and type of each of its tensors. It never changes; any number of threads may use it at
/// once.
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_layout(());

/// One tensor of a layout.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_tensor {
    /// Its dimensions.
    pub shape: *const u64,
    /// How many there are.
    pub dimensions: usize,
    /// The name of its type in torch, for instance "torch.bfloat16".
    pub dtype: *const c_char,
}

/// A list of keys: `count` hashes of `hash_bytes` each, one after the other, and the scope that they have in common; or, if
/// `scopes` is not NULL, one scope for each, and `scope` is not looked at. Borrowed for the time of the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_key_list {
    /// The hashes.
    pub hashes: *const u8,
    /// How many there are; at most LMCACHE_MAX_KEYS.
    pub count: usize,
    /// Bytes of each; 1 to LMCACHE_MAX_HASH_BYTES. LMCache's have 32.
    pub hash_bytes: usize,
    /// The scope of all keys.
    pub scope: *const lmcache_scope,
    /// NULL, or `count` scopes.
    pub scopes: *const *const lmcache_scope,
}

#[derive(Debug)]
pub(super) struct Scope(pub(super) Arc<KeyScope>);

impl Object for Scope {
    const KIND: Kind = Kind::Scope;
    const NAME: &'static str = "scope";
}

impl Shared for Scope {}

#[derive(Debug)]
pub(super) struct Layout(pub(super) Arc<MemoryLayoutDesc>);

impl Object for Layout {
    const KIND: Kind = Kind::Layout;
    const NAME: &'static str = "layout";
}

impl Shared for Layout {}

/// What stands behind the handle of a scope.
pub(super) fn scope(handle: *const lmcache_scope) -> Result<Arc<KeyScope>, Failure> {
    let mut found = None;
    handles::with::<Scope, _>(handle, |scope| {
        found = Some(Arc::clone(&scope.0));
        OK
    })?;
    found.ok_or_else(|| Failure::null("scope"))
}

/// What stands behind the handle of a layout.
pub(super) fn layout(handle: *const lmcache_layout) -> Result<Arc<MemoryLayoutDesc>, Failure> {
    let mut found = None;
    handles::with::<Layout, _>(handle, |layout| {
        found = Some(Arc::clone(&layout.0));
        OK
    })?;
    found.ok_or_else(|| Failure::null("layout"))
}

/// A list of keys that was looked at.
pub(super) struct Keys<'a> {
    pub(super) hashes: &'a [u8],
    pub(super) hash_bytes: usize,
    pub(super) count: usize,
    pub(super) scope: *const lmcache_scope,
    pub(super) scopes: Option<&'a [*const lmcache_scope]>,
}

impl<'a> Keys<'a> {
    /// Looks at a list.
    ///
    /// # Safety
    /// `list` is NULL or points to a list whose pointers are what their fields say, for `'a`.
    #[inline(always)]
    pub(super) unsafe fn new(list: *const lmcache_key_list) -> Result<Self, Failure> {
        // Field by field: the host has just written them one by one, and a processor waits long for a wider read of such bytes.
        // SAFETY: passed on.
        let list = unsafe { reference(list, "the list of keys") }?;
        let (count, hash_bytes) = (list.count, list.hash_bytes);
        if count == 0 {
            let scopes = None;
            return Ok(Self { hashes: &[], hash_bytes: 1, count: 0, scope: list.scope, scopes });
        }
        if count > LMCACHE_MAX_KEYS || !(1..=LMCACHE_MAX_HASH_BYTES).contains(&hash_bytes) {
            return Err(wrong_size(count, hash_bytes));
        }
        let (bytes, most) = (count * hash_bytes, LMCACHE_MAX_KEYS * LMCACHE_MAX_HASH_BYTES);
        // SAFETY: passed on.
        let hashes = unsafe { slice(list.hashes, bytes, most, "the hashes of the keys") }?;
        let mut scopes = None;
        if !list.scopes.is_null() {
            // SAFETY: passed on.
            let list = unsafe { slice(list.scopes, count, LMCACHE_MAX_KEYS, "the scopes of the keys") }?;
            scopes = Some(list);
        }
        Ok(Self { hashes, hash_bytes, count, scope: list.scope, scopes })
    }
}

/// Keys that are kept when a call is over, at most.
const MOST_KEPT_KEYS: usize = 4096;

/// The keys of a call, and the scope that they have in common. The next call's are written over them: so nothing is allocated, and a scope
/// that stays the same is neither looked up nor counted.
#[derive(Default)]
pub(super) struct KeptKeys {
    keys: Vec<ObjectKey>,
    scope: Option<(*const lmcache_scope, Arc<KeyScope>)>,
}

impl KeptKeys {
    pub(super) const fn new() -> Self {
        Self { keys: Vec::new(), scope: None }
    }

    /// The keys of a list.
    pub(super) fn of(&mut self, list: &Keys<'_>) -> Result<&[ObjectKey], Failure> {
        self.keys.truncate(list.count);
        if list.count == 0 {
            return Ok(&[]);
        }
        self.keys.try_reserve(list.count - self.keys.len()).map_err(|_| no_room(list.count))?;
        match list.scopes {
            None => self.build_in_one_scope(list)?,
            Some(scopes) => self.build(list, scopes)?,
        }
        Ok(&self.keys)
    }

    fn build_in_one_scope(&mut self, list: &Keys<'_>) -> Result<(), Failure> {
        let Self { keys, scope } = self;
        let scope = match scope {
            Some((known, scope)) if *known == list.scope && slots::is_there(known.addr() as u64) => scope,
            _ => &mut scope.insert((list.scope, self::scope(list.scope)?)).1,
        };
        let hashes = list.hashes.chunks_exact(list.hash_bytes).enumerate();
        hashes.for_each(|(place, hash)| put_key(keys, place, hash, scope));
        Ok(())
    }

    fn build(&mut self, list: &Keys<'_>, scopes: &[*const lmcache_scope]) -> Result<(), Failure> {
        let hashes = list.hashes.chunks_exact(list.hash_bytes).enumerate();
        // Neighbours mostly have the same one.
        let mut last: Option<(*const lmcache_scope, Arc<KeyScope>)> = None;
        for ((place, hash), handle) in hashes.zip(scopes) {
            let known =
                last.as_ref().filter(|(known, _)| known == handle).map(|(_, scope)| Arc::clone(scope));
            let scope = match known {
                Some(scope) => scope,
                None => scope(*handle)?,
            };
            put_key(&mut self.keys, place, hash, &scope);
            last = Some((*handle, scope));
        }
        Ok(())
    }

    /// The call is over: what takes much memory goes.
    pub(super) fn trim(&mut self) {
        let is_much = self.keys.capacity() > MOST_KEPT_KEYS;
        if is_much || self.keys.first().is_some_and(|key| key.chunk_hash().as_inline().is_none()) {
            self.keys = Vec::new();
        }
    }

    /// The keys, for who keeps them.
    pub(super) fn into_keys(self) -> Vec<ObjectKey> {
        self.keys
    }
}

#[cold]
#[inline(never)]
fn no_room(count: usize) -> Failure {
    let sentence = format!("there is no memory for {count} keys");
    Failure::misuse(Status::LMCACHE_STATUS_OUT_OF_MEMORY, sentence)
}

#[cold]
#[inline(never)]
fn wrong_size(count: usize, hash_bytes: usize) -> Failure {
    Failure::invalid(format!(
        "a list of {count} keys with hashes of {hash_bytes} bytes: there are at most {LMCACHE_MAX_KEYS} keys, and hashes have 1 to \
         {LMCACHE_MAX_HASH_BYTES} bytes"
    ))
}

/// Makes a scope. `cache_salt` may be NULL, which is the salt ""; it has at most 128 characters. Both strings are copied.
///
/// # Safety
/// The strings end in NUL; `out` points to room for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_scope_new(
    model_name: *const c_char,
    kv_rank: i64,
    object_group_id: u32,
    cache_salt: *const c_char,
    out: *mut *mut lmcache_scope,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let out = unsafe { output(out, "out") }?;
        // SAFETY: as above.
        let model_name = unsafe { string(model_name, "model_name") }?;
        // SAFETY: as above.
        let cache_salt =
            unsafe { super::border::args::optional_string(cache_salt, "cache_salt") }?.unwrap_or_default();
        let scope = KeyScope::new(model_name, kv_rank, object_group_id, cache_salt)?;
        out.write(handles::new(Scope(Arc::new(scope)))?);
        OK
    })
}

/// Gives a scope back; recordings and caches that know it keep it. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_scope_free(scope: *mut lmcache_scope) -> Status {
    guard(|| handles::free::<Scope, _>(scope))
}

/// Makes a layout of `count` tensors; at most LMCACHE_MAX_TENSORS. What they point to is copied.
///
/// # Safety
/// `tensors` points to `count` tensors, each with as many dimensions as it says, and a name that ends in NUL; `out` points to room
/// for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_layout_new(
    tensors: *const lmcache_tensor,
    count: usize,
    out: *mut *mut lmcache_layout,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let out = unsafe { output(out, "out") }?;
        // SAFETY: as above.
        let tensors = unsafe { slice(tensors, count, LMCACHE_MAX_TENSORS, "tensors") }?;
        let groups = tensors.iter().map(|tensor| {
            // SAFETY: as above.
            let shape = unsafe {
                slice(tensor.shape, tensor.dimensions, LMCACHE_MAX_TENSORS, "the shape of a tensor")
            }?;
            // SAFETY: as above.
            let dtype = unsafe { string(tensor.dtype, "the dtype of a tensor") }?;
            let known = Dtype::from_name(dtype).ok_or_else(|| {
                Failure::invalid(format!("{dtype:?} is no type of torch's, such as torch.bfloat16"))
            });
            Ok::<_, Failure>((Box::from(shape), known?))
        });
        let layout = MemoryLayoutDesc::new(groups.collect::<Result<_, _>>()?)?;
        out.write(handles::new(Layout(Arc::new(layout)))?);
        OK
    })
}

/// How many bytes an object of this layout takes, alignment not included.
///
/// # Safety
/// `out` points to room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_layout_size_bytes(layout: *const lmcache_layout, out: *mut u64) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        out.write(self::layout(layout)?.size_bytes());
        OK
    })
}

/// Gives a layout back. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_layout_free(layout: *mut lmcache_layout) -> Status {
    guard(|| handles::free::<Layout, _>(layout))
}

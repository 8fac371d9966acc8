//! Calls of the storage manager, of keys that are in L1 or come into it.

use std::hint::black_box;
use std::sync::Arc;

use lmcache::clock::monotonic_ns;
use lmcache::ffi::border::status::Status;
use lmcache::ffi::keys::{
    lmcache_key_list, lmcache_layout, lmcache_layout_free, lmcache_layout_new, lmcache_scope,
    lmcache_scope_free, lmcache_scope_new, lmcache_tensor,
};
use lmcache::ffi::storage::housekeeping::{
    lmcache_storage_contains, lmcache_storage_delete, lmcache_storage_touch,
};
use lmcache::ffi::storage::manager::{
    lmcache_storage, lmcache_storage_free, lmcache_storage_new, lmcache_storage_options,
};
use lmcache::ffi::storage::writing::{
    lmcache_storage_finish_write, lmcache_storage_reserve_write, lmcache_write_buffer,
};
use lmcache::format::model::{ChunkHash, Dtype, KeyScope, MemoryLayoutDesc, ObjectKey};
use lmcache::storage::StorageManager;
use lmcache::storage::config::StorageManagerConfig;

use crate::{ok, print_row};

const CALLS: usize = 400;
const CONFIG: &std::ffi::CStr = c"{\"l1_size_gb\": 0.125, \"eviction_policy\": \"LRU\"}";

/// A manager behind the interface, and what a host has of it.
struct Host {
    storage: *mut lmcache_storage,
    scope: *mut lmcache_scope,
    layout: *mut lmcache_layout,
    buffers: Vec<lmcache_write_buffer>,
}

type ReserveWrite = unsafe extern "C" fn(
    *const lmcache_storage,
    *const lmcache_key_list,
    *const lmcache_layout,
    u32,
    *mut lmcache_write_buffer,
    usize,
) -> Status;
type FinishWrite = unsafe extern "C" fn(
    *const lmcache_storage,
    *const lmcache_key_list,
    *const u32,
    *mut u32,
    usize,
) -> Status;
type Touch = unsafe extern "C" fn(*const lmcache_storage, *const lmcache_key_list) -> Status;
type Contains =
    unsafe extern "C" fn(*const lmcache_storage, *const lmcache_key_list, *mut u8, usize) -> Status;

#[expect(unsafe_code, reason = "the functions of C are called as C calls them")]
impl Host {
    fn new(keys: usize) -> Self {
        let (mut storage, mut scope, mut layout) =
            (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: zeroes are the defaults of all fields.
        let mut options: lmcache_storage_options = unsafe { std::mem::zeroed() };
        options.struct_size = size_of::<lmcache_storage_options>() as u32;
        options.config_json = CONFIG.as_ptr();
        let shape = [64];
        let tensor = lmcache_tensor { shape: shape.as_ptr(), dimensions: 1, dtype: c"torch.uint8".as_ptr() };
        // SAFETY: all pointers are to values that outlive the calls, here and below.
        ok(unsafe { lmcache_storage_new(&options, &mut storage) });
        // SAFETY: as above.
        ok(unsafe { lmcache_scope_new(c"m".as_ptr(), 0, 0, std::ptr::null(), &mut scope) });
        // SAFETY: as above.
        ok(unsafe { lmcache_layout_new(&tensor, 1, &mut layout) });
        let none =
            lmcache_write_buffer { data: std::ptr::null_mut(), size_bytes: 0, outcome: 0, l1_manager: 0 };
        Self { storage, scope, layout, buffers: vec![none; keys] }
    }

    fn list(&self, hashes: &[[u8; 32]]) -> lmcache_key_list {
        let hashes = black_box(hashes);
        lmcache_key_list {
            hashes: hashes.as_ptr().cast(),
            count: hashes.len(),
            hash_bytes: 32,
            scope: self.scope,
            scopes: std::ptr::null(),
        }
    }

    fn write(&mut self, hashes: &[[u8; 32]]) {
        let (reserve, finish) = (
            black_box(lmcache_storage_reserve_write as ReserveWrite),
            black_box(lmcache_storage_finish_write as FinishWrite),
        );
        let (keys, out) = (self.list(hashes), &mut self.buffers);
        // SAFETY: as above.
        ok(unsafe { reserve(self.storage, &keys, self.layout, 0, out.as_mut_ptr(), out.len()) });
        // SAFETY: as above.
        ok(unsafe { finish(self.storage, &keys, std::ptr::null(), std::ptr::null_mut(), 0) });
    }

    fn touch(&self, hashes: &[[u8; 32]]) {
        let (touch, keys) = (black_box(lmcache_storage_touch as Touch), self.list(hashes));
        // SAFETY: as above.
        ok(unsafe { touch(self.storage, &keys) });
    }

    fn contains(&self, hashes: &[[u8; 32]], found: &mut [u8]) {
        let (contains, keys) = (black_box(lmcache_storage_contains as Contains), self.list(hashes));
        // SAFETY: as above.
        ok(unsafe { contains(self.storage, &keys, found.as_mut_ptr(), found.len()) });
    }

    fn delete(&self, hashes: &[[u8; 32]]) {
        let keys = self.list(hashes);
        // SAFETY: as above.
        ok(unsafe {
            lmcache_storage_delete(self.storage, &keys, 0, std::ptr::null_mut(), std::ptr::null_mut())
        });
    }

    fn free(self) {
        ok(lmcache_storage_free(self.storage));
        ok(lmcache_scope_free(self.scope));
        ok(lmcache_layout_free(self.layout));
    }
}

/// Nanoseconds a call, without what `between` does after each.
fn timed(mut call: impl FnMut(), mut between: impl FnMut()) -> f64 {
    let mut spent_ns = 0;
    for _ in 0..CALLS {
        let begun_ns = monotonic_ns();
        call();
        spent_ns += monotonic_ns() - begun_ns;
        between();
    }
    spent_ns as f64 / CALLS as f64
}

/// Nanoseconds a call, of calls after each other.
fn in_a_row(mut call: impl FnMut()) -> f64 {
    let begun_ns = monotonic_ns();
    (0..CALLS).for_each(|_| call());
    (monotonic_ns() - begun_ns) as f64 / CALLS as f64
}

/// The rounds of three rows, in Rust and through C.
#[derive(Default)]
struct Rounds([(Vec<f64>, Vec<f64>); 3]);

pub(crate) fn run(keys: usize, rounds: usize) {
    let hashes: Vec<[u8; 32]> = (0..keys).map(|key| [key as u8 + 1; 32]).collect();
    let scope = Arc::new(KeyScope::new("m", 0, 0, "").expect("a valid scope"));
    let owned: Vec<_> =
        hashes.iter().map(|hash| ObjectKey::new(ChunkHash::new(hash), Arc::clone(&scope))).collect();
    let uint8 = Dtype::from_name("torch.uint8").expect("a type");
    let layout = MemoryLayoutDesc::new(vec![(Box::new([64]), uint8)]).expect("a layout");
    let config = StorageManagerConfig::from_json(CONFIG.to_str().expect("UTF-8")).expect("a configuration");
    let manager = StorageManager::new(config).expect("a manager");
    let (mut host, mut found, mut table) = (Host::new(keys), vec![0; keys], Rounds::default());
    for _ in 0..rounds {
        let write = || {
            black_box(manager.reserve_write(black_box(&owned), &layout).expect("open"));
            black_box(manager.finish_write(black_box(&owned)).expect("open"));
        };
        table.0[0].0.push(timed(write, || {
            manager.delete_l1_keys(&owned, false);
        }));
        let mut writes = Vec::new();
        for _ in 0..CALLS {
            let begun_ns = monotonic_ns();
            host.write(&hashes);
            writes.push(monotonic_ns() - begun_ns);
            host.delete(&hashes);
        }
        table.0[0].1.push(writes.iter().sum::<u64>() as f64 / CALLS as f64);
        write();
        host.write(&hashes);
        table.0[1].0.push(in_a_row(|| manager.touch_l1_keys(black_box(&owned))));
        table.0[1].1.push(in_a_row(|| host.touch(&hashes)));
        let look = |found: &mut Vec<u8>| {
            let is_there = |key: &ObjectKey| manager.l1_managers().any(|l1| l1.is_resident(key));
            found.iter_mut().zip(black_box(&owned)).for_each(|(found, key)| *found = is_there(key).into());
        };
        table.0[2].0.push(in_a_row(|| look(&mut found)));
        table.0[2].1.push(in_a_row(|| host.contains(&hashes, &mut found)));
        assert!(found.iter().all(|is_there| *is_there == 1), "what was written is there");
        manager.delete_l1_keys(&owned, false);
        host.delete(&hashes);
    }
    host.free();
    for (name, (in_rust, through_c)) in
        ["reserve + finish write", "touch", "contains"].into_iter().zip(table.0)
    {
        print_row(&format!("{name}, {keys} keys"), in_rust, through_c);
    }
}

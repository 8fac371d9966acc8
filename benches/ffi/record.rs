//! A recorded call.

use std::hint::black_box;
use std::sync::Arc;

use lmcache::clock::monotonic_ns;
use lmcache::ffi::border::status::Status;
use lmcache::ffi::keys::{lmcache_key_list, lmcache_scope, lmcache_scope_free, lmcache_scope_new};
use lmcache::ffi::recorder::producer::{
    lmcache_call_id, lmcache_producer, lmcache_producer_finish_write, lmcache_producer_free,
    lmcache_producer_new,
};
use lmcache::ffi::recorder::{
    lmcache_recorder, lmcache_recorder_flush, lmcache_recorder_free, lmcache_recorder_open,
    lmcache_recorder_options,
};
use lmcache::format::model::KeyScope;
use lmcache::trace::recorder::{HashedCall, RecorderOptions, TraceRecorder};

use crate::{ok, print_row};

const CALLS: u64 = 400;

type FinishWrite =
    unsafe extern "C" fn(*mut lmcache_producer, *const lmcache_key_list, *mut lmcache_call_id) -> Status;

/// The handles of a host.
struct Host {
    recorder: *mut lmcache_recorder,
    producer: *mut lmcache_producer,
    scope: *mut lmcache_scope,
}

#[expect(unsafe_code, reason = "the functions of C are called as C calls them")]
impl Host {
    fn new(path: &std::path::Path) -> Self {
        let path = std::ffi::CString::new(path.to_str().expect("UTF-8")).expect("no NUL");
        let mut host = Self {
            recorder: std::ptr::null_mut(),
            producer: std::ptr::null_mut(),
            scope: std::ptr::null_mut(),
        };
        // SAFETY: zeroes are the defaults of all fields.
        let mut options: lmcache_recorder_options = unsafe { std::mem::zeroed() };
        options.struct_size = size_of::<lmcache_recorder_options>() as u32;
        options.path = path.as_ptr();
        // SAFETY: all pointers are to values that outlive the calls, here and below.
        ok(unsafe { lmcache_recorder_open(&options, &mut host.recorder) });
        // SAFETY: as above.
        ok(unsafe { lmcache_producer_new(host.recorder, &mut host.producer) });
        // SAFETY: as above.
        ok(unsafe { lmcache_scope_new(c"m".as_ptr(), 0, 0, std::ptr::null(), &mut host.scope) });
        host
    }

    fn round_ns(&self, hashes: &[[u8; 32]]) -> f64 {
        let finish_write = black_box(lmcache_producer_finish_write as FinishWrite);
        let begun_ns = monotonic_ns();
        for _ in 0..CALLS {
            // As a host has it: a list for each call, on its stack.
            let hashes = black_box(hashes);
            let keys = lmcache_key_list {
                hashes: hashes.as_ptr().cast(),
                count: hashes.len(),
                hash_bytes: 32,
                scope: self.scope,
                scopes: std::ptr::null(),
            };
            // SAFETY: as above.
            black_box(unsafe { finish_write(self.producer, black_box(&keys), std::ptr::null_mut()) });
        }
        let call_ns = (monotonic_ns() - begun_ns) as f64 / CALLS as f64;
        ok(lmcache_recorder_flush(self.recorder));
        call_ns
    }

    fn free(self) {
        ok(lmcache_producer_free(self.producer));
        ok(lmcache_recorder_free(self.recorder));
        ok(lmcache_scope_free(self.scope));
    }
}

pub(crate) fn run(keys: usize, rounds: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let hashes = vec![[7_u8; 32]; keys];
    let recorder =
        TraceRecorder::open(RecorderOptions::new(folder.path().join("rust.lct"))).expect("a recorder");
    let mut thread = recorder.thread().expect("memory for a ring");
    let scope = thread.scope(&Arc::new(KeyScope::new("m", 0, 0, "").expect("a valid scope")));
    let host = Host::new(&folder.path().join("c.lct"));
    let (mut in_rust, mut through_c) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let begun_ns = monotonic_ns();
        for _ in 0..CALLS {
            black_box(thread.record_hashes(HashedCall::FinishWrite, scope, black_box(&hashes)));
        }
        in_rust.push((monotonic_ns() - begun_ns) as f64 / CALLS as f64);
        recorder.flush().expect("a disk");
        through_c.push(host.round_ns(&hashes));
    }
    host.free();
    print_row(&format!("record, {keys} keys"), in_rust, through_c);
}

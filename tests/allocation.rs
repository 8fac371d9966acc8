//! Walking a trace allocates nothing per record, and a length that lies costs nothing.
#![expect(unsafe_code, reason = "a global allocator that counts is an unsafe trait")]

#[path = "common/mod.rs"]
mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use lmcache::format::lct::for_each_key;
use lmcache::trace::{Entry, TraceReader};

/// The system's allocator, which also counts what each thread asks for.
struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static LARGEST_BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counters are plain cells of the calling thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        LARGEST_BYTES.set(LARGEST_BYTES.get().max(layout.size()));
        // SAFETY: the caller keeps the rules of `GlobalAlloc::alloc`, which are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` through `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` allocates: how often, and the largest piece.
fn allocations_of<T>(work: impl FnOnce() -> T) -> (u64, usize, T) {
    let calls = CALLS.get();
    LARGEST_BYTES.set(0);
    let result = work();
    (CALLS.get() - calls, LARGEST_BYTES.get(), result)
}

#[test]
fn walking_records_and_keys_allocates_nothing() {
    for name in
        ["traces/small.lct", "traces/server_events.lct", "old_traces/0.4.4.lct", "traces/bad_frame20.lct"]
    {
        let reader = TraceReader::from_bytes(name, common::unpack(name)).expect("a trace");
        let (calls, _, keys) = allocations_of(|| {
            let records = reader.records().filter_map(|entry| match entry {
                Entry::Record(record) => Some(record),
                Entry::Undecodable { .. } => None,
            });
            records.map(|record| for_each_key(&record.args, |_| {}).expect("keys")).sum::<usize>()
        });
        assert!(keys > 100, "{name}");
        assert_eq!(calls, 0, "{name}");
    }
}

#[test]
fn a_length_that_lies_costs_nothing() {
    let bytes = common::unpack("traces/huge_length.lct");
    let file_bytes = bytes.len();
    let (_, largest_bytes, ending) = allocations_of(|| {
        let reader = TraceReader::from_bytes("huge_length", bytes).expect("a header");
        let mut records = reader.records();
        (&mut records).for_each(drop);
        records.ending()
    });
    assert!(ending.is_some_and(|ending| ending.is_truncated()));
    assert!(largest_bytes < file_bytes, "{largest_bytes} bytes at once for a file of {file_bytes}");
}

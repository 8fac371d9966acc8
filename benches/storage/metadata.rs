//! What an object of L1 costs beside its bytes, and how long a status of ten million takes.

use lmcache::clock::{Clock, monotonic_ns};
use lmcache::format::model::WriteMode;
use lmcache::storage::config::{Compat, EvictionConfig, L1ManagerConfig};
use lmcache::storage::events::Events;
use lmcache::storage::l1::{L1Manager, WriteRequest, WriterTag};

use crate::rows::keys;

const OBJECTS: usize = 10_000_000;
const CHUNK: usize = 100_000;
const OBJECT_BYTES: u64 = 4096;

/// Resident memory of this process. The arena is not touched, so it is not in it.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number of pages") * 4096
}

/// Measures and prints.
pub(crate) fn run() {
    let size_bytes = OBJECTS as u64 * OBJECT_BYTES;
    let before_bytes = resident_bytes();
    let config = L1ManagerConfig::dram(size_bytes, EvictionConfig::default());
    let l1 = L1Manager::new(config, Clock::system(), Compat::Native, Events::default()).expect("an L1");
    let empty_bytes = resident_bytes();
    let tag = WriterTag::StorageManager;
    let request = WriteRequest { size_bytes: OBJECT_BYTES, is_temporary: false, tag, mode: WriteMode::New };
    let all = keys(CHUNK);
    let started_ns = monotonic_ns();
    for chunk in 0..OBJECTS / CHUNK {
        // The same scope for all: hashes differ in bytes that `keys` leaves zero.
        let keys: Vec<_> = all.iter().map(|key| crate::rows::nth_copy(key, chunk as u64)).collect();
        assert!(l1.reserve_write(&keys, request).expect("open").0.all_succeeded());
        assert!(l1.finish_write(&keys, tag).all_succeeded());
    }
    let filled_s = (monotonic_ns() - started_ns) as f64 / 1e9;
    let per_object = (resident_bytes() - empty_bytes) as f64 / OBJECTS as f64;
    let started_ns = monotonic_ns();
    let status = l1.report_status();
    let took_ms = (monotonic_ns() - started_ns) as f64 / 1e6;
    assert_eq!(status.total_object_count, OBJECTS as u64);
    println!(
        "{OBJECTS} objects: {per_object:.0} bytes each, an empty L1 {} KiB, filled in {filled_s:.1} s, status in {took_ms:.3} ms",
        (empty_bytes - before_bytes) / 1024
    );
}

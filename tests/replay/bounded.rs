//! What a long replay holds in memory.

use std::process::{Child, Command, Stdio};

use lmcache::clock::{Waiter, monotonic_ns};

use crate::common::unpack_to_file;

/// What a replay may hold beside L1, however long its trace is.
const MOST_PRIVATE_BYTES: u64 = 64 << 20;

/// The most memory that a process had to itself while it ran, in bytes.
fn peak_private_bytes(child: &mut Child) -> u64 {
    let mut peak_kib = 0;
    while child.try_wait().expect("a child").is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = anonymous.and_then(|text| text.trim().strip_suffix(" kB")?.trim().parse().ok());
        peak_kib = peak_kib.max(kib.unwrap_or(0));
        Waiter::new(0).wait_until_ns(monotonic_ns() + 5_000_000, || false);
    }
    peak_kib << 10
}

/// A quarter of a million records of which none is like another to the books of the replay: copies have keys of their own.
#[test]
fn memory_does_not_follow_the_trace() {
    let (trace, folder) = (unpack_to_file("traces/rate_5000.lct"), tempfile::tempdir().expect("a folder"));
    let words =
        "--asap --no-csv -q --l1-size-gb 0.005 --eviction-policy LRU --compat native --loop 2 --tenants 5";
    let mut child = Command::new(env!("CARGO_BIN_EXE_lmcache-trace"))
        .current_dir(folder.path())
        .arg("replay")
        .arg(&trace.path)
        .args(words.split_whitespace())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program runs");
    let peak_bytes = peak_private_bytes(&mut child);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert!((1 << 20..MOST_PRIVATE_BYTES).contains(&peak_bytes), "{peak_bytes}");
}

//! A process that is killed while it stores leaves no torn object, and its temporary files go at the next start.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{file_names, folder, native};
use crate::support::{Buffers, completion, keys, load_one, status_number};
use lmcache::storage::l2::{StoreTask, Transfer};

/// Where the process that is to be killed stores. Nobody else sets it.
const VICTIM_FOLDER: &str = "LMCACHE_TEST_FS_VICTIM";

const OBJECTS: u32 = 64;
const OBJECT_BYTES: usize = 3 << 20;

fn bytes_of(number: u32) -> Vec<u8> {
    vec![number as u8 + 1; OBJECT_BYTES]
}

/// Not a test by itself: stores until it is killed.
#[test]
fn victim() {
    let Ok(base) = std::env::var(VICTIM_FOLDER) else { return };
    let adapter = native(Path::new(&base));
    let buffers = Buffers::new(u64::from(OBJECTS) * OBJECT_BYTES as u64);
    let transfer = |(number, key)| Transfer::new(key, buffers.filled(&bytes_of(number)));
    let objects = (0..).zip(keys(0, OBJECTS)).map(transfer).collect();
    let (done, receive) = completion();
    adapter.submit_store(StoreTask { objects, done });
    let _ = receive.recv();
    std::thread::park();
}

#[test]
fn a_killed_writer_leaves_whole_objects_only() {
    let base = folder();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fs::killed::victim", "--nocapture"])
        .env(VICTIM_FOLDER, base.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // In the middle of it: some files are there, others are being written.
    while file_names(base.path()).is_empty() {
        assert!(victim.try_wait().unwrap().is_none(), "the victim stores");
        std::thread::yield_now();
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    let left = file_names(base.path());
    // None, where the file system has files without names.
    let temporary = left.iter().filter(|name| name.ends_with(".tmp")).count();
    let adapter = native(base.path());
    assert_eq!(status_number(&*adapter, "leftovers_removed"), temporary as u64);
    let whole = file_names(base.path());
    assert_eq!(whole.len(), left.len() - temporary);
    let mut found = 0;
    for (number, key) in (0..).zip(keys(0, OBJECTS)) {
        if let Some(bytes) = load_one(&*adapter, &key, OBJECT_BYTES) {
            assert!(bytes == bytes_of(number), "object {number} is torn");
            found += 1;
        }
    }
    assert_eq!(found, whole.len());
    adapter.close();
}

#[test]
fn the_temporary_files_of_a_writer_that_lives_stay() {
    let base = folder();
    let theirs = base.path().join(".lmcache-1-0000000000000000-0.tmp");
    let file = std::fs::File::create(&theirs).unwrap();
    file.lock().unwrap();
    let lmcaches = base.path().join("model@0x00000001@0@00.tmp");
    std::fs::write(&lmcaches, "LMCache is writing").unwrap();
    let adapter = native(base.path());
    assert!(theirs.exists() && lmcaches.exists());
    adapter.close();
    drop(file);
    let adapter = native(base.path());
    assert!(!theirs.exists() && lmcaches.exists());
    assert_eq!(status_number(&*adapter, "leftovers_removed"), 1);
    adapter.close();
}

//! Direct I/O: where it can be done, and that it is done without where it cannot.

use lmcache::storage::config::{AdapterKind, Compat};

use super::{adapter, config, folder, only_file};
use crate::support::{keys, load_one, payload, status_number, store_all};

/// One file system's answer: where direct I/O itself is refused, everything is counted as buffered.
fn has_direct_io(base: &std::path::Path) -> bool {
    let probe = lmcache::os::file::create_new(&base.join("probe"), true);
    let _ = std::fs::remove_file(base.join("probe"));
    if probe.is_err() {
        eprintln!("skipped: no direct I/O in this folder");
    }
    probe.is_ok()
}

#[test]
fn fs_goes_direct_where_the_size_is_a_multiple_of_the_block() {
    let base = folder();
    if !has_direct_io(base.path()) {
        return;
    }
    let mut direct = config(base.path());
    direct.use_odirect = true;
    let adapter = adapter(AdapterKind::Fs(direct), Compat::Native).unwrap();
    for (number, (len, buffered)) in
        [(8_192, 0), (4_096, 0), (8_191, 2), (100, 4), (1 << 20, 4)].into_iter().enumerate()
    {
        let key = keys(number as u32, 1).remove(0);
        let bytes = payload(number as u64, len);
        store_all(&*adapter, &[(key.clone(), bytes.clone())]);
        assert!(load_one(&*adapter, &key, len) == Some(bytes));
        assert_eq!(status_number(&*adapter, "buffered_transfers"), buffered, "{len}");
    }
    adapter.close();
}

#[test]
fn fs_native_moves_the_padding_and_nobodys_old_bytes() {
    let base = folder();
    if !has_direct_io(base.path()) {
        return;
    }
    let mut direct = config(base.path());
    direct.use_odirect = true;
    let adapter = adapter(AdapterKind::FsNative(direct), Compat::Native).unwrap();
    let key = keys(0, 1).remove(0);
    let bytes = payload(1, 5_000);
    store_all(&*adapter, &[(key.clone(), bytes.clone())]);
    let file = only_file(base.path());
    let found = std::fs::read(&file).unwrap();
    assert_eq!(found.len(), 8_192);
    assert!(found[..5_000] == bytes && found[5_000..].iter().all(|byte| *byte == 0));
    assert_eq!(status_number(&*adapter, "buffered_transfers"), 0);
    assert_eq!(adapter.ledger().used_bytes(), 8_192);
    // LMCache's other adapter, and its own without direct I/O, write no padding; then its own with it reads too little.
    std::fs::write(&file, &bytes).unwrap();
    assert!(load_one(&*adapter, &key, 5_000).as_ref() == Some(&bytes));
    adapter.close();
    let mut direct = config(base.path());
    direct.use_odirect = true;
    let theirs = super::adapter(AdapterKind::FsNative(direct), Compat::Lmcache).unwrap();
    assert!(load_one(&*theirs, &key, 5_000).is_none());
    theirs.close();
}

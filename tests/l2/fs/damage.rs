//! What becomes of files that somebody else changed.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

use lmcache::storage::config::l2::FileChecksum;
use lmcache::storage::config::{AdapterKind, Compat};
use lmcache::storage::l2::L2Adapter;

use super::{adapter, config, folder, native, only_file};
use crate::support::{keys, load_one, lookup_sized, payload, present, sized, status_number, store_all};

fn lmcaches(base: &Path) -> Arc<dyn L2Adapter> {
    adapter(AdapterKind::Fs(config(base)), Compat::Lmcache).unwrap()
}

fn set_len(path: &Path, len: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

#[test]
fn a_shortened_file_is_a_miss_and_is_replaced() {
    let base = folder();
    let adapter = native(base.path());
    let key = keys(0, 1);
    let bytes = payload(1, 10_000);
    store_all(&*adapter, &[(key[0].clone(), bytes.clone())]);
    for len in [9_999, 1, 0] {
        set_len(&only_file(base.path()), len);
        assert_eq!(present(&*adapter, &sized(&key, 10_000)), [false]);
        assert!(load_one(&*adapter, &key[0], 10_000).is_none());
        assert_eq!(status_number(&*adapter, "failed_loads"), 0, "a miss is no failure");
        store_all(&*adapter, &[(key[0].clone(), bytes.clone())]);
        assert!(load_one(&*adapter, &key[0], 10_000).as_ref() == Some(&bytes));
    }
    assert_eq!(status_number(&*adapter, "wrong_sizes"), 3);
    adapter.close();
}

/// LMCache stores nothing where a file is, so that the object is missed for ever.
#[test]
fn lmcache_misses_a_shortened_file_for_ever() {
    let base = folder();
    let adapter = lmcaches(base.path());
    let key = keys(0, 1);
    let bytes = payload(1, 10_000);
    store_all(&*adapter, &[(key[0].clone(), bytes.clone())]);
    set_len(&only_file(base.path()), 9_999);
    assert_eq!(present(&*adapter, &sized(&key, 10_000)), [true], "it looks for the name alone");
    store_all(&*adapter, &[(key[0].clone(), bytes)]);
    assert!(load_one(&*adapter, &key[0], 10_000).is_none());
    assert_eq!(adapter.delete(&key), 1);
    assert_eq!(adapter.ledger().used_bytes(), 1, "deletions count the size that the file has");
    adapter.close();
}

#[test]
fn a_longer_file_is_an_object_up_to_its_padding_only() {
    let base = folder();
    let (ours, theirs) = (native(base.path()), lmcaches(base.path()));
    let key = keys(0, 1);
    let bytes = payload(1, 10_000);
    store_all(&*ours, &[(key[0].clone(), bytes.clone())]);
    let file = only_file(base.path());
    for (len, is_ours) in [(10_001, true), (12_288, true), (12_289, false), (1 << 20, false)] {
        set_len(&file, len);
        assert_eq!(present(&*ours, &sized(&key, 10_000)), [is_ours], "{len}");
        assert_eq!(load_one(&*ours, &key[0], 10_000).is_some(), is_ours, "{len}");
        assert!(load_one(&*theirs, &key[0], 10_000).as_ref() == Some(&bytes), "LMCache reads the beginning");
    }
    ours.close();
    theirs.close();
}

#[test]
fn a_file_that_is_gone_is_a_miss_even_under_a_lock() {
    let base = folder();
    let adapter = native(base.path());
    let key = keys(0, 1);
    store_all(&*adapter, &[(key[0].clone(), payload(1, 100))]);
    assert_eq!(lookup_sized(&*adapter, &sized(&key, 100)).popcount(), 1);
    std::fs::remove_file(only_file(base.path())).unwrap();
    assert!(load_one(&*adapter, &key[0], 100).is_none());
    adapter.submit_unlock(&key);
    assert_eq!(adapter.delete(&key), 0);
    adapter.close();
}

#[test]
fn a_folder_or_a_pipe_in_an_objects_place_fails_the_load_and_hurts_nobody() {
    let base = folder();
    let adapter = native(base.path());
    let key = keys(0, 1);
    store_all(&*adapter, &[(key[0].clone(), payload(1, 100))]);
    let file = only_file(base.path());
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert_eq!(present(&*adapter, &sized(&key, 100)), [false]);
    assert!(load_one(&*adapter, &key[0], 100).is_none());
    assert_eq!(status_number(&*adapter, "failed_loads"), 1);
    assert_eq!(adapter.delete(&key), 0);
    std::fs::remove_dir(&file).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&file).status();
    if made.is_ok_and(|status| status.success()) {
        assert!(load_one(&*adapter, &key[0], 100).is_none(), "and does not wait for a writer");
    }
    adapter.close();
}

#[test]
fn a_changed_byte_fails_the_load_where_there_are_checksums() {
    let base = folder();
    let mut with_sums = config(base.path());
    with_sums.checksum = FileChecksum::Crc32c;
    let adapter = adapter(AdapterKind::Fs(with_sums), Compat::Native).unwrap();
    let key = keys(0, 1);
    let bytes = payload(1, 100_000);
    store_all(&*adapter, &[(key[0].clone(), bytes.clone())]);
    assert!(load_one(&*adapter, &key[0], bytes.len()).as_ref() == Some(&bytes));
    let file = only_file(base.path());
    let mut changed = bytes.clone();
    changed[77_777] ^= 1;
    // In place: the attribute stays.
    std::os::unix::fs::FileExt::write_all_at(
        &OpenOptions::new().write(true).open(&file).unwrap(),
        &changed,
        0,
    )
    .unwrap();
    assert!(load_one(&*adapter, &key[0], bytes.len()).is_none());
    assert_eq!(status_number(&*adapter, "checksum_mismatches"), 1);
    assert_eq!(status_number(&*adapter, "failed_loads"), 1);
    assert_eq!(present(&*adapter, &sized(&key, 100_000)), [false], "it is not offered again");
    store_all(&*adapter, &[(key[0].clone(), bytes.clone())]);
    assert!(load_one(&*adapter, &key[0], bytes.len()).as_ref() == Some(&bytes));
    assert_eq!(adapter.ledger().used_bytes(), 100_000);
    // A file of LMCache's has no attribute: it is taken as it is.
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, &changed).unwrap();
    assert!(load_one(&*adapter, &key[0], bytes.len()) == Some(changed));
    adapter.close();
}

//! The folder: what is in it at the start, what it cannot be, and names that it does not take.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lmcache::storage::config::l2::{FileChecksum, FsIoEngine};
use lmcache::storage::config::{AdapterKind, Compat};

use super::{adapter, config, file_names, folder, native};
use crate::support::{
    key_of, keys, load_one, lookup_sized, payload, present, sized, status_number, store, store_all,
};

#[test]
fn files_are_lmcaches() {
    let base = folder();
    let adapter = native(base.path());
    let key = key_of("org/model", 0x0805_0401, 18, &[1, 0xff], "tenant");
    let bytes = payload(1, 5_001);
    store_all(&*adapter, &[(key, bytes.clone())]);
    let name = "org-SEP-model@0x08050401@12@01ff@tenant.data";
    assert_eq!(file_names(base.path()), [name]);
    assert_eq!(std::fs::read(base.path().join(name)).unwrap(), bytes, "the object and nothing else");
    let mode = std::fs::metadata(base.path().join(name)).unwrap().permissions().mode();
    assert_eq!(mode & 0o600, 0o600);
    adapter.close();
}

#[test]
fn what_is_there_is_counted_at_the_start_and_what_is_foreign_is_not() {
    let base = folder();
    let all = keys(0, 3);
    let objects: Vec<_> =
        all.iter().zip([100, 2_000, 30_000]).map(|(key, len)| (key.clone(), payload(1, len))).collect();
    let first = native(base.path());
    store_all(&*first, &objects);
    first.close();
    for name in ["notes.txt", "x.tmp", "m@0x1@0@00.data", "@@.data"] {
        std::fs::write(base.path().join(name), "foreign").unwrap();
    }
    std::fs::create_dir(base.path().join("folder.data")).unwrap();
    let second = native(base.path());
    assert_eq!(second.ledger().used_bytes(), 32_100);
    assert_eq!(status_number(&*second, "foreign_files"), 5);
    for (key, bytes) in &objects {
        assert!(load_one(&*second, key, bytes.len()).as_ref() == Some(bytes));
    }
    assert_eq!(second.delete(&all), 3);
    assert_eq!(second.ledger().used_bytes(), 0);
    assert_eq!(file_names(base.path()).len(), 5, "what is foreign stays");
    second.close();
    // LMCache counts from nothing.
    store_all(&*native(base.path()), &objects);
    let theirs = adapter(AdapterKind::Fs(config(base.path())), Compat::Lmcache).unwrap();
    assert_eq!(theirs.ledger().used_bytes(), 0);
    assert_eq!(present(&*theirs, &sized(&all, 100)), [true; 3]);
    theirs.close();
}

#[test]
fn models_that_lmcache_confuses_are_kept_apart_or_not() {
    let pair = ["a/b", "a-SEP-b"].map(|model| key_of(model, 1, 0, &[1], ""));
    for (compat, is_apart) in [(Compat::Native, true), (Compat::Lmcache, false)] {
        let base = folder();
        let adapter = adapter(AdapterKind::Fs(config(base.path())), compat).unwrap();
        let objects = [(pair[0].clone(), payload(1, 500)), (pair[1].clone(), payload(2, 500))];
        store_all(&*adapter, &objects[..1]);
        store_all(&*adapter, &objects[1..]);
        let second = load_one(&*adapter, &pair[1], 500).unwrap();
        assert_eq!(second == objects[1].1, is_apart, "{compat}");
        assert_eq!(second == objects[0].1, !is_apart, "{compat}");
        adapter.close();
    }
}

#[test]
fn a_key_whose_name_is_too_long_fails_alone() {
    for compat in Compat::ALL {
        let base = folder();
        let adapter = adapter(AdapterKind::Fs(config(base.path())), compat).unwrap();
        let long = key_of(&"m".repeat(300), 1, 0, &[1], "");
        let good = keys(0, 2);
        let objects: Vec<_> =
            [&good[0], &long, &good[1]].map(|key| (key.clone(), payload(1, 700))).into_iter().collect();
        let outcome = store(&*adapter, &objects);
        assert_eq!(outcome.failed.ones().collect::<Vec<_>>(), [1]);
        assert_eq!(outcome.bytes, 1_400);
        assert_eq!(status_number(&*adapter, "failed_stores"), 1);
        let wanted: Vec<_> = objects.iter().map(|(key, bytes)| (key.clone(), bytes.len() as u64)).collect();
        assert_eq!(lookup_sized(&*adapter, &wanted).ones().collect::<Vec<_>>(), [0, 2]);
        assert!(load_one(&*adapter, &long, 700).is_none());
        assert_eq!(adapter.delete(&[long]), 0);
        assert_eq!(status_number(&*adapter, "failed_loads") + status_number(&*adapter, "failed_lookups"), 0);
        adapter.close();
    }
}

#[test]
fn a_folder_is_made_or_refused_in_a_sentence() {
    let base = folder();
    let deep = base.path().join("a/b/c");
    let mut with_tmp = config(&deep);
    with_tmp.relative_tmp_dir = Some("t/u".into());
    let made = adapter(AdapterKind::Fs(with_tmp), Compat::Native).unwrap();
    store_all(&*made, &[(keys(0, 1).remove(0), payload(1, 10))]);
    assert!(deep.join("t/u").is_dir());
    assert_eq!(file_names(&deep.join("t/u")), [""; 0]);
    made.close();

    let file = base.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = adapter(AdapterKind::Fs(config(&file)), Compat::Native).unwrap_err();
    assert!(error.to_string().contains("base_path of an fs adapter must be a folder"), "{error}");
    assert!(error.to_string().contains("file"), "{error}");
    let error = adapter(AdapterKind::Fs(config(&file.join("below"))), Compat::Native).unwrap_err();
    assert!(error.to_string().contains("cannot make the folder"), "{error}");
}

/// Nobody makes a file there, not even root; where there is no such folder it says so.
#[test]
fn a_folder_in_which_no_file_can_be_made_is_refused_at_the_start() {
    let nobodys = Path::new("/proc/sys");
    if !nobodys.is_dir() {
        eprintln!("skipped: no {}", nobodys.display());
        return;
    }
    for compat in Compat::ALL {
        let error = adapter(AdapterKind::Fs(config(nobodys)), compat).unwrap_err().to_string();
        assert!(error.starts_with("cannot write to the folder of an fs adapter (path /proc/sys)"), "{error}");
        assert_eq!(error.matches(": ").count(), 1, "it ends with the kernel's reason: {error}");
    }
}

/// Root may do everything: it says so where it is not run.
#[test]
fn a_folder_without_the_right_to_write_is_refused_at_the_start() {
    let base = folder();
    let (readable, writable) = (base.path().join("readable"), base.path().join("writable"));
    for (folder, mode) in [(&readable, 0o500), (&writable, 0o700)] {
        std::fs::create_dir(folder).unwrap();
        std::fs::set_permissions(folder, PermissionsExt::from_mode(mode)).unwrap();
    }
    if std::fs::write(readable.join("probe"), "").is_ok() {
        eprintln!("skipped: this user may write where nobody may");
        return;
    }
    let error = adapter(AdapterKind::Fs(config(&readable)), Compat::Lmcache).unwrap_err();
    assert!(error.to_string().contains("Permission denied"), "{error}");
    assert!(error.hint().unwrap().contains("allowed to read and write base_path"));
    assert!(adapter(AdapterKind::Fs(config(&writable)), Compat::Lmcache).is_ok());
    assert_eq!(file_names(&writable), [""; 0], "the probe is gone");
}

/// Root may do everything: it says so where it is not run.
#[test]
fn a_folder_that_cannot_be_written_fails_stores_and_leaves_loads() {
    let base = folder();
    let adapter = native(base.path());
    let all = keys(0, 2);
    let objects: Vec<_> = all.iter().map(|key| (key.clone(), payload(1, 400))).collect();
    store_all(&*adapter, &objects[..1]);
    std::fs::set_permissions(base.path(), PermissionsExt::from_mode(0o500)).unwrap();
    let may_anyway = std::fs::write(base.path().join("probe"), "").is_ok();
    if may_anyway {
        eprintln!("skipped: this user may write where nobody may");
    } else {
        let outcome = store(&*adapter, &objects[1..]);
        assert_eq!(outcome.failed.popcount(), 1);
        let error = adapter.report_status().fields["last_error"].to_string();
        assert!(error.contains("cannot create a file for an object"), "{error}");
        assert!(load_one(&*adapter, &all[0], 400).is_some());
        assert_eq!(adapter.delete(&all[..1]), 0);
        assert_eq!(status_number(&*adapter, "failed_deletes"), 1);
    }
    std::fs::set_permissions(base.path(), PermissionsExt::from_mode(0o700)).unwrap();
    adapter.close();
}

#[test]
fn a_base_that_vanishes_fails_stores_and_misses() {
    let base = folder();
    let inner = base.path().join("inner");
    let adapter = native(&inner);
    let key = keys(0, 1);
    std::fs::remove_dir(&inner).unwrap();
    assert_eq!(store(&*adapter, &[(key[0].clone(), payload(1, 10))]).failed.popcount(), 1);
    assert_eq!(present(&*adapter, &sized(&key, 10)), [false]);
    assert!(load_one(&*adapter, &key[0], 10).is_none());
    adapter.close();
}

#[test]
fn its_status_has_lmcaches_fields_and_what_it_uses() {
    let base = folder();
    let mut posix = config(base.path());
    posix.io_engine = FsIoEngine::Posix;
    posix.checksum = FileChecksum::Crc32c;
    posix.num_workers = 3;
    for (kind, class_name, field) in [
        (AdapterKind::Fs(posix.clone()), "FSL2Adapter", "event_loop_alive"),
        (AdapterKind::FsNative(posix), "FSNativeL2Adapter", "pad_buffers_to_alignment"),
    ] {
        let adapter = adapter(kind, Compat::Native).unwrap();
        let status = adapter.report_status();
        assert_eq!(status.class_name, class_name);
        assert_eq!(status.fields["base_path"], base.path().to_str().unwrap());
        assert_eq!(status.fields["use_odirect"], false);
        assert_eq!(status.fields["io_engine"], "posix");
        assert_eq!(status.fields["checksum"], "crc32c");
        assert_eq!(status.fields["num_workers"], 3);
        assert!(status.fields.contains_key(field));
        adapter.close();
    }
}

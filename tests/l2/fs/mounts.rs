//! File systems that are full, or lack something. They are mounted for the test, which needs root; where that is not to
//! be had, the tests say that they are skipped.

use std::path::Path;
use std::process::{Command, Stdio};

use lmcache::storage::config::l2::{FileChecksum, FsIoEngine};
use lmcache::storage::config::{AdapterKind, Compat};
use tempfile::TempDir;

use super::{adapter, config, file_names, folder};
use crate::support::{keys, load_one, payload, status_number, store, store_all};

/// A file system in memory, unmounted when it goes.
struct Mounted(TempDir);

impl Mounted {
    fn new(kind: &str, options: &str) -> Option<Self> {
        let base = folder();
        let mounted =
            run("mount", &["-t", kind, "-o", options, "lmcache-test", base.path().to_str().unwrap()]);
        if !mounted {
            eprintln!("skipped: no right to mount a {kind}");
        }
        mounted.then_some(Self(base))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a test that failed may have files open.
        run("umount", &["-l", self.path().to_str().unwrap()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn a_full_disk_fails_what_does_not_fit_and_leaves_nothing_behind() {
    let Some(base) = Mounted::new("tmpfs", "size=1m") else { return };
    for engine in FsIoEngine::ALL {
        let mut config = config(base.path());
        config.io_engine = engine;
        let Ok(adapter) = adapter(AdapterKind::Fs(config), Compat::Native) else { continue };
        let objects: Vec<_> = keys(0, 6).into_iter().map(|key| (key, payload(1, 300_000))).collect();
        for (number, object) in objects.iter().enumerate() {
            let failed = store(&*adapter, std::slice::from_ref(object)).failed.popcount();
            assert_eq!(failed, usize::from(number >= 3), "three objects of 300 kB fit in 1 MiB");
            assert_eq!(file_names(base.path()).len(), (number + 1).min(3), "temporary files are gone");
        }
        let error = adapter.report_status().fields["last_error"].to_string();
        assert!(error.contains("cannot write an object's file") && error.contains("No space"), "{error}");
        // All at once: the three that are there, and three that do not fit.
        assert_eq!(store(&*adapter, &objects).failed.ones().collect::<Vec<_>>(), [3, 4, 5]);
        let is_there =
            |(key, bytes): &(_, Vec<u8>)| load_one(&*adapter, key, bytes.len()).as_ref() == Some(bytes);
        assert!(objects[..3].iter().all(is_there));
        let all: Vec<_> = objects.iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(adapter.delete(&all), 3);
        assert_eq!(adapter.ledger().used_bytes(), 0);
        adapter.close();
    }
}

#[test]
fn a_read_only_file_system_is_refused_at_the_start_and_a_full_one_is_not() {
    let Some(base) = Mounted::new("tmpfs", "size=64k") else { return };
    let _ = std::fs::write(base.path().join("filler"), vec![1; 1 << 20]);
    drop(adapter(AdapterKind::Fs(config(base.path())), Compat::Native).expect("room may come"));
    if !run("mount", &["-o", "remount,ro", base.path().to_str().unwrap()]) {
        eprintln!("skipped: no right to remount");
        return;
    }
    let error = adapter(AdapterKind::Fs(config(base.path())), Compat::Lmcache).unwrap_err();
    assert!(error.to_string().starts_with("cannot write to the folder of an fs adapter"), "{error}");
    assert!(error.hint().unwrap().contains("mounted read-only"), "{error}");
}

#[test]
fn a_file_system_without_direct_io_or_attributes_is_used_without_or_refused() {
    let Some(base) = Mounted::new("ramfs", "mode=700") else { return };
    let mut direct = config(base.path());
    direct.use_odirect = true;
    let adapter_of = |config| adapter(AdapterKind::Fs(config), Compat::Native);
    let adapter = adapter_of(direct).unwrap();
    let (key, bytes) = (keys(0, 1).remove(0), payload(1, 8_192));
    store_all(&*adapter, &[(key.clone(), bytes.clone())]);
    assert!(load_one(&*adapter, &key, 8_192) == Some(bytes));
    assert_eq!(status_number(&*adapter, "buffered_transfers"), 2);
    assert_eq!(file_names(base.path()).len(), 1);
    adapter.close();

    let mut with_sums = config(base.path());
    with_sums.checksum = FileChecksum::Crc32c;
    let error = adapter_of(with_sums).unwrap_err();
    assert!(error.to_string().contains("no user attributes"), "{error}");
    assert!(error.hint().unwrap().contains("set checksum to none"));
    assert_eq!(file_names(base.path()).len(), 1, "the probe is gone");
}

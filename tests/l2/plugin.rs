//! Stores in shared libraries: one in C, compiled here, and all the ways in which one can be wrong.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use lmcache::storage::config::{Compat, L2AdapterConfig};
use lmcache::storage::l2::L2Adapter;
use lmcache::storage::l2::factory::{AdapterContext, create};
use lmcache::storage::l2::mock::{MockAdapter, MockOptions};
use lmcache::storage::l2::mock_delay::DelayOptions;
use lmcache::storage::l2::plugin::Plugin;

use crate::conformance::{Made, Traits, conformance};
use crate::support::{keys, load_one, payload, present_any, store, store_all};

/// Where the libraries are; never deleted before the process ends, since they stay loaded.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("a folder")).path()
}

/// The plugin, compiled with these definitions; `None`, and a line on stderr, where there is no C compiler.
fn compiled(name: &str, definitions: &[&str]) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = folder().join(format!("lib{name}.so"));
    let mut compiler = Command::new("cc");
    compiler.args([
        "-std=c11",
        "-O1",
        "-shared",
        "-fPIC",
        "-pthread",
        "-Wall",
        "-Werror",
        "-Wno-unused",
        "-I",
    ]);
    compiler.arg(root.join("include")).args(definitions).arg("-o").arg(&library);
    compiler.arg(root.join("tests/l2/data/plugin.c"));
    match compiler.output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(library)
        }
        Err(error) => {
            eprintln!("skipped: there is no C compiler `cc`: {error}");
            None
        }
    }
}

fn good() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    LIBRARY.get_or_init(|| compiled("good", &[])).as_deref()
}

fn adapter(library: &Path, params: &str) -> Arc<dyn L2Adapter> {
    let library = library.display();
    let json = format!(r#"{{"type":"plugin","library_path":"{library}","adapter_params":{{{params}}}}}"#);
    let config = L2AdapterConfig::from_json(&json).expect("a configuration");
    create(&config, &AdapterContext { id: 0, compat: Compat::Native, l1_align_bytes: 4_096 })
        .unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn made() -> Made {
    match good() {
        Some(library) => Made::new(adapter(library, ""), Traits::default(), ()),
        // Something has to pass where there is no compiler.
        None => {
            let options = MockOptions {
                capacity_bytes: 1 << 30,
                delay: DelayOptions::default(),
                keeps_bytes: true,
                compat: Compat::Native,
            };
            Made::new(Arc::new(MockAdapter::new(options)), Traits::default(), ())
        }
    }
}

conformance!(suite, super::made());

#[test]
fn a_plugin_says_its_name_and_may_be_opened_twice() {
    let Some(library) = good() else { return };
    let (first, second) = (adapter(library, ""), adapter(library, ""));
    store_all(&*first, &[(keys(0, 1).remove(0), payload(1, 10))]);
    assert_eq!(
        (present_any(&*first, &keys(0, 1)), present_any(&*second, &keys(0, 1))),
        (vec![true], vec![false])
    );
    let status = first.report_status();
    assert_eq!(status.fields["plugin_name"].as_str(), Some("table in memory"));
    assert_eq!(status.class_name, "PluginL2Adapter");
    first.close();
    second.close();
}

#[test]
fn tables_that_cannot_be_used_are_told_apart() {
    let cases = [
        ("short", "-DSTRUCT_BYTES=16", "table is too short (struct_bytes 16, needed_bytes 80"),
        ("version", "-DABI_VERSION=2", "has another version (abi_version 2, known_version 1"),
        ("reserved", "-DRESERVED=7", "sets what is kept for later (reserved 7"),
        ("hole", "-DPUT=NULL", "a function is missing in the plugin's table (function put"),
        ("null", "-DNULL_TABLE", "the plugin gave no table"),
        ("none", "-DNO_ENTRY", "the plugin has no lmcache_l2_plugin_table"),
    ];
    for (name, definition, expected) in cases {
        let Some(library) = compiled(name, &[definition]) else { return };
        let error = Plugin::load(&library, "{}").expect_err(name).to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("library "), "{error}");
    }
    // A longer table is one of a later version, of which we know the beginning.
    let Some(library) = compiled("longer", &["-DSTRUCT_BYTES=4096"]) else { return };
    assert!(Plugin::load(&library, "{}").is_ok());
}

#[test]
fn a_library_that_is_none_is_an_error() {
    let missing = folder().join("libmissing.so");
    let text = folder().join("libtext.so");
    std::fs::write(&text, "not a library").unwrap();
    // The linker's words, which differ from one C library to the next, name the file.
    for (path, name) in [(missing, "libmissing.so"), (text, "libtext.so")] {
        let error = Plugin::load(&path, "{}").unwrap_err();
        let said = error.to_string();
        let (what, why) = said.split_once("): ").expect("a reason");
        assert!(what.starts_with("cannot load the plugin (library "), "{said}");
        assert!(why.contains(name) && why.len() > name.len() + 5, "{said}");
        assert!(error.hint().unwrap().contains("LD_LIBRARY_PATH"), "{said}");
    }
}

#[test]
fn a_store_that_does_not_open_says_why() {
    let Some(library) = good() else { return };
    let error = Plugin::load(library, r#"{"mode":"refuse"}"#).unwrap_err().to_string();
    assert!(error.starts_with("the plugin did not open: it was told to refuse (code 7"), "{error}");
    let error = Plugin::load(library, r#"{"mode":"no_handle"}"#).unwrap_err().to_string();
    assert!(error.starts_with("the plugin opened and gave no handle"), "{error}");
}

#[test]
fn answers_that_are_none_fail_their_objects_with_the_reason() {
    let Some(library) = good() else { return };
    let cases = [
        ("call_fails", "the disk is on fire (code 5 of put)"),
        ("object_fails", "this object is cursed (library"),
        ("wrong_answer", "a number that the table does not have"),
        ("no_answer", "code -2147483648"),
    ];
    for (mode, expected) in cases {
        let adapter = adapter(library, &format!(r#""mode":"{mode}""#));
        let objects: Vec<_> = keys(0, 3).into_iter().map(|key| (key, payload(1, 20))).collect();
        let outcome = store(&*adapter, &objects);
        assert_eq!((outcome.failed.popcount(), outcome.bytes), (3, 0), "{mode}");
        let error = adapter.report_status().fields["last_error"].to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(load_one(&*adapter, &objects[0].0, 20), None);
        assert_eq!(present_any(&*adapter, &keys(0, 3)), [false; 3]);
        assert_eq!(adapter.delete(&keys(0, 3)), 0);
        assert_eq!(adapter.report_status().fields["failed_deletes"], 3);
        adapter.close();
    }
}

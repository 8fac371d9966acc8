//! Hosts that do not link the library: one that loads it at run time, and one in Python.

use std::process::Command;

use lmcache::replay::TraceExtent;
use lmcache::trace::{ReadMode, Trace};

use crate::compile::{Host, library_folder, root};

#[test]
fn a_host_loads_it_at_run_time_and_checks_its_abi() {
    let host = Host::compile("load.c");
    assert_eq!(host.succeed(&[]).trim(), env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_host_in_python_records() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("python.lct");
    let output = Command::new("python3")
        .arg(root().join("tests/ffi/hosts/record.py"))
        .arg(library_folder().join("liblmcache.so"))
        .arg(&trace)
        .arg("1000")
        .output()
        .expect("python3 is needed for this test");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1000 calls, 0 lost\n");
    let trace = Trace::open(&trace, ReadMode::buffered()).expect("a trace");
    let Trace::Native(native) = &trace else { panic!("a native file") };
    let extent = TraceExtent::of_native(native, None, |damaged| panic!("{damaged}"));
    assert_eq!(extent.records, 1000);
}

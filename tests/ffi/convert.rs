//! A host in C that converts, verifies and repairs.

use lmcache::trace::{ReadMode, Trace};

use crate::common::{fixtures, unpack_to_file};
use crate::compile::Host;
use crate::valgrind::check_clean;

#[test]
fn a_host_converts_verifies_and_repairs() {
    let host = Host::compile("convert.c");
    let (lmcache, unfinished) =
        (unpack_to_file("traces/small.lct"), fixtures().join("native/v1/unfinished.lct"));
    let Trace::Lct(reader) = Trace::open(&lmcache.path, ReadMode::buffered()).expect("a trace") else {
        panic!("LMCache's file")
    };
    let records = reader.records().count().to_string();
    let words = [lmcache.path.to_str().expect("UTF-8"), unfinished.to_str().expect("UTF-8"), &records];
    host.succeed(&words);
    check_clean(&host, &words);
    // Nothing half-written is left.
    let names =
        std::fs::read_dir(host.folder()).expect("a folder").map(|entry| entry.expect("a name").file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().contains("partial")).collect();
    assert!(left.is_empty(), "{left:?}");
}

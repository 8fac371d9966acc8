//! A host in C that converts, verifies and repairs.

use std::path::Path;

use lmcache::trace::{ReadMode, Trace};

use crate::checkers::check_clean;
use crate::common::{fixtures, unpack_to_file};
use crate::compile::Host;

/// The words of a host for a trace of LMCache's: it, an unfinished trace, and how many records the first has.
pub(crate) fn words(lmcache: &Path) -> [String; 3] {
    let Trace::Lct(reader) = Trace::open(lmcache, ReadMode::buffered()).expect("a trace") else {
        panic!("LMCache's file")
    };
    let unfinished = fixtures().join("native/v1/unfinished.lct");
    let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    [path(lmcache), path(&unfinished), reader.records().count().to_string()]
}

#[test]
fn a_host_converts_verifies_and_repairs() {
    let host = Host::compile("convert.c");
    let small = unpack_to_file("traces/small.lct");
    host.succeed(&words(&small.path).each_ref().map(String::as_str));
    // Nothing half-written is left.
    let names = std::fs::read_dir(host.folder()).expect("a folder");
    let names = names.map(|entry| entry.expect("a name").file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().contains("partial")).collect();
    assert!(left.is_empty(), "{left:?}");
    let tiny = unpack_to_file("traces/tiny.lct");
    check_clean("convert.c", &words(&tiny.path).each_ref().map(String::as_str));
}

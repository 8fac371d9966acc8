//! The layer for C++17 over the C interface: every family, with exceptions and without.

use std::process::Command;

use crate::checkers::check_clean;
use crate::common::unpack_to_file;
use crate::compile::{Host, library_folder, root};
use crate::convert::words;

/// How hosts in C++ are compiled.
pub(crate) const WAYS: [&[&str]; 2] = [&[], &["-fno-exceptions", "-fno-rtti"]];

/// The host in each way, and once more under the checkers.
fn succeeds_and_is_clean(name: &str, arguments: &[&str]) {
    for way in WAYS {
        Host::compile_with(name, way).succeed(arguments);
    }
    check_clean(name, arguments);
}

#[test]
fn a_host_in_cpp_records() {
    for way in WAYS.into_iter().chain([&["-DLMCACHE_NO_EXCEPTIONS"][..], &["-std=c++20"]]) {
        assert_eq!(Host::compile_with("record.cc", way).succeed(&[]), "70 calls\n", "{way:?}");
    }
    check_clean("record.cc", &[]);
}

#[test]
fn a_host_in_cpp_sees_what_goes_wrong_in_a_storage_manager() {
    succeeds_and_is_clean("storage.cc", &[]);
}

#[test]
fn a_host_in_cpp_reads_replays_and_converts_traces() {
    let tiny = unpack_to_file("traces/tiny.lct");
    succeeds_and_is_clean("traces.cc", &words(&tiny.path).each_ref().map(String::as_str));
}

/// Two files of a program, one with exceptions and one without.
const THROWS: &str = "#include <lmcache.hpp>\n\
    int returns();\n\
    int main() {\n\
        try { lmcache::reader reader(\"missing.lct\"); } catch (const lmcache::error &) { return returns(); }\n\
        return 1;\n\
    }\n";
const RETURNS: &str = "#include <lmcache.hpp>\n\
    int returns() {\n\
        lmcache::reader reader;\n\
        return lmcache::reader::open(reader, \"missing.lct\") == LMCACHE_STATUS_NOT_FOUND ? 0 : 2;\n\
    }\n";

#[test]
fn files_with_exceptions_and_without_are_linked_into_one_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let libraries = library_folder();
    for (name, text, way) in [("throws", THROWS, "-fexceptions"), ("returns", RETURNS, "-fno-exceptions")] {
        let source = folder.path().join(format!("{name}.cc"));
        std::fs::write(&source, text).expect("room for a source file");
        // Not optimised, so that functions of the same name would be one.
        let status = Command::new("c++")
            .args(["-std=c++17", "-O0", way, "-I"])
            .arg(root().join("include"))
            .arg("-c")
            .arg(&source)
            .arg("-o")
            .arg(source.with_extension("o"))
            .status();
        assert!(status.expect("a compiler for C++ is needed").success());
    }
    // Programs look for it by its SONAME.
    let soname = folder.path().join("liblmcache.so.1");
    std::os::unix::fs::symlink(libraries.join("liblmcache.so"), soname).expect("a link");
    for order in [["throws.o", "returns.o"], ["returns.o", "throws.o"]] {
        let program = folder.path().join("program");
        let mut linker = Command::new("c++");
        linker.current_dir(folder.path()).args(order).arg("-o").arg(&program);
        assert!(linker.arg(libraries.join("liblmcache.so")).status().expect("a linker").success());
        let mut command = Command::new(&program);
        let status = command.env("LD_LIBRARY_PATH", folder.path()).status().expect("it runs");
        assert_eq!(status.code(), Some(0), "{order:?}");
    }
}

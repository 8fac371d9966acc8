//! The layer for C++17: each of its headers stands alone, in every standard, with exceptions and without.

use std::path::PathBuf;
use std::process::Command;

use crate::{compile, root};

/// The compilers that are there: the system's, and clang.
fn compilers() -> Vec<&'static str> {
    let is_there = |compiler: &&str| Command::new(compiler).arg("--version").output().is_ok();
    std::iter::once("c++").chain(["clang++"].into_iter().filter(is_there)).collect()
}

const MODES: [&[&str]; 3] = [&[], &["-DLMCACHE_NO_EXCEPTIONS"], &["-fno-exceptions", "-fno-rtti"]];

/// The headers below `include/lmcache`, by their paths as they are included.
fn parts() -> Vec<String> {
    let folder = std::fs::read_dir(root().join("include/lmcache")).expect("a folder");
    let name = |path: PathBuf| path.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
    let parts: Vec<String> =
        folder.map(|entry| format!("lmcache/{}", name(entry.expect("a name").path()))).collect();
    assert!(parts.len() > 8, "{parts:?}");
    parts
}

fn text_of(header: &str) -> String {
    std::fs::read_to_string(root().join("include").join(header)).expect("a header is text")
}

#[test]
fn every_standard_takes_it_with_exceptions_and_without() {
    let text = "#include <lmcache.hpp>\n#include <lmcache.hpp>\n\
                int main() { return lmcache::check_abi() == LMCACHE_STATUS_OK ? 0 : 1; }\n";
    for compiler in compilers() {
        for standard in ["-std=c++17", "-std=c++20", "-std=c++2b"] {
            for mode in MODES {
                compile(compiler, &[&[standard], mode].concat(), "cc", text);
            }
        }
    }
}

#[test]
fn each_part_stands_alone() {
    for part in parts() {
        let text = format!("#include <{part}>\n#include <{part}>\n");
        compile("c++", &["-std=c++17"], "cc", &text);
        compile("c++", &["-std=c++17", "-fno-exceptions"], "cc", &text);
    }
}

#[test]
fn the_whole_has_all_parts_and_no_name_leaks() {
    let whole = text_of("lmcache.hpp");
    for part in parts() {
        assert!(whole.contains(&format!("#include <{part}>\n")), "{part} is not in lmcache.hpp");
        let text = text_of(&part);
        let defined = text.lines().filter_map(|line| line.strip_prefix("#define "));
        let leaks: Vec<&str> = defined.filter(|name| !name.starts_with("LMCACHE_")).collect();
        assert!(leaks.is_empty(), "{part} defines {leaks:?}");
        assert!(!text.contains("using namespace"), "{part} opens a namespace for whoever includes it");
    }
}

//! The names that the shared library exports are those of the header, and it is called what hosts look for.

use std::collections::BTreeSet;
use std::process::Command;

use crate::compile::{library_folder, root};

fn output(command: &mut Command) -> String {
    let output = command.output().expect("binutils come with a compiler");
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_library_exports_what_the_header_declares_and_nothing_else() {
    let header = std::fs::read_to_string(root().join("include/lmcache.h")).expect("the header");
    let declared: BTreeSet<&str> = header
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '('))
        .filter_map(|word| word.strip_suffix('(').or_else(|| word.split_once('(').map(|(name, _)| name)))
        .filter(|name| name.starts_with("lmcache_") && *name != "lmcache_is_recording")
        .collect();
    let library = library_folder().join("liblmcache.so");
    let listed = output(Command::new("nm").args(["-D", "--defined-only", "--format=posix"]).arg(library));
    let exported: BTreeSet<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(exported, declared);
    assert!(declared.len() > 20);
}

#[test]
fn the_library_has_the_name_of_its_abi() {
    let library = library_folder().join("liblmcache.so");
    let dynamic = output(Command::new("readelf").arg("-d").arg(library));
    let soname = format!("Library soname: [liblmcache.so.{}]", lmcache::ffi::version::LMCACHE_ABI_MAJOR);
    assert!(dynamic.contains(&soname), "{dynamic}");
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
}

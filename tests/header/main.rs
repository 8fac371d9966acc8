//! The committed C header is the one that the sources make, and C and C++ compilers take it and the layer for C++17 over it.

mod cpp;

use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of `src/ffi` that hosts see something of, in the order of the header.
const FILES: [&str; 28] = [
    "version",
    "border/status",
    "border/last_error",
    "log",
    "keys",
    "prefetch_spec",
    "recorder/mod",
    "storage/manager",
    "storage/writing",
    "storage/reading",
    "storage/prefetch",
    "storage/housekeeping",
    "storage/report",
    "storage/adapter",
    "device/memory",
    "device/stream",
    "device/paged",
    "device/gpu",
    "storage/transfers",
    "reader/record",
    "reader/header",
    "reader/damage",
    "reader/mod",
    "replay/progress",
    "replay/options",
    "replay/results",
    "replay/mod",
    "convert",
];

fn generate() -> String {
    let config =
        cbindgen::Config::from_file(root().join("cbindgen.toml")).expect("cbindgen.toml is well-formed");
    let sources = FILES.iter().fold(cbindgen::Builder::new().with_config(config), |sources, file| {
        sources.with_src(root().join("src/ffi").join(file).with_extension("rs"))
    });
    let mut header = Vec::new();
    sources.generate().expect("src/ffi is valid Rust").write(&mut header);
    let header = String::from_utf8(header).expect("a header is text");
    let versions = [
        ("@version@", env!("CARGO_PKG_VERSION")),
        ("@version_major@", env!("CARGO_PKG_VERSION_MAJOR")),
        ("@version_minor@", env!("CARGO_PKG_VERSION_MINOR")),
        ("@version_patch@", env!("CARGO_PKG_VERSION_PATCH")),
    ];
    let header = versions.iter().fold(header, |header, (name, value)| header.replace(name, value));
    // What Rust calls the safety of a function is for C what its caller promises.
    header.replace(" * # Safety\n", " * The caller promises:\n")
}

#[test]
fn the_committed_header_is_the_generated_one() {
    let (path, generated) = (root().join("include/lmcache.h"), generate());
    if std::env::var_os("LMCACHE_BLESS").is_some() {
        std::fs::write(&path, &generated).expect("the header can be written");
    }
    let committed = std::fs::read_to_string(&path).expect("include/lmcache.h is there");
    assert!(
        committed == generated,
        "include/lmcache.h is stale: run LMCACHE_BLESS=1 cargo test --test header"
    );
}

/// Has a compiler look at a file, all of whose warnings are errors.
fn compile(compiler: &str, words: &[&str], suffix: &str, text: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = folder.path().join(format!("host.{suffix}"));
    std::fs::write(&source, text).expect("room for a source file");
    let output = Command::new(compiler)
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", "-fsyntax-only"])
        .args(words)
        .arg("-I")
        .arg(root().join("include"))
        .arg(&source)
        .output();
    let output = output.unwrap_or_else(|error| panic!("{compiler} is needed to test the headers: {error}"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{compiler} {words:?}: {text}{complaints}");
}

fn compile_c_header(compiler: &str, standard: &str, suffix: &str) {
    // Declared ahead, as by a header that does not want all of this; included twice, to see that the guard works.
    let text = "struct lmcache_record; struct lmcache_key_list; struct lmcache_scope;\n\
                void takes(const struct lmcache_record *, struct lmcache_scope *);\n\
                #include <lmcache.h>\n#include <lmcache.h>\nint main(void) { lmcache_recorder_options options = \
                LMCACHE_RECORDER_OPTIONS_INIT; uint32_t gate = 0; options = LMCACHE_RECORDER_OPTIONS_INIT; return lmcache_version() == 0 || lmcache_is_recording(&gate) || \
                options.struct_size == 0 || lmcache_check_abi(LMCACHE_ABI_VERSION) != LMCACHE_STATUS_OK; }\n";
    compile(compiler, &[&format!("-std={standard}")], suffix, text);
}

#[test]
fn c_and_cpp_compilers_take_the_header() {
    ["c99", "c11", "c17", "c2x"].into_iter().for_each(|standard| compile_c_header("cc", standard, "c"));
    ["c++11", "c++14", "c++17", "c++20"]
        .into_iter()
        .for_each(|standard| compile_c_header("c++", standard, "cc"));
}

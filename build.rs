//! The shared library's name in programs that link it, and that it stays loaded: threads of its own may still run, and handlers that it
//! registered with the C library would be called.

/// `LMCACHE_ABI_MAJOR` of `src/ffi/version.rs`; the test `ffi` compares them.
const ABI_MAJOR: u32 = 1;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,liblmcache.so.{ABI_MAJOR}");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}

//! The C ABI. Its header is `include/lmcache.h`, generated from this folder and kept beside it.
//!
//! What there is so far tells a host which library it has linked; handles for recording, reading, the storage
//! manager and replay are not there yet. Rules that every function keeps: names are `lmcache_` and what it
//! does; numbers never change their meaning; nothing here panics, allocates or blocks without saying so.
#![expect(unsafe_code, reason = "exported names are declared here")]

use std::ffi::{CStr, c_char};

/// The version of the C ABI that this library speaks. It goes up whenever a host compiled against an older
/// header could misread what a newer library does.
pub const LMCACHE_ABI_VERSION: u32 = 0;

/// The version of the package, with the NUL that C strings end in.
const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("a package version has no NUL in it"),
};

/// The ABI version of the library that was loaded; compare it with `LMCACHE_ABI_VERSION` of the header that
/// the host was compiled with, and refuse to go on if they differ. Any thread may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_abi_version() -> u32 {
    LMCACHE_ABI_VERSION
}

/// The version of the library as text, for instance "0.1.0": static, never NULL, not to be freed. Any thread
/// may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_version() -> *const c_char {
    VERSION.as_ptr()
}

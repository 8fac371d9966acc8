//! Which library this is.

use std::ffi::{CStr, c_char};

use super::boundary::{Failure, OK, guard};
use super::status::Status;

/// The version of the C ABI that this library speaks. It goes up whenever a host compiled against an older
/// header could misread what a newer library does.
pub const LMCACHE_ABI_VERSION: u32 = 1;

/// The version of the package, with the NUL that C strings end in.
const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("a package version has no NUL in it"),
};

/// The ABI version of the library that was loaded. Any thread may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_abi_version() -> u32 {
    LMCACHE_ABI_VERSION
}

/// Whether this library and the header that the host was compiled with fit: pass LMCACHE_ABI_VERSION, and go on if it is OK. Any thread
/// may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_check_abi(abi_version: u32) -> Status {
    guard(|| match abi_version {
        LMCACHE_ABI_VERSION => OK,
        other => Err(Failure::misuse(
            Status::LMCACHE_STATUS_UNSUPPORTED_VERSION,
            format!(
                "the host was compiled for version {other} of the interface, and this library speaks {LMCACHE_ABI_VERSION}"
            ),
        )),
    })
}

/// The version of the library as text, for instance "0.1.0": static, never NULL, not to be freed. Any thread
/// may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_version() -> *const c_char {
    VERSION.as_ptr()
}

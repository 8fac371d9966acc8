//! Which library this is.

use std::ffi::{CStr, c_char};

use super::border::boundary::{Failure, OK, guard};
use super::border::status::Status;

/// The major version of the C ABI. It goes up whenever a host compiled against an older header could misread what a newer library does;
/// the shared library is called by it.
pub const LMCACHE_ABI_MAJOR: u32 = 1;

/// The minor version of the C ABI. It goes up whenever something is added: a function, a status, the end of a struct.
pub const LMCACHE_ABI_MINOR: u32 = 0;

/// Both in one number.
pub const LMCACHE_ABI_VERSION: u32 = LMCACHE_ABI_MAJOR << 16 | LMCACHE_ABI_MINOR;

/// Bytes of a struct that may grow, at most, in every version that will be.
pub const LMCACHE_MAX_STRUCT_BYTES: usize = 4096;

/// The version of the package, with the NUL that C strings end in.
const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("a package version has no NUL in it"),
};

/// The ABI version of the library that was loaded, as LMCACHE_ABI_VERSION. Any thread may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_abi_version() -> u32 {
    LMCACHE_ABI_VERSION
}

/// Whether this library has all that the header has with which the host was compiled: pass LMCACHE_ABI_VERSION, and go on if it is OK.
/// UNSUPPORTED_VERSION if the major version is another, or the library's minor version is older. Any thread may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_check_abi(abi_version: u32) -> Status {
    guard(|| {
        let (major, minor) = (abi_version >> 16, abi_version & 0xffff);
        if major == LMCACHE_ABI_MAJOR && (0..=LMCACHE_ABI_MINOR).contains(&minor) {
            return OK;
        }
        Err(Failure::misuse(
            Status::LMCACHE_STATUS_UNSUPPORTED_VERSION,
            format!(
                "the host was compiled for version {major}.{minor} of the interface, and this library speaks \
                 {LMCACHE_ABI_MAJOR}.{LMCACHE_ABI_MINOR}"
            ),
        ))
    })
}

/// The version of the library as text, for instance "0.1.0": static, never NULL, not to be freed. Any thread
/// may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_version() -> *const c_char {
    VERSION.as_ptr()
}

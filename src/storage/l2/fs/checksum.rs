//! What vouches for the bytes of a file: their length and CRC-32C in an attribute of it, `user.lmcache.crc32c`, as
//! `<length>:<8 hex digits>`. The file itself stays LMCache's, which knows nothing of the attribute; a file without one
//! is LMCache's, or was copied by something that lost it, and is taken as it is.

use std::ffi::CStr;
use std::fs::File;
use std::io;

use crate::os::file;
use crate::storage::memory::ArenaBytes;

/// The attribute.
pub const ATTRIBUTE: &CStr = c"user.lmcache.crc32c";

/// The longest value that it can have: a length of 64 bits, a colon, and the sum.
const MAX_VALUE_BYTES: usize = 32;

/// What the attribute of `bytes` says.
fn value(bytes: &ArenaBytes<'_>) -> String {
    let mut block = [0; 16 << 10];
    let mut sum = 0;
    for at in (0..bytes.len()).step_by(block.len()) {
        let len = bytes.read_into(at, &mut block);
        sum = crc32c::crc32c_append(sum, &block[..len]);
    }
    format!("{}:{sum:08x}", bytes.len())
}

/// Writes down what `bytes` are.
pub(super) fn vouch(file: &File, bytes: &ArenaBytes<'_>) -> io::Result<()> {
    file::set_attribute(file, ATTRIBUTE, value(bytes).as_bytes())
}

/// Whether `bytes` are what was written, as far as anybody vouches for them.
pub(super) fn is_as_vouched(file: &File, bytes: &ArenaBytes<'_>) -> io::Result<bool> {
    let mut found = [0; MAX_VALUE_BYTES];
    Ok(match file::attribute(file, ATTRIBUTE, &mut found)? {
        None => true,
        Some(len) => found[..len] == *value(bytes).as_bytes(),
    })
}

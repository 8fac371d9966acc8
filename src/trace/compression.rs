//! Files that are compressed, told by their first bytes. They are refused, and the error says how they are read.

use crate::error::{Error, ErrorKind, Result};

/// First bytes of files that hold a compressed trace, and what reads them.
const COMPRESSED: [(&[u8], &str); 2] = [
    (
        b"\x28\xb5\x2f\xfd",
        "it is compressed by zstd: unpack it by zstd -d FILE, or zstd -dc FILE | lmcache-trace replay - ... (or info -)",
    ),
    (
        b"\x1f\x8b",
        "it is compressed by gzip: unpack it by gzip -dk FILE, or gzip -dc FILE | lmcache-trace replay - ... (or info -)",
    ),
];

/// Refuses bytes that are those of a compressed file.
pub(super) fn check_compression(bytes: &[u8]) -> Result<()> {
    match COMPRESSED.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        Some((_, hint)) => {
            Err(Error::new(ErrorKind::Unsupported, "a compressed file is not read").with_hint(*hint))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_files_are_told_apart() {
        assert!(check_compression(b"\x28\xb5\x2f\xfdrest").is_err_and(|error| error.hint().is_some()));
        assert!(check_compression(b"\x1f\x8b\x08").is_err());
        assert!(check_compression(b"\x00\x00\x06\x0a").is_ok() && check_compression(b"").is_ok());
    }
}

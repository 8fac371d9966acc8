//! What the test binaries share: the fixtures.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::Read;
use std::path::{Path, PathBuf};

/// The folder of the fixtures.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The content of a zstd-compressed fixture, `name` without `.zst`.
pub(crate) fn unpack(name: &str) -> Vec<u8> {
    let path = fixtures().join(format!("{name}.zst"));
    let packed = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed.as_slice()).expect("a zstd frame");
    let mut content = Vec::new();
    decoder.read_to_end(&mut content).expect("an intact zstd frame");
    content
}

/// A JSON fixture that is not compressed.
pub(crate) fn json(name: &str) -> serde_json::Value {
    let path = fixtures().join(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("valid JSON")
}

/// A fixture unpacked into a folder of its own, as a file that a command can be given.
pub(crate) struct UnpackedFile {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

/// Unpacks the fixture `name` (without `.zst`) into a temporary folder.
pub(crate) fn unpack_to_file(name: &str) -> UnpackedFile {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(Path::new(name).file_name().expect("a file name"));
    std::fs::write(&path, unpack(name)).expect("room for a fixture");
    UnpackedFile { _folder: folder, path }
}

//! Files of version 1 as they were once written, and what stands in them. They are never written again: a build that
//! reads them otherwise than the text beside them reads people's recordings otherwise.

mod made;
mod reading;

use std::path::{Path, PathBuf};

use lmcache::trace::ReadMode;
use lmcache::trace::native::NativeTrace;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/native/v1")
}

#[test]
fn files_of_version_1_read_as_they_always_did() {
    for name in ["kinds", "unfinished", "compact"] {
        let trace = NativeTrace::open(folder().join(name).with_extension("lct"), ReadMode::buffered())
            .expect("a good file");
        let path = folder().join(name).with_extension("txt");
        let expected = std::fs::read_to_string(path).expect("the text is beside the file");
        let read = reading::text(&trace);
        for (line, expected) in read.lines().zip(expected.lines()) {
            assert_eq!(line, expected, "{name}");
        }
        assert_eq!(read.lines().count(), expected.lines().count(), "{name}");
    }
}

/// How the files were made: not to make them again, but to make those of another version.
#[test]
#[ignore = "writes into a temporary folder, for a version that has no files yet"]
fn write_files() {
    let folder = tempfile::tempdir().expect("a folder").keep();
    for (name, bytes) in made::files() {
        let path = folder.join(name).with_extension("lct");
        std::fs::write(&path, &bytes).expect("room for a file");
        let trace = NativeTrace::open(&path, ReadMode::buffered()).expect("a good file");
        std::fs::write(path.with_extension("txt"), reading::text(&trace)).expect("room for a file");
    }
    panic!("the files are in {}", folder.display());
}

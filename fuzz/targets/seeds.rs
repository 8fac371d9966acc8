//! Writes the corpora that the fuzzers start from: the real traces, whole and record by record, and native files.
//!
//! `seeds FIXTURES CORPUS` reads `FIXTURES/*/*.lct.zst` and writes a folder of `CORPUS` for each target.

mod native_seeds;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use lmcache::format::lct::FrameCursor;

/// Larger files make slow seeds and no new paths.
const MAX_FILE_BYTES: usize = 300_000;

/// Frames that are taken of each file.
const FRAMES_PER_FILE: usize = 24;

fn main() {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [fixtures, corpus] = folders.as_slice() else { panic!("usage: seeds FIXTURES CORPUS") };
    native_seeds::write(fixtures, corpus);
    let (files, records) = (corpus.join("lct_file"), corpus.join("lct_record"));
    [&files, &records]
        .into_iter()
        .for_each(|folder| fs::create_dir_all(folder).expect("the corpus can be made"));
    for path in traces(fixtures) {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a fixture has a name");
        let bytes = unpack(&path);
        write_frames(&bytes, name, &records);
        if bytes.len() <= MAX_FILE_BYTES {
            fs::write(files.join(name), &bytes).expect("room for a seed");
        }
    }
}

fn traces(fixtures: &Path) -> Vec<PathBuf> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder)
            .expect("the fixtures are there")
            .map(|entry| entry.expect("a folder").path())
            .collect()
    };
    let folders = list(fixtures).into_iter().filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| list(&folder));
    files.filter(|path| path.to_string_lossy().ends_with(".lct.zst")).collect()
}

fn unpack(path: &Path) -> Vec<u8> {
    let packed = fs::read(path).expect("a fixture can be read");
    let decoder = ruzstd::decoding::StreamingDecoder::new(packed.as_slice()).expect("a zstd frame");
    let mut bytes = Vec::new();
    // The start of a large file is enough.
    decoder.take(4 * MAX_FILE_BYTES as u64).read_to_end(&mut bytes).expect("an intact zstd frame");
    bytes
}

fn write_frames(bytes: &[u8], name: &str, folder: &Path) {
    let mut frames = FrameCursor::new(bytes, 0);
    for number in 0..FRAMES_PER_FILE {
        let Ok(frame) = frames.next_frame() else { return };
        fs::write(folder.join(format!("{name}.{number}")), frame.body).expect("room for a seed");
    }
}

//! The native files to start from, whole and in the parts that the targets take.

use std::fs;
use std::path::Path;

use lmcache::format::native::pod::{CHUNK_HEADER_BYTES, FILE_HEADER_BYTES};
use lmcache::format::native::schema::archive;
use lmcache::trace::native::{ChunkPlace, NativeTrace};

/// Writes the corpora of `native_file`, `native_chunk` and `native_header` from `FIXTURES/native/v1/*.lct`.
pub fn write(fixtures: &Path, corpus: &Path) {
    let [files, chunks, headers] =
        ["native_file", "native_chunk", "native_header"].map(|name| corpus.join(name));
    [&files, &chunks, &headers]
        .iter()
        .for_each(|folder| fs::create_dir_all(folder).expect("the corpus can be made"));
    for name in ["kinds", "unfinished", "compact"] {
        let path = fixtures.join("native/v1").join(name).with_extension("lct");
        let bytes = fs::read(&path).expect("a fixture can be read");
        let trace = NativeTrace::from_bytes(name, &bytes).expect("a good file");
        let facts_end = FILE_HEADER_BYTES + trace.header().fixed().facts_bytes as usize;
        let index = trace.index().map(archive).unwrap_or_default();
        fs::write(files.join(name), &bytes).expect("room for a seed");
        fs::write(chunks.join(name), chunk_seed(&trace)).expect("room for a seed");
        fs::write(headers.join(name), &bytes[..facts_end]).expect("room for a seed");
        fs::write(headers.join(format!("{name}.index")), &*index).expect("room for a seed");
    }
}

/// The records of a file's chunks, as `native_chunk` takes them.
fn chunk_seed(trace: &NativeTrace) -> Vec<u8> {
    let keys = trace.key_table().expect("a good file");
    let records = |place: &ChunkPlace| {
        let chunk = trace.open_chunk(place, keys.as_ref()).expect("a good chunk");
        chunk.bytes()[CHUNK_HEADER_BYTES..].to_vec()
    };
    match trace.chunks() {
        [first, second, ..] if keys.is_some() => {
            let first = records(first);
            let words = u16::try_from(first.len() / 8).expect("a small fixture").to_le_bytes();
            [&[1, words[0], words[1]], first.as_slice(), &records(second)].concat()
        }
        places => [&[0; 3], records(&places[0]).as_slice()].concat(),
    }
}

//! Any bytes as the records of a chunk whose checksums are right: verified, walked, counted. The first byte says
//! whether a chunk of keys stands before, the next two how long that is.
#![no_main]

mod native_walk;

use libfuzzer_sys::fuzz_target;
use lmcache::format::native::kind::ChunkKind;
use lmcache::format::native::pod::{
    CHUNK_HEADER_BYTES, CHUNK_MAGIC, ChunkHeader, CommitSlot, MIN_CHUNK_BYTES, STATE_SEALED, crc32,
};
use lmcache::format::native::tally::FileTally;
use lmcache::format::native::{Chunk, KeyTable, UnverifiedChunk};
use rkyv::util::AlignedVec;

/// A chunk with `records`, all of whose checksums are right.
fn image(kind: ChunkKind, records: &[u8]) -> AlignedVec {
    let header = ChunkHeader {
        magic: CHUNK_MAGIC,
        kind: kind as u32,
        number: 0,
        offset: 4096,
        recording_id: 1,
        calls_before: 0,
        lost_before: 0,
        chunk_bytes: MIN_CHUNK_BYTES * 64,
        reserved: [0; 2],
        header_crc: 0,
    };
    let slot = CommitSlot {
        state: STATE_SEALED,
        committed_bytes: records.len() as u32,
        records: 1,
        calls: 1,
        first_ns: 0,
        last_ns: 0,
        lost: 0,
        mono_ns: 0,
        wall_ns: 0,
        data_crc: crc32(records),
        slot_crc: 0,
    };
    let mut image = AlignedVec::new();
    image.extend_from_slice(bytemuck::bytes_of(&header.sealed()));
    image.extend_from_slice(bytemuck::bytes_of(&slot.sealed()));
    image.resize(CHUNK_HEADER_BYTES, 0);
    image.extend_from_slice(records);
    image
}

fn parsed(image: &[u8]) -> UnverifiedChunk {
    UnverifiedChunk::parse(image, 4096, 1, MIN_CHUNK_BYTES).expect("its checksums are right")
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[mode, low, high], rest)) = bytes.split_first_chunk::<3>() else { return };
    let keys_bytes = if mode & 1 == 1 { usize::from(u16::from_le_bytes([low, high])) * 8 } else { 0 };
    let (keys, records) = rest.split_at(keys_bytes.min(rest.len()));
    let (keys, records) = (image(ChunkKind::Keys, keys), image(ChunkKind::Records, records));
    let mut table = KeyTable::default();
    if mode & 1 == 1 {
        let Ok(chunk) = Chunk::verify(&parsed(&keys), &keys, None) else { return };
        native_walk::walk(&chunk);
        if table.add(&chunk).is_err() {
            return;
        }
    }
    let table = (mode & 1 == 1).then_some(&table);
    let Ok(chunk) = Chunk::verify(&parsed(&records), &records, table) else { return };
    native_walk::walk(&chunk);
    let mut tally = FileTally::default();
    tally.add_read(&chunk);
    std::hint::black_box(tally.into_index(None));
});

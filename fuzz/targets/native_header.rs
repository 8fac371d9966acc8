//! Any bytes as the start of a file, as they are and with checksums that are right; and as an index.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lmcache::format::native::UnverifiedHeader;
use lmcache::format::native::index::{end_mark, read_index};
use lmcache::format::native::pod::{
    END_MAGIC, EndMark, FILE_HEADER_BYTES, FILE_MAGIC, FORMAT_VERSION, FileHeader, crc32,
};
use lmcache::format::native::schema::SCHEMA_DIGEST;

fn read(bytes: &[u8]) {
    let Ok(unverified) = UnverifiedHeader::parse(bytes) else { return };
    let Ok(header) = unverified.verify(bytes) else { return };
    let _ = (header.t_mono_s(u64::MAX), header.wall_ns_of(0), header.first_chunk_offset());
}

/// The same with the numbers that would be refused at once, and the checksums, made right.
fn read_mended(bytes: &[u8]) {
    let Some(fixed) = bytes.first_chunk::<FILE_HEADER_BYTES>() else { return };
    let facts = &bytes[FILE_HEADER_BYTES..];
    let header = FileHeader {
        magic: FILE_MAGIC,
        format_version: FORMAT_VERSION,
        schema_digest: SCHEMA_DIGEST,
        facts_bytes: facts.len() as u32,
        facts_crc: crc32(facts),
        ..bytemuck::pod_read_unaligned(fixed)
    };
    let mut mended = bytemuck::bytes_of(&header.sealed()).to_vec();
    mended.extend_from_slice(facts);
    read(&mended);
}

fn read_as_index(bytes: &[u8]) {
    let mark = EndMark {
        magic: END_MAGIC,
        recording_id: 1,
        index_offset: 0,
        index_bytes: bytes.len() as u64,
        file_bytes: (bytes.len() + size_of::<EndMark>()) as u64,
        chunks: 0,
        index_crc: crc32(bytes),
        reserved: [0; 2],
        mark_crc: 0,
    };
    let mut file = bytes.to_vec();
    file.extend_from_slice(bytemuck::bytes_of(&mark.sealed()));
    let mark = end_mark(&file, file.len() as u64, 1).expect("its checksum is right");
    std::hint::black_box(read_index(&mark, bytes));
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    read_mended(bytes);
    read_as_index(bytes);
});

//! A file in memory, and records to put into it.

use lmcache::format::model::KeyView;
use lmcache::format::native::pod::{DEFAULT_CHUNK_BYTES, HEADER_ALIGN, KeyRow};
use lmcache::format::native::{ChunkBuilder, ChunkFull, FileFacts, NewFile};
use lmcache::trace::store::TraceStore;
use lmcache::trace::writer::{ClockPair, TraceWriter};

/// Keeps what is written.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore(pub(crate) Vec<u8>);

impl TraceStore for MemoryStore {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        let end = offset as usize + bytes.len();
        if self.0.len() < end {
            self.0.resize(end, 0);
        }
        self.0[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, file_bytes: u64) -> std::io::Result<()> {
        self.0.resize(file_bytes as usize, 0);
        Ok(())
    }
}

pub(crate) fn new_file(chunk_bytes: u32) -> NewFile {
    NewFile {
        chunk_bytes,
        header_align: HEADER_ALIGN,
        required_features: 0,
        mono_start_ns: 1_000,
        wall_start_ns: 1_700_000_000_000_000_000,
        t_mono_start_s: 1e-6,
        t_wall_start_s: 1.7e9,
        recording_id: 0x1234_5678_9abc_def0,
        file_number: 0,
    }
}

pub(crate) fn writer() -> TraceWriter<MemoryStore> {
    writer_with_chunks(DEFAULT_CHUNK_BYTES)
}

pub(crate) fn writer_with_chunks(chunk_bytes: u32) -> TraceWriter<MemoryStore> {
    let facts = FileFacts { level: "storage".into(), ..FileFacts::default() };
    TraceWriter::create(MemoryStore::default(), new_file(chunk_bytes), facts).expect("a file in memory")
}

pub(crate) const CLOCK: ClockPair = ClockPair { mono_ns: 5, wall_ns: 6 };

/// The key of chunk `number` of a prompt.
pub(crate) fn hash(number: u64) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    hash[8..16].copy_from_slice(&number.to_le_bytes());
    hash
}

pub(crate) fn view(hash: &[u8]) -> KeyView<'_> {
    KeyView {
        chunk_hash: hash,
        model_name: "org/model",
        kv_rank: 0x0100_0100,
        object_group_id: 0,
        cache_salt: "",
    }
}

pub(crate) fn rows(
    builder: &mut ChunkBuilder,
    numbers: impl IntoIterator<Item = u64>,
) -> Result<Vec<KeyRow>, ChunkFull> {
    numbers.into_iter().map(|number| builder.key_row(&view(&hash(number)))).collect()
}

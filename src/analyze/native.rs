//! What a native file holds: from its index if it was closed, or else counted, chunk by chunk, on all cores.

use std::collections::BTreeMap;

use super::scan::MAX_SCAN_THREADS;
use crate::error::{Error, ErrorKind, Result};
use crate::format::model::Op;
use crate::format::native::pod::CHUNK_HEADER_BYTES;
use crate::format::native::schema::FileIndex;
use crate::format::native::tally::FileTally;
use crate::format::native::{ChunkKind, Header, KeyTable};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::trace::NativeTrace;
use crate::trace::native::{ChunkPlace, DamagedChunk, Gap};

/// What a native file holds.
#[derive(Clone, Debug)]
pub struct NativeSummary {
    /// The file's header.
    pub header: Header,
    /// The length of the file.
    pub size_bytes: u64,
    /// Whether the recorder closed the file.
    pub is_closed: bool,
    /// Whether every chunk was read: the checksums of a file that was closed are looked at only if asked for.
    pub is_checked: bool,
    /// The totals: from the end of the file, or, of a file without one, those of the chunks that could be read.
    pub index: FileIndex,
    /// Bytes behind the last record that a checksum vouches for, in a file that was not closed.
    pub unvouched_bytes: u64,
    /// Chunks whose checksums are wrong, in the order of the file.
    pub damaged: Vec<DamagedChunk>,
    /// Where chunks should be and are not.
    pub gaps: Vec<Gap>,
    /// Chunks of kinds that this build does not know.
    pub unknown_chunks: u64,
    /// Records of kinds that this build does not know, in the chunks that were read.
    pub unknown_records: u64,
}

impl NativeSummary {
    /// Seconds from the start of the recording to the last call.
    pub fn duration_s(&self) -> f64 {
        match self.index.calls {
            0 => 0.0,
            _ => self.header.t_mono_s(self.index.last_ns),
        }
    }

    /// Calls of each name, sorted by name; the six only where there are any.
    pub fn ops(&self) -> BTreeMap<String, u64> {
        let known = Op::ALL.into_iter().map(|op| (op.qualname(), self.index.ops[op as usize]));
        let mut ops: BTreeMap<_, _> = known.filter(|(_, count)| *count > 0).collect();
        for (name, calls) in &self.index.names {
            // An index may name one of the six, and say anything of it.
            let count = ops.entry(name.clone()).or_default();
            *count = count.saturating_add(*calls);
        }
        ops
    }

    /// Whether something is known to be missing: calls that the recorder lost, an end, chunks, or what the file was
    /// made of.
    pub fn is_incomplete(&self) -> bool {
        let is_made_of_less = self.header.converted_from().is_some();
        self.index.lost > 0
            || !self.is_closed
            || is_made_of_less
            || !self.damaged.is_empty()
            || !self.gaps.is_empty()
    }
}

/// Says what `trace` holds. A file that was closed is summed up from its index alone unless `check_all` asks for
/// every chunk to be read; `on_progress` is then called now and then, from any thread, with the bytes that were read.
pub fn summarize_native(
    trace: &NativeTrace,
    check_all: bool,
    threads: usize,
    on_progress: impl Fn(u64) + Sync,
) -> NativeSummary {
    let header = trace.header().clone();
    let size_bytes = trace.size_bytes();
    let summary = |is_closed, is_checked, index, read: Read| NativeSummary {
        unvouched_bytes: size_bytes.saturating_sub(read.vouched_end.max(header.first_chunk_offset())),
        header,
        size_bytes,
        is_closed,
        is_checked,
        index,
        damaged: read.damaged,
        gaps: if is_checked { trace.gaps().to_vec() } else { Vec::new() },
        unknown_chunks: read.unknown_chunks,
        unknown_records: read.unknown_records,
    };
    match trace.index() {
        Some(index) if !check_all => {
            let read = Read { vouched_end: size_bytes, ..Read::default() };
            summary(true, false, index.clone(), read)
        }
        Some(index) => {
            let read = read_chunks(trace, threads, &on_progress);
            summary(true, true, index.clone(), Read { vouched_end: size_bytes, ..read })
        }
        None => {
            let mut read = read_chunks(trace, threads, &on_progress);
            let index = std::mem::take(&mut read.tally).into_index(None);
            summary(false, true, index, read)
        }
    }
}

/// What one thread has read, or several.
#[derive(Default)]
struct Read {
    tally: FileTally,
    damaged: Vec<DamagedChunk>,
    unknown_chunks: u64,
    unknown_records: u64,
    /// Where the last record ends that a checksum vouches for.
    vouched_end: u64,
}

impl Read {
    /// Reads a chunk. Without the key table of a compact file no chunk of calls can be read.
    fn add(&mut self, trace: &NativeTrace, place: &ChunkPlace, keys: &Result<Option<KeyTable<'_>>>) {
        let chunk = match (ChunkKind::from_number(place.unverified.header().kind), keys) {
            (None, _) => {
                self.unknown_chunks += 1;
                return;
            }
            (Some(ChunkKind::Keys), _) => trace.open_chunk(place, None),
            (Some(ChunkKind::Records), Ok(keys)) => trace.open_chunk(place, keys.as_ref()),
            (Some(ChunkKind::Records), Err(_)) => {
                Err(Error::new(ErrorKind::Corrupt, "the key table of the file is damaged"))
            }
        };
        match chunk {
            Ok(chunk) => {
                self.tally.add_read(&chunk);
                self.unknown_records += chunk.unknown_records();
                let end = place.offset + CHUNK_HEADER_BYTES as u64 + u64::from(chunk.slot().committed_bytes);
                self.vouched_end = self.vouched_end.max(end);
            }
            Err(error) => self.damaged.push(DamagedChunk::new(place, &error)),
        }
    }

    fn merge(&mut self, other: Self) {
        self.tally.merge(other.tally);
        self.damaged.extend(other.damaged);
        self.unknown_chunks += other.unknown_chunks;
        self.unknown_records += other.unknown_records;
        self.vouched_end = self.vouched_end.max(other.vouched_end);
    }
}

/// Reads all chunks on up to `threads` threads, which take them one after the other.
fn read_chunks(trace: &NativeTrace, threads: usize, on_progress: &(impl Fn(u64) + Sync)) -> Read {
    let keys = trace.key_table();
    // Relaxed does for both: each chunk is taken once whatever the order, and progress is for eyes only.
    let (next, done_bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
    let read_some = || {
        let mut read = Read::default();
        while let Some(place) = trace.chunks().get(next.fetch_add(1, Ordering::Relaxed)) {
            read.add(trace, place, &keys);
            let chunk_bytes = u64::from(place.unverified.header().chunk_bytes);
            on_progress(done_bytes.fetch_add(chunk_bytes, Ordering::Relaxed) + chunk_bytes);
        }
        read
    };
    let threads = threads.clamp(1, MAX_SCAN_THREADS).min(trace.chunks().len().max(1));
    let mut all = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(read_some)).collect();
        let mut all = read_some();
        for other in others {
            match other.join() {
                Ok(read) => all.merge(read),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.damaged.sort_by_key(|chunk| chunk.offset);
    all
}

//! Makes a sealed copy of what is left of a file.

use super::verify::recount;
use crate::error::{Error, ErrorKind, Result};
use crate::format::native::index::write_index;
use crate::format::native::pod::{
    CHUNK_HEADER_BYTES, ChunkHeader, CommitSlot, HEADER_ALIGN, LIVE_HEADER_ALIGN, LIVE_SLOT, SLOT_BYTES,
    STATE_SEALED,
};
use crate::format::native::tally::FileTally;
use crate::format::native::{Chunk, Header, KeyTable, NewFile, UnverifiedChunk};
use crate::trace::native::{ChunkPlace, NativeEnding, NativeTrace, found_chunks};
use crate::trace::store::TraceStore;

/// Name of the pair in a copy's facts that says what the copy is without.
pub const REPAIRED: &str = "repaired";

/// How many holes a report names; the others are counted.
pub const MAX_NAMED_HOLES: usize = 64;

/// A part of the original that is not in the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Where it starts in the original.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// Number of the first chunk that is missing.
    pub first_chunk: u64,
    /// How many chunks are missing, if the next one tells.
    pub chunks: Option<u64>,
    /// How many calls are missing, if the next chunk tells.
    pub calls: Option<u64>,
    /// The latest time before it.
    pub after_ns: Option<u64>,
    /// The earliest time behind it.
    pub before_ns: Option<u64>,
}

/// What a copy holds, and what it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Whether the original has an end mark and an index.
    pub was_closed: bool,
    /// Chunks that were copied.
    pub chunks: u64,
    /// Records in them.
    pub records: u64,
    /// Calls in them.
    pub calls: u64,
    /// Calls that the recorder lost, as the original says itself.
    pub lost: u64,
    /// Length of the copy.
    pub file_bytes: u64,
    /// Of those that were copied, chunks of kinds that this build does not know: as they are.
    pub unknown_chunks: u64,
    /// What is missing: the first [`MAX_NAMED_HOLES`].
    pub holes: Vec<Hole>,
    /// How many holes there are.
    pub hole_count: u64,
    /// Bytes in all holes.
    pub missing_bytes: u64,
    /// Calls in the holes of which it is known.
    pub missing_calls: u64,
}

impl RepairReport {
    /// Whether all that a checksum covers is in the copy.
    pub fn is_complete(&self) -> bool {
        self.hole_count == 0
    }

    /// What the copy's facts say of it.
    fn summary(&self) -> String {
        let end = if self.was_closed { "was closed" } else { "was not closed" };
        match self.hole_count {
            0 => format!("the original {end}; nothing that was committed is missing"),
            holes => format!(
                "the original {end}; missing in {holes} {}: {} bytes, at least {} {}",
                if holes == 1 { "place" } else { "places" },
                self.missing_bytes,
                self.missing_calls,
                if self.missing_calls == 1 { "call" } else { "calls" },
            ),
        }
    }

    fn add_hole(&mut self, hole: Hole) {
        self.hole_count += 1;
        self.missing_bytes += hole.bytes;
        self.missing_calls = self.missing_calls.saturating_add(hole.calls.unwrap_or(0));
        if self.holes.len() < MAX_NAMED_HOLES {
            self.holes.push(hole);
        }
    }
}

/// Is told how many bytes of the original are done, and may end the work by an error.
pub type Progress<'a> = dyn FnMut(u64) -> Result<()> + 'a;

/// Copies every good chunk of `trace` to `store`, in its order: its records byte for byte, under a header with the
/// number and the place that it has in the copy, sealed. Index and end mark follow. The original is read twice.
///
/// # Errors
/// [`ErrorKind::Corrupt`] if the key table of a compact file is damaged: then nothing of it can be named. What the
/// store and `progress` say.
pub fn repair<S: TraceStore>(
    trace: &NativeTrace,
    mut store: S,
    progress: &mut Progress<'_>,
) -> Result<(RepairReport, S)> {
    let keys = trace.key_table().map_err(|error| {
        Error::new(ErrorKind::Corrupt, "the key table is damaged, and no call can be read without it")
            .with_source(error)
    })?;
    let (places, mut report) = survey(trace, keys.as_ref(), progress)?;
    let (header, head) = copied_header(trace, &report)?;
    store.write_at(0, &head).map_err(not_written)?;
    let mut copy = Copy { header, tally: FileTally::default(), next: 0, end: 0 };
    (copy.next, copy.end) = (copy.header.first_chunk_offset(), copy.header.first_chunk_offset());
    for place in &places {
        progress(trace.size_bytes() / 2 + place.offset / 2)?;
        match place.is_of_known_kind() {
            true => copy.write_chunk(&trace.open_chunk(place, keys.as_ref())?, keys.as_ref(), &mut store)?,
            false => {
                let (slot, bytes) = trace.committed(place)?;
                copy.write_unknown(place.unverified.header(), slot, bytes, &mut store)?;
                report.unknown_chunks += 1;
            }
        }
    }
    let distinct_keys = trace.index().and_then(|index| index.distinct_keys);
    let index = copy.tally.into_index(distinct_keys.filter(|_| report.is_complete()));
    let bytes = write_index(&index, copy.end, copy.header.fixed().recording_id);
    store.write_at(copy.end, &bytes).map_err(not_written)?;
    report.file_bytes = copy.end + bytes.len() as u64;
    store.truncate(report.file_bytes).map_err(not_written)?;
    store.sync().map_err(not_written)?;
    (report.chunks, report.records) = (index.chunks.len() as u64, index.records);
    (report.calls, report.lost) = (index.calls, index.lost);
    Ok((report, store))
}

/// The chunks that can be copied, and what lies between them.
fn survey(
    trace: &NativeTrace,
    keys: Option<&KeyTable<'_>>,
    progress: &mut Progress<'_>,
) -> Result<(Vec<ChunkPlace>, RepairReport)> {
    let mut report =
        RepairReport { was_closed: trace.ending() == NativeEnding::Closed, ..RepairReport::default() };
    let end = trace.chunks_end();
    let (places, _) = found_chunks(&trace.bytes()[..end], trace.header());
    let mut good: Vec<ChunkPlace> = Vec::new();
    let mut last = LastKept { end: trace.header().first_chunk_offset(), ..LastKept::default() };
    for place in places {
        progress(place.offset / 2)?;
        let Ok((slot, used_bytes)) = committed(trace, &place, keys) else { continue };
        let header = place.unverified.header();
        last.report_hole(place.offset, Some((header, &slot)), &mut report);
        // Nothing is after it that a checksum covers, but something may be that none does.
        let stride_end = place.offset + u64::from(header.chunk_bytes);
        let slack = trace.bytes().get(place.offset as usize + used_bytes..end.min(stride_end as usize));
        let slack = slack.unwrap_or_default();
        let unused_bytes = slack.iter().rposition(|byte| *byte != 0).map_or(0, |position| position + 1);
        last.keep(header, &slot, stride_end);
        if unused_bytes > 0 {
            report.add_hole(last.hole(place.offset + used_bytes as u64, unused_bytes as u64));
        }
        if used_bytes > CHUNK_HEADER_BYTES {
            good.push(place);
        }
    }
    let rest = trace.bytes()[..end].get(last.end as usize..).unwrap_or_default();
    if rest.iter().any(|byte| *byte != 0) {
        last.report_hole(end as u64, None, &mut report);
    }
    Ok((good, report))
}

/// What can be copied of a chunk: its slot, and how long it is up to the last record.
fn committed(
    trace: &NativeTrace,
    place: &ChunkPlace,
    keys: Option<&KeyTable<'_>>,
) -> Result<(CommitSlot, usize)> {
    if !place.is_of_known_kind() {
        return trace.committed(place).map(|(slot, bytes)| (slot, bytes.len()));
    }
    let chunk = trace.open_chunk(place, keys)?;
    Ok((*chunk.slot(), chunk.bytes().len()))
}

/// The end of the last chunk that can be copied.
#[derive(Debug, Default)]
struct LastKept {
    end: u64,
    next_number: u64,
    calls: u64,
    last_ns: Option<u64>,
}

impl LastKept {
    fn keep(&mut self, header: &ChunkHeader, slot: &CommitSlot, end: u64) {
        self.end = end;
        self.next_number = header.number.wrapping_add(1);
        self.calls = header.calls_before.wrapping_add(u64::from(slot.calls));
        self.last_ns = if slot.calls > 0 { Some(slot.last_ns) } else { self.last_ns };
    }

    fn hole(&self, offset: u64, bytes: u64) -> Hole {
        Hole {
            offset,
            bytes,
            first_chunk: self.next_number,
            chunks: None,
            calls: None,
            after_ns: self.last_ns,
            before_ns: None,
        }
    }

    /// Reports what lies before `offset`, where `next` or the end is, if anything does.
    fn report_hole(&self, offset: u64, next: Option<(&ChunkHeader, &CommitSlot)>, report: &mut RepairReport) {
        if offset <= self.end {
            return;
        }
        let next_header = next.map(|(header, _)| header);
        let next_slot = next.map(|(_, slot)| slot).filter(|slot| slot.calls > 0);
        report.add_hole(Hole {
            chunks: next_header.and_then(|next| next.number.checked_sub(self.next_number)),
            calls: next_header.and_then(|next| next.calls_before.checked_sub(self.calls)),
            before_ns: next_slot.map(|slot| slot.first_ns),
            ..self.hole(self.end, offset - self.end)
        });
    }
}

/// The header of the copy: what the original says, and what was done to it.
fn copied_header(trace: &NativeTrace, report: &RepairReport) -> Result<(Header, Vec<u8>)> {
    let (fixed, mut facts) = (trace.header().fixed(), trace.header().facts().clone());
    facts.metadata.push((REPAIRED.to_owned(), report.summary()));
    let is_live = fixed.header_bytes.is_multiple_of(LIVE_HEADER_ALIGN);
    let file = NewFile {
        chunk_bytes: fixed.chunk_bytes,
        header_align: if is_live { LIVE_HEADER_ALIGN } else { HEADER_ALIGN },
        required_features: fixed.required_features,
        mono_start_ns: fixed.mono_start_ns,
        wall_start_ns: fixed.wall_start_ns,
        t_mono_start_s: trace.header().t_mono_start_s(),
        t_wall_start_s: trace.header().t_wall_start_s(),
        recording_id: fixed.recording_id,
        file_number: fixed.file_number,
    };
    Header::create(file, facts)
}

/// The copy in the making.
struct Copy {
    header: Header,
    tally: FileTally,
    /// Where the next chunk goes.
    next: u64,
    /// Where the records of the last one end.
    end: u64,
}

impl Copy {
    fn write_chunk(
        &mut self,
        chunk: &Chunk<'_>,
        keys: Option<&KeyTable<'_>>,
        store: &mut impl TraceStore,
    ) -> Result<()> {
        let header = self.header_of(chunk.header());
        let image = sealed_image(&header, recount(chunk), chunk.bytes());
        let fixed = self.header.fixed();
        let unverified = UnverifiedChunk::parse(&image, self.next, fixed.recording_id, fixed.chunk_bytes);
        let unverified = unverified.ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "a chunk cannot be copied").with_context("offset", header.offset)
        })?;
        // What is written was read: the copy's index counts these very bytes.
        self.tally.add_read(&Chunk::verify(&unverified, &image, keys)?);
        self.write(&header, &image, store)
    }

    /// A chunk of a later version, as it is: it may be of use to whoever knows its kind.
    fn write_unknown(
        &mut self,
        header: &ChunkHeader,
        slot: CommitSlot,
        bytes: &[u8],
        store: &mut impl TraceStore,
    ) -> Result<()> {
        let header = self.header_of(header);
        self.tally.add_unknown(&header, &slot);
        self.write(&header, &sealed_image(&header, slot, bytes), store)
    }

    /// The header that a chunk of the original has in the copy.
    fn header_of(&self, original: &ChunkHeader) -> ChunkHeader {
        let (number, calls_before, lost_before) =
            (self.tally.chunks(), self.tally.calls(), self.tally.lost());
        ChunkHeader { number, offset: self.next, calls_before, lost_before, ..*original }.sealed()
    }

    fn write(&mut self, header: &ChunkHeader, image: &[u8], store: &mut impl TraceStore) -> Result<()> {
        store.write_at(self.next, image).map_err(not_written)?;
        self.end = self.next + image.len() as u64;
        self.next += u64::from(header.chunk_bytes);
        Ok(())
    }
}

/// A chunk's bytes under another header, with one slot that seals them.
fn sealed_image(header: &ChunkHeader, slot: CommitSlot, bytes: &[u8]) -> rkyv::util::AlignedVec {
    let slot = CommitSlot { state: STATE_SEALED, ..slot }.sealed();
    let mut image = rkyv::util::AlignedVec::with_capacity(bytes.len());
    image.extend_from_slice(bytemuck::bytes_of(header));
    image.resize(size_of::<ChunkHeader>() + LIVE_SLOT * SLOT_BYTES, 0);
    image.extend_from_slice(bytemuck::bytes_of(&slot));
    image.resize(CHUNK_HEADER_BYTES, 0);
    image.extend_from_slice(&bytes[CHUNK_HEADER_BYTES..]);
    image
}

fn not_written(error: std::io::Error) -> Error {
    Error::io("cannot write the repaired trace file", error)
}

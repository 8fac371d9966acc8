//! Checks a whole file against what `docs/format.md` promises: every checksum, count, time and number.

use hashbrown::{HashMap, HashSet};

use super::report::{Finding, VerifyReport};
use super::threads::Threads;
use crate::error::{Error, Result};
use crate::format::native::index::end_mark;
use crate::format::native::kind::{LossReason, RecordKind};
use crate::format::native::pod::{
    CHUNK_HEADER_BYTES, ChunkHeader, CommitSlot, EndMark, FILE_HEADER_BYTES, LossBody, SLOT_BYTES, SLOTS,
    STATE_SEALED, crc32,
};
use crate::format::native::schema::IndexedChunk;
use crate::format::native::tally::FileTally;
use crate::format::native::{Body, Chunk, FileIndex, KeyTable, RecordView};
use crate::trace::native::{ChunkPlace, Gap, NativeTrace, found_chunks};
use crate::trace::{Entry, TraceReader};

/// Looks at every byte of a native file. The chunks are found by walking, whether or not there is an index, which is
/// compared with them; its count of distinct keys alone is taken as it is.
pub fn verify(trace: &NativeTrace) -> VerifyReport {
    let mut check = Check::new(trace);
    let (places, gaps) = found_chunks(&trace.bytes()[..check.end], trace.header());
    check.report.chunks = places.len() as u64;
    check.file_header();
    // The map of numbers to names of a compact file; without it nothing of the file can be read.
    match trace.key_table() {
        Ok(keys) => check.pieces(&places, &gaps, keys.as_ref()),
        Err(error) => {
            let (chunk, offset) = (0, trace.header().first_chunk_offset());
            let reason = format!("the key table cannot be read: {error}");
            check.report.add(Finding::ChunkDamaged { chunk, offset, reason, calls: None });
        }
    }
    check.finish()
}

/// Looks at every frame of a file in LMCache's format.
pub fn verify_frames(reader: &TraceReader) -> VerifyReport {
    let mut report = VerifyReport::new(reader.bytes().len() as u64);
    let mut records = reader.records();
    for entry in &mut records {
        match entry {
            Entry::Record(_) => report.records += 1,
            Entry::Undecodable { offset, error } => {
                report.add(Finding::FrameUndecodable { offset, reason: error.to_string() });
            }
        }
    }
    report.calls = report.records;
    if let Some(ending) = records.ending().filter(|ending| ending.is_truncated()) {
        report.add(Finding::FileCut { offset: ending.cut_offset().unwrap_or(0) });
    }
    report
}

/// What a chunk's header should say.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    number: u64,
    calls: u64,
    lost: u64,
}

struct Check<'a> {
    trace: &'a NativeTrace,
    mark: Option<EndMark>,
    /// Where the chunks end: at the index, or with the file.
    end: usize,
    report: VerifyReport,
    tally: FileTally,
    threads: Threads,
    /// Nothing after a chunk that could not be read.
    before: Option<Before>,
    last_ns: u64,
    /// Whether every chunk was read: only then the index can be compared as a whole.
    is_whole: bool,
}

impl<'a> Check<'a> {
    fn new(trace: &'a NativeTrace) -> Self {
        let (bytes, fixed) = (trace.bytes(), trace.header().fixed());
        let mark = end_mark(bytes, bytes.len() as u64, fixed.recording_id);
        let mut report = VerifyReport::new(trace.size_bytes());
        report.is_closed = trace.index().is_some();
        Self {
            trace,
            mark,
            end: trace.chunks_end(),
            report,
            tally: FileTally::default(),
            threads: Threads::new(fixed.file_number == 0),
            before: Some(Before::default()),
            last_ns: 0,
            is_whole: true,
        }
    }

    /// The bytes between the facts and the first chunk.
    fn file_header(&mut self) {
        let fixed = self.trace.header().fixed();
        self.no_bytes(FILE_HEADER_BYTES + fixed.facts_bytes as usize, fixed.header_bytes as usize);
    }

    /// Chunks and gaps, in the order of the file.
    fn pieces(&mut self, places: &[ChunkPlace], gaps: &[Gap], keys: Option<&KeyTable<'_>>) {
        let mut gaps = gaps.iter().peekable();
        for (position, place) in places.iter().enumerate() {
            while let Some(gap) = gaps.next_if(|gap| gap.offset < place.offset) {
                self.gap(gap, Some(place));
            }
            self.place(place, places.get(position + 1), keys);
        }
        gaps.for_each(|gap| self.gap(gap, None));
    }

    fn gap(&mut self, gap: &Gap, next: Option<&ChunkPlace>) {
        let bytes = &self.trace.bytes()[..self.end][gap.offset as usize..];
        let is_room_ahead = next.is_none() && self.mark.is_none() && bytes.iter().all(|byte| *byte == 0);
        if is_room_ahead {
            return;
        }
        let calls = next.and_then(|next| {
            next.unverified.header().calls_before.checked_sub(self.before.map(|before| before.calls)?)
        });
        self.report.add(Finding::ChunkMissing { offset: gap.offset, bytes: gap.bytes, calls });
        (self.before, self.is_whole) = (None, false);
    }

    fn place(&mut self, place: &ChunkPlace, next: Option<&ChunkPlace>, keys: Option<&KeyTable<'_>>) {
        let header = place.unverified.header();
        self.numbers(header);
        let looked_at = match place.is_of_known_kind() {
            true => self.known(place, keys),
            false => self.unknown(place),
        };
        match looked_at {
            Ok(slot) => self.behind(header, &slot, next),
            Err(error) => self.damaged(header, next, &error),
        }
    }

    fn known(&mut self, place: &ChunkPlace, keys: Option<&KeyTable<'_>>) -> Result<CommitSlot> {
        let chunk = self.trace.open_chunk(place, keys)?;
        self.slots(chunk.header());
        self.records(&chunk);
        self.report.unknown_records += chunk.unknown_records();
        self.tally.add_read(&chunk);
        Ok(*chunk.slot())
    }

    /// Of a chunk of a later version only header and checksums can be looked at.
    fn unknown(&mut self, place: &ChunkPlace) -> Result<CommitSlot> {
        let (slot, _) = self.trace.committed(place)?;
        self.slots(place.unverified.header());
        self.report.unknown_chunks += 1;
        self.is_whole = false;
        Ok(slot)
    }

    fn damaged(&mut self, header: &ChunkHeader, next: Option<&ChunkPlace>, error: &Error) {
        let next = next.map(|next| next.unverified.header());
        let calls = next.filter(|next| Some(next.number) == header.number.checked_add(1));
        let calls = calls.and_then(|next| next.calls_before.checked_sub(header.calls_before));
        self.report.add(Finding::ChunkDamaged {
            chunk: header.number,
            offset: header.offset,
            reason: error.to_string(),
            calls,
        });
        (self.before, self.is_whole) = (None, false);
    }

    /// What a good chunk means for the bytes and the chunk behind its records.
    fn behind(&mut self, header: &ChunkHeader, slot: &CommitSlot, next: Option<&ChunkPlace>) {
        let is_last = next.is_none() && self.mark.is_none();
        if slot.state != STATE_SEALED && !is_last {
            self.report.add(Finding::ChunkNotSealed { chunk: header.number, offset: header.offset });
        }
        let start = header.offset as usize + CHUNK_HEADER_BYTES + slot.committed_bytes as usize;
        self.no_bytes(start, self.end.min((header.offset + u64::from(header.chunk_bytes)) as usize));
        self.before = Some(Before {
            number: header.number.wrapping_add(1),
            calls: header.calls_before.wrapping_add(u64::from(slot.calls)),
            lost: header.lost_before.wrapping_add(slot.lost),
        });
        self.report.good_chunks += 1;
    }

    fn numbers(&mut self, header: &ChunkHeader) {
        let Some(before) = self.before else { return };
        for (field, found, expected) in [
            ("number", header.number, before.number),
            ("calls_before", header.calls_before, before.calls),
            ("lost_before", header.lost_before, before.lost),
        ] {
            if found != expected {
                self.report.add(Finding::WrongNumber { offset: header.offset, field, found, expected });
            }
        }
    }

    /// Every slot that was ever written must be right about the records before it.
    fn slots(&mut self, header: &ChunkHeader) {
        let all = &self.trace.bytes()[..self.end][header.offset as usize..];
        for index in 0..SLOTS {
            let start = size_of::<ChunkHeader>() + index * SLOT_BYTES;
            let raw = &all[start..][..SLOT_BYTES];
            if raw.iter().all(|byte| *byte == 0) {
                continue;
            }
            let slot: CommitSlot = bytemuck::pod_read_unaligned(raw);
            let data = all.get(CHUNK_HEADER_BYTES..CHUNK_HEADER_BYTES + slot.committed_bytes as usize);
            if !slot.is_whole() || data.is_none_or(|data| crc32(data) != slot.data_crc) {
                let offset = header.offset + start as u64;
                self.report.add(Finding::SlotDamaged { chunk: header.number, offset });
            }
        }
    }

    /// Goes over the records, and compares what it counts with what the slot says.
    fn records(&mut self, chunk: &Chunk<'_>) {
        self.counts(chunk);
        let defined: HashSet<u32> = chunk.threads().map(|(number, _)| number).collect();
        for record in chunk.records() {
            self.order(&record);
            match record.body() {
                Body::Completion(body) if body.call_thread != 0 => {
                    let (thread, sequence) = (body.call_thread, body.call_sequence);
                    self.threads.complete(thread, sequence, record.offset(), &mut self.report);
                }
                Body::Loss(loss) => self.loss(&record, &loss),
                // What the LMCache file that this one was made from had at its end, and between its records.
                Body::ForeignBytes { is_cut: true, .. } => {
                    self.report.add(Finding::FileCut { offset: record.offset() });
                }
                Body::ForeignBytes { .. } => {
                    let reason = "kept from the file that this one was made from".to_owned();
                    self.report.add(Finding::FrameUndecodable { offset: record.offset(), reason });
                }
                _ if record.kind().is_some_and(RecordKind::is_call) => self.call(&record, &defined),
                _ => {}
            }
        }
    }

    fn counts(&mut self, chunk: &Chunk<'_>) {
        let (slot, counted, offset) = (chunk.slot(), recount(chunk), chunk.header().offset);
        for (field, found, expected) in [
            ("records", u64::from(slot.records), u64::from(counted.records)),
            ("calls", u64::from(slot.calls), u64::from(counted.calls)),
            ("first_ns", slot.first_ns, counted.first_ns),
            ("last_ns", slot.last_ns, counted.last_ns),
            ("lost", slot.lost, counted.lost),
        ] {
            if found != expected {
                self.report.add(Finding::WrongCount { offset, field, found, expected });
            }
        }
    }

    /// Definitions have no time; a late record says that it is one.
    fn order(&mut self, record: &RecordView<'_>) {
        let has_time = record.kind().is_some_and(|kind| {
            kind.is_call()
                || matches!(kind, RecordKind::Completion | RecordKind::Loss | RecordKind::ForeignBytes)
        });
        if !has_time || record.is_late() {
            return;
        }
        let (t_ns, after_ns) = (record.prefix().t_ns, self.last_ns);
        if t_ns < after_ns {
            self.report.add(Finding::OutOfOrder { offset: record.offset(), t_ns, after_ns });
        }
        self.last_ns = t_ns.max(after_ns);
    }

    fn call(&mut self, record: &RecordView<'_>, defined: &HashSet<u32>) {
        let (thread, sequence) = (record.prefix().thread, record.prefix().sequence);
        if thread == 0 {
            return;
        }
        if !defined.contains(&thread) {
            self.report.add(Finding::ThreadNotDefined { offset: record.offset(), thread });
        }
        self.threads.add(thread, sequence, 1, record.offset(), &mut self.report);
    }

    fn loss(&mut self, record: &RecordView<'_>, loss: &LossBody) {
        let (thread, offset, count) = (record.prefix().thread, record.offset(), loss.count);
        let reason = LossReason::from_number(record.prefix().aux);
        let reason = reason.map_or("for a reason that this build does not know", LossReason::name);
        self.report.add(Finding::CallsLost { offset, thread, count, reason });
        if thread != 0 {
            self.threads.add(thread, loss.first_sequence, count, offset, &mut self.report);
        }
    }

    /// Nothing but zeros may stand from `start` to `end`.
    fn no_bytes(&mut self, start: usize, end: usize) {
        let between = self.trace.bytes().get(start..end).unwrap_or_default();
        if let Some(last) = between.iter().rposition(|byte| *byte != 0) {
            self.report.add(Finding::BytesNotVouchedFor { offset: start as u64, bytes: last as u64 + 1 });
        }
    }

    fn finish(mut self) -> VerifyReport {
        self.report.threads = self.threads.len() as u64;
        let threads = std::mem::replace(&mut self.threads, Threads::new(true));
        threads.finish(&mut self.report);
        let distinct_keys = self.trace.index().and_then(|index| index.distinct_keys);
        let counted = std::mem::take(&mut self.tally).into_index(distinct_keys);
        let report = &mut self.report;
        (report.records, report.calls, report.lost) = (counted.records, counted.calls, counted.lost);
        (report.completions, report.late) = (counted.completions, counted.late);
        (report.first_ns, report.last_ns) = (counted.first_ns, counted.last_ns);
        match (self.mark, self.trace.index()) {
            (Some(mark), Some(index)) => {
                compare(index, &counted, self.is_whole, report);
                if mark.chunks != index.chunks.len() as u64 {
                    report.add(Finding::WrongIndex { about: "how many chunks there are" });
                }
            }
            (Some(_), None) => report.add(Finding::WrongIndex { about: "everything: it is damaged" }),
            (None, _) => report.add(Finding::NotClosed { file_bytes: report.file_bytes }),
        }
        self.after_index();
        self.report
    }

    /// The bytes between the index and the end mark.
    fn after_index(&mut self) {
        if let Some(mark) = self.mark {
            let start = (mark.index_offset + mark.index_bytes) as usize;
            self.no_bytes(start, self.trace.bytes().len() - size_of::<EndMark>());
        }
    }
}

/// What the slot of a chunk should count.
pub(super) fn recount(chunk: &Chunk<'_>) -> CommitSlot {
    let mut counted = CommitSlot { records: 0, calls: 0, first_ns: 0, last_ns: 0, lost: 0, ..*chunk.slot() };
    for record in chunk.records() {
        counted.records += 1;
        if record.kind().is_some_and(RecordKind::is_call) {
            let t_ns = record.prefix().t_ns;
            counted.first_ns = if counted.calls == 0 { t_ns } else { counted.first_ns.min(t_ns) };
            counted.last_ns = counted.last_ns.max(t_ns);
            counted.calls += 1;
        }
        if let Body::Loss(loss) = record.body() {
            counted.lost = counted.lost.saturating_add(loss.count);
        }
    }
    counted
}

/// Compares the index with what was counted; where chunks are missing, their entries alone.
fn compare(index: &FileIndex, counted: &FileIndex, is_whole: bool, report: &mut VerifyReport) {
    if !is_whole {
        let indexed: HashMap<u64, &IndexedChunk> =
            index.chunks.iter().map(|chunk| (chunk.offset, chunk)).collect();
        if counted.chunks.iter().any(|chunk| indexed.get(&chunk.offset) != Some(&chunk)) {
            report.add(Finding::WrongIndex { about: "a chunk" });
        }
        return;
    }
    let totals = |index: &FileIndex| FileIndex {
        names: Vec::new(),
        scopes: Vec::new(),
        threads: Vec::new(),
        chunks: Vec::new(),
        ..index.clone()
    };
    for (about, is_same) in [
        ("the totals", totals(index) == totals(counted)),
        ("the names", index.names == counted.names),
        ("the scopes", index.scopes == counted.scopes),
        ("the threads", index.threads == counted.threads),
        ("the chunks", index.chunks == counted.chunks),
    ] {
        if !is_same {
            report.add(Finding::WrongIndex { about });
        }
    }
}

//! From a ring's record to the file's: numbers of the thread become numbers of the chunk.

use crate::error::Result;
use crate::format::model::Op;
use crate::format::native::kind::{LossReason, RecordKind};
use crate::format::native::pod::{BodyHead, CompletionBody, FLAG_LATE, FLAG_WIDE, KeyRow, LONG_HASH};
use crate::format::native::{ChunkBuilder, ChunkFull, KeysToPush, PrefetchToPush, RowToPush, Stamp};
use crate::sync::atomic::Ordering;
use crate::trace::recorder::files::now;
use crate::trace::recorder::lane::{Lane, LaneData, LaneNumbers};
use crate::trace::recorder::shared::Totals;
use crate::trace::recorder::wire::{GroupHead, PrefetchHead, RingRecord, take};
use crate::trace::store::FileStore;
use crate::trace::writer::TraceWriter;

/// Why a ring's record can be read.
const OURS: &str = "the recording thread wrote the record whole before it published it";

/// Puts records of rings into a file.
pub(super) struct Pusher {
    writer: TraceWriter<FileStore>,
    /// Rows with numbers of the chunk; used again for each call.
    rows: Vec<KeyRow>,
    /// What was pushed since the last commit or seal.
    pending: Pending,
    /// What a seal has put into the file since the last commit.
    sealed: Pending,
    /// Calls that turned out to be missing.
    lost: u64,
}

/// What was pushed and is not committed.
#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    calls: u64,
    late: u64,
    completions: u64,
}

impl Pusher {
    pub(super) fn new(writer: TraceWriter<FileStore>) -> Self {
        Self { writer, rows: Vec::new(), pending: Pending::default(), sealed: Pending::default(), lost: 0 }
    }

    pub(super) fn writer(&mut self) -> &mut TraceWriter<FileStore> {
        &mut self.writer
    }

    pub(super) fn into_writer(self) -> TraceWriter<FileStore> {
        self.writer
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.writer.file_bytes()
    }

    /// Whether a call is in the file, or on its way there.
    pub(super) fn has_calls(&self) -> bool {
        self.writer.calls() > 0
    }

    /// Calls that are lost if the file cannot be written any more.
    pub(super) fn uncommitted_calls(&self) -> u64 {
        self.pending.calls
    }

    /// Adds to the recording's totals what is in the file; after a commit, all of it.
    pub(super) fn settle(&mut self, totals: &Totals, is_committed: bool) {
        if is_committed {
            self.seal();
        }
        let Pending { calls, late, completions } = std::mem::take(&mut self.sealed);
        // Relaxed: counts that somebody prints.
        totals.calls.fetch_add(calls, Ordering::Relaxed);
        totals.late.fetch_add(late, Ordering::Relaxed);
        totals.completions.fetch_add(completions, Ordering::Relaxed);
    }

    /// Calls that turned out to be missing since this was last asked.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// What is pending is in the file.
    fn seal(&mut self) {
        let Pending { calls, late, completions } = std::mem::take(&mut self.pending);
        self.sealed.calls += calls;
        self.sealed.late += late;
        self.sealed.completions += completions;
    }

    /// Takes a record of a thread, which was stamped at `t_ns`.
    #[inline]
    pub(super) fn push(
        &mut self,
        record: &RingRecord<'_>,
        lane: &mut LaneData,
        t_ns: u64,
        flags: u8,
        intern: bool,
    ) -> Result<()> {
        let kind = RecordKind::from_number(record.prefix.kind).expect(OURS);
        let stamp =
            Stamp { t_ns, thread: lane.number, sequence: record.prefix.sequence, flags, ..Stamp::default() };
        if kind.is_call() {
            self.push_missing(lane, &stamp)?;
            self.push_call(kind, &stamp, record, lane, intern)?;
            lane.expected += 1;
            self.pending.calls += 1;
            self.pending.late += u64::from(flags & FLAG_LATE != 0);
        } else {
            self.push_other(kind, &stamp, record, lane)?;
        }
        lane.last_ns = t_ns;
        Ok(())
    }

    fn push_other(
        &mut self,
        kind: RecordKind,
        stamp: &Stamp,
        record: &RingRecord<'_>,
        lane: &mut LaneData,
    ) -> Result<()> {
        match kind {
            RecordKind::Scope => lane.numbers.define_scope(record).expect(OURS),
            RecordKind::Layout => lane.numbers.define_layout(record).expect(OURS),
            RecordKind::Name => lane.numbers.define_name(record).expect(OURS),
            RecordKind::Loss => {
                self.push_missing(lane, stamp)?;
                self.push_loss(lane, LossReason::TooLarge, 1, stamp, stamp.t_ns)?;
            }
            _ => self.push_completion(stamp, record)?,
        }
        Ok(())
    }

    /// Says which calls of the thread are missing before the one with `stamp`.
    #[inline]
    fn push_missing(&mut self, lane: &mut LaneData, stamp: &Stamp) -> Result<()> {
        let missing = u64::from(stamp.sequence.wrapping_sub(lane.expected as u32));
        if missing > 0 {
            self.push_loss(lane, LossReason::RingFull, missing, stamp, stamp.t_ns)?;
        }
        Ok(())
    }

    /// Says, at `t_ns`, that calls are missing behind the last that the thread recorded.
    pub(super) fn push_trailing_loss(&mut self, lane: &mut Lane, t_ns: u64, until_ns: u64) -> Result<()> {
        let count = lane.missing();
        let stamp = Stamp { t_ns, ..Stamp::default() };
        self.push_loss(lane.data(), LossReason::RingFull, count, &stamp, until_ns)
    }

    /// Says that calls are missing. `at` has the place in time, and whether that is late.
    #[cold]
    fn push_loss(
        &mut self,
        lane: &mut LaneData,
        reason: LossReason,
        count: u64,
        at: &Stamp,
        until_ns: u64,
    ) -> Result<()> {
        let (from_ns, sequence) = (lane.last_ns.min(until_ns), lane.expected as u32);
        let stamp = Stamp { thread: lane.number, sequence, ..*at };
        let chunk_before = self.writer.chunk_number();
        self.writer.push(now(), |chunk| {
            chunk.thread(lane.number, &lane.facts)?;
            chunk.push_loss(&stamp, reason, count, from_ns..until_ns)
        })?;
        self.note_seal(chunk_before);
        lane.expected += count;
        self.lost += count;
        Ok(())
    }

    /// A chunk that was sealed on the way of a push has put all that was pushed before into the file.
    fn note_seal(&mut self, chunk_before: u64) {
        if self.writer.chunk_number() != chunk_before {
            self.seal();
        }
    }

    /// Tells the chunk that is being made from all others of the recording.
    #[inline]
    fn chunk_key(&self) -> u64 {
        u64::from(self.writer.header().fixed().file_number) << 40 | self.writer.chunk_number()
    }

    fn push_completion(&mut self, stamp: &Stamp, record: &RingRecord<'_>) -> Result<()> {
        let (body, _) = take::<CompletionBody>(record.rest).expect(OURS);
        let chunk_before = self.writer.chunk_number();
        self.writer.push(now(), |chunk| chunk.push_completion(&Stamp { sequence: 0, ..*stamp }, &body))?;
        self.note_seal(chunk_before);
        self.pending.completions += 1;
        Ok(())
    }

    #[inline]
    fn push_call(
        &mut self,
        kind: RecordKind,
        stamp: &Stamp,
        record: &RingRecord<'_>,
        lane: &mut LaneData,
        intern: bool,
    ) -> Result<()> {
        loop {
            let chunk = self.chunk_key();
            let builder = self.writer.builder();
            let pushed = try_call(kind, stamp, record, lane, (builder, chunk), &mut self.rows, intern);
            match pushed {
                Ok(()) => return Ok(()),
                Err(ChunkFull) => {
                    let chunk_before = self.writer.chunk_number();
                    self.writer.next_chunk(now())?;
                    self.note_seal(chunk_before);
                }
            }
        }
    }
}

/// Pushes a call, with all that it refers to before it.
#[inline]
fn try_call(
    kind: RecordKind,
    stamp: &Stamp,
    record: &RingRecord<'_>,
    lane: &mut LaneData,
    (builder, chunk): (&mut ChunkBuilder, u64),
    rows: &mut Vec<KeyRow>,
    intern: bool,
) -> Result<(), ChunkFull> {
    if !builder.has_thread(lane.number) {
        builder.thread(lane.number, &lane.facts)?;
    }
    match kind {
        RecordKind::Call(Op::SubmitPrefetch) => {
            map_rows(record, &mut lane.numbers, (builder, chunk), rows)?;
            push_prefetch(stamp, record, &mut lane.numbers, (builder, chunk), rows, intern)
        }
        RecordKind::Call(op) => {
            if op != Op::ReserveWrite
                && record.rest.is_empty()
                && let Some(scope) = uniform_scope(record.rows)
            {
                let scope = lane.numbers.scope(scope, chunk, builder)?;
                return builder.push_uniform_call(op, stamp, record.prefix.aux, record.rows, scope, intern);
            }
            map_rows(record, &mut lane.numbers, (builder, chunk), rows)?;
            let value = match op {
                Op::ReserveWrite => {
                    i64::from(lane.numbers.layout(call_value(record) as u32, chunk, builder)?)
                }
                _ => call_value(record),
            };
            builder.push_call(op, stamp, value, KeysToPush::Rows(rows), intern)
        }
        _ => {
            let (head, bytes) = take::<BodyHead>(record.rest).expect(OURS);
            let name = lane.numbers.name(head.first, chunk, builder)?;
            builder.push_named_call(RecordKind::HostCall, stamp, name, &bytes[..head.bytes as usize])
        }
    }
}

/// The scope that all rows have, if they have one and no hash is long.
#[inline]
fn uniform_scope(rows: &[KeyRow]) -> Option<u32> {
    let first = rows.first()?.scope;
    let is_uniform = rows.iter().all(|row| row.scope == first && row.hash_bytes != LONG_HASH);
    is_uniform.then_some(u32::from_le_bytes(first))
}

/// The lock count of a `finish_read`, the thread's layout number of a `reserve_write`.
#[inline]
fn call_value(record: &RingRecord<'_>) -> i64 {
    if record.prefix.flags & FLAG_WIDE == 0 {
        return i64::from(record.prefix.aux);
    }
    take::<i64>(record.rest).expect(OURS).0
}

/// Copies the rows of a record into `out`, with the chunk's numbers for their scopes.
#[inline]
fn map_rows(
    record: &RingRecord<'_>,
    numbers: &mut LaneNumbers,
    (builder, chunk): (&mut ChunkBuilder, u64),
    out: &mut Vec<KeyRow>,
) -> Result<(), ChunkFull> {
    out.clear();
    out.extend_from_slice(record.rows);
    let (mut last, mut scope) = (None, [0; 4]);
    for (row, source) in out.iter_mut().zip(record.rows) {
        if last != Some(source.scope) {
            last = Some(source.scope);
            scope = numbers.scope(source.scope_number(), chunk, builder)?.to_le_bytes();
        }
        row.scope = scope;
        if source.hash_bytes == LONG_HASH {
            *row = builder.long_row(u32::from_le_bytes(scope), record.hash(source).expect(OURS))?;
        }
    }
    Ok(())
}

fn push_prefetch(
    stamp: &Stamp,
    record: &RingRecord<'_>,
    numbers: &mut LaneNumbers,
    (builder, chunk): (&mut ChunkBuilder, u64),
    rows: &[KeyRow],
    intern: bool,
) -> Result<(), ChunkFull> {
    let (head, mut rest) = take::<PrefetchHead>(record.rest).expect(OURS);
    let (mut groups, mut rows) = (Vec::with_capacity(head.groups as usize), rows);
    for _ in 0..head.groups {
        let (group, after) = take::<GroupHead>(rest).expect(OURS);
        let (keys, others) = rows.split_at(group.keys as usize);
        groups.push(RowToPush {
            keys: KeysToPush::Rows(keys),
            object_group_id: group.object_group_id,
            layout: numbers.layout(group.layout, chunk, builder)?,
            sliding_window_size: group.sliding_window_size,
        });
        (rest, rows) = (after, others);
    }
    let args = PrefetchToPush {
        external_request_id: std::str::from_utf8(&rest[..head.id_bytes as usize]).expect(OURS),
        num_kv_readers: head.num_kv_readers,
        fetching_policy: head.fetching_policy,
        lock_mode: head.lock_mode,
        skip_l2: head.skip_l2 != 0,
    };
    builder.push_prefetch(stamp, &args, &groups, intern)
}

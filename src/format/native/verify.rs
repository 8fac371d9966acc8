//! The one look at every record of a chunk: afterwards nobody has to check a length, a number or an archive again.

use super::chunk::{ChunkTables, DefinedLayout};
use super::keys::Names;
use super::kind::{ChunkKind, RecordKind};
use super::pod::{
    ALIGN_BYTES, CHUNK_HEADER_BYTES, COMPLETION_BYTES, ChunkHeader, FLAG_SLICE, KEY_ROW_BYTES,
    KNOWN_CALL_FLAGS, KeyId, KeyRow, KeySlice, LOSS_BYTES, PREFIX_BYTES, RecordPrefix,
};
use super::record::{slice_of, split_archive, split_bytes, strip_tail};
use super::schema::{
    ArchivedLayoutFacts, ArchivedPrefetchArgs, ArchivedScopeFacts, ArchivedThreadFacts, LayoutFacts,
    ScopeFacts, ThreadFacts,
};
use super::table::{KeyTable, split_section};
use super::trusted;
use crate::error::{Error, ErrorKind, Result};
use crate::format::model::Op;
use crate::format::native::layouts::layout_of_facts;
use rkyv::rancor::Failure;

/// Goes over a chunk once.
pub(super) struct Verifier<'a> {
    bytes: &'a [u8],
    header: &'a ChunkHeader,
    key_table: Option<&'a KeyTable<'a>>,
    tables: ChunkTables,
    /// Where keys stand in line: first byte and the one after the last, in the order of the chunk.
    key_areas: Vec<(u32, u32)>,
}

impl<'a> Verifier<'a> {
    pub(super) fn new(bytes: &'a [u8], header: &'a ChunkHeader, key_table: Option<&'a KeyTable<'a>>) -> Self {
        Self { bytes, header, key_table, tables: ChunkTables::default(), key_areas: Vec::new() }
    }

    pub(super) fn run(mut self) -> Result<ChunkTables> {
        let mut position = CHUNK_HEADER_BYTES;
        while position < self.bytes.len() {
            match self.record(position) {
                Ok(length_bytes) => position += length_bytes,
                Err(reason) => {
                    return Err(Error::new(ErrorKind::Corrupt, reason)
                        .with_context("chunk", self.header.number)
                        .with_context("offset", self.header.offset + position as u64));
                }
            }
        }
        Ok(self.tables)
    }

    /// Checks the record at `position` and returns its length.
    fn record(&mut self, position: usize) -> Result<usize, &'static str> {
        let rest = &self.bytes[position..];
        let prefix = rest.first_chunk::<PREFIX_BYTES>().ok_or("a record that ends inside its prefix")?;
        let prefix: RecordPrefix = bytemuck::pod_read_unaligned(prefix);
        let length_bytes = prefix.length_bytes as usize;
        let is_length = length_bytes >= PREFIX_BYTES && length_bytes.is_multiple_of(ALIGN_BYTES);
        let record =
            rest.get(..length_bytes).filter(|_| is_length).ok_or("a record with a length that cannot be")?;
        let body = &record[PREFIX_BYTES..];
        match RecordKind::from_number(prefix.kind) {
            Some(kind) => self.body(kind, &prefix, body, position)?,
            None => self.tables.unknown_records += 1,
        }
        Ok(length_bytes)
    }

    fn body(
        &mut self,
        kind: RecordKind,
        prefix: &RecordPrefix,
        body: &'a [u8],
        position: usize,
    ) -> Result<(), &'static str> {
        let is_keys_chunk = self.header.kind == ChunkKind::Keys as u32;
        let is_flags = !kind.is_call() || prefix.flags & !KNOWN_CALL_FLAGS == 0;
        expect(is_flags, "a call with a flag that this build does not know")?;
        match kind {
            RecordKind::Call(_) if is_keys_chunk => Err("a call in a chunk of keys"),
            RecordKind::Call(Op::SubmitPrefetch) => self.prefetch(prefix, body, position),
            RecordKind::Call(op) => self.call(op, prefix, body, position),
            RecordKind::Completion => {
                expect(body.len() >= COMPLETION_BYTES, "a completion that is too short")
            }
            RecordKind::Loss => expect(body.len() >= LOSS_BYTES, "a loss record that is too short"),
            RecordKind::HostCall | RecordKind::ForeignCall => {
                let (name, _) = split_bytes(body).ok_or("a call that is shorter than it says")?;
                expect((name as usize) < self.tables.names.len(), "a call whose name is not defined")
            }
            RecordKind::ForeignBytes | RecordKind::Bytes => {
                expect(split_bytes(body).is_some(), "bytes that are fewer than they say")
            }
            RecordKind::Thread => self.thread(prefix, body),
            RecordKind::Scope => self.scope(prefix, body),
            RecordKind::Layout => self.layout(prefix, body),
            RecordKind::Name => self.name(prefix, body),
            RecordKind::KeySection => {
                let (head, _) = split_section(body).ok_or("a key section that is shorter than it says")?;
                expect(head.scope < self.tables.scope_count(), "a key section whose scope is not defined")
            }
        }
    }

    fn call(
        &mut self,
        op: Op,
        prefix: &RecordPrefix,
        body: &'a [u8],
        position: usize,
    ) -> Result<(), &'static str> {
        let body_start = position + PREFIX_BYTES;
        let (body, _) = strip_tail(prefix.flags, body).ok_or("a call that is too short for its flags")?;
        let is_layout = op != Op::ReserveWrite || usize::from(prefix.aux) < self.tables.layouts.len();
        expect(is_layout, "a reserve_write whose layout is not defined")?;
        if prefix.flags & FLAG_SLICE == 0 {
            expect(self.key_table.is_none(), "rows of keys in a file with a key table")?;
            return self.key_area(body, body_start);
        }
        let (slice, in_line) = slice_of(body).ok_or("a call without its key slice")?;
        self.key_area(in_line, body_start + body.len() - in_line.len())?;
        self.slice(slice)
    }

    fn prefetch(
        &mut self,
        prefix: &RecordPrefix,
        body: &'a [u8],
        position: usize,
    ) -> Result<(), &'static str> {
        let (body, _) = strip_tail(prefix.flags, body).ok_or("a call that is too short for its flags")?;
        let (rows, raw) = split_archive(body).ok_or("a prefetch that is shorter than it says")?;
        let args =
            trusted::checked::<ArchivedPrefetchArgs>(raw).ok_or("a prefetch whose archive is damaged")?;
        self.key_area(rows, position + PREFIX_BYTES + super::pod::BODY_HEAD_BYTES)?;
        for group in args.groups.iter() {
            self.slice(KeySlice { start: group.start.to_native(), count: group.count.to_native() })?;
            let is_layout = (group.layout.to_native() as usize) < self.tables.layouts.len();
            expect(is_layout, "a prefetch row whose layout is not defined")?;
        }
        let is_known = args.fetching_policy <= 1 && args.lock_mode <= 1 && args.skip_l2 <= 1;
        expect(is_known, "a prefetch with a policy that this build does not know")
    }

    /// Checks keys that stand in line at `start` of the chunk; rows, or ids in a compact file.
    fn key_area(&mut self, area: &'a [u8], start: usize) -> Result<(), &'static str> {
        if area.is_empty() {
            return Ok(());
        }
        let end = match self.key_table {
            None => {
                let rows =
                    bytemuck::try_cast_slice::<u8, KeyRow>(area).map_err(|_| "a row of keys that is cut")?;
                let is_row = |row| Names::is_row(self.bytes, &self.tables, row, start);
                expect(rows.iter().all(is_row), "a key whose scope or hash is not in the chunk")?;
                start + area.len()
            }
            Some(table) => {
                let ids = bytemuck::try_cast_slice::<u8, KeyId>(area)
                    .map_err(|_| "a list of key ids that is cut")?;
                expect(ids.iter().all(|id| id.get() < table.len()), "a key id that is not in the key table")?;
                start + area.len()
            }
        };
        self.key_areas.push((start as u32, end as u32));
        Ok(())
    }

    /// Checks that `slice` lies in one of the areas that were checked.
    fn slice(&self, slice: KeySlice) -> Result<(), &'static str> {
        if slice.count == 0 {
            return Ok(());
        }
        let width = if self.key_table.is_some() { size_of::<KeyId>() } else { KEY_ROW_BYTES };
        let end = u64::from(slice.start) + u64::from(slice.count) * width as u64;
        let after = self.key_areas.partition_point(|(start, _)| *start <= slice.start);
        let area = after.checked_sub(1).map(|index| self.key_areas[index]);
        let is_inside = area.is_some_and(|(area_start, area_end)| {
            end <= u64::from(area_end) && (slice.start - area_start).is_multiple_of(width as u32)
        });
        expect(is_inside, "a key slice that is not made of keys")
    }

    fn thread(&mut self, prefix: &RecordPrefix, body: &[u8]) -> Result<(), &'static str> {
        let (_, raw) = split_archive(body).ok_or("a thread that is shorter than it says")?;
        let archived =
            trusted::checked::<ArchivedThreadFacts>(raw).ok_or("a thread whose archive is damaged")?;
        let facts = rkyv::deserialize::<ThreadFacts, Failure>(archived)
            .map_err(|_| "a thread that cannot be read")?;
        self.tables.threads.push((prefix.sequence, facts));
        Ok(())
    }

    fn scope(&mut self, prefix: &RecordPrefix, body: &[u8]) -> Result<(), &'static str> {
        expect(prefix.sequence == self.tables.scope_count(), "a scope whose number is not the next")?;
        let (_, raw) = split_archive(body).ok_or("a scope that is shorter than it says")?;
        let archived =
            trusted::checked::<ArchivedScopeFacts>(raw).ok_or("a scope whose archive is damaged")?;
        let facts =
            rkyv::deserialize::<ScopeFacts, Failure>(archived).map_err(|_| "a scope that cannot be read")?;
        self.tables.scopes.push(facts);
        Ok(())
    }

    fn layout(&mut self, prefix: &RecordPrefix, body: &[u8]) -> Result<(), &'static str> {
        let is_next = prefix.sequence as usize == self.tables.layouts.len();
        expect(is_next, "a layout whose number is not the next")?;
        let (_, raw) = split_archive(body).ok_or("a layout that is shorter than it says")?;
        let archived =
            trusted::checked::<ArchivedLayoutFacts>(raw).ok_or("a layout whose archive is damaged")?;
        let facts = rkyv::deserialize::<LayoutFacts, Failure>(archived)
            .map_err(|_| "a layout that cannot be read")?;
        let layout = layout_of_facts(&facts);
        self.tables.layouts.push(DefinedLayout { facts, layout });
        Ok(())
    }

    fn name(&mut self, prefix: &RecordPrefix, body: &'a [u8]) -> Result<(), &'static str> {
        let is_next = prefix.sequence as usize == self.tables.names.len();
        expect(is_next, "a name whose number is not the next")?;
        let (_, name) = split_bytes(body).ok_or("a name that is shorter than it says")?;
        expect(std::str::from_utf8(name).is_ok(), "a name that is not UTF-8")?;
        let offset = name.as_ptr().addr() - self.bytes.as_ptr().addr();
        self.tables.names.push((offset as u32, name.len() as u32));
        Ok(())
    }
}

fn expect(is_right: bool, reason: &'static str) -> Result<(), &'static str> {
    if is_right { Ok(()) } else { Err(reason) }
}

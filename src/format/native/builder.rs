//! Makes a chunk: records one after the other in memory, with what they refer to before them.
//!
//! A push that does not fit leaves the chunk as it was and says [`ChunkFull`]: the caller seals the chunk, begins
//! the next one, and pushes again, definitions first, for a chunk knows nothing of the one before.

use std::mem::offset_of;
use std::ops::Range;

use super::chunk_tally::ChunkTally;
use super::kind::{LossReason, Outcome, RecordKind};
use super::layouts::facts_of_layout;
use super::numbered::Numbered;
use super::parts::{KeysToPush, PrefetchToPush, RowToPush, Stamp};
use super::pod::{
    BODY_HEAD_BYTES, BodyHead, CHUNK_HEADER_BYTES, CompletionBody, FLAG_LATE, FLAG_SLICE, FLAG_WIDE,
    KEY_ROW_BYTES, KEY_SLICE_BYTES, KeyRow, KeySlice, LossBody, PREFIX_BYTES, RecordPrefix, SectionHead,
    padded,
};
use super::row_index::RowIndex;
use super::schema::{PrefetchArgs, PrefetchGroup, ScopeFacts, ThreadFacts, archive};
use crate::format::model::{KeyView, MemoryLayoutDesc, Op};

/// Where a row names its scope.
const SCOPE_BYTES: Range<usize> = offset_of!(KeyRow, scope)..offset_of!(KeyRow, hash_bytes);

/// The record does not fit into what is left of the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkFull;

/// What a chunk holds so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkCounts {
    /// Records of any kind.
    pub records: u32,
    /// Calls.
    pub calls: u32,
    /// Earliest time of a call; 0 if there is none.
    pub first_ns: u64,
    /// Latest time of a call.
    pub last_ns: u64,
    /// Calls that its loss records count.
    pub lost: u64,
}

/// A chunk in the making.
#[derive(Debug)]
pub struct ChunkBuilder {
    /// Header and records; the header's bytes are zero until somebody else fills them.
    image: Vec<u8>,
    capacity_bytes: usize,
    counts: ChunkCounts,
    definitions: u32,
    /// Scopes, layouts and names of this chunk; an entry is a number.
    scopes: Numbered<ScopeFacts>,
    layouts: Numbered<MemoryLayoutDesc>,
    names: Numbered<Box<str>>,
    tally: ChunkTally,
    rows: RowIndex,
}

impl ChunkBuilder {
    /// An empty chunk of at most `capacity_bytes`, header included.
    pub fn new(capacity_bytes: u32) -> Self {
        let mut builder = Self {
            image: Vec::new(),
            capacity_bytes: 0,
            counts: ChunkCounts::default(),
            definitions: 0,
            scopes: Numbered::default(),
            layouts: Numbered::default(),
            names: Numbered::default(),
            tally: ChunkTally::default(),
            rows: RowIndex::new(),
        };
        builder.begin(capacity_bytes);
        builder
    }

    /// Starts over with an empty chunk; memory is used again.
    pub fn begin(&mut self, capacity_bytes: u32) {
        self.capacity_bytes = capacity_bytes as usize;
        self.image.clear();
        self.image.reserve(self.capacity_bytes.min(1 << 20));
        self.image.resize(CHUNK_HEADER_BYTES, 0);
        self.counts = ChunkCounts::default();
        self.definitions = 0;
        self.scopes.clear();
        self.layouts.clear();
        self.names.clear();
        self.tally.clear();
        self.rows.clear();
    }

    /// Gives the chunk more room, keeping what is in it.
    pub fn lengthen(&mut self, capacity_bytes: u32) {
        self.capacity_bytes = self.capacity_bytes.max(capacity_bytes as usize);
    }

    /// Header (zeros) and records.
    pub fn image(&self) -> &[u8] {
        &self.image
    }

    /// Bytes of records.
    pub fn records_bytes(&self) -> usize {
        self.image.len() - CHUNK_HEADER_BYTES
    }

    /// What is in it.
    pub fn counts(&self) -> ChunkCounts {
        self.counts
    }

    /// What an index will say of it.
    pub(super) fn tally(&self) -> &ChunkTally {
        &self.tally
    }

    /// The scopes that are defined in it, by their numbers.
    pub(super) fn scopes(&self) -> &[ScopeFacts] {
        &self.scopes.values
    }

    /// The names that are defined in it, by their numbers.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.values.iter().map(|name| &**name)
    }

    /// Whether nothing but definitions is in it: a record that does not fit then needs a longer chunk.
    pub fn has_only_definitions(&self) -> bool {
        self.counts.records == self.definitions
    }

    /// The number of a scope, defining it if it is not.
    pub fn scope(&mut self, view: &KeyView<'_>) -> Result<u32, ChunkFull> {
        let is_it = |scope: &ScopeFacts| scope.key(view.chunk_hash) == *view;
        let hash = self.scopes.hash((view.model_name, view.kv_rank, view.object_group_id, view.cache_salt));
        if let Some(number) = self.scopes.find(hash, is_it) {
            return Ok(number);
        }
        let facts = ScopeFacts {
            model_name: view.model_name.to_owned(),
            kv_rank: view.kv_rank,
            object_group_id: view.object_group_id,
            cache_salt: view.cache_salt.to_owned(),
        };
        self.push_archive(RecordKind::Scope, self.scopes.len(), &archive(&facts))?;
        Ok(self.scopes.insert(hash, facts))
    }

    /// The number of a layout, defining it if it is not. At most 65,536 fit into a chunk.
    pub fn layout(&mut self, layout: &MemoryLayoutDesc) -> Result<u32, ChunkFull> {
        let hash = self.layouts.hash(layout);
        if let Some(number) = self.layouts.find(hash, |known| known == layout) {
            return Ok(number);
        }
        if self.layouts.len() > u32::from(u16::MAX) {
            return Err(ChunkFull);
        }
        self.push_archive(RecordKind::Layout, self.layouts.len(), &archive(&facts_of_layout(layout)))?;
        Ok(self.layouts.insert(hash, layout.clone()))
    }

    /// The number of a name, defining it if it is not.
    pub fn name(&mut self, name: &str) -> Result<u32, ChunkFull> {
        let hash = self.names.hash(name);
        if let Some(number) = self.names.find(hash, |known| **known == *name) {
            return Ok(number);
        }
        let head = BodyHead { first: 0, bytes: name.len() as u32 };
        let prefix = definition(RecordKind::Name, self.names.len());
        self.push_definition(prefix, &[bytemuck::bytes_of(&head), name.as_bytes()])?;
        Ok(self.names.insert(hash, name.into()))
    }

    /// Defines a thread unless it is defined in this chunk.
    pub fn thread(&mut self, number: u32, facts: &ThreadFacts) -> Result<(), ChunkFull> {
        if self.has_thread(number) {
            return Ok(());
        }
        self.push_archive(RecordKind::Thread, number, &archive(facts))?;
        self.tally.define_thread(number, facts);
        Ok(())
    }

    /// Whether a thread is defined in this chunk.
    #[inline]
    pub fn has_thread(&self, number: u32) -> bool {
        self.tally.has_thread(number)
    }

    /// The row of a key, with its scope, and its hash if that is long, defined before.
    pub fn key_row(&mut self, view: &KeyView<'_>) -> Result<KeyRow, ChunkFull> {
        let scope = self.scope(view)?;
        match KeyRow::short(scope, view.chunk_hash) {
            Some(row) => Ok(row),
            None => self.long_row(scope, view.chunk_hash),
        }
    }

    /// The row of a key whose hash does not fit into a row.
    pub fn long_row(&mut self, scope: u32, hash: &[u8]) -> Result<KeyRow, ChunkFull> {
        let place = self.image.len() + PREFIX_BYTES + BODY_HEAD_BYTES;
        let head = BodyHead { first: 0, bytes: hash.len() as u32 };
        self.push_definition(definition(RecordKind::Bytes, 0), &[bytemuck::bytes_of(&head), hash])?;
        Ok(KeyRow::long(scope, place as u32, hash.len() as u32))
    }

    /// One of the five calls with one key list. `value` is the layout number of a `reserve_write`, the lock count of
    /// a `finish_read`, and 0 else. With `intern`, keys that stand in the chunk already are named, not repeated.
    #[inline]
    pub fn push_call(
        &mut self,
        op: Op,
        stamp: &Stamp,
        value: i64,
        keys: KeysToPush<'_>,
        intern: bool,
    ) -> Result<(), ChunkFull> {
        let (aux, wide) = match u16::try_from(value) {
            Ok(aux) => (aux, None),
            Err(_) => (0, Some(value.to_le_bytes())),
        };
        let mut prefix = stamp.prefix(RecordKind::Call(op), aux);
        let known = if intern { self.find(keys) } else { None };
        let own_start = (self.image.len() + PREFIX_BYTES + KEY_SLICE_BYTES) as u32;
        let (slice, rows) = match (known, keys) {
            (Some(start), _) => (Some(start), &[][..]),
            (None, KeysToPush::Rows(_)) => (None, keys.as_bytes()),
            (None, KeysToPush::Ids(_)) => (Some(own_start), keys.as_bytes()),
        };
        let slice = slice.map(|start| KeySlice { start, count: keys.count() });
        let [t_mono, wall] = stamp.own_times();
        prefix.flags |= flag(slice.is_some(), FLAG_SLICE) | flag(wide.is_some(), FLAG_WIDE);
        let slice = slice.as_ref().map_or(&[][..], bytemuck::bytes_of);
        let padding = &[0_u8; 8][..padded(rows.len()) - rows.len()];
        let wide = wide.as_ref().map_or(&[][..], |wide| wide);
        let rows_start = self.image.len() + PREFIX_BYTES + slice.len();
        self.push(prefix, &[slice, rows, padding, wide, part(&t_mono), part(&wall)])?;
        self.count_call(stamp);
        self.tally.add_op(op);
        self.tally.add_keys(keys);
        if intern {
            self.remember(keys, rows.len(), rows_start);
        }
        Ok(())
    }

    /// As [`Self::push_call`], for rows of one scope with short hashes and a value that fits into `aux`: what nearly all
    /// calls are. `scope` is the chunk's number and replaces those in the rows.
    #[inline]
    pub fn push_uniform_call(
        &mut self,
        op: Op,
        stamp: &Stamp,
        aux: u16,
        rows: &[KeyRow],
        scope: u32,
        intern: bool,
    ) -> Result<(), ChunkFull> {
        let mut prefix = stamp.prefix(RecordKind::Call(op), aux);
        let start = self.image.len();
        let known = if intern { self.find_uniform(rows, scope) } else { None };
        let body_bytes = if known.is_some() { KEY_SLICE_BYTES } else { size_of_val(rows) };
        prefix.length_bytes = (PREFIX_BYTES + body_bytes) as u32;
        if start + PREFIX_BYTES + body_bytes > self.capacity_bytes {
            return Err(ChunkFull);
        }
        if let Some(found) = known {
            prefix.flags |= FLAG_SLICE;
            let slice = KeySlice { start: found, count: rows.len() as u32 };
            self.image.extend_from_slice(bytemuck::bytes_of(&prefix));
            self.image.extend_from_slice(bytemuck::bytes_of(&slice));
        } else {
            self.image.extend_from_slice(bytemuck::bytes_of(&prefix));
            self.image.extend_from_slice(bytemuck::cast_slice(rows));
            let rows = self.image[start + PREFIX_BYTES..].as_chunks_mut::<KEY_ROW_BYTES>().0;
            rows.iter_mut().for_each(|row| row[SCOPE_BYTES].copy_from_slice(&scope.to_le_bytes()));
        }
        self.counts.records += 1;
        self.count_call(stamp);
        self.tally.add_op(op);
        self.tally.add_uniform_keys(scope, rows.len());
        if intern && known.is_none() {
            self.remember_rows(start + PREFIX_BYTES, rows.len());
        }
        Ok(())
    }

    /// Where rows with these hashes and `scope` stand in the chunk already.
    #[inline]
    fn find_uniform(&self, rows: &[KeyRow], scope: u32) -> Option<u32> {
        let with_scope = |row: &KeyRow| KeyRow { scope: scope.to_le_bytes(), ..*row };
        let found = self.rows.find(bytemuck::bytes_of(&with_scope(rows.first()?)), rows.len() as u32)?;
        let there = self.image.get(found as usize..found as usize + size_of_val(rows))?;
        let there = bytemuck::try_cast_slice::<u8, KeyRow>(there).ok()?;
        rows.iter().zip(there).all(|(row, there)| with_scope(row) == *there).then_some(found)
    }

    fn remember_rows(&mut self, start: usize, count: usize) {
        let rows = &self.image[start..start + count * KEY_ROW_BYTES];
        for (position, row) in (0..).zip(rows.chunks_exact(KEY_ROW_BYTES)) {
            let offset = start + position as usize * KEY_ROW_BYTES;
            self.rows.insert(row, offset as u32, count as u32 - position);
        }
    }

    /// A `submit_prefetch_task`.
    pub fn push_prefetch(
        &mut self,
        stamp: &Stamp,
        args: &PrefetchToPush<'_>,
        rows: &[RowToPush<'_>],
        intern: bool,
    ) -> Result<(), ChunkFull> {
        let mut groups = Vec::with_capacity(rows.len());
        let mut in_line: Vec<&[u8]> = Vec::with_capacity(rows.len() + 4);
        let area_start = self.image.len() + PREFIX_BYTES + BODY_HEAD_BYTES;
        let mut area_bytes = 0;
        for row in rows {
            let known = if intern { self.find(row.keys) } else { None };
            let start = known.unwrap_or((area_start + area_bytes) as u32);
            if known.is_none() {
                in_line.push(row.keys.as_bytes());
                area_bytes += row.keys.as_bytes().len();
            }
            groups.push(PrefetchGroup {
                start,
                count: row.keys.count(),
                object_group_id: row.object_group_id,
                layout: row.layout,
                sliding_window_size: row.sliding_window_size,
            });
        }
        let archived = archive(&PrefetchArgs {
            groups: groups.clone(),
            external_request_id: args.external_request_id.to_owned(),
            num_kv_readers: args.num_kv_readers,
            fetching_policy: args.fetching_policy,
            lock_mode: args.lock_mode,
            skip_l2: u8::from(args.skip_l2),
        });
        let rows_bytes = padded(area_bytes);
        let head = BodyHead { first: rows_bytes as u32, bytes: archived.len() as u32 };
        let zeros = [0_u8; 8];
        let [t_mono, wall] = stamp.own_times();
        let mut parts: Vec<&[u8]> = vec![bytemuck::bytes_of(&head)];
        parts.extend(&in_line);
        parts.extend([&zeros[..rows_bytes - area_bytes], &archived[..]]);
        parts.push(&zeros[..padded(archived.len()) - archived.len()]);
        parts.extend([part(&t_mono), part(&wall)]);
        self.push(stamp.prefix(RecordKind::Call(Op::SubmitPrefetch), 0), &parts)?;
        self.count_call(stamp);
        self.tally.add_op(Op::SubmitPrefetch);
        rows.iter().for_each(|row| self.tally.add_keys(row.keys));
        if intern {
            for (row, group) in rows.iter().zip(&groups) {
                if group.start as usize >= area_start {
                    self.remember(row.keys, row.keys.as_bytes().len(), group.start as usize);
                }
            }
        }
        Ok(())
    }

    /// A call that the host defined, or ([`RecordKind::ForeignCall`]) a record of LMCache in another shape.
    pub fn push_named_call(
        &mut self,
        kind: RecordKind,
        stamp: &Stamp,
        name: u32,
        bytes: &[u8],
    ) -> Result<(), ChunkFull> {
        self.push_bytes(stamp.without_times().prefix(kind, 0), name, bytes)?;
        self.count_call(stamp);
        self.tally.add_name(name);
        Ok(())
    }

    /// Bytes of an LMCache file that are no record; `is_cut` if they are the end of a file that was cut short.
    pub fn push_foreign_bytes(&mut self, t_ns: u64, is_cut: bool, bytes: &[u8]) -> Result<(), ChunkFull> {
        let stamp = Stamp { t_ns, ..Stamp::default() };
        self.push_bytes(stamp.prefix(RecordKind::ForeignBytes, u16::from(is_cut)), 0, bytes)
    }

    /// What became of a call.
    pub fn push_completion(&mut self, stamp: &Stamp, body: &CompletionBody) -> Result<(), ChunkFull> {
        debug_assert!(Outcome::from_number(body.outcome).is_some());
        let stamp = stamp.without_times();
        self.push(stamp.prefix(RecordKind::Completion, 0), &[bytemuck::bytes_of(body)])?;
        self.tally.completions += 1;
        self.tally.late += u64::from(stamp.flags & FLAG_LATE != 0);
        Ok(())
    }

    /// Calls that are not in the file. `stamp.sequence` is that of the first; they were made within `when_ns`.
    pub fn push_loss(
        &mut self,
        stamp: &Stamp,
        reason: LossReason,
        count: u64,
        when_ns: Range<u64>,
    ) -> Result<(), ChunkFull> {
        let stamp = stamp.without_times();
        let Range { start: from_ns, end: until_ns } = when_ns;
        let body = LossBody { count, first_sequence: stamp.sequence, reserved: 0, until_ns, from_ns };
        self.push(stamp.prefix(RecordKind::Loss, reason as u16), &[bytemuck::bytes_of(&body)])?;
        // What is copied from a file can be any count.
        self.counts.lost = self.counts.lost.saturating_add(count);
        self.tally.late += u64::from(stamp.flags & FLAG_LATE != 0);
        self.tally.add_loss(stamp.thread, count);
        Ok(())
    }

    /// Hashes of the key table.
    pub fn push_section(&mut self, head: &SectionHead, hashes: &[u8]) -> Result<(), ChunkFull> {
        let padding = &[0_u8; 8][..padded(hashes.len()) - hashes.len()];
        self.push(definition(RecordKind::KeySection, 0), &[bytemuck::bytes_of(head), hashes, padding])
    }

    fn push_archive(&mut self, kind: RecordKind, number: u32, archived: &[u8]) -> Result<(), ChunkFull> {
        let head = BodyHead { first: 0, bytes: archived.len() as u32 };
        self.push_definition(definition(kind, number), &[bytemuck::bytes_of(&head), archived])
    }

    fn push_definition(&mut self, prefix: RecordPrefix, parts: &[&[u8]]) -> Result<(), ChunkFull> {
        self.push(prefix, parts)?;
        self.definitions += 1;
        Ok(())
    }

    fn push_bytes(&mut self, prefix: RecordPrefix, name: u32, bytes: &[u8]) -> Result<(), ChunkFull> {
        let head = BodyHead { first: name, bytes: bytes.len() as u32 };
        self.push(prefix, &[bytemuck::bytes_of(&head), bytes])
    }

    /// Appends a record made of `parts`, padded.
    #[inline]
    fn push(&mut self, mut prefix: RecordPrefix, parts: &[&[u8]]) -> Result<(), ChunkFull> {
        let body_bytes: usize = parts.iter().map(|part| part.len()).sum();
        let length_bytes = PREFIX_BYTES + padded(body_bytes);
        let end = self.image.len() + length_bytes;
        if end > self.capacity_bytes {
            return Err(ChunkFull);
        }
        prefix.length_bytes = length_bytes as u32;
        self.image.extend_from_slice(bytemuck::bytes_of(&prefix));
        parts.iter().for_each(|part| self.image.extend_from_slice(part));
        self.image.resize(end, 0);
        self.counts.records += 1;
        Ok(())
    }

    #[inline]
    fn count_call(&mut self, stamp: &Stamp) {
        let (counts, t_ns) = (&mut self.counts, stamp.t_ns);
        self.tally.add_call(stamp);
        counts.first_ns = if counts.calls == 0 { t_ns } else { counts.first_ns.min(t_ns) };
        counts.last_ns = counts.last_ns.max(t_ns);
        counts.calls += 1;
    }

    /// Where the same keys stand in the chunk already.
    #[inline]
    fn find(&self, keys: KeysToPush<'_>) -> Option<u32> {
        let bytes = keys.as_bytes();
        let first = bytes.get(..keys.width())?;
        self.rows
            .find(first, keys.count())
            .filter(|start| self.image.get(*start as usize..).is_some_and(|at| at.starts_with(bytes)))
    }

    /// Remembers where the keys stand that were pushed in line.
    fn remember(&mut self, keys: KeysToPush<'_>, in_line_bytes: usize, start: usize) {
        let (width, count) = (keys.width(), keys.count());
        for (position, element) in (0..).zip(keys.as_bytes()[..in_line_bytes].chunks_exact(width)) {
            self.rows.insert(element, start as u32 + position * width as u32, count - position);
        }
    }
}

/// A part that may be missing.
fn part(bytes: &Option<[u8; 8]>) -> &[u8] {
    bytes.as_ref().map_or(&[], |bytes| bytes)
}

fn flag(is_set: bool, flag: u8) -> u8 {
    if is_set { flag } else { 0 }
}

fn definition(kind: RecordKind, number: u32) -> RecordPrefix {
    RecordPrefix {
        t_ns: 0,
        length_bytes: 0,
        sequence: number,
        thread: 0,
        kind: kind.number(),
        flags: 0,
        aux: 0,
    }
}

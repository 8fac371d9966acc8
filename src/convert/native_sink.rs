//! Writes a native file.

use std::collections::BTreeMap;

use super::facts::Clocks;
use super::keys::{IdTable, KeyMaker, SectionToWrite};
use super::sink::{Loss, Sink};
use crate::error::{Error, Result};
use crate::format::model::view::{CallView, RowView};
use crate::format::model::{FetchingPolicy, KeyView, LockMode, Op};
use crate::format::native::kind::RecordKind;
use crate::format::native::pod::{
    CHUNK_HEADER_BYTES, CompletionBody, MIN_COMPACT_CHUNK_BYTES, PREFIX_BYTES, SECTION_HEAD_BYTES,
    SectionHead,
};
use crate::format::native::schema::{FileFacts, ThreadFacts};
use crate::format::native::{ChunkBuilder, ChunkFull, ChunkKind, NewFile, PrefetchToPush, RowToPush, Stamp};
use crate::trace::store::TraceStore;
use crate::trace::writer::{ClockPair, TraceWriter};

/// The longest chunk of keys that is made if there is a choice.
const MAX_KEY_CHUNK_BYTES: usize = 1 << 24;

/// How long the chunks of records are in a compact file: a list of keys is written once in each.
const COMPACT_CHUNK_BYTES: u32 = 1 << 22;

/// What a section takes beside its hashes, padding included.
const SECTION_OVERHEAD_BYTES: usize = PREFIX_BYTES + SECTION_HEAD_BYTES + 8;

/// What the definition of a scope takes at most, beside its two names.
const SCOPE_OVERHEAD_BYTES: usize = 128;

/// Pushes records into a native file.
#[derive(Debug)]
pub(super) struct NativeSink<S, M: KeyMaker> {
    writer: TraceWriter<Measured<S>>,
    clocks: Clocks,
    clock: ClockPair,
    threads: BTreeMap<u32, ThreadFacts>,
    maker: M,
    elements: Vec<M::Element>,
}

/// A file that was closed.
#[derive(Debug)]
pub(super) struct WrittenFile<S> {
    pub(super) store: S,
    pub(super) file_bytes: u64,
}

/// A store that knows how long the file became: a close cuts it to its length.
#[derive(Debug)]
struct Measured<S> {
    store: S,
    file_bytes: u64,
}

impl<S: TraceStore> TraceStore for Measured<S> {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.store.write_at(offset, bytes)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        self.store.sync()
    }

    fn truncate(&mut self, file_bytes: u64) -> std::io::Result<()> {
        self.file_bytes = file_bytes;
        self.store.truncate(file_bytes)
    }
}

/// A row whose keys end at `end` of the elements and start where the row before it ends.
struct MadeRow {
    end: usize,
    object_group_id: u32,
    layout: u32,
    sliding_window_size: i64,
}

impl<S: TraceStore, M: KeyMaker> NativeSink<S, M> {
    /// Begins a file.
    pub(super) fn create(store: S, new: NewFile, facts: FileFacts, maker: M) -> Result<Self> {
        let clocks = Clocks::of(&new);
        let clock = ClockPair { mono_ns: new.mono_start_ns, wall_ns: new.wall_start_ns };
        let writer = TraceWriter::create(Measured { store, file_bytes: 0 }, new, facts)?;
        Ok(Self { writer, clocks, clock, threads: BTreeMap::new(), maker, elements: Vec::new() })
    }

    /// Writes the keys of a compact file, in as few and as short chunks as will do.
    pub(super) fn write_key_table(&mut self, table: &IdTable) -> Result<()> {
        let mut left_bytes: usize = table.sections().map(|section| section_bytes(&section)).sum();
        self.writer.set_chunk_bytes(key_chunk_bytes(left_bytes));
        for section in table.sections() {
            self.write_section(&section, &mut left_bytes)?;
        }
        self.writer.set_chunk_bytes(COMPACT_CHUNK_BYTES);
        self.writer.begin_kind(self.clock, ChunkKind::Records)?;
        table.scopes().for_each(|(scope, named)| self.writer.count_scope(scope, named));
        Ok(())
    }

    fn write_section(&mut self, section: &SectionToWrite<'_>, left_bytes: &mut usize) -> Result<()> {
        let key = section.scope.key(&[]);
        let mut written = 0;
        while written < section.count {
            self.writer.push(self.clock, |chunk| chunk.scope(&key))?;
            let room_bytes = self.writer.room_bytes().saturating_sub(SECTION_OVERHEAD_BYTES);
            let fitting = (room_bytes / section.hash_bytes.max(1)).max(1);
            let count = (section.count - written).min(u32::try_from(fitting).unwrap_or(u32::MAX));
            let hashes = &section.hashes[written as usize * section.hash_bytes..];
            let hashes = &hashes[..count as usize * section.hash_bytes];
            self.writer.push(self.clock, |chunk| {
                let head = SectionHead {
                    first_id: section.first_id + written,
                    count,
                    scope: chunk.scope(&key)?,
                    hash_bytes: section.hash_bytes as u32,
                };
                chunk.push_section(&head, hashes)
            })?;
            written += count;
            *left_bytes = left_bytes.saturating_sub(hashes.len());
            self.writer.set_chunk_bytes(key_chunk_bytes(*left_bytes));
        }
        Ok(())
    }

    /// Writes what closes a file, and returns when all of it is on the disk.
    pub(super) fn finish(self, distinct_keys: Option<u64>) -> Result<WrittenFile<S>> {
        self.maker.check()?;
        let (_, Measured { mut store, file_bytes }) = self.writer.finish(self.clock, distinct_keys)?;
        store.sync().map_err(|error| Error::io("cannot write trace file", error))?;
        Ok(WrittenFile { store, file_bytes })
    }

    fn note_time(&mut self, stamp: &Stamp) {
        let wall_ns = stamp.wall_ns.unwrap_or(self.clocks.wall_ns(stamp.t_ns));
        self.clock = ClockPair { mono_ns: stamp.t_ns, wall_ns };
    }

    /// Pushes a record of a thread, with the thread defined before it.
    fn push(
        &mut self,
        stamp: &Stamp,
        mut push: impl FnMut(&mut ChunkBuilder, &mut M, &mut Vec<M::Element>) -> Result<(), ChunkFull>,
    ) -> Result<()> {
        self.note_time(stamp);
        let Self { writer, clock, threads, maker, elements, .. } = self;
        let facts = threads.get(&stamp.thread);
        writer.push(*clock, |chunk| {
            if let Some(facts) = facts {
                chunk.thread(stamp.thread, facts)?;
            }
            elements.clear();
            push(chunk, maker, elements)
        })
    }

    fn push_list<'a>(
        &mut self,
        stamp: &Stamp,
        op: Op,
        value: i64,
        keys: impl Iterator<Item = KeyView<'a>> + Clone,
    ) -> Result<()> {
        self.push(stamp, |chunk, maker, elements| {
            maker.make(chunk, keys.clone(), elements)?;
            chunk.push_call(op, stamp, value, M::to_push(elements), true)
        })
    }

    fn push_prefetch<'a, K, R>(&mut self, stamp: &Stamp, args: &PrefetchToPush<'_>, rows: R) -> Result<()>
    where
        K: Iterator<Item = KeyView<'a>>,
        R: Iterator<Item = RowView<'a, K>> + Clone,
    {
        self.push(stamp, |chunk, maker, elements| {
            let mut made = Vec::with_capacity(rows.size_hint().0);
            for row in rows.clone() {
                let layout = chunk.layout(row.layout)?;
                maker.make(chunk, row.keys, elements)?;
                made.push(MadeRow {
                    end: elements.len(),
                    object_group_id: row.object_group_id,
                    layout,
                    sliding_window_size: row.sliding_window_size,
                });
            }
            let mut start = 0;
            let rows = made.iter().map(|row| RowToPush {
                keys: M::to_push(&elements[std::mem::replace(&mut start, row.end)..row.end]),
                object_group_id: row.object_group_id,
                layout: row.layout,
                sliding_window_size: row.sliding_window_size,
            });
            chunk.push_prefetch(stamp, args, &rows.collect::<Vec<_>>(), true)
        })
    }
}

impl<S: TraceStore, M: KeyMaker> Sink for NativeSink<S, M> {
    fn thread(&mut self, number: u32, facts: &ThreadFacts) {
        self.threads.entry(number).or_insert_with(|| facts.clone());
    }

    fn call<'a, K, R>(&mut self, stamp: &Stamp, call: CallView<'a, K, R>) -> Result<()>
    where
        K: ExactSizeIterator<Item = KeyView<'a>> + Clone,
        R: ExactSizeIterator<Item = RowView<'a, K>> + Clone,
    {
        match call {
            CallView::ReserveWrite { keys, layout, mode: _ } => self.push(stamp, |chunk, maker, elements| {
                let number = i64::from(chunk.layout(layout)?);
                maker.make(chunk, keys.clone(), elements)?;
                chunk.push_call(Op::ReserveWrite, stamp, number, M::to_push(elements), true)
            }),
            CallView::FinishWrite { keys } => self.push_list(stamp, Op::FinishWrite, 0, keys),
            CallView::ReadEnter { keys } => self.push_list(stamp, Op::ReadEnter, 0, keys),
            CallView::ReadExit { keys } => self.push_list(stamp, Op::ReadExit, 0, keys),
            CallView::FinishRead { keys, read_locks } => {
                self.push_list(stamp, Op::FinishRead, read_locks, keys)
            }
            CallView::SubmitPrefetch {
                rows,
                num_kv_readers,
                fetching_policy,
                lock_mode,
                external_request_id,
                skip_l2,
            } => {
                let args = PrefetchToPush {
                    external_request_id,
                    num_kv_readers,
                    fetching_policy: u8::from(fetching_policy == FetchingPolicy::Full),
                    lock_mode: u8::from(lock_mode == LockMode::NoLock),
                    skip_l2,
                };
                self.push_prefetch(stamp, &args, rows)
            }
        }
    }

    fn host_call(&mut self, stamp: &Stamp, name: &str, bytes: &[u8]) -> Result<()> {
        self.push(stamp, |chunk, _, _| {
            let name = chunk.name(name)?;
            chunk.push_named_call(RecordKind::HostCall, stamp, name, bytes)
        })
    }

    fn foreign_call(&mut self, stamp: &Stamp, qualname: &str, frame: &[u8]) -> Result<()> {
        self.push(stamp, |chunk, _, _| {
            let name = chunk.name(qualname)?;
            chunk.push_named_call(RecordKind::ForeignCall, stamp, name, frame)
        })
    }

    fn foreign_bytes(&mut self, t_ns: u64, is_cut: bool, bytes: &[u8]) -> Result<()> {
        self.writer.push(self.clock, |chunk| chunk.push_foreign_bytes(t_ns, is_cut, bytes))
    }

    fn completion(&mut self, stamp: &Stamp, body: &CompletionBody) -> Result<()> {
        self.push(stamp, |chunk, _, _| chunk.push_completion(stamp, body))
    }

    fn loss(&mut self, stamp: &Stamp, loss: &Loss) -> Result<()> {
        self.push(stamp, |chunk, _, _| chunk.push_loss(stamp, loss.reason, loss.count, loss.when_ns.clone()))
    }
}

/// At most what a section takes in a chunk of keys, its scope included.
fn section_bytes(section: &SectionToWrite<'_>) -> usize {
    let scope_bytes = SCOPE_OVERHEAD_BYTES + section.scope.model_name.len() + section.scope.cache_salt.len();
    SECTION_OVERHEAD_BYTES + scope_bytes + section.hashes.len()
}

/// The length of a chunk for `left_bytes` of keys: whole strides.
fn key_chunk_bytes(left_bytes: usize) -> u32 {
    let bytes = (CHUNK_HEADER_BYTES + left_bytes).min(MAX_KEY_CHUNK_BYTES);
    bytes.next_multiple_of(MIN_COMPACT_CHUNK_BYTES as usize) as u32
}

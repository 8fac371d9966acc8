//! What an index says of a file: counted while chunks are made, or from chunks that are read. Both ways give the
//! same index.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::builder::ChunkBuilder;
use super::chunk::Chunk;
use super::keys::KeyList;
use super::kind::RecordKind;
use super::pod::{ChunkHeader, CommitSlot};
use super::record::Body;
use super::schema::{FileIndex, IndexedChunk, IndexedScope, IndexedThread, ScopeFacts, ThreadFacts};

/// The keys of a chunk by scope. A scope is known by its address: comparing names for every list of a chunk would be
/// most of the work of counting it.
#[derive(Debug, Default)]
struct ScopeKeys<'a> {
    /// The scope of the last keys, and how many there were of it without another in between.
    run: Option<(&'a ScopeFacts, u64)>,
    counts: HashMap<usize, (&'a ScopeFacts, u64)>,
}

impl<'a> ScopeKeys<'a> {
    /// A list has one scope, or a few runs of them.
    fn add(&mut self, keys: KeyList<'a>) {
        for scope in keys.scopes() {
            match &mut self.run {
                Some((same, keys)) if std::ptr::eq(*same, scope) => *keys += 1,
                _ => {
                    self.end_run();
                    self.run = Some((scope, 1));
                }
            }
        }
    }

    fn end_run(&mut self) {
        if let Some((scope, keys)) = self.run.take() {
            let address = std::ptr::from_ref(scope).addr();
            self.counts.entry(address).or_insert((scope, 0)).1 += keys;
        }
    }
}

/// The counts of a file, chunk by chunk.
#[derive(Debug, Default)]
pub struct FileTally {
    index: FileIndex,
    names: BTreeMap<String, u64>,
    scopes: HashMap<ScopeFacts, u64>,
    threads: BTreeMap<u32, IndexedThread>,
}

impl FileTally {
    /// Adds a chunk in the making that is sealed with `header` and `slot`.
    pub fn add_built(&mut self, builder: &ChunkBuilder, header: &ChunkHeader, slot: &CommitSlot) {
        let tally = builder.tally();
        self.add_chunk(header, slot);
        self.index.ops.iter_mut().zip(tally.ops).for_each(|(total, count)| *total += count);
        self.index.keys += tally.keys;
        self.index.late += tally.late;
        self.index.completions += tally.completions;
        for (scope, keys) in builder.scopes().iter().zip(&tally.scope_keys) {
            self.add_scope(scope, *keys);
        }
        for (name, calls) in builder.names().zip(&tally.names) {
            self.add_name(name, *calls);
        }
        for thread in &tally.threads {
            self.add_thread(thread.number, &thread.facts, thread.calls, thread.lost);
        }
    }

    /// Adds a chunk that was read.
    pub fn add_read(&mut self, chunk: &Chunk<'_>) {
        self.add_chunk(chunk.header(), chunk.slot());
        for (number, facts) in chunk.threads() {
            self.add_thread(number, facts, 0, 0);
        }
        let mut scope_keys = ScopeKeys::default();
        for record in chunk.records() {
            let prefix = record.prefix();
            self.index.late += u64::from(record.is_late());
            if record.kind().is_some_and(RecordKind::is_call)
                && let Some(thread) = self.threads.get_mut(&prefix.thread)
            {
                thread.calls += 1;
            }
            self.add_body(prefix.thread, record.body(), &mut scope_keys);
        }
        scope_keys.end_run();
        for (scope, keys) in scope_keys.counts.into_values() {
            self.index.keys += keys;
            self.add_scope(scope, keys);
        }
    }

    /// Adds a chunk of a kind that this build does not know: its place, and what its slot says.
    pub fn add_unknown(&mut self, header: &ChunkHeader, slot: &CommitSlot) {
        self.add_chunk(header, slot);
    }

    fn add_body<'a>(&mut self, thread: u32, body: Body<'a>, scope_keys: &mut ScopeKeys<'a>) {
        match body {
            Body::Call(call) => {
                self.index.ops[call.op() as usize] += 1;
                scope_keys.add(call.keys());
                if let Some(prefetch) = call.prefetch() {
                    prefetch.rows().for_each(|row| scope_keys.add(row.keys));
                }
            }
            Body::Completion(_) => self.index.completions += 1,
            Body::HostCall { name, .. } | Body::ForeignCall { qualname: name, .. } => self.add_name(name, 1),
            Body::Loss(loss) => {
                if let Some(thread) = self.threads.get_mut(&thread) {
                    thread.lost = thread.lost.saturating_add(loss.count);
                }
            }
            Body::ForeignBytes { .. } | Body::KeySection { .. } | Body::Other => {}
        }
    }

    fn add_chunk(&mut self, header: &ChunkHeader, slot: &CommitSlot) {
        let index = &mut self.index;
        if slot.calls > 0 {
            let first_ns = if index.calls == 0 { slot.first_ns } else { index.first_ns.min(slot.first_ns) };
            (index.first_ns, index.last_ns) = (first_ns, index.last_ns.max(slot.last_ns));
        }
        index.calls += u64::from(slot.calls);
        index.records += u64::from(slot.records);
        // A file can claim any count.
        index.lost = index.lost.saturating_add(slot.lost);
        index.chunks.push(IndexedChunk {
            offset: header.offset,
            first_ns: slot.first_ns,
            last_ns: slot.last_ns,
            calls_before: header.calls_before,
            chunk_bytes: header.chunk_bytes,
            committed_bytes: slot.committed_bytes,
            calls: slot.calls,
            kind: header.kind,
            lost: slot.lost,
        });
    }

    /// Adds keys of a scope. A scope that no call has keys of is not in the index.
    pub fn add_scope(&mut self, scope: &ScopeFacts, keys: u64) {
        if keys == 0 {
            return;
        }
        match self.scopes.get_mut(scope) {
            Some(total) => *total += keys,
            None => {
                self.scopes.insert(scope.clone(), keys);
            }
        }
    }

    fn add_name(&mut self, name: &str, calls: u64) {
        if calls == 0 {
            return;
        }
        match self.names.get_mut(name) {
            Some(total) => *total += calls,
            None => {
                self.names.insert(name.to_owned(), calls);
            }
        }
    }

    fn add_thread(&mut self, number: u32, facts: &ThreadFacts, calls: u64, lost: u64) {
        let thread = self.threads.entry(number).or_insert_with(|| IndexedThread {
            number,
            facts: facts.clone(),
            calls: 0,
            lost: 0,
        });
        thread.calls += calls;
        thread.lost = thread.lost.saturating_add(lost);
    }

    /// Adds what was counted of other chunks of the same file.
    pub fn merge(&mut self, other: Self) {
        let (mine, theirs) = (&mut self.index, other.index);
        mine.first_ns = match (mine.calls, theirs.calls) {
            (0, _) => theirs.first_ns,
            (_, 0) => mine.first_ns,
            _ => mine.first_ns.min(theirs.first_ns),
        };
        mine.last_ns = mine.last_ns.max(theirs.last_ns);
        mine.calls += theirs.calls;
        mine.records += theirs.records;
        mine.keys += theirs.keys;
        mine.lost = mine.lost.saturating_add(theirs.lost);
        mine.late += theirs.late;
        mine.completions += theirs.completions;
        mine.ops.iter_mut().zip(theirs.ops).for_each(|(total, count)| *total += count);
        mine.chunks.extend(theirs.chunks);
        mine.chunks.sort_by_key(|chunk| chunk.offset);
        other.names.iter().for_each(|(name, calls)| self.add_name(name, *calls));
        other.scopes.iter().for_each(|(scope, keys)| self.add_scope(scope, *keys));
        for thread in other.threads.into_values() {
            self.add_thread(thread.number, &thread.facts, thread.calls, thread.lost);
        }
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.index.calls
    }

    /// Calls lost so far.
    pub fn lost(&self) -> u64 {
        self.index.lost
    }

    /// How many chunks so far.
    pub fn chunks(&self) -> u64 {
        self.index.chunks.len() as u64
    }

    /// The index. Scopes are sorted by how many keys they have, then by name.
    pub fn into_index(self, distinct_keys: Option<u64>) -> FileIndex {
        let mut scopes: Vec<_> =
            self.scopes.into_iter().map(|(scope, keys)| IndexedScope { scope, keys }).collect();
        scopes.sort_by(|a, b| {
            let name = |scope: &IndexedScope| {
                let ScopeFacts { model_name, kv_rank, object_group_id, cache_salt } = scope.scope.clone();
                (model_name, cache_salt, kv_rank, object_group_id)
            };
            b.keys.cmp(&a.keys).then_with(|| name(a).cmp(&name(b)))
        });
        FileIndex {
            distinct_keys,
            scopes,
            names: self.names.into_iter().collect(),
            threads: self.threads.into_values().collect(),
            ..self.index
        }
    }
}

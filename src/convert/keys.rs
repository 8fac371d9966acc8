//! How the key lists of a native file are written: as rows, or as ids of a key table that was made before.

use std::hash::BuildHasher;

use hashbrown::HashTable;

use super::sink::Sink;
use crate::error::{Error, Result};
use crate::format::model::KeyView;
use crate::format::model::view::{CallView, RowView};
use crate::format::native::pod::{KeyId, KeyRow};
use crate::format::native::schema::ScopeFacts;
use crate::format::native::{ChunkBuilder, ChunkFull, KeysToPush, Stamp};

/// The most keys of a key table: their number has 32 bits.
pub(super) const MAX_DISTINCT_KEYS: u64 = u32::MAX as u64;

/// Turns keys into what stands in records.
pub(super) trait KeyMaker {
    /// One key of a list.
    type Element: Copy;

    /// Appends the elements of `keys`, which `chunk` then knows.
    fn make<'a>(
        &mut self,
        chunk: &mut ChunkBuilder,
        keys: impl Iterator<Item = KeyView<'a>>,
        out: &mut Vec<Self::Element>,
    ) -> Result<(), ChunkFull>;

    /// A list as a builder takes it.
    fn to_push(elements: &[Self::Element]) -> KeysToPush<'_>;

    /// Whether every key so far could be made.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// Makes rows, with their scopes in the same chunk.
#[derive(Debug, Default)]
pub(super) struct RowMaker;

impl KeyMaker for RowMaker {
    type Element = KeyRow;

    fn make<'a>(
        &mut self,
        chunk: &mut ChunkBuilder,
        keys: impl Iterator<Item = KeyView<'a>>,
        out: &mut Vec<KeyRow>,
    ) -> Result<(), ChunkFull> {
        let mut last: Option<(KeyView<'a>, u32)> = None;
        for key in keys {
            let scope = match last {
                Some((known, number)) if is_same_scope(&known, &key) => number,
                _ => chunk.scope(&key)?,
            };
            last = Some((key, scope));
            out.push(match KeyRow::short(scope, key.chunk_hash) {
                Some(row) => row,
                None => chunk.long_row(scope, key.chunk_hash)?,
            });
        }
        Ok(())
    }

    fn to_push(elements: &[KeyRow]) -> KeysToPush<'_> {
        KeysToPush::Rows(elements)
    }
}

/// Whether two keys of a list borrow one scope, which is how all keys of a list come but for a few. The answer may be
/// no for equal scopes.
#[inline]
fn is_same_scope(a: &KeyView<'_>, b: &KeyView<'_>) -> bool {
    std::ptr::eq(a.model_name, b.model_name)
        && std::ptr::eq(a.cache_salt, b.cache_salt)
        && a.kv_rank == b.kv_rank
        && a.object_group_id == b.object_group_id
}

/// The distinct keys of a file, gathered on a walk over it, and how often each scope is named.
#[derive(Debug)]
pub(super) struct KeyIds {
    scopes: Vec<Scope>,
    /// Numbers of scopes, with the hashes of their names.
    scopes_by_name: HashTable<(u64, usize)>,
    hasher: foldhash::fast::RandomState,
    distinct_keys: u64,
    limit: u64,
}

/// A scope and its keys.
#[derive(Debug)]
struct Scope {
    facts: ScopeFacts,
    named: u64,
    sections: Vec<Section>,
}

/// Keys of one scope whose hashes have one length, in order of first appearance.
#[derive(Debug)]
struct Section {
    hash_bytes: usize,
    hashes: Vec<u8>,
    count: u32,
    first_id: u32,
    positions: HashTable<u32>,
}

impl Default for KeyIds {
    fn default() -> Self {
        Self::with_limit(MAX_DISTINCT_KEYS)
    }
}

impl KeyIds {
    fn with_limit(limit: u64) -> Self {
        let hasher = foldhash::fast::RandomState::default();
        Self { scopes: Vec::new(), scopes_by_name: HashTable::new(), hasher, distinct_keys: 0, limit }
    }

    fn add_list<'a>(&mut self, keys: impl Iterator<Item = KeyView<'a>>) -> Result<()> {
        let mut last: Option<(KeyView<'a>, usize)> = None;
        for key in keys {
            let scope = match last {
                Some((known, scope)) if is_same_scope(&known, &key) => scope,
                _ => self.scope(&key),
            };
            last = Some((key, scope));
            self.add(scope, key.chunk_hash)?;
        }
        Ok(())
    }

    /// The number of a key's scope.
    fn scope(&mut self, key: &KeyView<'_>) -> usize {
        if let Some(scope) = self.find_scope(key) {
            return scope;
        }
        let facts = ScopeFacts {
            model_name: key.model_name.to_owned(),
            kv_rank: key.kv_rank,
            object_group_id: key.object_group_id,
            cache_salt: key.cache_salt.to_owned(),
        };
        let (number, hash) = (self.scopes.len(), self.scope_hash(key));
        self.scopes.push(Scope { facts, named: 0, sections: Vec::new() });
        self.scopes_by_name.insert_unique(hash, (hash, number), |(hash, _)| *hash);
        number
    }

    fn scope_hash(&self, key: &KeyView<'_>) -> u64 {
        self.hasher.hash_one((key.model_name, key.kv_rank, key.object_group_id, key.cache_salt))
    }

    fn find_scope(&self, key: &KeyView<'_>) -> Option<usize> {
        let hash = self.scope_hash(key);
        let is_it = |(known, number): &(u64, usize)| {
            *known == hash && self.scopes[*number].facts.key(key.chunk_hash) == *key
        };
        self.scopes_by_name.find(hash, is_it).map(|(_, number)| *number)
    }

    fn add(&mut self, scope: usize, chunk_hash: &[u8]) -> Result<()> {
        let scope = &mut self.scopes[scope];
        scope.named += 1;
        let section = match scope.sections.iter().position(|section| section.hash_bytes == chunk_hash.len()) {
            Some(position) => &mut scope.sections[position],
            None => {
                scope.sections.push(Section::new(chunk_hash.len()));
                scope.sections.last_mut().expect("one was pushed")
            }
        };
        if section.find(&self.hasher, chunk_hash).is_some() {
            return Ok(());
        }
        if self.distinct_keys >= self.limit {
            return Err(Error::invalid("there are more distinct keys than a compact file can number")
                .with_context("limit", self.limit)
                .with_hint("convert the trace to an ordinary native file"));
        }
        self.distinct_keys += 1;
        section.insert(&self.hasher, chunk_hash);
        Ok(())
    }

    /// Numbers the keys: scope by scope, in order of first appearance.
    pub(super) fn into_table(mut self) -> IdTable {
        let mut next_id = 0_u32;
        for section in self.scopes.iter_mut().flat_map(|scope| &mut scope.sections) {
            section.first_id = next_id;
            next_id += section.count;
        }
        IdTable(self)
    }
}

impl Sink for KeyIds {
    fn call<'a, K, R>(&mut self, _stamp: &Stamp, call: CallView<'a, K, R>) -> Result<()>
    where
        K: ExactSizeIterator<Item = KeyView<'a>> + Clone,
        R: ExactSizeIterator<Item = RowView<'a, K>> + Clone,
    {
        match call {
            CallView::ReserveWrite { keys, .. }
            | CallView::FinishWrite { keys }
            | CallView::ReadEnter { keys }
            | CallView::ReadExit { keys }
            | CallView::FinishRead { keys, .. } => self.add_list(keys),
            CallView::SubmitPrefetch { mut rows, .. } => rows.try_for_each(|row| self.add_list(row.keys)),
        }
    }
}

impl Section {
    fn new(hash_bytes: usize) -> Self {
        Self { hash_bytes, hashes: Vec::new(), count: 0, first_id: 0, positions: HashTable::new() }
    }

    fn hash_at(&self, position: u32) -> &[u8] {
        &self.hashes[position as usize * self.hash_bytes..][..self.hash_bytes]
    }

    #[inline]
    fn find(&self, hasher: &impl BuildHasher, chunk_hash: &[u8]) -> Option<u32> {
        let is_it = |position: &u32| self.hash_at(*position) == chunk_hash;
        self.positions.find(hasher.hash_one(chunk_hash), is_it).copied()
    }

    fn insert(&mut self, hasher: &impl BuildHasher, chunk_hash: &[u8]) {
        self.hashes.extend_from_slice(chunk_hash);
        let (hashes, hash_bytes) = (&self.hashes, self.hash_bytes);
        let rehash =
            |position: &u32| hasher.hash_one(&hashes[*position as usize * hash_bytes..][..hash_bytes]);
        self.positions.insert_unique(hasher.hash_one(chunk_hash), self.count, rehash);
        self.count += 1;
    }
}

/// Distinct keys with their numbers.
#[derive(Debug)]
pub(super) struct IdTable(KeyIds);

/// A section of the key table to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct SectionToWrite<'a> {
    pub(super) scope: &'a ScopeFacts,
    pub(super) first_id: u32,
    pub(super) count: u32,
    pub(super) hash_bytes: usize,
    pub(super) hashes: &'a [u8],
}

impl IdTable {
    pub(super) fn distinct_keys(&self) -> u64 {
        self.0.distinct_keys
    }

    /// The scopes, and how often calls name a key of each.
    pub(super) fn scopes(&self) -> impl Iterator<Item = (&ScopeFacts, u64)> {
        self.0.scopes.iter().map(|scope| (&scope.facts, scope.named))
    }

    /// The sections, in the order of their ids.
    pub(super) fn sections(&self) -> impl Iterator<Item = SectionToWrite<'_>> + Clone {
        self.0.scopes.iter().flat_map(|scope| {
            scope.sections.iter().map(|section| SectionToWrite {
                scope: &scope.facts,
                first_id: section.first_id,
                count: section.count,
                hash_bytes: section.hash_bytes,
                hashes: &section.hashes,
            })
        })
    }

    fn id(&self, scope: usize, chunk_hash: &[u8]) -> Option<u32> {
        let sections = &self.0.scopes[scope].sections;
        let section = sections.iter().find(|section| section.hash_bytes == chunk_hash.len())?;
        section.find(&self.0.hasher, chunk_hash).map(|position| section.first_id + position)
    }
}

/// Makes ids of a table.
#[derive(Debug)]
pub(super) struct IdMaker<'t> {
    table: &'t IdTable,
    is_key_missing: bool,
}

impl<'t> IdMaker<'t> {
    pub(super) fn new(table: &'t IdTable) -> Self {
        Self { table, is_key_missing: false }
    }
}

impl KeyMaker for IdMaker<'_> {
    type Element = KeyId;

    fn make<'a>(
        &mut self,
        _chunk: &mut ChunkBuilder,
        keys: impl Iterator<Item = KeyView<'a>>,
        out: &mut Vec<KeyId>,
    ) -> Result<(), ChunkFull> {
        let mut last: Option<(KeyView<'a>, Option<usize>)> = None;
        for key in keys {
            let scope = match last {
                Some((known, scope)) if is_same_scope(&known, &key) => scope,
                _ => self.table.0.find_scope(&key),
            };
            last = Some((key, scope));
            let id = scope.and_then(|scope| self.table.id(scope, key.chunk_hash));
            self.is_key_missing |= id.is_none();
            out.push(KeyId(id.unwrap_or(0).to_le_bytes()));
        }
        Ok(())
    }

    fn to_push(elements: &[KeyId]) -> KeysToPush<'_> {
        KeysToPush::Ids(elements)
    }

    fn check(&self) -> Result<()> {
        match self.is_key_missing {
            false => Ok(()),
            true => Err(Error::invalid("the trace file was changed while it was read")
                .with_hint("wait until its recorder is done, and read it again")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(hash: &[u8]) -> KeyView<'_> {
        KeyView { chunk_hash: hash, model_name: "m", kv_rank: 0, object_group_id: 0, cache_salt: "" }
    }

    #[test]
    fn keys_are_numbered_to_the_limit_and_not_past_it() {
        let mut ids = KeyIds::with_limit(3);
        let salted = KeyView { cache_salt: "tenant", ..view(b"b") };
        ids.add_list([view(b"a"), salted, view(b"a"), view(b"long")].into_iter()).unwrap();
        assert!(ids.add_list([view(b"c")].into_iter()).is_err());
        let table = ids.into_table();
        let numbers: Vec<_> = table.sections().map(|section| (section.first_id, section.count)).collect();
        assert_eq!(numbers, [(0, 1), (1, 1), (2, 1)], "one scope after the other");
        assert_eq!((table.id(0, b"long"), table.id(1, b"b"), table.id(1, b"a")), (Some(1), Some(2), None));
        assert_eq!(table.scopes().map(|(_, named)| named).collect::<Vec<_>>(), [4, 1]);
    }
}

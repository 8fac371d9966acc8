//! Keys where they lie: rows of a chunk, or ids into the key table, seen as [`KeyView`]s.

use super::chunk::ChunkTables;
use super::pod::{CHUNK_HEADER_BYTES, KeyId, KeyRow, LONG_HASH};
use super::schema::ScopeFacts;
use super::table::KeyTable;
use crate::format::model::KeyView;

/// The keys of a call, in the order of the call.
#[derive(Clone, Copy, Debug)]
pub struct KeyList<'a> {
    keys: Keys<'a>,
    names: Names<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Keys<'a> {
    Rows(&'a [KeyRow]),
    Ids(&'a [KeyId]),
}

/// What rows and ids refer to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    /// The committed bytes of the chunk, its header included.
    pub(super) bytes: &'a [u8],
    pub(super) tables: &'a ChunkTables,
    pub(super) key_table: Option<&'a KeyTable<'a>>,
}

impl<'a> KeyList<'a> {
    pub(super) fn rows(rows: &'a [KeyRow], names: Names<'a>) -> Self {
        Self { keys: Keys::Rows(rows), names }
    }

    pub(super) fn ids(ids: &'a [KeyId], names: Names<'a>) -> Self {
        Self { keys: Keys::Ids(ids), names }
    }

    /// How many keys.
    pub fn len(&self) -> usize {
        match self.keys {
            Keys::Rows(rows) => rows.len(),
            Keys::Ids(ids) => ids.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows, as a slice; nothing in a compact file.
    pub fn as_rows(&self) -> Option<&'a [KeyRow]> {
        match self.keys {
            Keys::Rows(rows) => Some(rows),
            Keys::Ids(_) => None,
        }
    }

    /// The dense ids, as a slice; only in a compact file.
    pub fn as_ids(&self) -> Option<&'a [KeyId]> {
        match self.keys {
            Keys::Rows(_) => None,
            Keys::Ids(ids) => Some(ids),
        }
    }

    /// The scope of one of the list's rows, and its number in the chunk.
    #[inline]
    pub(super) fn scope_of_row(&self, row: &KeyRow) -> (u32, &'a ScopeFacts) {
        (row.scope_number(), self.names.tables.scope(row.scope_number()))
    }

    /// The hash of one of the list's rows.
    #[inline]
    pub(super) fn hash_of_row(&self, row: &'a KeyRow) -> &'a [u8] {
        self.names.hash_of_row(row)
    }

    /// The keys one by one, borrowed from the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = KeyView<'a>> + Clone + use<'a> {
        let list = *self;
        (0..self.len()).map(move |position| list.get(position))
    }

    /// The scope of each key.
    pub(super) fn scopes(&self) -> impl Iterator<Item = &'a ScopeFacts> + use<'a> {
        let list = *self;
        (0..self.len()).map(move |position| match list.keys {
            Keys::Rows(rows) => list.names.tables.scope(rows[position].scope_number()),
            Keys::Ids(ids) => list.names.section_of(ids[position]).0,
        })
    }

    fn get(&self, position: usize) -> KeyView<'a> {
        match self.keys {
            Keys::Rows(rows) => self.names.view_of_row(&rows[position]),
            Keys::Ids(ids) => {
                let (scope, chunk_hash) = self.names.section_of(ids[position]);
                scope.key(chunk_hash)
            }
        }
    }
}

impl<'a> Names<'a> {
    /// Scope and hash of an id of a verified chunk.
    fn section_of(&self, id: KeyId) -> (&'a ScopeFacts, &'a [u8]) {
        let table = self.key_table.expect("a chunk with ids is verified with its key table");
        table.find(id.get()).expect("ids are checked when their chunk is verified")
    }

    /// The key of a row of a verified chunk.
    #[inline]
    fn view_of_row(&self, row: &'a KeyRow) -> KeyView<'a> {
        self.tables.scope(row.scope_number()).key(self.hash_of_row(row))
    }

    #[inline]
    fn hash_of_row(&self, row: &'a KeyRow) -> &'a [u8] {
        match row.hash_bytes {
            LONG_HASH => {
                let (offset, len_bytes) = row.long_place();
                &self.bytes[offset as usize..][..len_bytes as usize]
            }
            short => &row.hash[..usize::from(short)],
        }
    }

    /// Whether a row is one: its hash is in the chunk before `end`, and its scope is defined.
    pub(super) fn is_row(bytes: &[u8], tables: &ChunkTables, row: &KeyRow, end: usize) -> bool {
        let has_hash = match row.hash_bytes {
            LONG_HASH => {
                let (offset, len_bytes) = row.long_place();
                offset as usize >= CHUNK_HEADER_BYTES
                    && offset as usize + len_bytes as usize <= end.min(bytes.len())
            }
            short => usize::from(short) <= row.hash.len(),
        };
        has_hash && row.scope_number() < tables.scope_count()
    }
}

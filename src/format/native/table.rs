//! The key table of a compact file: sections of hashes of one length in one scope, numbered through.

use super::chunk::Chunk;
use super::kind::RecordKind;
use super::pod::{PREFIX_BYTES, SECTION_HEAD_BYTES, SectionHead};
use super::schema::ScopeFacts;
use crate::error::{Error, ErrorKind, Result};
use crate::format::model::KeyView;

/// All keys of a compact file, by id.
#[derive(Debug, Default)]
pub struct KeyTable<'a> {
    sections: Vec<Section<'a>>,
    /// Those of all chunks that were added, each once: a scope may be long, and sections in it many.
    scopes: Vec<ScopeFacts>,
    keys: u32,
}

#[derive(Debug)]
struct Section<'a> {
    first_id: u32,
    count: u32,
    hash_bytes: usize,
    hashes: &'a [u8],
    /// Where its scope stands in the table's.
    scope: usize,
}

impl<'a> KeyTable<'a> {
    /// Adds the sections of a chunk of keys; chunks come in the order of the file.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if a section does not begin with the next id, or is not as long as it says.
    pub fn add(&mut self, chunk: &Chunk<'a>) -> Result<()> {
        let (bytes, first_scope) = (chunk.bytes(), self.scopes.len());
        self.scopes.extend_from_slice(chunk.scopes());
        for record in chunk.records().filter(|record| record.kind() == Some(RecordKind::KeySection)) {
            let start = (record.offset() - chunk.header().offset) as usize;
            let body = &bytes[start..][PREFIX_BYTES..record.prefix().length_bytes as usize];
            self.add_section(body, first_scope).ok_or_else(|| {
                Error::new(
                    ErrorKind::Corrupt,
                    "a section of the key table does not fit to what stands before it",
                )
                .with_context("offset", record.offset())
            })?;
        }
        Ok(())
    }

    /// Adds a section whose chunk's scopes begin at `first_scope`.
    fn add_section(&mut self, body: &'a [u8], first_scope: usize) -> Option<()> {
        let (head, hashes) = split_section(body)?;
        let hash_bytes = head.hash_bytes as usize;
        let scope =
            first_scope.checked_add(head.scope as usize).filter(|scope| *scope < self.scopes.len())?;
        self.keys = self.keys.checked_add(head.count).filter(|_| head.first_id == self.keys)?;
        self.sections.push(Section { first_id: head.first_id, count: head.count, hash_bytes, hashes, scope });
        Some(())
    }

    /// How many keys there are: ids are below this.
    pub fn len(&self) -> u32 {
        self.keys
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys == 0
    }

    /// The key of an id.
    #[inline]
    pub fn get(&self, id: u32) -> Option<KeyView<'_>> {
        self.find(id).map(|(scope, chunk_hash)| scope.key(chunk_hash))
    }

    /// Scope and hash of an id.
    #[inline]
    pub(super) fn find(&self, id: u32) -> Option<(&ScopeFacts, &[u8])> {
        let after = self.sections.partition_point(|section| section.first_id <= id);
        let section = self.sections.get(after.checked_sub(1)?)?;
        let position = (id - section.first_id) as usize;
        if position >= section.count as usize {
            return None;
        }
        let chunk_hash = &section.hashes[position * section.hash_bytes..][..section.hash_bytes];
        Some((&self.scopes[section.scope], chunk_hash))
    }
}

impl ScopeFacts {
    /// The key of a hash in this scope.
    #[inline]
    pub fn key<'a>(&'a self, chunk_hash: &'a [u8]) -> KeyView<'a> {
        KeyView {
            chunk_hash,
            model_name: &self.model_name,
            kv_rank: self.kv_rank,
            object_group_id: self.object_group_id,
            cache_salt: &self.cache_salt,
        }
    }
}

/// The head of a section, and its hashes, from the body of its record.
pub(super) fn split_section(body: &[u8]) -> Option<(SectionHead, &[u8])> {
    let (head, rest) = body.split_first_chunk::<SECTION_HEAD_BYTES>()?;
    let head: SectionHead = bytemuck::pod_read_unaligned(head);
    let hashes = rest.get(..(head.hash_bytes as usize).checked_mul(head.count as usize)?)?;
    Some((head, hashes))
}

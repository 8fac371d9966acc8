//! A transfer between the blocks of a paged cache and objects of L1.

use super::layout::PagedLayout;
use super::plan::Run;
use crate::error::{Error, Result};

/// Where an object's part for one layout lies in the host's memory. An object of a model with several kinds of layers has
/// one part for each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectSpan {
    /// From the start of the memory, in bytes.
    pub offset: u64,
    /// How many bytes the object has there; those behind its rows are left alone.
    pub len_bytes: u64,
}

/// Which blocks are which objects. The blocks at the places `i * n` to `(i + 1) * n` of the table are object `i`, where an
/// object holds `n` blocks; the last object may take fewer.
#[derive(Clone, Copy, Debug)]
pub struct PagedTransfer<'a> {
    /// The cache.
    pub layout: &'a PagedLayout,
    /// The block table: the request's blocks in the order of its tokens.
    pub block_ids: &'a [i64],
    /// The objects.
    pub objects: &'a [ObjectSpan],
    /// How many tokens an object holds: LMCache's chunk size, a multiple of the tokens of a block.
    pub object_tokens: u64,
    /// How many places of the table are left out, from the first on. What stands there is not looked at.
    pub skip_prefix_blocks: u64,
}

impl PagedTransfer<'_> {
    /// Gives `emit` the bytes to move, object by object, in the order in which they lie there.
    ///
    /// # Errors
    /// If the transfer asks for what is not there, and what `emit` says.
    pub(super) fn runs(&self, emit: &mut impl FnMut(Run) -> Result<()>) -> Result<()> {
        let object_blocks = self.object_blocks()?;
        let object_bytes = self.layout.object_bytes(self.object_tokens)?;
        self.check_counts(object_blocks)?;
        self.check_blocks()?;
        for (index, object) in self.objects.iter().enumerate() {
            check_object(index, object, object_bytes)?;
            let first = index as u64 * object_blocks;
            let end = (first + object_blocks).min(self.block_ids.len() as u64);
            let start = first.max(self.skip_prefix_blocks);
            if start < end {
                self.object_runs(
                    object,
                    (start - first, &self.block_ids[start as usize..end as usize]),
                    emit,
                )?;
            }
        }
        Ok(())
    }

    /// The bytes of `blocks`, which are the object's from its block `at` on.
    fn object_runs(
        &self,
        object: &ObjectSpan,
        (at, blocks): (u64, &[i64]),
        emit: &mut impl FnMut(Run) -> Result<()>,
    ) -> Result<()> {
        let shape = self.layout.shape();
        let row_bytes = self.layout.row_bytes();
        for plane in 0..self.layout.format().planes() {
            for layer in 0..shape.layers {
                let rows = (plane * shape.layers + layer) * self.object_tokens + at * shape.block_tokens;
                let mut host_offset = object.offset + rows * row_bytes;
                for block in blocks {
                    self.layout.block_runs((plane, layer, *block as u64), host_offset, emit)?;
                    host_offset += shape.block_tokens * row_bytes;
                }
            }
        }
        Ok(())
    }

    /// How many blocks an object holds.
    ///
    /// # Errors
    /// If it does not hold whole blocks.
    pub fn object_blocks(&self) -> Result<u64> {
        let block_tokens = self.layout.shape().block_tokens;
        if self.object_tokens == 0 || !self.object_tokens.is_multiple_of(block_tokens) {
            return Err(Error::invalid("an object holds whole blocks, one or more")
                .with_context("object_tokens", self.object_tokens)
                .with_context("block_tokens", block_tokens));
        }
        Ok(self.object_tokens / block_tokens)
    }

    fn check_counts(&self, object_blocks: u64) -> Result<()> {
        let blocks = self.block_ids.len() as u64;
        let needed = blocks.div_ceil(object_blocks);
        if self.objects.len() as u64 != needed {
            return Err(Error::invalid("blocks and objects do not match: each needs the other")
                .with_context("blocks", blocks)
                .with_context("objects", self.objects.len())
                .with_context("needed_objects", needed));
        }
        if self.skip_prefix_blocks > blocks {
            return Err(Error::invalid("more blocks are left out than there are")
                .with_context("skip_prefix_blocks", self.skip_prefix_blocks)
                .with_context("blocks", blocks));
        }
        Ok(())
    }

    /// Whether all blocks exist that are not left out.
    ///
    /// # Errors
    /// If one does not; the first is named.
    pub fn check_blocks(&self) -> Result<()> {
        let blocks = self.layout.shape().blocks;
        let exists = |id: i64| u64::try_from(id).is_ok_and(|id| id < blocks);
        let skipped = self.skip_prefix_blocks as usize;
        let wrong = self.block_ids.iter().enumerate().skip(skipped).find(|(_, id)| !exists(**id));
        let Some((place, id)) = wrong else { return Ok(()) };
        Err(Error::invalid("the block table names a block that does not exist")
            .with_context("place", place)
            .with_context("block", id)
            .with_context("blocks", blocks))
    }
}

fn check_object(index: usize, object: &ObjectSpan, needed_bytes: u64) -> Result<()> {
    if object.len_bytes < needed_bytes {
        return Err(Error::invalid("an object is shorter than its rows")
            .with_context("object", index)
            .with_context("bytes", object.len_bytes)
            .with_context("needed_bytes", needed_bytes));
    }
    if object.offset.checked_add(object.len_bytes).is_none() {
        return Err(Error::invalid("an object ends past all addresses")
            .with_context("object", index)
            .with_context("offset", object.offset)
            .with_context("bytes", object.len_bytes));
    }
    Ok(())
}

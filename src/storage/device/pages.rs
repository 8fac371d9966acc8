//! Which pages of an engine are which objects.

use crate::device::{ObjectSpan, PagedLayout, PagedTransfer, Plan};
use crate::error::{Error, Result};
use crate::format::model::MemoryLayoutDesc;
use crate::storage::memory::Span;
use crate::storage::reader::L1ManagerId;

/// What the objects of one plan have in common: their L1, and whether a device's driver knows their bytes. A run that is known in
/// part is refused by a driver, so the two kinds are never joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) owner: L1ManagerId,
    pub(super) is_registered: bool,
}

/// The most plans that one call comes to.
pub const MAX_PLANS: usize = 16;

/// The pages of one kind of layers. A model with several kinds (LMCache's kernel groups) has a part for each, and an object
/// holds one behind the other, in this order, without padding.
#[derive(Clone, Copy, Debug)]
pub struct PagedPart<'a> {
    /// The cache.
    pub layout: &'a PagedLayout,
    /// The block table: those of the first object, those of the second, and so on. What is behind those of the last object is not
    /// looked at.
    pub block_ids: &'a [i64],
    /// How many tokens of an object this part holds: LMCache's chunk size, a multiple of the tokens of a block.
    pub object_tokens: u64,
    /// How many places of the table are left out, from the first on: blocks that a retrieve must not touch, because other requests
    /// of the engine read them. A store takes whole objects, so there it is 0.
    pub skip_prefix_blocks: u64,
}

impl<'a> PagedPart<'a> {
    fn object_bytes(&self) -> Result<u64> {
        self.layout.object_bytes(self.object_tokens)
    }

    /// The blocks of object `index`.
    fn blocks_of(&self, index: usize, object_blocks: usize) -> &'a [i64] {
        &self.block_ids[index * object_blocks..][..object_blocks]
    }

    fn transfer(&self, block_ids: &'a [i64], objects: &'a [ObjectSpan], skipped: u64) -> PagedTransfer<'a> {
        PagedTransfer {
            layout: self.layout,
            block_ids,
            objects,
            object_tokens: self.object_tokens,
            skip_prefix_blocks: skipped,
        }
    }
}

/// Parts that were found to cover a number of objects.
#[derive(Clone, Debug)]
pub(super) struct Pages<'a> {
    parts: Vec<Checked<'a>>,
    object_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Checked<'a> {
    part: PagedPart<'a>,
    object_blocks: usize,
    /// Where it begins in an object.
    offset: u64,
    bytes: u64,
}

impl<'a> Pages<'a> {
    /// Checks that each of `parts` has blocks that exist for `objects` objects.
    ///
    /// # Errors
    /// If there is no part, or one has too few blocks, or blocks that do not exist, or its objects do not hold whole blocks.
    pub(super) fn new(parts: &[PagedPart<'a>], objects: usize) -> Result<Self> {
        if parts.is_empty() {
            return Err(Error::invalid("a transfer needs the pages of at least one kind of layers"));
        }
        let mut pages = Self { parts: Vec::with_capacity(parts.len()), object_bytes: 0 };
        for (index, part) in parts.iter().enumerate() {
            let checked = check(part, objects, pages.object_bytes);
            let checked = checked.map_err(|error| error.with_context("part", index))?;
            pages.object_bytes = pages.object_bytes.checked_add(checked.bytes).ok_or_else(|| {
                Error::invalid("the parts of an object come to more bytes than there are addresses")
            })?;
            pages.parts.push(checked);
        }
        Ok(pages)
    }

    /// The bytes of an object.
    pub(super) fn object_bytes(&self) -> u64 {
        self.object_bytes
    }

    /// Checks that objects of `layout` have room for exactly these parts.
    ///
    /// # Errors
    /// If they have more tensors or fewer, or one of another size.
    pub(super) fn check_layout(&self, layout: &MemoryLayoutDesc) -> Result<()> {
        if layout.groups().len() != self.parts.len() {
            return Err(Error::invalid(
                "the layout of the objects has another number of tensors than there are parts",
            )
            .with_context("tensors", layout.groups().len())
            .with_context("parts", self.parts.len()));
        }
        for (index, ((shape, dtype), checked)) in layout.groups().zip(&self.parts).enumerate() {
            // The layout was checked to have a size.
            let bytes = shape.iter().product::<u64>() * dtype.itemsize_bytes();
            if bytes != checked.bytes {
                return Err(Error::invalid(
                    "a part of an object has another size in the engine's pages than in its layout",
                )
                .with_context("part", index)
                .with_context("layout_bytes", bytes)
                .with_context("pages_bytes", checked.bytes));
            }
        }
        Ok(())
    }

    /// Checks that nothing is left out.
    ///
    /// # Errors
    /// If something is.
    pub(super) fn check_whole(&self) -> Result<()> {
        let Some(part) = self.parts.iter().find(|checked| checked.part.skip_prefix_blocks > 0) else {
            return Ok(());
        };
        Err(Error::invalid("a store takes whole objects: no block of it can be left out")
            .with_context("skip_prefix_blocks", part.part.skip_prefix_blocks))
    }

    /// Whether the blocks of object `index` are all `null_block`, in every part: the engine has nothing there.
    pub(super) fn is_null(&self, index: usize, null_block: i64) -> bool {
        let is_null = |id: &i64| *id == null_block;
        self.parts
            .iter()
            .all(|checked| checked.part.blocks_of(index, checked.object_blocks).iter().all(is_null))
    }

    /// What is to be moved for objects that lie at `spans`, each with its side and its place in the table, as plans of one side each.
    ///
    /// # Errors
    /// If it comes to more than [`MAX_PLANS`] full plans.
    pub(super) fn plans(
        &self,
        objects: impl Iterator<Item = (Side, usize, Span)>,
    ) -> Result<Vec<(Side, Plan)>> {
        let mut plans = Plans::default();
        for (side, index, span) in objects {
            for checked in &self.parts {
                checked.add_object(side, index, span, &mut plans)?;
            }
        }
        Ok(plans.0)
    }
}

fn check<'a>(part: &PagedPart<'a>, objects: usize, offset: u64) -> Result<Checked<'a>> {
    let whole = part.transfer(part.block_ids, &[], part.skip_prefix_blocks);
    let object_blocks = usize::try_from(whole.object_blocks()?).unwrap_or(usize::MAX);
    let bytes = part.object_bytes()?;
    let needed = object_blocks.checked_mul(objects).filter(|needed| *needed <= part.block_ids.len());
    let Some(needed) = needed else {
        return Err(Error::invalid("the block table does not cover all objects")
            .with_context("objects", objects)
            .with_context("blocks_of_an_object", object_blocks)
            .with_context("blocks", part.block_ids.len()));
    };
    if part.skip_prefix_blocks > needed as u64 {
        return Err(Error::invalid("more blocks are left out than there are")
            .with_context("skip_prefix_blocks", part.skip_prefix_blocks)
            .with_context("blocks", needed));
    }
    let part = PagedPart { block_ids: &part.block_ids[..needed], ..*part };
    part.transfer(part.block_ids, &[], part.skip_prefix_blocks).check_blocks()?;
    Ok(Checked { part, object_blocks, offset, bytes })
}

impl Checked<'_> {
    fn add_object(&self, side: Side, index: usize, span: Span, plans: &mut Plans) -> Result<()> {
        let object = ObjectSpan { offset: span.offset_bytes + self.offset, len_bytes: self.bytes };
        let first = (index * self.object_blocks) as u64;
        let skipped = self.part.skip_prefix_blocks.saturating_sub(first).min(self.object_blocks as u64);
        self.add_blocks(side, index, object, (skipped as usize, self.object_blocks), plans)
    }

    /// Adds the blocks `start..end` of an object; in two halves, if they are too many runs for one plan.
    fn add_blocks(
        &self,
        side: Side,
        index: usize,
        object: ObjectSpan,
        (start, end): (usize, usize),
        plans: &mut Plans,
    ) -> Result<()> {
        if start == end {
            return Ok(());
        }
        let blocks = &self.part.blocks_of(index, self.object_blocks)[..end];
        let objects = [object];
        let transfer = self.part.transfer(blocks, &objects, start as u64);
        match plans.add(side, &transfer) {
            Err(_) if end - start > 1 && plans.0.len() < MAX_PLANS => {
                let middle = start + (end - start) / 2;
                self.add_blocks(side, index, object, (start, middle), plans)?;
                self.add_blocks(side, index, object, (middle, end), plans)
            }
            added => added,
        }
    }
}

#[derive(Default)]
struct Plans(Vec<(Side, Plan)>);

impl Plans {
    /// Adds to the last plan of `side`, or to a new one if that has no room.
    fn add(&mut self, side: Side, transfer: &PagedTransfer<'_>) -> Result<()> {
        let last = self.0.iter_mut().rev().find(|(other, _)| *other == side);
        if last.is_some_and(|(_, plan)| plan.add(transfer).is_ok()) {
            return Ok(());
        }
        if self.0.len() == MAX_PLANS {
            return Err(Error::invalid("a transfer comes to more runs than one call can have")
                .with_context("limit", MAX_PLANS * crate::device::plan::MAX_RUNS)
                .with_hint("move fewer objects at once"));
        }
        let plan = Plan::new(std::slice::from_ref(transfer))?;
        self.0.push((side, plan));
        Ok(())
    }
}

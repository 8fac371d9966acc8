//! Where the bytes of a token are, in tensors of known sizes.
//!
//! Everything that a layout is comes down to strides: how far apart two planes, layers, blocks are in a tensor, and of
//! which pieces a token's row is made. Sizes come from an engine and are not trusted: they are multiplied once, in
//! [`PagedLayout::new`], with every product checked and every tensor long enough, so that no offset can overflow later.

use super::format::{Axis, EngineKvFormat};
use super::plan::Run;
use super::planes::{PlaneShape, Planes};
use crate::error::{Error, Result};

/// The most layers of a layout.
pub const MAX_LAYERS: u64 = 4_096;

/// The most heads of a row.
pub const MAX_HEADS: u64 = 4_096;

/// The most tokens of a block.
pub const MAX_BLOCK_TOKENS: u64 = 65_536;

/// The values of a token in [`EngineKvFormat::NL_X_NB_BSV_BSS`], in bytes: 128 numbers in fp8.
pub const BLOCKED_VALUE_BYTES: u64 = 128;

/// The scale of a token in [`EngineKvFormat::NL_X_NB_BSV_BSS`], in bytes: one number in fp32.
pub const BLOCKED_SCALE_BYTES: u64 = 4;

/// The sizes of a paged cache: LMCache's `PageBufferShapeDesc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageBufferShape {
    /// NL.
    pub layers: u64,
    /// NB, of each layer.
    pub blocks: u64,
    /// BS: tokens of a block.
    pub block_tokens: u64,
    /// NH: heads of a row; 1 where it is a latent.
    pub heads: u64,
    /// HS: elements of a head, of K and V together where they are packed.
    pub head_size: u64,
    /// Bytes of an element: 1, 2, 4 or 8.
    pub element_bytes: u64,
    /// How many elements lie between the starts of two blocks, or 0: as many as a block has. Only where blocks are
    /// the first axis.
    pub block_stride_elements: u64,
}

/// A tensor of the cache, in the memory of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// From the start of the device's memory, in bytes. On a GPU, where that is 0, its address.
    pub offset: u64,
    /// How many bytes there are.
    pub len_bytes: u64,
}

/// A paged cache: a layout, its sizes, and where its tensors are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagedLayout {
    format: EngineKvFormat,
    shape: PageBufferShape,
    tensors: Vec<u64>,
    strides: Strides,
    /// Of a row, in the order in which they lie in an object.
    pieces: Vec<Piece>,
    /// In place of pieces, where a row is in several tensors.
    planes: Planes,
    row_bytes: u64,
}

/// Steps through a tensor, in bytes; 0 for what is not an axis of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Strides {
    plane: u64,
    layer: u64,
    block: u64,
    token: u64,
    head: u64,
    /// From the first byte of a tensor to the end of the last one that is used.
    extent: u64,
}

/// Bytes of a row that lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    /// Where the first token's is, in a block.
    in_block: u64,
    /// How far the next token's is.
    token_stride: u64,
    /// Where it is, in the row of an object.
    in_row: u64,
    bytes: u64,
}

impl PagedLayout {
    /// The cache in `format` whose tensors are `tensors`, in the order of the name's lists: with `TWO_X_NL` all layers' K
    /// and then all layers' V, with `NL_X_TWO_X` K and V of the first layer, and so on.
    ///
    /// # Errors
    /// If a size is 0 or past its limit, sizes do not belong to the layout, or a tensor is missing, too many, shorter
    /// than the sizes say, or past the end of all addresses. For [`EngineKvFormat::NL_X_NP_X_NB_BS_ONE_HS`], whose planes have sizes of
    /// their own: it is made by [`PagedLayout::with_planes`].
    pub fn new(format: EngineKvFormat, shape: PageBufferShape, tensors: &[Tensor]) -> Result<Self> {
        Self::of(format, shape, tensors).map_err(|error| error.with_context("format", format.name()))
    }

    fn of(format: EngineKvFormat, shape: PageBufferShape, tensors: &[Tensor]) -> Result<Self> {
        if format == EngineKvFormat::NL_X_NP_X_NB_BS_ONE_HS {
            return Err(Error::invalid("the planes of this layout have widths of their own")
                .with_hint("say how wide each plane is"));
        }
        check_shape(format, &shape)?;
        let content_bytes = shape.head_size.checked_mul(shape.element_bytes).ok_or_else(too_large)?;
        let row_bytes = shape.heads.checked_mul(content_bytes).ok_or_else(too_large)?;
        let strides = Strides::of(format, &shape, content_bytes)?;
        check_tensors(Self::tensor_count(format, shape.layers), tensors, |_| strides.extent)?;
        let pieces = match format {
            EngineKvFormat::NL_X_NB_BSV_BSS => split_pieces(content_bytes, shape.block_tokens)?,
            _ => head_pieces(&strides, &shape, content_bytes, row_bytes),
        };
        let tensors = tensors.iter().map(|tensor| tensor.offset).collect();
        Ok(Self { format, shape, tensors, strides, pieces, planes: Planes::default(), row_bytes })
    }

    /// The cache in [`EngineKvFormat::NL_X_NP_X_NB_BS_ONE_HS`], each of whose layers has these planes. `tensors` are those of the first layer
    /// in the order of the planes, and so on. The row of `shape` is that of an object: all planes, counted in elements of the first.
    ///
    /// # Errors
    /// As [`PagedLayout::new`]; if a plane is empty, the planes are not as long as the row, or `shape` has a block stride, of which each
    /// plane has its own.
    pub fn with_planes(shape: PageBufferShape, planes: &[PlaneShape], tensors: &[Tensor]) -> Result<Self> {
        let format = EngineKvFormat::NL_X_NP_X_NB_BS_ONE_HS;
        let checked = check_shape(format, &shape).and_then(|()| Planes::new(&shape, planes, tensors));
        Ok(Self {
            planes: checked.map_err(|error| error.with_context("format", format.name()))?,
            format,
            shape,
            tensors: tensors.iter().map(|tensor| tensor.offset).collect(),
            strides: Strides::default(),
            pieces: Vec::new(),
            // The product is that of the planes, so it is a number.
            row_bytes: shape.head_size * shape.element_bytes,
        })
    }

    /// How many tensors a cache of that layout has; of [`EngineKvFormat::NL_X_NP_X_NB_BS_ONE_HS`] as many for each plane.
    pub fn tensor_count(format: EngineKvFormat, layers: u64) -> u64 {
        let count = |axis: &Axis| match axis {
            Axis::Layers => layers,
            _ => format.planes(),
        };
        format.axes().lists.iter().map(count).product()
    }

    /// The layout.
    pub fn format(&self) -> EngineKvFormat {
        self.format
    }

    /// Its sizes.
    pub fn shape(&self) -> &PageBufferShape {
        &self.shape
    }

    /// The bytes of a token in one plane of one layer.
    pub fn row_bytes(&self) -> u64 {
        self.row_bytes
    }

    /// The bytes of an object that holds `tokens` tokens.
    ///
    /// # Errors
    /// If no number of bytes is so large.
    pub fn object_bytes(&self, tokens: u64) -> Result<u64> {
        let rows = (self.format.planes() * self.shape.layers).checked_mul(tokens);
        rows.and_then(|rows| rows.checked_mul(self.row_bytes)).ok_or_else(too_large)
    }

    /// Whether the tokens of a block lie behind each other, as they do in an object.
    pub fn has_contiguous_blocks(&self) -> bool {
        match self.pieces.as_slice() {
            [] => self.planes.are_one(),
            [piece] => piece.token_stride == self.row_bytes,
            _ => false,
        }
    }

    /// Gives `emit` the bytes of one block of one layer and plane, whose first row is at `host_offset` in an object.
    /// The block exists, and so does the place in the object.
    pub(super) fn block_runs(
        &self,
        (plane, layer, block): (u64, u64, u64),
        host_offset: u64,
        emit: &mut impl FnMut(Run) -> Result<()>,
    ) -> Result<()> {
        if !self.planes.is_empty() {
            let sizes = (self.shape.block_tokens, self.row_bytes);
            return self.planes.block_runs(&self.tensors, (layer, block), sizes, host_offset, emit);
        }
        let start = self.block_offset(plane, layer, block);
        if self.has_contiguous_blocks() {
            let len_bytes = self.shape.block_tokens * self.row_bytes;
            return emit(Run { device_offset: start, host_offset, len_bytes });
        }
        for token in 0..self.shape.block_tokens {
            for piece in &self.pieces {
                emit(Run {
                    device_offset: start + piece.in_block + token * piece.token_stride,
                    host_offset: host_offset + token * self.row_bytes + piece.in_row,
                    len_bytes: piece.bytes,
                })?;
            }
        }
        Ok(())
    }

    fn block_offset(&self, plane: u64, layer: u64, block: u64) -> u64 {
        let place = |axis: &Axis| match axis {
            Axis::Layers => (layer, self.shape.layers),
            _ => (plane, self.format.planes()),
        };
        let lists = self.format.axes().lists.iter().map(place);
        let tensor = lists.fold(0, |index, (at, size)| index * size + at) as usize;
        let Strides { plane: of_plane, layer: of_layer, block: of_block, .. } = self.strides;
        self.tensors[tensor] + plane * of_plane + layer * of_layer + block * of_block
    }
}

impl Strides {
    fn of(format: EngineKvFormat, shape: &PageBufferShape, content_bytes: u64) -> Result<Self> {
        let mut strides = Self::default();
        let mut step = content_bytes;
        for axis in format.axes().tensor.iter().rev() {
            let size = match axis {
                Axis::Content => continue,
                Axis::SplitRows => {
                    step = step.checked_mul(shape.block_tokens).ok_or_else(too_large)?;
                    continue;
                }
                Axis::Blocks => {
                    strides.block = block_stride(format, shape, step)?;
                    // The last block needs no distance to a next one.
                    let before = strides.block.checked_mul(shape.blocks - 1);
                    step = before.and_then(|before| before.checked_add(step)).ok_or_else(too_large)?;
                    continue;
                }
                Axis::Layers => {
                    strides.layer = step;
                    shape.layers
                }
                Axis::Planes => {
                    strides.plane = step;
                    format.planes()
                }
                Axis::Tokens => {
                    strides.token = step;
                    shape.block_tokens
                }
                Axis::Heads => {
                    strides.head = step;
                    shape.heads
                }
            };
            step = step.checked_mul(size).ok_or_else(too_large)?;
        }
        strides.extent = step;
        Ok(strides)
    }
}

/// The distance of two blocks of `block_bytes` each.
fn block_stride(format: EngineKvFormat, shape: &PageBufferShape, block_bytes: u64) -> Result<u64> {
    if shape.block_stride_elements == 0 {
        return Ok(block_bytes);
    }
    let stride = shape.block_stride_elements.checked_mul(shape.element_bytes).ok_or_else(too_large)?;
    if !format.blocks_can_be_apart() {
        return Err(Error::invalid("blocks have a distance only where they are the first axis")
            .with_context("block_stride_elements", shape.block_stride_elements));
    }
    if stride < block_bytes {
        return Err(Error::invalid("blocks would lie in each other")
            .with_context("block_stride_bytes", stride)
            .with_context("block_bytes", block_bytes));
    }
    Ok(stride)
}

/// A row whose heads lie behind each other is one piece; else each head is one.
fn head_pieces(strides: &Strides, shape: &PageBufferShape, content_bytes: u64, row_bytes: u64) -> Vec<Piece> {
    // With one token in a block, or one head, the order of the two axes is no difference.
    if shape.heads == 1 || strides.head == content_bytes {
        let token_stride = if shape.block_tokens == 1 { row_bytes } else { strides.token };
        return vec![Piece { in_block: 0, token_stride, in_row: 0, bytes: row_bytes }];
    }
    let of_head = |head| Piece {
        in_block: head * strides.head,
        token_stride: strides.token,
        in_row: head * content_bytes,
        bytes: content_bytes,
    };
    (0..shape.heads).map(of_head).collect()
}

/// A row of values and a scale, of which a block has all tokens' values first.
fn split_pieces(content_bytes: u64, block_tokens: u64) -> Result<Vec<Piece>> {
    let (values, scale) = (BLOCKED_VALUE_BYTES, BLOCKED_SCALE_BYTES);
    if content_bytes != values + scale {
        return Err(Error::invalid("a row of this layout is 128 bytes of values and 4 of a scale")
            .with_context("row_bytes", content_bytes));
    }
    Ok(vec![
        Piece { in_block: 0, token_stride: values, in_row: 0, bytes: values },
        Piece { in_block: block_tokens * values, token_stride: scale, in_row: values, bytes: scale },
    ])
}

fn check_shape(format: EngineKvFormat, shape: &PageBufferShape) -> Result<()> {
    let sizes = [
        ("layers", shape.layers, MAX_LAYERS),
        ("blocks", shape.blocks, u64::MAX),
        ("block_tokens", shape.block_tokens, MAX_BLOCK_TOKENS),
        ("heads", shape.heads, MAX_HEADS),
        ("head_size", shape.head_size, u64::MAX),
    ];
    for (name, size, limit) in sizes {
        if size == 0 || size > limit {
            return Err(Error::invalid("a size of a paged KV cache is 0 or past its limit")
                .with_context(name, size)
                .with_context("limit", limit));
        }
    }
    if !matches!(shape.element_bytes, 1 | 2 | 4 | 8) {
        return Err(Error::invalid("an element has 1, 2, 4 or 8 bytes")
            .with_context("element_bytes", shape.element_bytes));
    }
    if format.is_mla() && shape.heads != 1 {
        return Err(Error::invalid("a row of an MLA layout is one latent").with_context("heads", shape.heads));
    }
    Ok(())
}

/// There are as many tensors as are needed, each of which has the bytes that it needs.
pub(super) fn check_tensors(
    needed: u64,
    tensors: &[Tensor],
    extent_bytes: impl Fn(usize) -> u64,
) -> Result<()> {
    if tensors.len() as u64 != needed {
        return Err(Error::invalid("a paged KV cache has another number of tensors")
            .with_context("tensors", tensors.len())
            .with_context("needed", needed));
    }
    for (index, tensor) in tensors.iter().enumerate() {
        let extent_bytes = extent_bytes(index);
        if tensor.len_bytes < extent_bytes {
            return Err(Error::invalid("a tensor ends before its last block does")
                .with_context("tensor", index)
                .with_context("bytes", tensor.len_bytes)
                .with_context("needed_bytes", extent_bytes));
        }
        if tensor.offset.checked_add(tensor.len_bytes).is_none() {
            return Err(Error::invalid("a tensor ends past all addresses")
                .with_context("tensor", index)
                .with_context("offset", tensor.offset)
                .with_context("bytes", tensor.len_bytes));
        }
    }
    Ok(())
}

pub(super) fn too_large() -> Error {
    Error::invalid("a paged KV cache is larger than all addresses")
}

#[cfg(test)]
mod tests {
    use super::EngineKvFormat as F;
    use super::*;
    use crate::error::ErrorKind;

    fn shape() -> PageBufferShape {
        PageBufferShape {
            layers: 2,
            blocks: 5,
            block_tokens: 4,
            heads: 3,
            head_size: 8,
            element_bytes: 2,
            block_stride_elements: 0,
        }
    }

    fn latent() -> PageBufferShape {
        PageBufferShape { heads: 1, ..shape() }
    }

    fn tensors(count: usize, len_bytes: u64) -> Vec<Tensor> {
        (0..count).map(|i| Tensor { offset: i as u64 * len_bytes, len_bytes }).collect()
    }

    fn layout(format: F, shape: PageBufferShape) -> Result<PagedLayout> {
        let count = PagedLayout::tensor_count(format, shape.layers) as usize;
        PagedLayout::new(format, shape, &tensors(count, 1 << 20))
    }

    #[test]
    fn a_layout_has_as_many_tensors_as_its_name_says() {
        let count = |format| PagedLayout::tensor_count(format, 7);
        assert_eq!(count(F::NB_NL_TWO_BS_NH_HS), 1);
        assert_eq!(count(F::NL_X_TWO_NB_BS_NH_HS), 7);
        assert_eq!(count(F::TWO_X_NL_X_NB_BS_NH_HS), 14);
        assert_eq!(count(F::NL_X_TWO_X_NB_BS_NH_HS), 14);
        for wrong in [0, 1, 3] {
            let made = PagedLayout::new(F::NL_X_TWO_NB_BS_NH_HS, shape(), &tensors(wrong, 1 << 20));
            assert!(made.unwrap_err().to_string().contains("another number of tensors"));
        }
    }

    #[test]
    fn sizes_at_their_limits_are_taken_and_one_past_is_not() {
        type Change = fn(&mut PageBufferShape, u64);
        let with = |change: Change, size| {
            let mut shape = PageBufferShape { blocks: 1, ..shape() };
            change(&mut shape, size);
            let count = PagedLayout::tensor_count(F::NL_X_NB_BS_NH_HS, shape.layers) as usize;
            PagedLayout::new(F::NL_X_NB_BS_NH_HS, shape, &tensors(count.min(5_000), 1 << 30))
        };
        let limits: [(Change, u64); 3] = [
            (|shape, size| shape.layers = size, MAX_LAYERS),
            (|shape, size| shape.heads = size, MAX_HEADS),
            (|shape, size| shape.block_tokens = size, MAX_BLOCK_TOKENS),
        ];
        for (change, limit) in limits {
            assert!(with(change, limit).is_ok());
            for refused in [0, limit + 1, u64::MAX] {
                let error = with(change, refused).unwrap_err();
                assert!(error.to_string().contains("0 or past its limit"), "{error}");
            }
        }
        for (bytes, is_taken) in [(0, false), (1, true), (3, false), (8, true), (16, false)] {
            assert_eq!(with(|shape, size| shape.element_bytes = size, bytes).is_ok(), is_taken, "{bytes}");
        }
    }

    #[test]
    fn products_that_are_no_address_are_errors() {
        for huge in [1 << 40, 1 << 62, u64::MAX] {
            for format in F::ALL {
                let base = if format.is_mla() { latent() } else { shape() };
                let blocks = PageBufferShape { blocks: huge, ..base };
                let content = PageBufferShape { head_size: huge, ..base };
                let stride = PageBufferShape { block_stride_elements: huge, ..base };
                for shape in [blocks, content, stride] {
                    assert!(layout(format, shape).is_err(), "{format:?} {shape:?}");
                }
            }
        }
        let made = layout(F::NL_X_NB_BS_HS, latent()).unwrap();
        assert_eq!(made.object_bytes(4).unwrap(), 2 * 4 * 16);
        assert!(made.object_bytes(u64::MAX / 16).is_err());
    }

    #[test]
    fn a_tensor_is_as_long_as_its_last_block_needs_and_ends_where_addresses_do() {
        let made = |offset, len_bytes| {
            let tensors = [Tensor { offset, len_bytes }, Tensor { offset: 0, len_bytes: 1 << 20 }];
            PagedLayout::new(F::NL_X_TWO_NB_BS_NH_HS, shape(), &tensors)
        };
        let needed = 2 * 5 * 4 * 3 * 16;
        assert!(made(0, needed).is_ok());
        assert!(made(0, needed - 1).unwrap_err().to_string().contains("ends before its last block"));
        assert!(made(u64::MAX - needed, needed).is_ok());
        assert!(made(u64::MAX - needed + 1, needed).unwrap_err().to_string().contains("past all addresses"));
    }

    #[test]
    fn blocks_are_apart_where_they_are_the_first_axis_and_never_in_each_other() {
        let block_elements = 4 * 3 * 8;
        let made = |format, elements, len_bytes| {
            let shape = PageBufferShape { block_stride_elements: elements, ..shape() };
            let count = PagedLayout::tensor_count(format, shape.layers) as usize;
            PagedLayout::new(format, shape, &tensors(count, len_bytes))
        };
        // Four distances and one block.
        let needed = 4 * 2 * (block_elements + 10) + 2 * block_elements;
        assert!(made(F::NL_X_NB_BS_NH_CS, block_elements + 10, needed).is_ok());
        assert!(made(F::NL_X_NB_BS_NH_CS, block_elements + 10, needed - 1).is_err());
        assert!(made(F::NL_X_NB_BS_NH_CS, block_elements, 1 << 20).is_ok());
        assert!(made(F::NL_X_NB_BS_NH_CS, block_elements - 1, 1 << 20).is_err());
        for format in F::ALL.into_iter().filter(|format| !format.blocks_can_be_apart()) {
            assert!(made(format, 1 << 10, 1 << 20).is_err(), "{format:?}");
        }
    }

    #[test]
    fn layouts_that_need_more_and_rows_that_are_not_theirs_are_refused() {
        let error = layout(F::NL_X_NP_X_NB_BS_ONE_HS, latent()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.hint().unwrap().contains("how wide each plane is"));
        assert!(layout(F::NL_X_NB_BS_HS, shape()).unwrap_err().to_string().contains("one latent"));
        let row = |head_size, element_bytes| PageBufferShape { head_size, element_bytes, ..latent() };
        assert!(layout(F::NL_X_NB_BSV_BSS, row(132, 1)).is_ok());
        assert!(layout(F::NL_X_NB_BSV_BSS, row(66, 2)).is_ok());
        assert!(layout(F::NL_X_NB_BSV_BSS, row(131, 1)).is_err());
    }

    #[test]
    fn blocks_are_contiguous_unless_heads_come_first_or_scales_are_apart() {
        let contiguous = |format, shape| layout(format, shape).unwrap().has_contiguous_blocks();
        assert!(contiguous(F::NL_X_TWO_NB_BS_NH_HS, shape()));
        assert!(contiguous(F::NL_X_NB_BS_HS, latent()));
        assert!(!contiguous(F::NL_X_TWO_NB_NH_BS_HS, shape()));
        assert!(contiguous(F::NL_X_TWO_NB_NH_BS_HS, latent()));
        assert!(contiguous(F::NL_X_TWO_NB_NH_BS_HS, PageBufferShape { block_tokens: 1, ..shape() }));
        let indexer = PageBufferShape { head_size: 132, element_bytes: 1, ..latent() };
        assert!(!contiguous(F::NL_X_NB_BSV_BSS, indexer));
    }
}

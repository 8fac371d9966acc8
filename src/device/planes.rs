//! Planes of unequal width: a token's row is in several tensors of its layer, a part in each.
//!
//! Models with a latent have such caches on Ascend: the latent, the part that is rotated, and for some the index of a sparse attention,
//! each in a tensor of its own and of a type of its own. In an object a row is one: its parts one behind the other.

use super::layout::{PageBufferShape, Tensor, check_tensors, too_large};
use super::plan::Run;
use crate::error::{Error, Result};

/// The most planes of a layer.
pub const MAX_PLANES: usize = 16;

/// A plane of every layer of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaneShape {
    /// The bytes of a token: the elements of its part by the size of one.
    pub row_bytes: u64,
    /// How far the starts of two blocks are from each other, in bytes, or 0: as far as a block is long.
    pub block_stride_bytes: u64,
}

/// The planes of a cache, in the order in which they lie in a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Planes(Vec<Plane>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plane {
    /// Where its part begins, in the row of an object.
    in_row: u64,
    row_bytes: u64,
    block_stride: u64,
}

impl Planes {
    /// Checks `planes` against `shape`, and `tensors` against both: those of the first layer, plane by plane, then those of the next.
    pub(super) fn new(shape: &PageBufferShape, planes: &[PlaneShape], tensors: &[Tensor]) -> Result<Self> {
        if planes.is_empty() || planes.len() > MAX_PLANES {
            return Err(Error::invalid("a layer has 1 plane or more, up to a limit")
                .with_context("planes", planes.len())
                .with_context("limit", MAX_PLANES));
        }
        if shape.block_stride_elements != 0 {
            return Err(Error::invalid("each plane of this layout has a block stride of its own")
                .with_context("block_stride_elements", shape.block_stride_elements));
        }
        let (mut known, mut extents, mut in_row) = (Vec::new(), Vec::new(), 0_u64);
        for (index, plane) in planes.iter().enumerate() {
            let (stride, extent) =
                check_plane(shape, plane).map_err(|error| error.with_context("plane", index))?;
            known.push(Plane { in_row, row_bytes: plane.row_bytes, block_stride: stride });
            extents.push(extent);
            in_row = in_row.checked_add(plane.row_bytes).ok_or_else(too_large)?;
        }
        check_row(shape, in_row)?;
        let needed = shape.layers * planes.len() as u64;
        check_tensors(needed, tensors, |index| extents[index % extents.len()])?;
        Ok(Self(known))
    }

    /// Whether there are none, because the layout has no such planes.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the tokens of a block lie behind each other, as they do in an object.
    pub(super) fn are_one(&self) -> bool {
        self.0.len() == 1
    }

    /// As [`PagedLayout::block_runs`](super::PagedLayout), of a block of `block_tokens` tokens, each of which has `row_bytes` in an object.
    pub(super) fn block_runs(
        &self,
        tensors: &[u64],
        (layer, block): (u64, u64),
        (block_tokens, row_bytes): (u64, u64),
        host_offset: u64,
        emit: &mut impl FnMut(Run) -> Result<()>,
    ) -> Result<()> {
        let of_layer = &tensors[layer as usize * self.0.len()..];
        if let [only] = self.0.as_slice() {
            let len_bytes = block_tokens * row_bytes;
            return emit(Run {
                device_offset: of_layer[0] + block * only.block_stride,
                host_offset,
                len_bytes,
            });
        }
        for token in 0..block_tokens {
            for (plane, tensor) in self.0.iter().zip(of_layer) {
                emit(Run {
                    device_offset: tensor + block * plane.block_stride + token * plane.row_bytes,
                    host_offset: host_offset + token * row_bytes + plane.in_row,
                    len_bytes: plane.row_bytes,
                })?;
            }
        }
        Ok(())
    }
}

/// How far two blocks of `plane` are apart, and how long its tensor is at least.
fn check_plane(shape: &PageBufferShape, plane: &PlaneShape) -> Result<(u64, u64)> {
    if plane.row_bytes == 0 {
        return Err(Error::invalid("a plane has no bytes"));
    }
    let block_bytes = plane.row_bytes.checked_mul(shape.block_tokens).ok_or_else(too_large)?;
    let stride = match plane.block_stride_bytes {
        0 => block_bytes,
        stride => stride,
    };
    if stride < block_bytes {
        return Err(Error::invalid("blocks would lie in each other")
            .with_context("block_stride_bytes", stride)
            .with_context("block_bytes", block_bytes));
    }
    // The last block needs no distance to a next one.
    let before = stride.checked_mul(shape.blocks - 1);
    let extent = before.and_then(|before| before.checked_add(block_bytes)).ok_or_else(too_large)?;
    Ok((stride, extent))
}

/// The planes are the row that the shape speaks of.
fn check_row(shape: &PageBufferShape, planes_bytes: u64) -> Result<()> {
    let row_bytes = shape.head_size.checked_mul(shape.element_bytes).ok_or_else(too_large)?;
    if planes_bytes == row_bytes {
        return Ok(());
    }
    Err(Error::invalid("the planes of a row are not as long as the row")
        .with_context("planes_bytes", planes_bytes)
        .with_context("row_bytes", row_bytes)
        .with_hint("head_size is the bytes of all planes by element_bytes, that of the first plane"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::PagedLayout;
    use crate::error::ErrorKind;

    /// Two layers of 3 blocks of 4 tokens; rows of 10 elements of 2 bytes.
    fn shape() -> PageBufferShape {
        PageBufferShape {
            layers: 2,
            blocks: 3,
            block_tokens: 4,
            heads: 1,
            head_size: 10,
            element_bytes: 2,
            block_stride_elements: 0,
        }
    }

    fn plane(row_bytes: u64, block_stride_bytes: u64) -> PlaneShape {
        PlaneShape { row_bytes, block_stride_bytes }
    }

    fn layout(shape: PageBufferShape, planes: &[PlaneShape], lens: &[u64]) -> Result<PagedLayout> {
        let tensors: Vec<_> =
            lens.iter().map(|len_bytes| Tensor { offset: 0, len_bytes: *len_bytes }).collect();
        PagedLayout::with_planes(shape, planes, &tensors)
    }

    #[test]
    fn each_tensor_is_as_long_as_its_own_plane_needs() {
        // 3 blocks of 4 rows of 16 and of 4 bytes, the second plane's with 8 bytes between them.
        let planes = [plane(16, 0), plane(4, 24)];
        assert_eq!(layout(shape(), &planes, &[192, 64, 192, 64]).unwrap().row_bytes(), 20);
        for short in [[191, 64, 192, 64], [192, 63, 192, 64], [192, 64, 192, 63]] {
            let error = layout(shape(), &planes, &short).unwrap_err();
            assert!(error.to_string().contains("ends before its last block"), "{error}");
        }
        for count in [0, 2, 3, 5] {
            assert!(
                layout(shape(), &planes, &vec![1_000; count])
                    .unwrap_err()
                    .to_string()
                    .contains("number of tensors")
            );
        }
    }

    #[test]
    fn planes_that_are_no_row_are_refused() {
        let refused = |planes: &[PlaneShape]| {
            let error = layout(shape(), planes, &[1 << 20; 4]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.context().any(|(name, _)| name == "format"), "{error}");
        };
        let many = vec![plane(1, 0); MAX_PLANES + 1];
        let huge = u64::MAX / 2;
        let wrong: [&[PlaneShape]; 9] = [
            &[],
            &many,
            &[plane(0, 0), plane(20, 0)],
            &[plane(16, 0), plane(5, 0)],
            &[plane(16, 0), plane(3, 0)],
            &[plane(16, 63), plane(4, 0)],
            &[plane(huge, 0), plane(4, 0)],
            &[plane(16, huge + 1), plane(4, 0)],
            &[plane(u64::MAX / 4, 0), plane(u64::MAX, 0)],
        ];
        wrong.into_iter().for_each(refused);
        let apart = PageBufferShape { block_stride_elements: 80, ..shape() };
        assert!(layout(apart, &[plane(16, 0), plane(4, 0)], &[1 << 20; 4]).is_err());
    }
}

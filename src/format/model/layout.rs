//! Memory layouts: the tensors that make up one object, back to back.

use crate::error::{Error, Result};
use crate::format::model::Dtype;
use crate::sync::Arc;

/// LMCache's `MemoryLayoutDesc`: one `(shape, dtype)` per tensor of an object, laid out without padding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemoryLayoutDesc {
    /// Shared: a clone of a layout costs a counter, however many tensors it has.
    groups: Arc<[(Box<[u64]>, Dtype)]>,
}

impl MemoryLayoutDesc {
    /// A layout of these tensors.
    ///
    /// # Errors
    /// If the sizes multiply past what 64 bits count: no such object exists, whatever the file says.
    pub fn new(groups: Vec<(Box<[u64]>, Dtype)>) -> Result<Self> {
        let layout = Self { groups: groups.into() };
        match layout.checked_size_bytes() {
            Some(_) => Ok(layout),
            None => Err(Error::invalid("the layout's size is more than 64 bits can count")),
        }
    }

    /// The tensors: shape and element type.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u64], Dtype)> {
        self.groups.iter().map(|(shape, dtype)| (&**shape, *dtype))
    }

    /// Logical size of one object: the sum over its tensors of `prod(shape) * itemsize`. The product of an
    /// empty shape is 1. Zero is possible, and an allocator refuses it.
    pub fn size_bytes(&self) -> u64 {
        self.checked_size_bytes().unwrap_or(0)
    }

    fn checked_size_bytes(&self) -> Option<u64> {
        self.groups.iter().try_fold(0_u64, |total_bytes, (shape, dtype)| {
            let elements = shape.iter().try_fold(1_u64, |product, extent| product.checked_mul(*extent))?;
            total_bytes.checked_add(elements.checked_mul(dtype.itemsize_bytes())?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bf16() -> Dtype {
        Dtype::from_name("torch.bfloat16").unwrap()
    }

    #[test]
    fn size_is_the_sum_of_the_tensors() {
        let u8_ = Dtype::from_name("torch.uint8").unwrap();
        let layout = MemoryLayoutDesc::new(vec![(Box::new([2, 3]), bf16()), (Box::new([]), u8_)]).unwrap();
        assert_eq!(layout.size_bytes(), 13);
        assert_eq!(MemoryLayoutDesc::new(vec![(Box::new([0, 5]), u8_)]).unwrap().size_bytes(), 0);
    }

    #[test]
    fn a_size_that_64_bits_cannot_count_is_refused() {
        assert!(MemoryLayoutDesc::new(vec![(Box::new([1 << 62]), bf16())]).is_ok());
        assert!(MemoryLayoutDesc::new(vec![(Box::new([1 << 63]), bf16())]).is_err());
        assert!(MemoryLayoutDesc::new(vec![(Box::new([u64::MAX, 2]), bf16())]).is_err());
    }
}
